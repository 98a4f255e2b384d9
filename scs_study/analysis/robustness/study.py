"""The attacks on all finished runs of a study, then its robustness table and figures."""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from omegaconf import DictConfig

from scs_study.analysis.collect import collect, identity_columns
from scs_study.analysis.plots.style import panels
from scs_study.analysis.robustness.curves import curves, together
from scs_study.analysis.robustness.evaluated import Evaluated, evaluated, targets
from scs_study.analysis.robustness.table import robustness_table
from scs_study.analysis.variants import variants, varying
from scs_study.config.schema import CellConfig
from scs_study.evaluation.robustness import cache as keep
from scs_study.evaluation.robustness.attacks import LEAST_CLASSES
from scs_study.evaluation.robustness.evaluate import NEVER
from scs_study.evaluation.robustness.runs import PGD, ZERO, Done, Evaluation, Target, attack_names
from scs_study.evaluation.robustness.settings import WORDS, Robustness, robustness_of
from scs_study.experiments.compose import load_option, options
from scs_study.experiments.grid import Study
from scs_study.runs.context import Workplace
from scs_study.runs.lock import Busy, Lease, acquire
from scs_study.runs.progress import QUIET, duration
from scs_study.system.console import fitted, say
from scs_study.training.stopping import Interrupted, StopRequest

NAME, USUAL = "robustness", "pgd"
"""Of the table; of the attack settings that results are not named after."""


def check(config: DictConfig) -> None:
    """None. Errors: ValueError in one sentence for a wrong setting of the attacks."""
    robustness_of(config.attack)


def follow(
    study: Study, cells: Sequence[CellConfig], place: Workplace, config: DictConfig, folder: Path
) -> Sequence[str]:
    """The sentences of what went wrong when the finished cells of a study were attacked; writes to folder."""
    names = {cell.run_name: cell.identity() for cell in cells}
    return attack_runs(collect(place.runs, names), robustness_of(config.attack), place, folder)


def attack_runs(frame: pd.DataFrame, settings: Robustness, place: Workplace, folder: Path) -> list[str]:
    """The sentences of what went wrong when the finished runs of a collected frame were attacked, none for nothing.

    What is kept is not computed again. Table and figures are written below `folder` and their paths printed.
    Errors: Interrupted after a signal; what was computed until then is kept.
    """
    groups = variants(frame)
    rows = [row for group in groups for row in group]
    found, problems = targets(rows, identity_columns(frame), place.runs)
    for sentence in too_few(found, settings, place):
        say(f"robustness: {sentence}")
    progress = Progress.start(found, settings, place)
    say(f"robustness: {len(found)} runs, at most {progress.left:.1e} images x evaluations, less what is kept")
    with StopRequest().listening() as stop:

        def look() -> None:
            if stop():
                raise Interrupted("the attacks go on from here when the same command is given again")

        for name, target in found.items():
            try:
                with _leased(target.trained.folder):
                    progress.run(name)
                    Evaluation(target, settings, place, look, progress.report).run()
            except Busy:
                problems.append(f"{name}: another process is attacking it")
            except ValueError as error:
                problems.append(str(error))
    paths = publish(frame, found, settings, folder)
    for path in paths:
        say(f"  {path}")
    return problems


def too_few(found: Mapping[str, Target], settings: Robustness, place: Workplace) -> list[str]:
    """Return a sentence for every data set with fewer test images, or fewer classes, than the settings ask for."""
    there = {target.trained.cell.data.name: _test_images(target, place) for target in found.values()}
    classes = {target.trained.cell.data.name: target.trained.cell.data.num_classes or 0 for target in found.values()}
    sentences = []
    for data, count in classes.items():
        if left := [name for name in settings.checks if count < LEAST_CLASSES.get(name, 2)]:
            sentences.append(f"{data} has {count} classes, too few for {' and '.join(left)}, which are left out")
    for data, count in there.items():
        names = ("images", "check_images") if settings.checks else ("images",)
        above = [f"attack.{name}={getattr(settings, name)}" for name in names if (getattr(settings, name) or 0) > count]
        if above:
            sentences.append(f"{data} has {count} test images, fewer than {' and '.join(above)}: all are attacked")
    return sentences


