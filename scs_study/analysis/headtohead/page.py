"""The tables of a head-to-head and the page that gathers verdict, tables and figures: what one opens afterwards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scs_study.analysis.headtohead.verdict import Comparison, Shares
from scs_study.analysis.plots.style import FigureGroup
from scs_study.analysis.statistics.bounded import shares
from scs_study.analysis.statistics.summary import summarise
from scs_study.analysis.table_writer import MARKDOWN, Cells, markdown_text, terminal_text, write_table
from scs_study.analysis.variants import Record, finished, recipe_words
from scs_study.data import ImageSet
from scs_study.system.files import shortened, write_text

PAGE = "headtohead.md"
MOST_CLASSES = 20
"""Classes that the page shows, those that differ most; the table's file has all."""
HOW = (
    "Each seed has one pair of networks: common initial weights, a common order of batches. Accuracies are those of "
    "the last epoch's networks, never of the best epoch. Intervals are of the mean difference: the wider of a t "
    "interval over seeds and a bootstrap of seeds and test images."
)


@dataclass(frozen=True, eq=False)
class Bout:
    """One network on one set of images. right: variant -> seed -> how right it is on each test image, (images,).

    counts: test images of each class. chance: the share of the commonest class among them.
    """

    group: FigureGroup
    comparisons: tuple[Comparison, ...]
    right: Mapping[str, Mapping[int, Shares]]
    images: ImageSet
    counts: NDArray[np.int64]
    chance: float

    @property
    def rest(self) -> str:
        """The end of the names of all files about this network and these images."""
        return self.group.name.partition("-")[2]


def write_page(bouts: Sequence[Bout], folder: Path) -> tuple[Path, ...]:
    """Return the paths of the tables and of the page, last, and write them."""
    paths: list[Path] = []
    parts = []
    for bout in bouts:
        tables = {"variants": _variants(bout), "pairs": _pairs(bout), "classes": _classes(bout)}
        for kind, (caption, heads, rows) in tables.items():
            name = f"headtohead-{bout.rest}-{kind}"
            shown = [[_shown(value) for value in row] for row in rows]
            paths += write_table(folder / "tables", name, caption, (heads, shown), (heads, rows))
        parts.append(_section(bout, tables, folder))
    write_text(folder / PAGE, "# Head to head\n\n" + "\n".join(parts) + f"\n{HOW}\n")
    return (*paths, folder / PAGE)


Table = tuple[str, list[str], Cells]


def pairs_text(bout: Bout) -> str:
    """Return the paired table for a terminal."""
    caption, heads, rows = _pairs(bout)
    return f"{caption}\n\n{terminal_text(heads, [[_shown(value) for value in row] for row in rows], 'llrrrr')}"


def _variants(bout: Bout) -> Table:
    """The table of variants: size, accuracy with its interval, time."""
    of_variant = dict(zip(bout.group.labels, bout.group.variants, strict=True))
    values = {name: [float(v.mean()) for v in of_seed.values()] for name, of_seed in bout.right.items()}
    found = dict(zip(values, shares(list(values.values())), strict=True))
    seconds = {name: _seconds(rows) for name, rows in of_variant.items()}
    base = seconds[bout.comparisons[0].b]
    heads = ["variant", "parameters", "seeds", "accuracy %", "low", "high", "epoch s", "x"]
    rows = []
    for name, variant in of_variant.items():
        parameters = next((row["parameters"] for row in finished(variant) if row["parameters"] is not None), None)
        share = found[name]
        time = seconds[name]
        accuracy = [100 * value for value in (share.mean, share.low, share.high)]
        rows.append([name, parameters, len(share.values), *accuracy, time, time / base])
    return (
        "Accuracy on the test images with its 95 % interval over seeds, and seconds of a training epoch.",
        heads,
        rows,
    )


def _seconds(variant: Sequence[Record]) -> float:
    return summarise(row["train_seconds"] for row in finished(variant) if row["train_seconds"] is not None).mean


def _pairs(bout: Bout) -> Table:
    """The paired table: a line a seed, and the mean."""
    heads = ["challenger", "baseline", "seed", "challenger %", "baseline %", "difference"]
    rows: list[list[object]] = []
    for c in bout.comparisons:
        for seed, a, b in zip(c.seeds, c.first, c.second, strict=True):
            rows.append([c.a, c.b, seed, a, b, a - b])
        rows.append([c.a, c.b, "mean", float(np.mean(c.first)), float(np.mean(c.second)), c.found.mean])
    return "Accuracy of both networks of every seed, and the difference in points.", heads, rows


def _classes(bout: Bout) -> Table:
    """The table of classes: who is right where, means over the seeds in common."""
    labels = bout.images.test_labels.numpy()
    heads = ["challenger", "class", "test images", "challenger %", "baseline %", "difference"]
    rows: list[list[object]] = []
    for c in bout.comparisons:
        first, second = (np.mean([bout.right[name][seed] for seed in c.seeds], axis=0) for name in (c.a, c.b))
        for label, name in enumerate(bout.images.classes):
            if bout.counts[label]:
                a, b = (100 * float(each[labels == label].mean()) for each in (first, second))
                rows.append([c.a, name, int(bout.counts[label]), a, b, a - b])
    return "Right answers by class, means over the seeds.", heads, rows


def _section(bout: Bout, tables: Mapping[str, Table], folder: Path) -> str:
    runs = [row for variant in bout.group.variants for row in finished(variant)]
    images = bout.images
    lines = [
        f"{len(images.train_labels)} training and {len(images.test_labels)} test images of {len(images.classes)} "
        f"classes (digest {images.digest[:12]}); always naming the commonest class gives {100 * bout.chance:.1f} %.",
        f"Recipe: {recipe_words(runs)}; on {' + '.join(sorted({str(row['device']) for row in runs}))}.",
    ]
    verdicts = [f"**{c.sentence()}**" + _p_words(c, len(bout.comparisons)) for c in bout.comparisons]
    texts = [f"## {bout.group.title()}".translate(MARKDOWN), *verdicts, *lines]
    for kind in ("variants", "pairs", "classes"):
        caption, heads, rows = tables[kind]
        if kind == "classes" and len(rows) > MOST_CLASSES:
            caption += f" The {MOST_CLASSES} that differ most; tables/ has all {len(rows)}."
            rows = sorted(rows, key=_size, reverse=True)[:MOST_CLASSES]
        texts.append(markdown_text([caption], heads, [[_shown(value) for value in row] for row in rows]).strip())
    figures = _figures(folder / "figures", bout.rest)
    texts += [f"![{figure.stem}]({figure.relative_to(folder).as_posix()})" for figure in figures]
    return "\n\n".join(texts) + "\n"


def _figures(folder: Path, rest: str) -> list[Path]:
    """The figures of the same runs that other analyses have drawn."""
    names = shortened(f"saliency-{rest}"), shortened(f"saliency-{rest}-measures"), shortened(f"curves-{rest}")
    return [folder / f"{name}.png" for name in names if (folder / f"{name}.png").exists()]


def _p_words(c: Comparison, many: int) -> str:
    if math.isnan(c.p):
        return ""
    after = f" ({c.p_holm:.3g} after Holm over {many} challengers)" if many > 1 else ""
    return f" p of no difference {c.p:.3g}{after}."


def _size(row: Sequence[object]) -> float:
    difference = row[-1]
    assert isinstance(difference, float)
    return abs(difference)


def _shown(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
