"""What would decide a claim: the runs and analyses that the gate misses, and the commands that produce them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scs_study.analysis.claims.cells import Cell, written
from scs_study.analysis.claims.decide import Verdict
from scs_study.analysis.claims.judge import Part
from scs_study.experiments.compose import default_choices

TRAIN = "python scripts/train.py -m"
FILES = {"saliency": "make saliency", "robustness": "make robustness"}
BENCH = ["make bench ARGS=train.batch_size=32", "make bench ARGS=train.batch_size=512"]
PLACEHOLDER = "init=pretrained init.checkpoint=/path/to/the/weights"
Command = dict[str, tuple[str, ...]]
"""A grid for scripts/train.py: the values of each override, all combinations of which are meant."""


def usual_parts(verdict: Verdict) -> list[Part]:
    """Return the comparisons of a claim without those of the choices."""
    return [part for part in verdict.parts if part.environment.choice is None]


def needed_runs(parts: Iterable[Part]) -> list[tuple[Cell, int]]:
    """Return each run that is missing, once: the cell and the seed."""
    found: dict[str, tuple[Cell, int]] = {}
    for part in parts:
        for cell, seeds in part.needed:
            for seed in seeds:
                found.setdefault(cell.run_name(seed), (cell, seed))
    return list(found.values())


def missing(verdict: Verdict) -> str:
    """Return what a claim lacks to be decided, in words; "" where it is decided."""
    claim = verdict.claim
    if claim.awaits and not claim.tests:
        return claim.awaits
    words = []
    if claim.tests and claim.tests[0].metric.source == "bench":
        if not verdict.ratios or any(len(each.batches) < 3 for each in verdict.ratios):
            words.append("a benchmark" if not verdict.ratios else "two more sizes of a batch")
        return "; ".join(words)
    if verdict.decided:
        return ""
    runs = needed_runs(usual_parts(verdict))
    if runs:
        cells = {id(cell): cell for cell, _ in runs}
        epochs = sorted({cell.config.train.epochs for cell in cells.values()})
        seeds = sorted({seed for _, seed in runs})
        words.append(
            f"{len(runs)} run{'s' if len(runs) > 1 else ''} of {' or '.join(map(str, epochs))} epochs"
            f" (seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))})"
        )
    # Without the names of runs: what is missing of ten is said once.
    words += dict.fromkeys(text.rpartition(": ")[2] for part in usual_parts(verdict) for text in part.lacking)
    return "; ".join(words)


def commands(verdict: Verdict) -> list[str]:
    """Return the commands that would produce what is missing, [] where nothing is."""
    claim = verdict.claim
    if not missing(verdict):
        return []
    if claim.command:
        return [claim.command]
    if claim.tests and claim.tests[0].metric.source == "bench":
        return (
            ["make bench ARGS=train.batch_size=32", "make bench ARGS=train.batch_size=512"]
            if verdict.ratios
            else ["make bench"]
        )
    parts = usual_parts(verdict)
    lines = [_train(grid) for grid in merged([_grid(cell, (seed,)) for cell, seed in needed_runs(parts)])]
    for source, command in FILES.items():
        measured = [part for part in parts if part.test.metric.source == source and not part.complete]
        if measured:
            names = dict.fromkeys(_pattern(cell) for part in measured for cell in part.environment.cells)
            lines += [f"{command} ARGS=\"match='{name}'\"" for name in names]
    return lines


def merged(grids: Sequence[Command]) -> list[Command]:
    """Return fewer grids with the same runs: two that differ in the values of one key alone become one."""
    found = [dict(grid) for grid in grids]
    changed = True
    while changed:
        changed = False
        kept: dict[Any, Command] = {}
        for key in ("seed", *dict.fromkeys(key for grid in found for key in grid if key != "seed")):
            kept = {}
            for grid in found:
                others = frozenset(grid), tuple(sorted((k, v) for k, v in grid.items() if k != key))
                if others in kept and key in grid:
                    before = kept[others][key]
                    kept[others][key] = (*before, *(v for v in grid[key] if v not in before))
                    changed = True
                else:
                    kept[others if key in grid else id(grid)] = grid
            found = list(kept.values())
    return found


def _grid(cell: Cell, seeds: Sequence[int]) -> Command:
    usual = {key: default_choices()[key] for key in ("norm", "init", "train")}
    grid = {
        key: (written(value),) for key, value in cell.settings.items() if key != "match" and usual.get(key) != value
    }
    if cell.patterns and "pretrained" not in str(cell.settings.get("init")):
        grid.pop("init", None)
        grid[""] = (PLACEHOLDER,)
    return {**grid, "seed": tuple(map(str, seeds))}


def _train(grid: Mapping[str, Sequence[str]]) -> str:
    words = [(f"{key}=" if key else "") + ",".join(values) for key, values in grid.items()]
    return " ".join([TRAIN, *(f"'{word}'" if "[" in word else word for word in words)])


def _pattern(cell: Cell) -> str:
    c = cell.config
    return f"{c.slug.rpartition('-')[0]}-s*"
