"""The fault test: a study whose workers are killed at random until it is done, compared with one left in peace.

    python scripts/chaos.py [--kills 100] [--seed 0] [--folder FOLDER] [--launch inline|pool]

A study on the bundled digits is computed twice: once undisturbed, once by processes that are killed (SIGKILL), stopped
(SIGTERM), suspended and whose files are cut off, overwritten or met by a full disk (a small tmpfs, where this user may
mount one; it stays full until a run has said so). Prints what was done, what the runs said they survived, and whether
every file of every run is equal bit for bit. Exit status 0 only if it is. It does not end before all kills were done
and a run has met the full disk.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

if __name__ == "__main__":  # wrong words end here, before slow imports
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--launch", choices=("inline", "pool"), default="pool")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()

import torch

from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell
from scs_study.launch.inline import inline
from scs_study.launch.pool import pool
from scs_study.launch.pool_size import PoolSize
from scs_study.runs.context import RunContext
from scs_study.runs.lock import owner_of
from scs_study.runs.provenance import PROVENANCE
from scs_study.runs.state import INITIAL, run_state
from scs_study.runs.validate import is_complete
from scs_study.system import files
from scs_study.system.console import say
from scs_study.training import checkpoint
from scs_study.training.process import prepare_process
from scs_study.training.run import Settings
from scs_study.training.run_dir import CONFIG, HISTORY, LAYERS, RESULT, STATUS, STEPS, WEIGHTS
from scs_study.training.stopping import Interrupted

DAMAGED = (CONFIG, STATUS, HISTORY, LAYERS, STEPS, RESULT,
           WEIGHTS, PROVENANCE, checkpoint.NAME)  # fmt: skip
DISK_MB = 96
FULL = "No space left on device"
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["scs_study.launch.pool", "scs_study.launch.worker", "sklearn.datasets"])
"""Imported once: a process that is about to be killed must not take seconds to start."""


def cells(epochs: int) -> list[CellConfig]:
    """Four cells: two layers, two seeds, the network that is fastest on the digits."""
    base = {"arch": "rohrer68k", "activation": "relu", "pooling": "max"}
    settings = {"train.epochs": epochs, "train.batch_size": 256}
    return [compose_cell({**base, "layer": layer}, settings, seed) for layer in ("conv", "sdp") for seed in (0, 1)]


def compute(runs: Path, epochs: int, launch: str) -> int:
    """Return the exit status of one attempt at the study, as `make replicate` makes it."""
    torch.set_num_threads(1)
    context = RunContext(runs, Settings(torch.device("cpu")), None, runs / "data")
    try:
        if launch == "pool":
            outcomes = pool(cells(epochs), context, PoolSize(2, 1, (torch.device("cpu"),)))
        else:
            outcomes = inline(cells(epochs), context)
    except Interrupted:
        return 130
    return 1 if any(outcome.state == "failed" for outcome in outcomes.values()) else 0


def attempt(runs: Path, epochs: int, launch: str, log: Path) -> None:
    """Never returns: `compute` as a process of its own, everything it says in `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    prepare_process()
    sys.exit(compute(runs, epochs, launch))


@dataclass
class Chaos:
    """Everything that is done to a study, and its count. pause: seconds between two blows, at most.

    met: how often the log had named the full disk when it was filled last, None while there is space.
    """

    runs: Path
    cells: Sequence[CellConfig]
    rng: random.Random
    disk: Path | None
    pause: float
    log: Path
    met: int | None = None
    done: Counter[str] = field(default_factory=Counter)

    def workers(self) -> list[int]:
        """Return the processes that work on a run now."""
        owners = [owner_of(self.runs / cell.run_name) for cell in self.cells]
        return [owner["pid"] for owner in owners if owner and "pid" in owner]

    def strike(self, launcher: BaseProcess) -> None:
        """Strike one blow against the processes, chosen at random."""
        targets = self.workers()
        kind = self.rng.choices(["kill", "launcher", "stop", "suspend"], [12, 2, 2, 1])[0]
        if kind == "launcher":
            self.done["launcher killed"] += self.kill(launcher.pid or 0)
        elif kind == "stop":
            launcher.terminate()
            self.done["launcher stopped by SIGTERM"] += 1
        elif targets and kind == "kill":
            self.done["worker killed"] += self.kill(self.rng.choice(targets))
        elif targets and suspend(target := self.rng.choice(targets)):
            time.sleep(self.pause)
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, signal.SIGCONT)
            self.done["worker suspended"] += 1

    def kill(self, pid: int) -> bool:
        """Return whether the process was killed, not just over: one that is suspended cannot have ended by itself."""
        if not suspend(pid):
            return False
        os.kill(pid, signal.SIGKILL)
        return True

    def damage(self) -> None:
        """Cut off, empty or overwrite one file of a run that nobody works on."""
        cell = self.rng.choice(self.cells)
        path = self.runs / cell.run_name / self.rng.choice(DAMAGED)
        if self.rng.random() < 0.1:
            path = self.rng.choice([*(self.runs / INITIAL).glob("*.safetensors"), path])
        if not path.exists() or not path.stat().st_size:
            return
        kind = self.rng.choice(["cut off", "emptied", "overwritten"])
        if kind == "overwritten":
            path.write_bytes(self.rng.randbytes(path.stat().st_size))
        else:
            os.truncate(path, 0 if kind == "emptied" else self.rng.randrange(path.stat().st_size))
        self.done[f"file {kind}"] += 1

    def said_full(self) -> int:
        """Return how often the log names the full disk."""
        return self.log.read_text(errors="replace").count(FULL) if self.log.exists() else 0

    def met_full(self) -> bool:
        """Return whether a run has said that the disk was full, or there is none to fill."""
        return self.disk is None or self.said_full() > 0

    def fill(self) -> None:
        """Fill the disk, which stays so until `relieve` finds that a run has met it."""
        if self.disk is not None and self.met is None:
            self.met = self.said_full()
            self.done["disk filled"] += 1

    def relieve(self) -> None:
        """Keep a disk that was filled full, or empty it once a run has said that it is full."""
        if self.disk is None or self.met is None:
            return
        if self.said_full() > self.met:
            self.empty()
            return
        space = os.statvfs(self.disk)
        with contextlib.suppress(OSError), (self.disk / "ballast").open("ab") as ballast:
            ballast.write(b"x" * (space.f_bavail * space.f_frsize))

    def empty(self) -> None:
        """There is space again."""
        self.met = None
        if self.disk is not None:
            (self.disk / "ballast").unlink(missing_ok=True)

    @property
    def kills(self) -> int:
        """How many processes were killed so far."""
        return self.done["worker killed"] + self.done["launcher killed"]


def suspend(pid: int) -> bool:
    """Return whether the process is suspended now (SIGSTOP): False where it has ended."""
    stat = Path(f"/proc/{pid}/stat")
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
        while (state := stat.read_text().rpartition(")")[2].split()[0]) not in "TZX":
            time.sleep(0.001)
        return state == "T"
    return False


def disturb(chaos: Chaos, kills: int, launch: str, epochs: int) -> int:
    """Return the number of launches it took until the study was done and nothing was left to be done to it."""
    launches = 0
    while True:
        launches += 1
        if launches > 1 and not chaos.met_full():
            chaos.fill()  # the first launch was done before the disk was full: this one begins on a full one
            chaos.relieve()
        launcher = CONTEXT.Process(target=attempt, args=(chaos.runs, epochs, launch, chaos.log))
        launcher.start()
        # The first launch meets a full disk in the middle of its work; later ones sometimes, at any moment.
        if launches == 1:
            until_working(chaos, launcher)
            chaos.fill()
        while launcher.is_alive():
            chaos.relieve()
            launcher.join(chaos.rng.uniform(0.1, 1.0) * chaos.pause)
            if chaos.kills >= kills or chaos.met is not None or not chaos.workers():
                continue
            chaos.strike(launcher)
            if chaos.rng.random() < 0.04:
                chaos.fill()
        chaos.relieve()
        if chaos.met is not None and launcher.exitcode in (0, 1):
            chaos.empty()  # all that it had to do was done before the disk was full
        if all(is_complete(chaos.runs, cell) for cell in chaos.cells):
            if chaos.kills >= kills and chaos.met_full():
                return launches
            for _ in range(4):  # too early: some of it is to be done again
                chaos.damage()
        else:
            for _ in range(chaos.rng.randrange(3)):
                if not chaos.workers():
                    chaos.damage()


def until_working(chaos: Chaos, launcher: BaseProcess) -> None:
    """Wait until a run has begun or the launcher has ended."""
    while launcher.is_alive() and not chaos.workers():
        launcher.join(0.02)


def epoch_seconds(runs: Path) -> float:
    """Return what an epoch of the runs has taken on this machine, on average."""
    lines = [line for history in runs.glob(f"*/{HISTORY}") for line in files.read_lines(history)]
    return float(sum(line["train_seconds"] + line["eval_seconds"] for line in lines) / len(lines))


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a run's files, times left out."""
    found = {}
    for name in (CONFIG, LAYERS, STEPS, WEIGHTS):
        found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for name, values in ((RESULT, files.read_json(folder / RESULT)),
                         (HISTORY, files.read_lines(folder / HISTORY))):  # fmt: skip
        found[name] = hashlib.sha256(repr(_timeless(values)).encode()).hexdigest()
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if "seconds" not in key}
    return [_timeless(item) for item in value]


def survived(log: str) -> Counter[str]:
    """Return what the runs said, counted by kind."""
    kinds = {
        "workers replaced": r"was killed by SIGKILL; another one continues|ended with exit status",
        "files set aside": r"set aside as",
        "words about a full disk": FULL,
        "checkpoints written on request": r"SIGTERM: writing a checkpoint",
    }
    return Counter({kind: len(re.findall(pattern, log)) for kind, pattern in kinds.items()})


def small_disk(folder: Path) -> Path | None:
    """Return a tmpfs of DISK_MB mounted at `folder`, None where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        return None
    return folder


def main(options: argparse.Namespace) -> int:
    """Return the exit status: 0 when all runs are equal to the undisturbed ones."""
    base = Path(tempfile.mkdtemp(prefix="scs-chaos-", dir=options.folder))
    started = time.monotonic()
    disk = small_disk(base / "disk")
    try:
        say(f"{len(cells(1))} cells of {options.epochs} epochs; undisturbed first")
        with contextlib.redirect_stdout((base / "calm.log").open("w")):
            assert compute(base / "calm", options.epochs, "inline") == 0
        say(f"undisturbed: {time.monotonic() - started:.0f} s")
        runs = (disk or base) / "runs"
        log = base / "chaos.log"
        # About as long as an epoch takes: some processes die before they complete one, and some after several.
        pause = 2 * epoch_seconds(base / "calm")
        chaos = Chaos(runs, cells(options.epochs), random.Random(options.seed), disk, pause, log)
        launches = disturb(chaos, options.kills, options.launch, options.epochs)
        say(f"disturbed: {time.monotonic() - started:.0f} s in all, {launches} launches")
        for kind, count in sorted(chaos.done.items()):
            say(f"  {count:4d} {kind}")
        if disk is None:
            say("     0 disk filled (this user may not mount a tmpfs)")
        said = survived(log.read_text(errors="replace"))
        for kind, count in sorted(said.items()):
            say(f"  survived: {count:4d} {kind}")
        equal = 0
        for cell in cells(options.epochs):
            left, disturbed = digests(base / "calm" / cell.run_name), digests(runs / cell.run_name)
            different = [name for name in left if left[name] != disturbed[name]]
            starts = len(files.read_lines(runs / cell.run_name / PROVENANCE))
            state = run_state(runs, cell).state
            say(f"  {cell.run_name}: {state}, {'DIFFERS: ' + ', '.join(different) if different else 'equal'}"
                  f" ({starts} starts since its record was last whole)")  # fmt: skip
            equal += not different
        say(f"{equal} of {len(cells(1))} runs are equal bit for bit to the undisturbed ones")
        return 0 if equal == len(cells(1)) else 1
    finally:
        if disk is not None:
            subprocess.run(["umount", "-l", str(disk)], check=False)
        if options.folder is None:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(options))
