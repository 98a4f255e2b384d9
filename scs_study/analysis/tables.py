"""Tables: the paper's number beside ours, one row per variant. A table is a pure function of collected run folders."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from scs_study.analysis.collect import FINAL, identity_columns
from scs_study.analysis.paper import BASELINE, PaperRow, paper_table, recipe_differences
from scs_study.analysis.seeds import Several, baseline_of, has_several, several_of
from scs_study.analysis.statistics import Summary, summarise
from scs_study.analysis.variants import (
    LIVELIEST,
    Record,
    finished,
    label,
    records,
    setting,
    short_state,
    show,
    spans,
    state_words,
    unplaced,
    variants,
    varying,
)

MOST_NAMED = 10
"""Runs that a footnote names; the CSV has the state of every row."""
SEVERAL = (
    "Ours is the mean ± SD over finished seeds that are not dead (diverged, or at chance in the end) of the best test "
    "accuracy of a run, as the paper reports it; its interval, from three seeds on, has the SD pooled over the rows; "
    f"the difference to {' + '.join(BASELINE)} in points is paired by seed, from common initial weights, dead seeds in "
    "it at chance, with a t interval from three pairs on"
)
"""How a table of several seeds is to be read."""


@dataclass(frozen=True)
class Ratio:
    """Seconds per epoch, and their ratio to the baseline row's; NaN where either is not known."""

    train_seconds: float
    eval_seconds: float
    train_ratio: float
    eval_ratio: float


@dataclass(frozen=True)
class TableRow:
    """One variant: what the paper reports, and what our runs of it say.

    accuracy: over finished seeds, of the best test accuracy (the paper reports the maximum); final: of the last
    epoch's; both fractions. Where a row of the table has several seeds, `several` has what they say, and accuracy is
    over the live ones. shown: what a reader sees where there is no accuracy ("running 2/3", "missing").
    seeds: finished seeds that have a number; planned: all runs of the row.
    """

    architecture: str
    layer: str
    activation: str
    pooling: str
    norm: str
    image_size: int
    data: str
    epochs: int | None
    extra: tuple[object, ...]
    paper: PaperRow | None
    paper_times: Ratio
    accuracy: Summary
    final: Summary
    times: Ratio
    seeds: tuple[int, ...]
    planned: int
    state: str
    shown: str
    parameters: int | None
    device: str
    differences: tuple[str, ...]
    mark: str
    several: Several | None = None

    @property
    def difference(self) -> float:
        """Ours - paper's accuracy in percentage points; NaN where one is missing."""
        return 100 * (self.accuracy.mean - self.paper.accuracy) if self.paper else math.nan


@dataclass(frozen=True)
class Table:
    """A table before it has a form; analysis/forms.py writes it. extra: names of the further settings' columns.

    several: whether a row has more than one finished seed, so that there is something to say of seeds.
    """

    name: str
    caption: str
    extra: tuple[str, ...]
    rows: tuple[TableRow, ...]
    footnotes: tuple[str, ...]
    several: bool = False


def table(frame: pd.DataFrame, paper_name: str | None = None) -> Table:
    """Return the Table of all runs in `frame` (see `collect`), beside a table of the paper ("table3") where one is
    named.

    Rows are in the paper's order, then ours; a row of the paper that nobody runs stays, as "not run".
    Only finished runs (done, diverged, untrained) are averaged; every other run is counted in the row's state.
    Ratios compare with the row of BASELINE of the same architecture, norm, image size and recipe on the same device.
    Raises ValueError for an unknown table of the paper.
    """
    groups = variants(frame)
    extra = varying(groups, identity_columns(frame))
    rows = paper_table(paper_name) if paper_name else ()
    by_key: dict[object, list[list[Record]]] = {}
    for group in groups:
        by_key.setdefault(_key(group[0]), []).append(group)
    placed: list[tuple[PaperRow | None, list[Record] | None]] = []
    for row in rows:
        placed += [(row, group) for group in by_key.pop(row.key, [])] or [(row, None)]
    placed += [(None, group) for group in groups if _key(group[0]) in by_key]

    marks = _marks([recipe_differences(group[0]) for _, group in placed if group])
    baselines = [group for group in groups if _key(group[0])[1:4] == BASELINE]
    several = several_of(groups, baselines) if has_several(groups) else [None] * len(groups)
    said = {id(group): each for group, each in zip(groups, several, strict=True)}
    built = tuple(
        _measured(row, group, baselines, rows, extra, marks, said[id(group)]) if group else _absent(row, rows, extra)
        for row, group in placed
        if group or row
    )
    return Table(
        name=paper_name or "table",
        caption=_caption(frame, groups, paper_name),
        extra=extra,
        rows=built,
        footnotes=(*_recipe_notes(marks), *_state_notes(frame, groups, extra)),
        several=has_several(groups),
    )


