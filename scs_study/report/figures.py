"""The figures that a study's analyses have drawn (maps, attacks, samples, norms), inside the page and small enough."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from scs_study.analysis.plots.style import figure_groups
from scs_study.report.public import public

KINDS = {
    "saliency": "Saliency maps",
    "pgd": "Accuracy under attack",
    "samples": "Samples of the generators",
    "fidelity": "Fidelity of the samples by epoch",
    "losses": "Losses of generator and discriminator",
    "maps": "Feature maps",
    "figure2": "Weight norms, as the paper's Figure 2",
    "weight_norms": "Weight norms after every mini-batch",
    "p_values": "Exponents p of every kernel",
    "ridgelines": "Exponents p of every kernel",
    "norms": "Weight norms of every layer",
}
"""What a file's name begins with, and what it shows, in the order of the page. Another one is called by its name."""
FURTHER = {"measures": "their measures", "checks": "what they are worth: randomised networks, deletion and insertion"}
"""What a name of maps ends with."""
DRAWN, ATTACKED = "curves", "pgd"
"""What the page draws itself, so that every line has its name; the second where the attacks' files are at hand."""
WIDEST, NARROWEST, STEP = 1600, 640, 0.8
"""Pixels of a picture: its width at first, the least, and the factor between two tries."""
QUALITY = 80


@dataclass(frozen=True)
class Picture:
    """A figure as a file. name: its own on the page. title: what it shows; runs: the names of those that it shows."""

    name: str
    file: Path
    title: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """A figure on the page. address: the picture itself (data:...); size: its pixels; the others as of Picture."""

    name: str
    title: str
    address: str
    size: tuple[int, int]
    runs: tuple[str, ...]


def pictures(
    folder: Path | None, frame: pd.DataFrame, prefix: str, names: Iterable[str], attacked: Collection[str] = ()
) -> list[Picture]:
    """Return the figures in folder/figures that the page does not draw itself. frame: the runs that they may show.

    prefix: of their names on the page. names: what must not be said of the machine (public). attacked: of which groups
    the page draws the attacks itself. Which runs are in a file
    is told by its name: those of the network that it names, or the run; else all.
    """
    if folder is None:
        return []
    files = sorted((folder / "figures").glob("*.png"), key=lambda path: (_kind(path.stem)[0], path.stem))
    groups = {
        group.name: (group.title(), tuple(row["run"] for rows in group.variants for row in rows))
        for group in figure_groups(frame[frame["state"] != "missing"], "")
    }
    every = tuple(frame.loc[frame["state"] != "missing", "run"])
    found: list[Picture] = []
    for file in files:
        if file.stem.startswith(f"{DRAWN}-") or _redrawn(file.stem, attacked, groups):
            continue
        stem, words = f"{file.stem}-", _kind(file.stem)[1]
        single = tuple(run for run in every if run in stem)
        within = max((name for name in groups if f"{name}-" in stem), key=len, default=None)
        about, runs = groups[within] if within is not None else (", ".join(single), single or every)
        title = f"{words}: {about}" if about else words
        found.append(Picture(f"{prefix}-{len(found)}", file, public(title, names), runs))
    return found


def fitted(chosen: Sequence[Picture], room: int) -> list[Shown]:
    """Return pictures as wide as `room` allows: bytes of all of them together.

    Those that are too many even when they are narrow are left out from the end.
    """
    width, kept = float(WIDEST), list(chosen)
    while kept:
        small = [_encoded(picture.file, int(width)) for picture in kept]
        if sum(len(content) for content, _, _ in small) * 4 / 3 <= room:
            return [
                Shown(p.name, p.title, f"data:image/{kind};base64,{base64.b64encode(content).decode()}", size, p.runs)
                for p, (content, kind, size) in zip(kept, small, strict=True)
            ]
        if width > NARROWEST:
            width *= STEP
        else:
            kept.pop()
    return []


def _redrawn(stem: str, attacked: Collection[str], groups: Collection[str]) -> bool:
    """Whether a figure of attacks shows what the page's own charts do: one network's, or all of them together."""
    if _kind(stem)[1] != KINDS[ATTACKED] or not attacked:
        return False
    return stem.endswith(tuple(attacked)) or not stem.endswith(tuple(groups))


def _kind(stem: str) -> tuple[int, str]:
    """The place of a figure in the page, and what it shows."""
    for place, (start, words) in enumerate(KINDS.items()):
        if stem == start or stem.startswith(f"{start}-"):
            end = stem.rpartition("-")[2]
            return place, f"{words}, {FURTHER[end]}" if end in FURTHER else words
    return len(KINDS), stem


def _encoded(file: Path, width: int) -> tuple[bytes, str, tuple[int, int]]:
    """A picture of at most that width: its bytes, their kind, its size. The file itself where WebP is no smaller."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    narrow = picture.width <= width
    if not narrow:
        height = max(1, round(picture.height * width / picture.width))
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=QUALITY, method=4)
    if narrow and file.stat().st_size <= len(content.getvalue()):
        return file.read_bytes(), "png", picture.size
    return content.getvalue(), "webp", picture.size
