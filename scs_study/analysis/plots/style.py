"""What all figures share: a variant's style, how runs are grouped into figures, and reproducible files."""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray
from PIL import Image

from scs_study.analysis.collect import identity_columns
from scs_study.analysis.variants import Record, finished, label, spans, variants, varying
from scs_study.config.schema import CHECKPOINT
from scs_study.layers.registry import LAYERS
from scs_study.system.console import say_once
from scs_study.system.files import shortened, write_bytes

STRANGE, STRANGERS = 48.0, 2e-4
"""A pixel farther than this (in 0-255 RGB) from every colour of the palette is strange; a share of more than STRANGERS
of them keeps a picture out of the palette. (The edge between two lines of other colours has a few.)"""
FREE = (
    ("#999933", "#555500"),
    ("#88CCEE", "#225577"),
    ("#DDAA77", "#7A4A1E"),
    ("#BBBBBB", "#555555"),
    ("#EE8866", "#993311"),
    ("#AA99DD", "#554499"),
    ("#B5E48C", "#2D6A00"),
    ("#F2A7C3", "#B0004F"),
    ("#9AD5CA", "#1B4B5A"),
    ("#D9C2F0", "#7B1FA2"),
    ("#E8D174", "#8C6D00"),
    ("#C9B7A6", "#4E342E"),
    ("#A9B8FF", "#1A237E"),
    ("#FFB3A7", "#8E0000"),
)
"""Pairs of colours for layers that bring none, light for max pooling and dark for MaxAbs; they are taken in turn."""
BAND = "#f3f0e4"
"""The background of what another panel shows enlarged."""

DASHES = {"none": "solid", "relu": (0, (4, 1.5))}
MARKERS = {"max": "none", "maxabs": "o"}
FURTHER_MARKERS = ("^", "D", "v", "P", "X", "*", "<", ">")
"""Markers for variants that differ from another one by a further setting only (a fixed p, a weight decay)."""

DPI = 120
CHARACTERS = 13
LINE = 44
"""Characters of a panel's title, three inches wide."""
"""Of a head, in an inch of a figure's width."""
SETTINGS: dict[str, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "path.simplify_threshold": 0.5,  # points: invisible, and half the bytes of a long noisy curve
    "pdf.fonttype": 42,
    "svg.hashsalt": "scs_study",
    "text.parse_math": False,  # what people call their layers and runs may have a $ in it
}