def publish(frame: pd.DataFrame, found: Mapping[str, Target], settings: Robustness, folder: Path) -> tuple[Path, ...]:
    """The paths of the robustness table and figures of the runs in `found` that have been attacked, () for none."""
    groups = variants(frame)
    runs: dict[str, Evaluated] = {}
    for row in (row for group in groups for row in group):
        if row["run"] in found and (each := evaluated(row, found[row["run"]], settings)) is not None:
            runs[row["run"]] = each
    if not runs:
        return ()
    paths: list[Path] = []
    suffix = _suffix(settings)
    attacked = [
        panel for panel in panels(frame, f"pgd{suffix}") if any(r["run"] in runs for g in panel.groups for r in g)
    ]
    for panel in attacked:
        paths += curves(panel, runs, settings, folder / "figures")
    if len(attacked) > 1:
        paths += together(attacked, runs, settings, folder / "figures", f"pgd{suffix}")
    if settings.check_eps:
        extra = varying(groups, identity_columns(frame))
        paths += robustness_table(list(runs.values()), settings, extra, folder / "tables", f"{NAME}{suffix}")
    return tuple(paths)


def _suffix(settings: Robustness) -> str:
    """What tells results of other settings from the usual ones: "-fine", or a hash of settings without a name."""
    for name in options("attack"):
        with contextlib.suppress(ValueError):  # a broken file matters to those who choose it
            if robustness_of(load_option("attack", name)) == settings:
                return "" if name == USUAL else f"-{name}"
    return "-" + hashlib.sha256(repr(settings).encode()).hexdigest()[:8]


@contextlib.contextmanager
def _leased(folder: Path) -> Iterator[None]:
    """A context with the right to write in the folder of a run's evaluations. Errors: Busy.

    Where nothing can be written, nobody else writes either as far as we can tell, and it needs no right.
    """
    lease: Lease | None = None
    with contextlib.suppress(OSError):
        (folder / keep.FOLDER).mkdir(exist_ok=True)
        lease = acquire(folder / keep.FOLDER)
    try:
        yield
    finally:
        if lease is not None:
            lease.release()


@dataclass
class Progress:
    """Prints which run and attack of how many, how fast, and the time left, by the work that each attack may take."""

    total: int
    settings: Robustness
    left: float
    _number: int = 0
    _done: float = 0.0
    _seconds: float = 0.0
    _printed: float = 0.0

    @staticmethod
    def start(found: Mapping[str, Target], settings: Robustness, place: Workplace) -> Progress:
        """Progress over the attacks on the runs `found`, on standard output."""
        left = 0.0
        for target in found.values():
            there = _test_images(target, place)
            images = min(settings.images or there, there)
            checked = min(images, settings.check_images or images)
            for name in attack_names(target, settings):
                left += _cost(name, settings) * (images if name == PGD else checked)
        return Progress(len(found), settings, left)

    def run(self, name: str) -> None:
        """None; the next run's turn."""
        self._number += 1

    def report(self, done: Done) -> None:
        """None; takes a batch's work off what is left, and says so at most every QUIET seconds."""
        if done.attack == ZERO:
            return
        cost = _cost(done.attack, self.settings) * done.batch.count
        self.left = max(self.left - cost, 0.0)
        if not done.fresh:
            return
        self._done, self._seconds = self._done + cost, self._seconds + done.batch.seconds
        if time.monotonic() - self._printed < QUIET:
            return
        self._printed = time.monotonic()
        batch = done.batch
        fallen = sum(index != NEVER for index in batch.fell)
        words = "PGD" if done.attack == PGD else WORDS[done.attack]
        work = (batch.gradients + batch.forwards) / batch.seconds
        images = f"{batch.first + 1}-{batch.first + batch.count}"
        left = duration(self.left * self._seconds / self._done)
        say(
            fitted(
                f"[{self._number}/{self.total}] ",
                done.run,
                f"  {words}: images {images}, {fallen} fell or were wrong, {work:.0f} images x evaluations a second"
                f"  left about {left}",
                f"  {words}: images {images}, {fallen} fell  left {left}",
            )
        )


def _cost(name: str, settings: Robustness) -> float:
    radii = len(settings.eps) - 1 if name == PGD else len(settings.check_eps)
    return settings.method(name).cost * radii


def _test_images(target: Target, place: Workplace) -> int:
    return len(place.images(target.trained.cell.data).test_labels)
