"""The first hour on a rented GPU: checks, the bench and a campaign, each a command of its own, within a given time.

What lasts is written as it happens: a line of session.jsonl as a part begins and as it ends, its output in logs/, its
runs and tables beside them. A part that was good is not repeated when the session is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scs_study.launch.campaign import UNFINISHED
from scs_study.runs.progress import duration
from scs_study.system import files
from scs_study.system.console import say
from scs_study.system.places import CODE
from scs_study.training.run_dir import HISTORY, RESULT, WEIGHTS
from scs_study.training.stopping import Interrupted, StopRequest

RECORDS = "session.jsonl"
GRACE = 20.0
"""Seconds that a part has for its checkpoints once it is told to stop."""
LOSSES_APART = 0.01
"""Training losses of 60 steps from the same weights, at most, by two engines that sum in another order."""
_TICK = 0.2


@dataclass(frozen=True)
class Part:
    """A command of the session. share: of the session's time, at most.

    judge: what its files say once it has ended well, "" for nothing wrong, and facts for its record.
    """

    name: str
    command: Sequence[str]
    share: float
    environment: Mapping[str, str] = field(default_factory=dict)
    judge: Callable[[], tuple[str, dict[str, Any]]] = lambda: ("", {})


def parts_of(folder: Path, device: str, seeds: int, archs: Sequence[str], rounds: int) -> list[Part]:
    """Return all parts before the campaign, in their order; what they write is below `folder`.

    seeds: of the ten cells each that are computed side by side. archs, rounds: of the bench.
    """
    where = [f"engine.device={device}", "engine.threads=1"]
    on_gpu = device.startswith("cuda")
    interpreted = {} if on_gpu else {"TRITON_INTERPRET": "1"}
    parts = [Part("kernels", ["-m", "tests.layers.fused", device], 0.1, interpreted)]

    epochs = 5 if on_gpu else 1  # a CPU only tries it out
    cell = ["scripts/train.py", "arch=rohrer100k", "layer=scs", f"train.epochs={epochs}", *where]
    ours = folder / "checks"
    for name, engine in (("eager", "eager"), ("graphed", "graphed"), ("graphed again", "graphed")):
        runs, first = ours / name.replace(" ", "_"), ours / name.split()[0]
        other = ours / "eager" if name == "graphed" else first
        judge = same_runs(runs, other, exact=name != "graphed") if runs != other else Part.judge
        parts.append(Part(name, [*cell, f"engine={engine}", f"runs={runs}"], 0.06, judge=judge))

    grid = ["scripts/replicate.py", "study=quick", f"study.seeds={seeds}", "train.epochs=1", "engine=graphed", *where]
    many, one = ours / "side_by_side", ours / "one_by_one"
    places = [f"runs={many}", f"results={many}/results", "launch.side_by_side=8"]
    parts.append(Part("side by side", [*grid, *places], 0.12))
    places = [f"runs={one}", f"results={one}/results", "layer=scs", "seed=0"]
    parts.append(Part("one by one", [*grid, *places], 0.06, judge=same_runs(one, many, exact=True)))

    bench = ["scripts/bench.py", f"rounds={rounds}", "resnet18_rounds=2", "price=[]", *where]
    nothing = {"archs": "[]", "resnet18": "[]", "epoch_archs": "[]", "side_by_side": "[]"}

    def bench_part(name: str, share: float, *more: str, **settings: str) -> Part:
        chosen = [f"{key}={value}" for key, value in {**nothing, **settings}.items()]
        return Part(name, [*bench, *chosen, f"results={folder / name.replace(' ', '_')}", *more], share)

    for numerics in ("float32", "tf32") if on_gpu else ("float32",):
        more = ["layers=[conv,scs]", "engines=[network]", f"train.numerics={numerics}"]
        parts.append(bench_part(f"layouts {numerics}", 0.05, *more, archs="[rohrer100k]"))
    parts += [bench_part(f"bench {arch}", 0.05, archs=f"[{arch}]") for arch in archs]
    if on_gpu:
        parts.append(bench_part("bench side by side", 0.08, side_by_side="[1,2,4,8,16]"))
        parts.append(bench_part("bench resnet18", 0.05, "layers=[conv,scs]", resnet18="[32]"))
    return parts


def campaign_of(folder: Path, study: str, device: str, seconds: float, overrides: Sequence[str]) -> Part:
    """Return the part that computes as much of a study as `seconds` suffice for; overrides come after our own."""
    where = [f"engine.device={device}", f"runs={folder}/runs", f"results={folder}/results"]
    ways = ["engine=graphed", "engine.checkpoint_every=5", "launch.side_by_side=8"] if device.startswith("cuda") else []
    budget = f"launch.budget={max(1, round(seconds))}s"
    return Part("campaign", ["scripts/replicate.py", f"study={study}", *ways, *where, *overrides, budget], 1.0)


@dataclass
class Session:
    """A session on its way. deadline: on time.monotonic's clock. wrong: the parts that were not good."""

    folder: Path
    seconds: float
    deadline: float
    stop: StopRequest
    wrong: list[str] = field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.monotonic()

    def good_before(self, part: Part) -> bool:
        """Return whether a record says that just this command has ended well."""
        lines = files.read_lines(self.folder / RECORDS)
        return any(line.get("good") is True and line.get("command") == list(part.command) for line in lines)

    def run(self, part: Part) -> int | None:
        """Return the part's exit status, None where it was told to stop or had no time. Raises stopping.Interrupted."""
        if self.good_before(part):
            say(f"{part.name}: good before")
            return 0
        limit = min(part.share * self.seconds, self.left)
        if limit <= 0:
            return self._record(part, None, 0.0, "no time was left for it")
        self._note({"part": part.name, "began": time.time(), "command": list(part.command)})
        started = time.monotonic()
        status, ended = self._wait(part, started + limit)
        seconds = time.monotonic() - started
        if self.stop():
            self._record(part, None, seconds, "the session was stopped")
            raise Interrupted(f"in {part.name}; the same command goes on from there")
        if status is None:
            return self._record(part, None, seconds, f"it was stopped after {duration(limit)}")
        if status not in (0, UNFINISHED):
            return self._record(part, status, seconds, f"it ended with {status}: {ended}")
        try:
            wrong, facts = part.judge()
        except (OSError, ValueError, LookupError) as error:
            wrong, facts = f"its files cannot be judged: {error}", {}
        return self._record(part, status, seconds, wrong, facts)

    def _wait(self, part: Part, until: float) -> tuple[int | None, str]:
        """The exit status, None for a part that took too long or was stopped, and the last line of what it said."""
        log = self.folder / "logs" / f"{part.name.replace(' ', '_')}.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **part.environment}
        with log.open("ab") as output:
            # A session of its own: a terminal's Ctrl-C comes to us, and we tell it once.
            process = subprocess.Popen(
                [sys.executable, *part.command],
                cwd=CODE,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            while process.poll() is None:
                if time.monotonic() >= until or self.stop():
                    _end(process)
                    return None, ""
                time.sleep(_TICK)
        said = log.read_text(errors="replace").strip().splitlines()
        return process.returncode, said[-1] if said else ""

    def _record(
        self, part: Part, status: int | None, seconds: float, wrong: str, facts: Mapping[str, Any] | None = None
    ) -> int | None:
        good = status == 0 and not wrong
        line = {"part": part.name, "ended": time.time(), "seconds": round(seconds, 1), "status": status, "good": good,
                "wrong": wrong, **(facts or {}), "command": list(part.command)}  # fmt: skip
        self._note(line)
        if wrong:
            self.wrong.append(part.name)
        known = ", ".join(f"{key} {value}" for key, value in (facts or {}).items())
        say(f"{part.name}: {wrong or 'good'}, {duration(seconds)}" + (f" ({known})" if known else ""))
        return status

    def _note(self, line: Mapping[str, Any]) -> None:
        files.append_line(self.folder / RECORDS, line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell a part to stop, and after a while end it and whatever it started."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def same_runs(ours: Path, theirs: Path, exact: bool) -> Callable[[], tuple[str, dict[str, Any]]]:
    """Return a judge of whether two folders' runs have the same numbers: to the bit, or losses within a hundredth."""

    def judge() -> tuple[str, dict[str, Any]]:
        names = sorted(path.parent.name for path in ours.glob(f"*/{RESULT}"))
        apart, largest = list[str](), 0.0
        for name in names:
            same = all((ours / name / file).read_bytes() == (theirs / name / file).read_bytes() for file in (WEIGHTS,))
            apart += [] if same else [name]
            pairs = zip(files.read_lines(ours / name / HISTORY), files.read_lines(theirs / name / HISTORY), strict=True)
            for a, b in pairs:
                mine, other = (line["train_loss"] for line in (a, b))
                largest = max(largest, abs(mine - other) / abs(other)) if mine and other else largest
        facts = {"runs": len(names), "equal to the bit": len(names) - len(apart), "losses apart": round(largest, 6)}
        if not names:
            return "it left no finished run", facts
        if exact and apart:
            return f"other bits than in {theirs.name}: {', '.join(apart)}", facts
        return (f"losses {largest:.2g} apart from those in {theirs.name}" if largest > LOSSES_APART else ""), facts

    return judge