def _key(row: Record) -> tuple[object, ...]:
    return row["architecture"], row["layer"], row["activation"], row["pooling"], row["norm"], row["image_size"]


def _measured(
    paper: PaperRow | None,
    group: Sequence[Record],
    baselines: Sequence[Sequence[Record]],
    rows: Sequence[PaperRow],
    extra: Sequence[str],
    marks: dict[tuple[str, ...], str],
    several: Several | None,
) -> TableRow:
    first, results = group[0], finished(group)
    best = [row for row in results if row["best_test_accuracy"] is not None]
    final = [row["final_test_accuracy"] for row in results if row["final_test_accuracy"] is not None]
    differences = recipe_differences(first)
    return TableRow(
        **{name: first[name] for name in ("architecture", "layer", "activation", "pooling", "norm", "image_size")},
        data=first["data"],
        epochs=first["epochs"],
        extra=tuple(setting(first, name) for name in extra),
        paper=paper,
        paper_times=_paper_times(paper, rows),
        accuracy=several.live if several else summarise(row["best_test_accuracy"] for row in best),
        final=summarise(final),
        times=_times(group, baselines),
        seeds=tuple(row["seed"] for row in best),
        planned=len(group),
        state=state_words(group),
        shown="" if best else short_state(group),
        parameters=next((row["parameters"] for row in results if row["parameters"] is not None), None),
        device=_devices(results),
        differences=differences,
        mark=marks.get(differences, ""),
        several=several,
    )


def _absent(paper: PaperRow | None, rows: Sequence[PaperRow], extra: Sequence[str]) -> TableRow:
    assert paper is not None
    nothing = Ratio(math.nan, math.nan, math.nan, math.nan)
    return TableRow(
        architecture=paper.architecture,
        layer=paper.layer,
        activation=paper.activation,
        pooling=paper.pooling,
        norm=paper.norm,
        image_size=paper.image_size,
        data="",
        epochs=None,
        extra=(None,) * len(extra),
        paper=paper,
        paper_times=_paper_times(paper, rows),
        accuracy=summarise([]),
        final=summarise([]),
        times=nothing,
        seeds=(),
        planned=0,
        state="not run",
        shown="not run",
        parameters=None,
        device="",
        differences=(),
        mark="",
    )


def _times(group: Sequence[Record], baselines: Sequence[Sequence[Record]]) -> Ratio:
    train, evaluation = (_mean(group, name) for name in ("train_seconds", "eval_seconds"))
    other = baseline_of(group, baselines)
    # Seconds of two devices have no ratio.
    if other is not None and finished(other) and _devices(finished(other)) == _devices(finished(group)):
        base = (_mean(other, name) for name in ("train_seconds", "eval_seconds"))
        return Ratio(train, evaluation, *(a / b for a, b in zip((train, evaluation), base, strict=True)))
    return Ratio(train, evaluation, math.nan, math.nan)


