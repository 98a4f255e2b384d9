"""Adversarial runs in a study's tables and figures: losses, scores and coarse pixels, since they have no accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from scs_study.analysis.collect import history, identity_columns
from scs_study.analysis.plots.style import FREE, broken, new_figure, our_style, save, suptitle
from scs_study.analysis.statistics.summary import interval
from scs_study.analysis.table_writer import terminal_text, write_table
from scs_study.analysis.variants import Record, label, recipe_words, spans, state_words, variants, varying
from scs_study.config.schema import ADVERSARIAL

SHOWN = (
    ("test_loss", "D loss", 3),
    ("test_generator_loss", "G loss", 3),
    ("test_score_real", "D(x)", 3),
    ("test_score_fake", "D(G(z))", 3),
    ("test_diversity", "diversity", 3),
    ("test_pixel_frechet", "pixel Fréchet", 3),
    ("train_seconds", "train s/epoch", 1),
)
"""Columns of history.jsonl, how a table calls them, and their decimals: of the last epoch."""
PANELS = (
    ("discriminator's loss, dashed on test images", ("train_loss", "test_loss")),
    ("generator's loss, dashed of the fixed noise", ("train_generator_loss", "test_generator_loss")),
    ("D(x), dashed D(G(z)), in training", ("train_score_real", "train_score_fake")),
    ("Fréchet distance of 8x8 pixel means", ("test_pixel_frechet",)),
)
LINES = ("solid", (0, (4, 2)))
"""Of a panel's first and second quantity."""


def apart(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of a collected frame that have an accuracy, and the adversarial ones, which have none."""
    if "objective" not in frame:
        return frame, frame.iloc[:0]
    pairs = frame["objective"] == ADVERSARIAL
    return frame[~pairs], frame[pairs]


def _groups(frame: pd.DataFrame) -> list[tuple[str, list[Record]]]:
    groups = variants(frame)
    extra = varying(groups, identity_columns(frame))
    return [(short_label(group[0], extra), group) for group in groups]


def short_label(row: Record, extra: Sequence[str]) -> str:
    """Return a pair in words: its architecture, its layer, and the settings of `extra`, not a pool that it has not."""
    layer, _, _, *settings = label(row, extra).split()
    return " ".join([str(row["architecture"]), layer, *settings])


@dataclass(frozen=True)
class PairTable:
    """The table of adversarial runs. values: of each run for machines, as of `machine`."""

    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    machine: tuple[str, ...]
    values: tuple[tuple[object, ...], ...]


def pairs_of(frame: pd.DataFrame, folders: Mapping[str, Path]) -> PairTable:
    """Return the table of adversarial runs. folders: where each run lies."""
    rows, values, notes = [], [], []
    for words, group in _groups(frame):
        with_history = [(row, history(folders[row["run"]])) for row in group]
        last = [known.iloc[-1] for _, lines in with_history if len(known := lines.dropna(subset="test_loss"))]
        cells = [_shown([float(each[key]) for each in last], decimals) for key, _, decimals in SHOWN]
        epochs = spans(int(each["epoch"]) for each in last)
        rows.append((words, spans(row["seed"] for row in group), state_words(group), epochs, *cells))
        values += [
            (words, row["run"], row["seed"], row["state"], row["parameters"], *(each[key] for key, _, _ in SHOWN))
            for row, lines in with_history
            for each in lines.tail(1).to_dict("records")
        ]
        notes += [f"{row['run']}: {row['message']}." for row in group if row["message"]]
    caption = (
        "Adversarial runs after their last epoch, on up to 1,000 test images and as many samples: losses of both "
        "networks, the discriminator's mean scores of real images and of samples, the samples' share of the real "
        "variance, and the Fréchet distance of 8x8 pixel means. Mean over seeds, its 95 % interval from three on. "
        f"{recipe_words([row for _, group in _groups(frame) for row in group])}."
    )
    heads = ("variant", "seeds", "state", "epochs", *(words for _, words, _ in SHOWN))
    machine = ("variant", "run", "seed", "state", "parameters", *(key for key, _, _ in SHOWN))
    return PairTable(caption, heads, tuple(rows), tuple(notes), machine, tuple(values))


def pair_table(frame: pd.DataFrame, runs: Path, folder: Path, name: str) -> tuple[str, tuple[Path, ...]]:
    """Return the table of adversarial runs as text, and the paths of its files in `folder`; write them."""
    built = pairs_of(frame, {run: runs / run for run in frame["run"]})
    paths = write_table(
        folder, name, built.caption, (built.heads, built.rows), (built.machine, built.values), built.notes
    )
    text = terminal_text(built.heads, built.rows, "l" * 4 + "r" * len(SHOWN))
    return "\n\n".join([built.caption, text, *built.notes]), paths


def _shown(values: Sequence[float], decimals: int) -> str:
    if not values:
        return ""
    low, high = interval(values)
    mean = f"{sum(values) / len(values):.{decimals}f}"
    return mean if low != low else f"{mean} ({low:.{decimals}f} to {high:.{decimals}f})"


def pair_curves(frame: pd.DataFrame, runs: Path, folder: Path) -> tuple[Path, ...]:
    """Return the paths of the figure of losses, scores and coarse pixels over the epochs, and write it.

    A line a run.
    """
    groups = [(words, [row for row in group if (runs / row["run"]).is_dir()]) for words, group in _groups(frame)]
    with our_style():
        figure = new_figure(8.2, 6.0)
        grid = figure.subplots(2, 2, sharex=True)
        for axes, (title, keys) in zip(grid.flat, PANELS, strict=True):
            for number, (words, group) in enumerate(groups):
                for count, row in enumerate(group):
                    lines = history(runs / row["run"])
                    for key, dashes in zip(keys, LINES, strict=False):
                        values = lines[key] if key in lines else pd.Series(np.nan, lines.index)
                        colour = FREE[number % len(FREE)][1]
                        label = broken(words) if count == 0 and dashes == "solid" else None
                        axes.plot(lines["epoch"], values, color=colour, linestyle=dashes, linewidth=1.2, label=label)
            axes.set_title(title, fontsize=9, loc="left")
        for axes in grid[-1]:
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside right upper", fontsize=7)
        suptitle(figure, "Losses and scores of adversarial runs", beside=1.6)
        return save(figure, folder, "losses", colours=True)
