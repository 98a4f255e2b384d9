"""The fault test: a study whose workers are killed at random until it is done, compared with one left in peace.

    python scripts/chaos.py [--kills 100] [--seed 0] [--folder FOLDER] [--launch inline|pool]

A study on the bundled digits is computed twice: once undisturbed, once by processes that are killed (SIGKILL), stopped
(SIGTERM), suspended and whose files are cut off, overwritten or met by a full disk (a small tmpfs, where this user may
mount one). Prints what was done, what the runs said they survived, and whether every file of every run is equal bit
for bit. Exit status 0 only if it is.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from scs_study import files
from scs_study.config import CellConfig
from scs_study.study.compose import compose_cell
from scs_study.study.integrity import settled
from scs_study.study.launch import inline
from scs_study.study.lease import owner_of
from scs_study.study.pool import PoolSize, pool
from scs_study.study.provenance import PROVENANCE
from scs_study.study.runner import Workplace
from scs_study.study.store import INITIAL, run_state
from scs_study.training import Interrupted, Settings, checkpoint, record

DAMAGED = (record.CONFIG, record.STATUS, record.HISTORY, record.LAYERS, record.RESULT, record.WEIGHTS, PROVENANCE,
           checkpoint.NAME)  # fmt: skip
DISK_MB = 48


def cells(epochs: int) -> list[CellConfig]:
    """Four cells: two layers, two seeds."""
    base = {"activation": "relu", "pooling": "max"}
    settings = {"train.epochs": epochs, "train.batch_size": 256}
    return [compose_cell({**base, "layer": layer}, settings, seed) for layer in ("conv", "sdp") for seed in (0, 1)]


def compute(runs: Path, epochs: int, launch: str) -> int:
    """The exit status of one attempt at the study, as `make replicate` makes it."""
    torch.set_num_threads(1)
    place = Workplace(runs, Settings(torch.device("cpu")), None, runs / "data")
    try:
        if launch == "pool":
            outcomes = pool(cells(epochs), place, PoolSize(2, 1, (torch.device("cpu"),)))
        else:
            outcomes = inline(cells(epochs), place)
    except Interrupted:
        return 130
    return 1 if any(outcome.state == "failed" for outcome in outcomes.values()) else 0


@dataclass
class Chaos:
    """Everything that is done to a study, and its count. pause: seconds between two blows, at most."""

    runs: Path
    epochs: int
    rng: random.Random
    disk: Path | None
    pause: float
    done: Counter[str] = field(default_factory=Counter)

    def workers(self) -> list[int]:
        """The processes that work on a run now."""
        owners = [owner_of(self.runs / cell.run_name) for cell in cells(self.epochs)]
        return [owner["pid"] for owner in owners if owner and "pid" in owner]

    def strike(self, launcher: subprocess.Popen[bytes]) -> None:
        """One blow against the processes, chosen at random."""
        targets = self.workers()
        kind = self.rng.choices(["kill", "launcher", "stop", "suspend"], [12, 2, 2, 1])[0]
        if kind == "launcher":
            launcher.kill()
            self.done["launcher killed"] += 1
        elif kind == "stop":
            launcher.terminate()
            self.done["launcher stopped by SIGTERM"] += 1
        elif targets:
            target = self.rng.choice(targets)
            with contextlib.suppress(ProcessLookupError):
                if kind == "kill":
                    os.kill(target, signal.SIGKILL)
                    self.done["worker killed"] += 1
                else:
                    os.kill(target, signal.SIGSTOP)
                    time.sleep(0.3)
                    os.kill(target, signal.SIGCONT)
                    self.done["worker suspended"] += 1

    def damage(self) -> None:
        """One file of a run that nobody works on is cut off, emptied or overwritten."""
        cell = self.rng.choice(cells(self.epochs))
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

    def fill(self) -> None:
        """The disk is filled but for a few kilobytes; `empty` gives the space back."""
        if self.disk is not None:
            space = os.statvfs(self.disk)
            free = space.f_bavail * space.f_frsize - self.rng.randrange(0, 600) * 1024
            with contextlib.suppress(OSError):
                (self.disk / "ballast").write_bytes(b"x" * max(0, free))
            self.done["disk filled"] += 1

    def empty(self) -> None:
        """The ballast is gone."""
        if self.disk is not None:
            (self.disk / "ballast").unlink(missing_ok=True)

    @property
    def kills(self) -> int:
        """How many processes were killed so far."""
        return self.done["worker killed"] + self.done["launcher killed"]


def disturb(chaos: Chaos, kills: int, launch: str, log: Path) -> int:
    """The number of launches it took until the study was done and nothing was left to be done to it."""
    launches = 0
    while True:
        quiet = chaos.kills >= kills
        launches += 1
        if not quiet and chaos.rng.random() < 0.15:
            chaos.fill()
        with log.open("ab") as output:
            command = [sys.executable, __file__, "--attempt", "--launch", launch, "--epochs", str(chaos.epochs)]
            command += ["--folder", str(chaos.runs)]
            launcher = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        while launcher.poll() is None:
            time.sleep(chaos.rng.uniform(0.05, chaos.pause))
            if not quiet and chaos.workers():
                chaos.strike(launcher)
            if chaos.rng.random() < 0.3:
                chaos.empty()
            quiet = chaos.kills >= kills
        chaos.empty()
        if all(settled(chaos.runs, cell) for cell in cells(chaos.epochs)):
            if chaos.kills >= kills:
                return launches
            for _ in range(4):  # too early: some of it is to be done again
                chaos.damage()
        else:
            for _ in range(chaos.rng.randrange(3)):
                if not chaos.workers():
                    chaos.damage()


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of a run's files, times left out."""
    found = {}
    for name in (record.CONFIG, record.LAYERS, record.WEIGHTS):
        found[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for name, values in ((record.RESULT, files.read_json(folder / record.RESULT)),
                         (record.HISTORY, files.read_lines(folder / record.HISTORY))):  # fmt: skip
        found[name] = hashlib.sha256(repr(_timeless(values)).encode()).hexdigest()
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item for key, item in value.items() if "seconds" not in key}
    return [_timeless(item) for item in value]


