"""The page as one HTML file: style, script and charts inside it, and nothing that a browser would have to fetch."""

from __future__ import annotations

import functools
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from scs_study.report.page import Page
from scs_study.system.files import write_text

TEMPLATES = Path(__file__).parent / "templates"


def write_page(page: Page, file: Path) -> Path:
    """Write the page; return its path. Equal pages give equal bytes."""
    write_text(file, html_of(page))
    return file


def html_of(page: Page) -> str:
    """Return the page as HTML."""
    style, script = (Markup((TEMPLATES / name).read_text(encoding="utf-8")) for name in ("style.css", "script.js"))
    return _environment().get_template("report.html").render(page=page, style=style, script=script)


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