@contextmanager
def our_style() -> Iterator[None]:
    """Return a context in which figures look the same whatever matplotlibrc or backend the importing program uses."""
    with style.context(["default", SETTINGS]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of that size in inches, drawn by Agg without telling pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, folder: Path, name: str, colours: bool = False) -> tuple[Path, ...]:
    """Return the paths <name>.png and <name>.pdf in `folder`; the same figure always gives the same bytes (no dates).

    colours: whether the figure has other colours than those of variants (a colour scale, a picture) that must be kept.
    """
    drawn, page = io.BytesIO(), io.BytesIO()
    with _lacking_signs(name):
        figure.savefig(drawn, format="png", dpi=DPI, metadata={"Software": None})
        figure.set_layout_engine("none")  # it is laid out now, and of many panels that is most of the work
        figure.savefig(page, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    small = io.BytesIO()
    picture = Image.open(drawn).convert("RGB")
    (picture if colours else _in_palette(picture)).save(small, format="png", optimize=True)
    paths = folder / f"{shortened(name)}.png", folder / f"{shortened(name)}.pdf"
    for path, file in zip(paths, (small, page), strict=True):
        write_bytes(path, file.getvalue())
    return paths


@contextmanager
def _lacking_signs(name: str) -> Iterator[None]:
    """A context in which it is said once, not of each sign, that the font lacks some (a class in Chinese)."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    others = [each for each in found if not str(each.message).startswith("Glyph ")]
    for each in others:
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    if len(others) < len(found):
        say_once(f"note: {name}: its font lacks some signs of these names, and boxes stand for them", error=True)


def _in_palette(picture: Image.Image) -> Image.Image:
    """Return the picture in 256 colours: lines on white need no more, and a third of the bytes.

    A palette fitted to the picture would give rare colours away, so it is made of the colours that mean something and
    their shades, and every pixel takes the nearest.
    """
    palette = _palette()
    pixels = np.asarray(picture, dtype=np.int64)
    packed, where = np.unique(pixels @ np.array([1 << 16, 1 << 8, 1]), return_inverse=True)
    colours = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1)
    distances = ((colours[:, None] - palette[None]) ** 2).sum(axis=2)
    nearest = distances.argmin(axis=1)
    strange = distances.min(axis=1) > STRANGE**2
    if strange[where].mean() > STRANGERS:  # a layer with a colour of its own, which must not become another one's
        return picture
    indices = nearest[where].reshape(pixels.shape[:2])
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def color(layer: str, pooling: str) -> str:
    """Return the colour of a layer in figures, darker with MaxAbs pooling; a layer without its own gets a free one."""
    without = [name for name, spec in LAYERS.items() if spec.colors is None]
    spec = LAYERS.get(layer)
    if spec is not None and spec.colors is not None:
        pair = spec.colors
    else:
        index = without.index(layer) if layer in without else sum(map(ord, layer))
        pair = FREE[index % len(FREE)]
    return pair[pooling == "maxabs"]


def _named_colors() -> list[str]:
    """Return every colour that a registered layer has, in the order of the registry."""
    return [color(name, pooling) for name in ("conv", "scs", "sdp", "cosine") for pooling in ("max", "maxabs")]


def _palette() -> NDArray[np.int64]:
    white, shades = np.array([255.0, 255.0, 255.0]), 24
    colours = [np.linspace(np.array(to_rgb(hue)) * 255, white, shades, endpoint=False) for hue in _named_colors()]
    greys = np.linspace([0, 0, 0], white, 256 - 1 - shades * len(colours))
    return np.concatenate([*colours, greys, [np.array(to_rgb(BAND)) * 255]]).round().astype(np.int64)


class PlainLogFormatter(LogFormatter):
    """Ticks of a logarithmic axis as plain numbers (60, 0.5, 1e+06): matplotlib's own are mathematics, which is not
    parsed here. Between powers of ten there are labels where an axis has few of these, as in matplotlib.
    """

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of a tick, "" for one that has none."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def logarithmic(axes: Axes) -> None:
    """Make the vertical axis logarithmic."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(PlainLogFormatter())
    axes.yaxis.set_minor_formatter(PlainLogFormatter(minor_thresholds=(2, 0.5)))


def suptitle(figure: Figure, text: str, beside: float = 0.0) -> None:
    """Give the figure `text` as its head, on as many lines as its width asks for.

    beside: inches at the right that belong to a legend.
    """
    characters = round((figure.get_figwidth() - beside) * CHARACTERS)
    figure.suptitle(textwrap.fill(text, characters), x=0.01, ha="left", fontsize=10)


def broken(words: str) -> str:
    """Return a variant's label on lines of its own: the layer, then the settings that tell it from its neighbours."""
    plain = [word for word in words.split() if "=" not in word]
    settings = [word for word in words.split() if "=" in word]
    shown = CHECKPOINT.sub("checkpoint", ", ".join(settings))
    return "\n".join([" ".join(plain), *textwrap.wrap(shown, LINE, break_long_words=False)])


class FigureGroup:
    """The variants that share a figure: one architecture, norm, image size and data.

    name: the figure's file name without its kind; variants: the runs of each; styles and labels: theirs.
    """

    def __init__(self, name: str, groups: Sequence[list[Record]], columns: Sequence[str]) -> None:
        self.name = name
        self.variants = list(groups)
        extra = varying(groups, columns)
        self.labels = [label(group[0], extra) for group in groups]
        self.styles = _styles(groups)

    def title(self) -> str:
        """Return what the figure shows, for its head: architecture, data, epochs, seeds, number of runs."""
        runs = [row for group in self.variants for row in group]
        first = runs[0]
        norm = "" if first["norm"] == "none" else f" with {first['norm']}"
        epochs = spans(row["epochs"] for row in runs)
        seeds = spans(row["seed"] for row in runs)
        devices = " + ".join(sorted({row["device"] for row in runs if row["device"]}))
        parts = [
            f"{first['architecture']}{norm} on {first['data']} ({first['image_size']} pixels)",
            f"{epochs} epoch{'' if epochs == '1' else 's'}",
            f"seed{'' if seeds.isdigit() else 's'} {seeds}",
            f"{len(runs)} run{'' if len(runs) == 1 else 's'}, {len(finished(runs))} finished",
        ]
        return ", ".join([*parts, devices] if devices else parts)


def figure_groups(frame: pd.DataFrame, name: str) -> list[FigureGroup]:
    """Return the figures that the runs of a frame are divided into, each named `name` and what its runs share."""
    columns = identity_columns(frame)
    groups: dict[tuple[Any, ...], list[list[Record]]] = {}
    for group in variants(frame):
        first = group[0]
        groups.setdefault((first["architecture"], first["norm"], first["image_size"], first["data"]), []).append(group)
    result = []
    for (architecture, norm, size, data), members in groups.items():
        words = [name, architecture, *([] if norm == "none" else [norm]), data, *([] if size == 32 else [str(size)])]
        result.append(FigureGroup("-".join(words), members, columns))
    return result


def _styles(groups: Sequence[Sequence[Record]]) -> list[dict[str, Any]]:
    seen: dict[tuple[str, str, str], int] = {}
    styles = []
    for group in groups:
        first = group[0]
        variant = (first["layer"], first["activation"], first["pooling"])
        again = seen.get(variant, 0)
        seen[variant] = again + 1
        marker = FURTHER_MARKERS[(again - 1) % len(FURTHER_MARKERS)] if again else MARKERS[first["pooling"]]
        styles.append(
            {
                "color": color(first["layer"], first["pooling"]),
                "linestyle": DASHES[first["activation"]],
                "marker": marker,
                "markersize": 4,
            }
        )
    return styles