def survived(log: str) -> Counter[str]:
    """What the runs said, counted by kind."""
    kinds = {
        "workers replaced": r"was killed by SIGKILL; another one continues|ended with exit status",
        "files set aside": r"set aside as",
        "runs that met a full disk": r"No space left on device",
        "checkpoints written on request": r"SIGTERM: writing a checkpoint",
    }
    return Counter({kind: len(re.findall(pattern, log)) for kind, pattern in kinds.items()})


def small_disk(folder: Path) -> Path | None:
    """A tmpfs of DISK_MB mounted at `folder`, None where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        return None
    return folder


def main() -> int:
    """The exit status: 0 when all runs are equal to the undisturbed ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--launch", choices=("inline", "pool"), default="pool")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--attempt", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attempt:
        return compute(options.folder, options.epochs, options.launch)
    base = Path(tempfile.mkdtemp(prefix="scs-chaos-", dir=options.folder))
    started = time.monotonic()
    disk = small_disk(base / "disk")
    try:
        print(f"{len(cells(1))} cells of {options.epochs} epochs; undisturbed first", flush=True)
        with contextlib.redirect_stdout((base / "calm.log").open("w")):
            assert compute(base / "calm", options.epochs, "inline") == 0
        calm = time.monotonic() - started
        print(f"undisturbed: {calm:.0f} s", flush=True)
        runs = (disk or base) / "runs"
        chaos = Chaos(runs, options.epochs, random.Random(options.seed), disk, max(0.5, calm / 15))
        launches = disturb(chaos, options.kills, options.launch, base / "chaos.log")
        print(f"disturbed: {time.monotonic() - started:.0f} s in all, {launches} launches")
        for kind, count in sorted(chaos.done.items()):
            print(f"  {count:4d} {kind}")
        if disk is None:
            print("     0 disk filled (this user may not mount a tmpfs)")
        for kind, count in sorted(survived((base / "chaos.log").read_text(errors="replace")).items()):
            print(f"  survived: {count:4d} {kind}")
        equal = 0
        for cell in cells(options.epochs):
            left, disturbed = digests(base / "calm" / cell.run_name), digests(runs / cell.run_name)
            different = [name for name in left if left[name] != disturbed[name]]
            starts = len(files.read_lines(runs / cell.run_name / PROVENANCE))
            state = run_state(runs, cell).state
            print(f"  {cell.run_name}: {state}, {'DIFFERS: ' + ', '.join(different) if different else 'equal'}"
                  f" ({starts} starts since its record was last whole)")  # fmt: skip
            equal += not different
        print(f"{equal} of {len(cells(1))} runs are equal bit for bit to the undisturbed ones")
        return 0 if equal == len(cells(1)) else 1
    finally:
        if disk is not None:
            subprocess.run(["umount", "-l", str(disk)], check=False)
        if options.folder is None:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
