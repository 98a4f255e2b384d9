"""The report of a study: everything that it promises is on the page, escaped, and nothing of the machine is."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import socket
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scs_study.analysis.pairs import SHOWN
from scs_study.analysis.robustness.cached import attacked_by_pgd
from scs_study.analysis.table_writer import write_table
from scs_study.config.schema import CellConfig
from scs_study.evaluation.robustness import batches
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.experiments.grid import load_study, sub_studies
from scs_study.report.charts import SVG
from scs_study.report.gather import gathered
from scs_study.report.page import Page, Section, page_of
from scs_study.report.sheets import written_sheets
from scs_study.report.write import html_of
from tests.analysis.run_folders import learning_curve, write_run
from tests.report.pages import TITLE, cells, page, write_figures, write_study
from tests.support.pairs import digits_cell

VOID = {"meta", "link", "input", "br", "hr", "img"}


class Read(HTMLParser):
    """A page as its parser sees it: whether its elements nest, their ids, links and texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.elements: Counter[str] = Counter()
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            elif name == "href" and tag == "a":
                self.links.append(str(value))
            elif name == "src":
                self.sources.append(str(value))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("machine") / "somewhere"
    write_study(folder / "runs", cells())
    write_figures(folder / "results" / "study")
    return folder


@pytest.fixture(scope="module")
def shown(root: Path) -> Page:
    return page(root, cells())


@pytest.fixture(scope="module")
def read(shown: Page) -> Read:
    return Read(html_of(shown))


def test_every_element_is_closed_and_every_id_is_one(read: Read) -> None:
    assert read.open == []
    assert [name for name, times in Counter(read.ids).items() if times > 1] == []


def test_every_link_within_the_page_leads_somewhere(read: Read) -> None:
    assert {link[1:] for link in read.links if link.startswith("#")} <= set(read.ids)


def test_a_title_is_text_whatever_is_in_it(read: Read) -> None:
    assert TITLE in read.texts
    assert read.elements["script"] == 1
    assert read.elements["b"] == 0
    assert read.elements["i"] == 0


def test_verdicts_come_before_tables_curves_runs_and_recipe(read: Read) -> None:
    order = [name for name in read.ids if name in ("verdicts", "tables", "curves", "runs", "recipe", "repeat")]
    assert order == ["verdicts", "tables", "curves", "runs", "recipe", "repeat"]


def test_a_claim_has_its_estimate_its_interval_and_the_papers_number(shown: Page) -> None:
    card = next(card for card in shown.claims if card.id == 6)  # ReLU with MaxAbs does poorly
    assert card.kind in ("leaning", "undecided", "yes")
    assert re.fullmatch(r"\+\d+\.\d points \[\d+\.\d, \d+\.\d\]", card.estimate)
    assert ("seeds", "3") in card.facts
    assert len(card.plots) == 1
    words = "".join(ElementTree.fromstring(card.plots[0].chart).itertext())
    assert "the paper" in words
    assert "95 % interval" in words
    assert card.runs


def test_benchmarks_are_told_from_runs(shown: Page) -> None:
    assert {card.id for card in shown.timed} == {8, 9, 10}
    assert not {card.id for card in shown.timed} & {card.id for card in shown.claims}


def test_an_unfinished_study_says_so(root: Path, shown: Page) -> None:
    assert not shown.progress.whole
    assert shown.progress.words == "27 done, 1 running, 1 failed, 1 missing"
    assert "Unfinished" in html_of(shown)
    whole = page(root, cells()[:6])
    assert whole.progress.whole
    assert "Unfinished" not in html_of(whole)


def test_every_run_that_began_is_there_with_a_way_to_its_folder(root: Path, shown: Page) -> None:
    (section,) = shown.sections
    assert len(section.runs) == 29
    assert len(section.missing) == 1
    for run, _ in section.runs:
        assert run.link is not None
        assert (root / "results" / "study" / run.link).resolve() == (root / "runs" / run.name).resolve()
    assert section.runs[0][0].commit == "0123456"


def test_nothing_of_the_machine_is_on_the_page(root: Path, shown: Page) -> None:
    text = html.unescape(html_of(shown))
    for private in (str(root), str(root.parent), "/home", "somebody", "node17", socket.gethostname() + "."):
        assert private not in text
    assert "batch_1" in text  # what failed is still to be understood