def _paper_times(paper: PaperRow | None, rows: Sequence[PaperRow]) -> Ratio:
    if paper is None:
        return Ratio(math.nan, math.nan, math.nan, math.nan)
    base = (paper.architecture, *BASELINE, paper.norm, paper.image_size)
    ratios = [
        (paper.train_seconds / r.train_seconds, paper.eval_seconds / r.eval_seconds) for r in rows if r.key == base
    ]
    return Ratio(paper.train_seconds, paper.eval_seconds, *(ratios[0] if ratios else (math.nan, math.nan)))


def _mean(group: Sequence[Record], name: str) -> float:
    return summarise(row[name] for row in finished(group) if row[name] is not None).mean


def _devices(group: Sequence[Record]) -> str:
    return " + ".join(sorted({row["device"] for row in group if row["device"]}))


def _marks(differences: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], str]:
    """Return a mark for each way in which a recipe differs: * for the only way, *1, *2, ... for several."""
    kinds = [kind for kind in dict.fromkeys(differences) if kind]
    return {kind: "*" if len(kinds) == 1 else f"*{number}" for number, kind in enumerate(kinds, start=1)}


def _recipe_notes(marks: dict[tuple[str, ...], str]) -> list[str]:
    words = "Not the recipe of the paper's tables (Appendix A)"
    return [f"{mark} {words}: {'; '.join(kind)}." for kind, mark in marks.items()]


def _state_notes(frame: pd.DataFrame, groups: Sequence[Sequence[Record]], extra: Sequence[str]) -> list[str]:
    notes = []
    for group in groups:
        for row in group:
            wrong = row["state"] in ("failed", "damaged", "diverged", "untrained", "collapsed")
            if wrong or (row["state"] == "done" and row["message"]):
                words = f"{row['architecture']} {label(row, extra)}, seed {row['seed']}: {row['state']}"
                if row["message"]:
                    words += f" ({str(row['message']).splitlines()[0][:120]})"
                notes.append(words + ".")
    notes += [f"{row['run']}: {row['state']}, and no config says what it is." for row in unplaced(frame)]
    hidden = len(notes) - MOST_NAMED
    if hidden > 1:
        notes = [*notes[:MOST_NAMED], f"And {hidden} more runs that failed, diverged or did not train."]
    waiting = Counter(row["state"] for row in records(frame) if row["state"] not in FINAL)
    if waiting:
        notes.append(f"Not averaged in: {', '.join(f'{waiting[s]} {s}' for s in LIVELIEST if waiting[s])}.")
    return notes


def _caption(frame: pd.DataFrame, groups: Sequence[Sequence[Record]], paper_name: str | None) -> str:
    runs = [row for group in groups for row in group]
    done = finished(runs)
    title = f"Table {paper_name.removeprefix('table')} of the paper, replicated" if paper_name else "Test accuracy"
    if not runs:
        return f"{title}. No runs."
    data = ", ".join(dict.fromkeys(f"{row['data']} ({row['image_size']} pixels)" for row in runs))
    epochs = spans(row["epochs"] for row in runs)
    seeds = spans(row["seed"] for row in runs)
    parts = [
        f"Data: {data}",
        f"{epochs} epoch{'' if epochs == '1' else 's'}",
        f"seed{'' if seeds.isdigit() else 's'} {seeds}",
        f"{len(frame)} run{'s' if len(frame) > 1 else ''}, {len(done)} finished",
    ]
    if done:
        parts.append(f"device: {_devices(done) or 'not recorded'}")
    commits = dict.fromkeys(word for row in runs if row["commit"] for word in show(row["commit"]).split())
    if any(not row["commit"] for row in done):
        commits["unknown"] = None
    if commits:
        parts.append(f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}")
    if has_several(groups):
        return f"{title}. {'; '.join(parts)}. {SEVERAL}; ratios are to {' + '.join(BASELINE)}."
    ours = "Ours is the mean over finished seeds of the best test accuracy of a run, as the paper reports it"
    return f"{title}. {'; '.join(parts)}. {ours}; ratios are to {' + '.join(BASELINE)}."
