"""A real SLURM of one node for tests, without systemd: python -m tests.slurm.cluster start|stop [folder]

Needs Debian's packages slurm-wlm and munge. Everything it writes is below one folder; it has its own munge key and
free ports, so it disturbs no other cluster. `start` prints the variable to export (SLURM_CONF). Two partitions: jobs
of `urgent` preempt those of `spare`, which get SIGUSR2, 20 seconds of grace, and are queued again.
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
SlurmdPort={node_port}
StateSaveLocation={base}/state
SlurmdSpoolDir={base}/spool
SlurmctldPidFile={base}/slurmctld.pid
SlurmdPidFile={base}/slurmd.pid
SlurmctldLogFile={base}/slurmctld.log
SlurmdLogFile={base}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=200000,bf_interval=3
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
ReturnToService=2
InactiveLimit=0
KillWait=15
MinJobAge=600
MailProg=/bin/true
FirstJobId={first_job}
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=16000 Gres=gpu:2 State=UNKNOWN
EnforcePartLimits=ALL
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
PartitionName=urgent Nodes={host} Default=YES MaxTime=60 DefaultTime=10 PriorityTier=10 PreemptMode=OFF State=UP
PartitionName=spare Nodes={host} MaxTime=60 DefaultTime=10 PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 State=UP
"""
DAEMONS = ("slurmd", "slurmctld", "munged")
PROGRAMS = (*DAEMONS, "sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun")


def missing() -> list[str]:
    """The programs that a cluster needs and this machine lacks."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


def start(base: Path) -> dict[str, str]:
    """The environment variables that clients need. Errors: RuntimeError with the daemons' last words."""
    stop(base)
    shutil.rmtree(base, ignore_errors=True)
    for name in ("munge", "state", "spool", "gpus"):
        (base / name).mkdir(parents=True, mode=0o755)
    # munge wants nobody else to be able to write where its socket and log are.
    base.chmod(0o755)
    (base / "munge" / "key").write_bytes(secrets.token_bytes(128))
    (base / "munge" / "key").chmod(0o600)
    host = socket.gethostname().split(".")[0]
    values = {"host": host, "user": _user(), "base": base, "controller_port": _port(), "node_port": _port()}
    # Numbers that no earlier cluster has used: submitit names its files by them.
    first_job = 1000 + int(time.time()) % 60_000_000
    (base / "slurm.conf").write_text(CONF.format(**values, first_job=first_job))
    (base / "cgroup.conf").write_text("CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n")
    for index in range(2):  # a GPU must be a character device, whatever it does
        (base / "gpus" / f"gpu{index}").symlink_to("/dev/null")
    (base / "gres.conf").write_text(f"NodeName={host} Name=gpu File={base}/gpus/gpu[0-1]\n")
    munge = base / "munge"
    _run("munged", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={base}/munged.pid",
         f"--log-file={munge}/log", f"--seed-file={munge}/seed", "--num-threads=2")  # fmt: skip
    environment = {"SLURM_CONF": str(base / "slurm.conf")}
    _run("slurmctld", "-c", **environment)
    start_node(base)
    return environment


def start_node(base: Path) -> None:
    """None, once the node is idle. Errors: RuntimeError."""
    environment = {"SLURM_CONF": str(base / "slurm.conf")}
    _run("slurmd", **environment)
    deadline = time.monotonic() + 30
    while (state := _run("sinfo", "-h", "-p", "urgent", "-o", "%T", check=False, **environment)) != "idle":
        if time.monotonic() > deadline:
            logs = "".join(_tail(base / name) for name in ("slurmctld.log", "slurmd.log"))
            stop(base)
            raise RuntimeError(f"the node is {state or 'unknown'}, not idle\n{logs}")
        time.sleep(0.1)


def stop(base: Path) -> None:
    """None; the daemons that were started below `base` are gone, and so are their jobs."""
    if _pid(base, "slurmctld"):
        environment = {"SLURM_CONF": str(base / "slurm.conf")}
        _run("scancel", "--full", "--user", _user(), check=False, **environment)
        deadline = time.monotonic() + 10
        while _run("squeue", "-h", check=False, **environment) and time.monotonic() < deadline:
            time.sleep(0.2)
    for name in DAEMONS:
        end(base, name, signal.SIGTERM)


def end(base: Path, name: str, number: signal.Signals) -> None:
    """None; one daemon has got the signal and is gone."""
    deadline = time.monotonic() + 10
    while pid := _pid(base, name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(0.2)


def _pid(base: Path, name: str) -> int | None:
    """The daemon's process number, if it is still that daemon and no zombie."""
    try:
        pid = int((base / f"{name}.pid").read_text())
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    return pid if f"({name})" in stat and stat.rpartition(")")[2].split()[0] != "Z" else None


def _run(program: str, *arguments: str, check: bool = True, **environment: str) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    command = [shutil.which(program, path=path) or program, *arguments]
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


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
