"""Tables of results/ shown in pages for readers, between two comments: written anew when the table is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from scs_study.system.files import write_text

SHOWN = re.compile(r"(<!-- (\S+\.md), a test holds them equal -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def embed(pages: Iterable[Path], root: Path) -> list[Path]:
    """Return the pages in which a table has changed, and write it there. root: what the tables' names begin at."""
    changed = []
    for page in pages:
        before = page.read_text(encoding="utf-8")
        after = SHOWN.sub(lambda found: f"{found[1]}{_table(root / found[2], found[3])}{found[4]}", before)
        if after != before:
            write_text(page, after)
            changed.append(page)
    return changed


def _table(path: Path, shown: str) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else shown