def test_folders_elsewhere_are_not_linked(root: Path) -> None:
    planned = cells()[:3]
    found = gathered({cell.run_name: cell.identity() for cell in planned}, [root / "runs"])
    elsewhere = root.parent / "another" / "results"
    sections = [Section("study", "t", None, found.frame)]
    shown = page_of("t", "k", sections, found.folders, [], [], elsewhere / "study" / "report.html", elsewhere)
    assert [run.link for run, _ in shown.sections[0].runs] == [None] * 3


def test_the_same_runs_give_the_same_bytes(root: Path, shown: Page) -> None:
    assert html_of(page(root, cells())) == html_of(shown)


def test_the_recipe_says_where_it_departs(shown: Page) -> None:
    (recipe,) = shown.recipes
    assert recipe.departures == ("12 epochs, not 800",)
    assert len(recipe.variants) == 10


def test_the_figures_of_the_analyses_are_in_the_page_with_the_names_of_their_runs(shown: Page, read: Read) -> None:
    (section,) = shown.sections
    assert [picture.file.stem.partition("-")[0] for picture in section.pictures] == ["saliency", "pgd"]
    assert len(read.sources) == 2
    assert all(source.startswith("data:image/") for source in read.sources)
    assert section.pictures[0].title.startswith("Saliency maps: rohrer25k on cifar10")
    assert set(section.pictures[0].runs) == {run.name for run, _ in section.runs}
    assert list(read.ids).index("curves") < list(read.ids).index("figures") < list(read.ids).index("runs")


def test_attacks_are_drawn_from_records_and_every_line_names_its_runs(tmp_path: Path) -> None:
    """Two seeds of a variant and one of another; what the analysis has drawn of the same is not shown again."""
    planned = [c for c in cells((0, 1)) if (c.layer.name, c.activation, c.pooling) == ("scs", "none", "max")]
    planned += cells((0,))[:1]
    for cell_ in planned:
        folder = write_run(tmp_path / "runs", cell_, [0.5] * 12)
        write_attack(folder, right=[1, 1, 1, 0], fell=[0, 1, NEVER, NEVER])
    (settings,) = attacked_by_pgd(tmp_path / "runs" / planned[0].run_name)
    known = attacked_by_pgd(tmp_path / "runs" / planned[0].run_name)[settings]
    assert settings.eps == (0, 1, 4)
    assert known.accuracies(settings, 4) == [0.75, 0.5, 0.25]
    write_figures(tmp_path / "results", ["pgd", "pgd-fine", "saliency"])
    write_figures(tmp_path / "results", ["curves"])
    found = gathered({c.run_name: c.identity() for c in planned}, [tmp_path / "runs"])
    sections = [Section("study", "t", None, found.frame, tmp_path / "results")]
    shown = page_of("t", "k", sections, found.folders, [], [], tmp_path / "results" / "report.html", tmp_path)
    ((title, chart),) = shown.sections[0].attacks
    assert "3 attacked. PGD in the L-infinity ball, 10 steps" in title
    named = [element.text for element in ElementTree.fromstring(chart).iter(f"{{{SVG}}}title")]
    both, one = [c.run_name for c in planned[:2]], planned[2].run_name
    lines = [f"scs none max: {', '.join(both)}", f"{label_of(planned[2])}: {one}"]
    assert Counter(named) == Counter(2 * lines + both)
    assert [picture.title.partition(":")[0] for picture in shown.sections[0].pictures] == ["Saliency maps"]
    (damaged,) = (tmp_path / "runs" / one / "robustness").glob("pgd-*")  # no line, and a page
    damaged.write_text(damaged.read_text().replace('"fell": [0', '"fell": [1').replace('"fell":[0', '"fell":[1'))
    shown = page_of("t", "k", sections, found.folders, [], [], tmp_path / "results" / "report.html", tmp_path)
    assert "2 attacked" in shown.sections[0].attacks[0][0]


def label_of(cell_: CellConfig) -> str:
    return f"{cell_.layer.name} {cell_.activation} {cell_.pooling}"


def write_attack(run: Path, right: list[int], fell: list[int]) -> None:
    """What an evaluation caches of a run's images: which are right, and at which radius PGD succeeded."""
    common = {"weights": run.name, "images": "7" * 64}
    method = {"kind": "pgd", "steps": 10, "restarts": 1, "step_size": 2.5, "random_start": True}
    for header, values in (
        ({"attack": "clean", **common}, [NEVER if each else 0 for each in right]),
        ({"attack": "pgd", **common, "batch": 4, "method": method, "eps": [1.0, 4.0], "seed": 0}, fell),
    ):
        batches.resume(run, header)
        batches.add(run, header, batches.Batch(0, len(values), 1, tuple(values), 1, 1, 1.0, "cpu"))


