"""The report in a real Chromium: quiet, alone, narrow enough for a phone, readable without JavaScript, sortable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scs_study.report.write import write_page
from tests.report.pages import TITLE, cells, page, write_figures, write_study
from tests.support.browser import WHY_NOT, Browser, browser

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)]
COLUMN = (
    "return [...document.querySelectorAll('#tables tbody tr')].filter(r => !r.hidden).map(r => r.cells[%d].textContent)"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("report")
    write_study(root / "runs", cells())
    write_figures(root / "results" / "study")
    return write_page(page(root, cells()), root / "results" / "study" / "report.html")


@pytest.fixture(scope="module")
def opened() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_quiet_asks_for_nothing_and_fits(opened: Browser, file: Path, width: int, tmp_path: Path) -> None:
    opened.requests()
    opened.open(file, width)
    assert opened.run("return document.documentElement.scrollWidth") <= width
    assert opened.run("return document.title").startswith(TITLE)
    assert opened.screenshot(tmp_path / "page.png").stat().st_size > 10_000
    assert opened.console() == []
    assert [address for address in opened.requests() if not address.startswith("data:")] == [file.resolve().as_uri()]


def test_every_chart_is_drawn_and_legible_on_a_phone(opened: Browser, file: Path) -> None:
    opened.open(file, 390)
    sizes = opened.run(
        "return [...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect()).map(r => [r.width, r.height])"
    )
    assert len(sizes) > 3
    assert all(250 <= width <= 390 and height > 50 for width, height in sizes)
    smallest = opened.run(
        "return Math.min(...[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height))"
    )
    assert smallest >= 8


def test_without_javascript_everything_can_be_read(opened: Browser, file: Path) -> None:
    def count(expression: str) -> int:
        """What the browser's own protocol sees: the page's script may not run."""
        return int(opened.cdp("Runtime.evaluate", expression=expression)["result"]["value"])

    opened.open(file, 390, scripts=False)
    elements = "[...document.querySelectorAll('article, #tables td, #curves svg, #runs td')]"
    assert count(f"{elements}.filter(e => e.getBoundingClientRect().height > 0).length") == count(f"{elements}.length")
    assert count(f"{elements}.length") > 100
    assert count("document.querySelectorAll('button, input').length") == 0


@pytest.mark.parametrize("chart", ["#figures img", "#curves svg", "#verdicts svg"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_figure_is_enlarged_and_closed_without_javascript(
    opened: Browser, file: Path, width: int, chart: str
) -> None:
    def value(expression: str) -> float:
        return float(opened.cdp("Runtime.evaluate", expression=expression)["result"]["value"])

    def follow(link: str) -> None:
        """What a browser does of itself where a link is clicked."""
        opened.cdp("Runtime.evaluate", expression=f"{link}.click()")

    opened.open(file, width, scripts=False)
    size, drawn = (
        f"document.querySelector('{chart}').getBoundingClientRect().width",
        f"document.querySelector('{chart}')",
    )
    before = value(size)
    follow(f"{drawn}.closest('a')")
    assert value(size) > before
    assert value(size) >= 890
    assert value(f"+(document.querySelector('.zoom:target') === {drawn}.closest('figure'))") == 1
    follow("document.querySelector('.zoom:target .close')")
    assert value(size) == before


def test_pointing_at_a_figure_names_its_runs(opened: Browser, file: Path) -> None:
    opened.open(file)
    (named, *_) = opened.run("return [...document.querySelectorAll('#figures img')].map(i => i.title)")
    lines = opened.run("return [...document.querySelectorAll('#curves svg title')].map(t => t.textContent)")
    rows = opened.run("return [...document.querySelectorAll('#runs tr[id]')].map(r => r.id)")
    assert set(named.split("\n")) == set(rows)
    assert set(rows) & set(lines)


def test_a_click_on_a_head_sorts_and_words_filter(opened: Browser, file: Path) -> None:
    opened.open(file)
    heads = opened.run("return [...document.querySelectorAll('#tables th')].map(h => h.textContent)")
    ours, layer = heads.index("ours %"), heads.index("layer")
    opened.run(f"document.querySelectorAll('#tables th button')[{ours}].click()")
    values = [float(text.split()[0]) for text in opened.run(COLUMN % ours) if text[0].isdigit()]
    assert values == sorted(values)
    assert len(values) == 9  # of ten variants one has no number yet
    opened.run(f"document.querySelectorAll('#tables th button')[{ours}].click()")
    assert [float(text.split()[0]) for text in opened.run(COLUMN % ours) if text[0].isdigit()] == values[::-1]
    opened.run(
        "const f = document.querySelector('#tables .filter'); f.value = 'SCS relu'; f.dispatchEvent(new Event('input'))"
    )
    assert opened.run(COLUMN % layer) == ["scs", "scs"]
    assert opened.console() == []
