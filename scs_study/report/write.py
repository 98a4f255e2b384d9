"""The page as one HTML file: style, script and charts inside it, and nothing that a browser would have to fetch."""

from __future__ import annotations

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scs_study.report.figures import fitted
from scs_study.report.page import Page
from scs_study.system.files import write_text

TEMPLATES = Path(__file__).parent / "templates"
MOST = 4_600_000
"""Bytes of a page, beside the names of the runs that its pictures show: it is to be sent around."""


def write_page(page: Page, file: Path) -> Path:
    """Write the page; return its path. Equal pages give equal bytes."""
    write_text(file, html_of(page))
    return file


def html_of(page: Page) -> str:
    """Return the page as HTML, its pictures as large as MOST leaves room for."""
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js"))
    template = _environment().get_template("report.html")
    text = template.render(page=page, style=style, script=script, pictures={})
    drawn = [picture for section in page.sections for picture in section.pictures]
    if not drawn:
        return text
    shown = {each.name: each for each in fitted(drawn, MOST - len(text.encode()))}
    return template.render(page=page, style=style, script=script, pictures=shown)


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