def test_what_the_analyses_have_written_is_read_back_as_it_was(tmp_path: Path) -> None:
    cells_ = [["a|b", "1.5 [0.2, 2.8]"], ["*bold* <i>", "-2.0"]]
    write_table(
        tmp_path / "tables", "robustness-short", "Above | all.", (["what", "x"], cells_), (["what"], []), ["Below."]
    )
    write_table(tmp_path / "tables", "table3", "The study's own.", (["what"], [["x"]]), (["what"], []))
    (found,) = written_sheets(tmp_path, "table3", ())
    assert found.title == "Robustness: short"
    assert (found.above, found.notes) == (("Above | all.",), ("Below.",))
    assert found.heads == ("what", "x")
    assert [list(row) for row in found.rows] == cells_
    assert found.right == (False, True)


def test_adversarial_runs_have_their_table_and_no_accuracy(tmp_path: Path) -> None:
    planned = digits_cell("dcgan")
    folder = write_run(tmp_path / "runs", planned, [0.5])
    numbers = {key: 0.25 for key, _, _ in SHOWN} | {"epoch": 1, "eval_seconds": 0.5}
    (folder / "history.jsonl").write_text(json.dumps(numbers) + "\n")
    write_figures(tmp_path / "results" / "study", ["samples"])
    shown = page(tmp_path, [planned])
    (sheet,) = shown.sections[0].sheets
    assert sheet.heads[0] == "variant"
    assert sheet.rows[0][0] == "dcgan conv"
    assert shown.sections[0].curves == ()
    assert [picture.title.partition(":")[0] for picture in shown.sections[0].pictures] == ["Samples of the generators"]
    assert "Samples of the generators" in html_of(shown)


def test_pictures_become_smaller_and_fewer_until_a_page_can_be_sent(tmp_path: Path) -> None:
    folder = tmp_path / "results" / "study"
    write_study(tmp_path / "runs", cells((0,)))
    write_figures(folder, [f"saliency-{number}" for number in range(8)], width=1600)
    whole = page(tmp_path, cells((0,)))
    assert whole.drawn == 8
    text = html_of(whole)
    assert len(text.encode()) < 5_000_000
    shown = len(Read(text).sources)
    assert 0 < shown <= 8
    assert ("more, for which a page has no room" in text) == (shown < 8)


def test_a_study_of_no_claim_has_a_page_too(tmp_path: Path) -> None:
    planned = [dataclasses.replace(c, data=dataclasses.replace(c.data, name="digits")) for c in cells((0,), 3)[:2]]
    for cell in planned:
        write_run(tmp_path / "runs", cell, [0.3, 0.4, 0.5])
    shown = page(tmp_path, planned)
    assert shown.claims == ()
    assert "No claim is about these runs" in html_of(shown)


def test_published_records_fill_in_what_is_missing(root: Path, tmp_path: Path) -> None:
    here, there = cells()[:2]
    write_run(tmp_path, here, learning_curve(0.5, 12, 0))
    found = gathered({c.run_name: c.identity() for c in (there, here)}, [tmp_path, root / "runs"])
    assert found.frame["run"].tolist() == [there.run_name, here.run_name]
    assert found.folders == {there.run_name: root / "runs" / there.run_name, here.run_name: tmp_path / here.run_name}
    assert found.frame["state"].tolist() == ["done", "done"]
    with pytest.raises(ValueError, match="has started"):
        gathered({there.run_name: there.identity()}, [tmp_path / "empty"])


@pytest.mark.slow
def test_the_papers_whole_study_stays_below_five_megabytes(tmp_path: Path) -> None:
    subs = sub_studies(load_study("paper"))
    planned = {cell.run_name: cell for sub in subs for cell in sub.cells}
    for number, cell in enumerate(planned.values()):
        write_run(tmp_path / "runs", cell, learning_curve(0.7, cell.train.epochs, number))
    found = gathered({name: cell.identity() for name, cell in planned.items()}, [tmp_path / "runs"])
    sections = [
        Section(
            p.study.name,
            p.study.title,
            p.study.paper,
            found.frame[found.frame["run"].isin([c.run_name for c in p.cells])],
        )
        for p in subs
    ]
    shown = page_of(
        "paper",
        "all of it",
        sections,
        found.folders,
        [],
        [],
        tmp_path / "results/paper/report.html",
        tmp_path / "results",
    )
    text = html_of(shown)
    assert len(text.encode()) < 4_000_000  # leaves a megabyte to 39 claims
    assert Read(text).open == []
