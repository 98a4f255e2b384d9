"""A real SLURM for tests, without systemd, of one node or several: python -m tests.slurm.cluster start|stop [folder]

Needs Debian's packages slurm-wlm and munge. Everything it writes is below one folder; it has its own munge key and
free ports, so it disturbs no other cluster. `start` prints the variable to export (SLURM_CONF). Two partitions: jobs
of `urgent` preempt those of `spare`, which get SIGUSR2 and are queued again when they have ended. They have two minutes
for that, as after every signal: however slow the machine is, no task is killed before it has stopped by itself.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={base}/munge/socket
CredType=cred/munge
SlurmctldPort={controller_port}
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/%n/spool
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/%n/slurmd.pid
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/%n/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=200000,bf_interval=3
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory,CR_LLN
AccountingStorageType=accounting_storage/none
ReturnToService=2
InactiveLimit=0
KillWait=120
MinJobAge=600
MailProg=/bin/true
FirstJobId={first_job}
GresTypes=gpu
{nodes}
EnforcePartLimits=ALL
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=urgent Nodes=ALL Default=YES MaxTime=60 DefaultTime=10 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=spare Nodes=ALL MaxTime=60 DefaultTime=10 PriorityTier=1 PreemptMode=REQUEUE GraceTime=120 State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=16000 Gres=gpu:2"
DAEMONS = ("slurmd", "slurmctld", "munged")
PROGRAMS = (*DAEMONS, "sbatch", "squeue", "scancel", "scontrol", "srun")
ONE: Mapping[str, Sequence[str]] = {"node1": ()}
PATIENCE = 120.0
"""Seconds; only ever the end of a hang."""


def missing() -> list[str]:
    """The programs that a cluster needs and this machine lacks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def start(base: Path, nodes: Mapping[str, Sequence[str]] = ONE) -> dict[str, str]:
    """The environment variables that clients need, once all nodes can take jobs.

    nodes: their names, which begin with "node", and what the command that starts a node's daemon is to begin with.
    Raises RuntimeError with the daemons' last words; nothing runs then.
    """
    stop(base)
    shutil.rmtree(base, ignore_errors=True)
    names = list(nodes)
    for name in ("munge", "state", "gpus", *(f"{node}/spool" for node in names)):
        (base / name).mkdir(parents=True, mode=0o755)
    # munge wants nobody else to be able to write where its socket and log are.
    base.chmod(0o755)
    (base / "munge" / "key").write_bytes(secrets.token_bytes(128))
    (base / "munge" / "key").chmod(0o600)
    host = socket.gethostname().split(".")[0]
    controller, *ports = _ports(1 + len(names))
    values = {"host": host, "user": _user(), "base": base, "controller_port": controller}
    lines = [NODE.format(name=name, host=host, port=port) for name, port in zip(names, ports, strict=True)]
    # Numbers that no earlier cluster has used: submitit names its files by them.
    first_job = 1000 + int(time.time()) % 60_000_000
    (base / "slurm.conf").write_text(CONF.format(**values, nodes="\n".join(lines), first_job=first_job))
    (base / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n")
    for index in range(2):  # a GPU must be a character device, whatever it does
        (base / "gpus" / f"gpu{index}").symlink_to("/dev/null")
    (base / "gres.conf").write_text(f"NodeName={','.join(names)} Name=gpu File={base}/gpus/gpu[0-1]\n")
    try:
        _start_controller(base)
        for name, through in nodes.items():
            start_node(base, name, through)
    except RuntimeError:
        stop(base)
        raise
    return _environment(base)


def _start_controller(base: Path) -> None:
    munge = base / "munge"
    if not _pid(base, "munged"):
        _run("munged", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={base}/munged.pid",
             f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--num-threads=2")  # fmt: skip
    if not _pid(base, "slurmctld"):
        _run("slurmctld", **_environment(base))


def start_node(base: Path, name: str = "node1", through: Sequence[str] = ()) -> None:
    """Wait until the node's daemon has told the controller that it is there. Jobs may run on it at once.

    Raises RuntimeError with the daemons' last words.
    """
    before = _told(base, name)
    _run("slurmd", "-N", name, through=through, **_environment(base))
    deadline = time.monotonic() + PATIENCE
    while (now := _told(base, name)) == before or not _up(now):
        if time.monotonic() > deadline:
            logs = "".join(_tail(path) for path in (base / "slurmctld.log", base / name / "slurmd.log"))
            raise RuntimeError(f"the controller has not heard of {name}: {' '.join(now) or 'no answer'}\n{logs}")
        time.sleep(0.1)


def _told(base: Path, name: str) -> tuple[str, ...]:
    """What the controller knows of a node: when its daemon started, and the node's state."""
    shown = _run("scontrol", "show", "node", name, check=False, **_environment(base)).split()
    return tuple(word for word in shown if word.startswith(("SlurmdStartTime=", "State=")))


def _up(told: tuple[str, ...]) -> bool:
    state = next((word.removeprefix("State=") for word in told if word.startswith("State=")), "")
    return state.split("+")[0] in ("IDLE", "MIXED", "ALLOCATED")  # with a * behind it, it does not answer


def restore(base: Path) -> None:
    """Make the cluster that was started in `base` what it was in the beginning, whatever was done to it meanwhile.

    Raises RuntimeError, as `start`.
    """
    _start_controller(base)
    _no_jobs(base)
    for folder in sorted(base.glob("node*")):
        if not _pid(folder, "slurmd") or not _up(_told(base, folder.name)):
            end(folder, "slurmd", signal.SIGKILL)
            start_node(base, folder.name)


def _no_jobs(base: Path) -> None:
    """Cancel all jobs and wait, for PATIENCE at most, until they are gone."""
    _run("scancel", "--full", "--user", _user(), check=False, **_environment(base))
    deadline = time.monotonic() + PATIENCE
    while _run("squeue", "-h", check=False, **_environment(base)) and time.monotonic() < deadline:
        time.sleep(0.2)


def stop(base: Path) -> None:
    """End the daemons that were started below `base`, and their jobs."""
    if _pid(base, "slurmctld"):
        _no_jobs(base)
    for folder in base.glob("node*"):
        end(folder, "slurmd", signal.SIGTERM)
    for name in ("slurmctld", "munged"):
        end(base, name, signal.SIGTERM)


def end(folder: Path, name: str, number: signal.Signals) -> None:
    """Send the signal to the daemon whose process number is in `folder`, and wait until it is gone."""
    deadline = time.monotonic() + 10
    while pid := _pid(folder, name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.1)


def _pid(folder: Path, name: str) -> int | None:
    """The daemon's process number, if it is still that daemon and no zombie."""
    try:
        pid = int((folder / f"{name}.pid").read_text())
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    return pid if f"({name})" in stat and stat.rpartition(")")[2].split()[0] != "Z" else None


def _environment(base: Path) -> dict[str, str]:
    return {"SLURM_CONF": str(base / "slurm.conf")}


def _run(program: str, *arguments: str, check: bool = True, through: Sequence[str] = (), **environment: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    command = [*through, shutil.which(program, path=path) or program, *arguments]
    # Daemons keep what they inherit: with pipes, the caller would wait for them to end.
    with (Path(os.devnull)).open("r+b") as nothing:
        output = nothing if program in DAEMONS else subprocess.PIPE
        done = subprocess.run(
            command, stdin=nothing, stdout=output, stderr=output, env={**os.environ, **environment}, timeout=60
        )
    if check and done.returncode:
        raise RuntimeError(f"{program} ended with exit status {done.returncode}")
    return (done.stdout or b"").decode().strip()


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def _ports(count: int) -> list[int]:
    """Free ports, all different."""
    with contextlib.ExitStack() as probes:
        bound = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in bound:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in bound]


def _tail(path: Path) -> str:
    return "\n".join(path.read_text().splitlines()[-20:]) if path.exists() else ""


def main() -> None:
    """Starts or stops the cluster in the folder named on the command line."""
    base = Path(sys.argv[2] if len(sys.argv) > 2 else "/tmp/scs-slurm").resolve()
    if sys.argv[1:2] == ["start"]:
        if lacking := missing():
            sys.exit(f"missing {', '.join(lacking)}: apt-get install -y --no-install-recommends slurm-wlm munge")
        for key, value in start(base).items():
            print(f"export {key}={value}")
    elif sys.argv[1:2] == ["stop"]:
        stop(base)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
