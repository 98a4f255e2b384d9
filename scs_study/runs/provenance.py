"""Where a run's numbers come from: code, versions, device, command. Written again at every start of the run."""

from __future__ import annotations

import functools
import os
import platform
import socket
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from scs_study.config.schema import CellConfig
from scs_study.runs.git_info import git_state
from scs_study.system.console import say
from scs_study.system.places import CODE
from scs_study.training.run import Settings, device_name, kernels_name

PROVENANCE = "provenance.jsonl"
"""The file of a run's folder that holds one record a start."""
PACKAGES = ("torch", "torchvision", "numpy", "hydra-core", "scikit-learn")
JOB = ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT", "CUDA_VISIBLE_DEVICES")


@functools.cache
def tell_unknown_commit() -> None:
    """Say on stderr, once a process, why the runs that are to be computed will not know their commit, if they won't."""
    if reason := git_state(CODE).get("unknown"):
        say(f"note: runs and tables will not name the commit of this code: {reason}", error=True)


def provenance(cell: CellConfig, settings: Settings, restart: int) -> dict[str, Any]:
    """Return one start of a run as a JSON-able record; `restart` counts the starts before it."""
    return {
        "restart": restart,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        **git_state(CODE),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "device": device_name(settings.device),
        "cuda": torch.version.cuda if settings.device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "at_once": settings.at_once,
        "engine": settings.engine,
        "kernels": kernels_name(cell, settings),
        "checkpoint_every": settings.checkpoint_every,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "job": {key: os.environ[key] for key in JOB if key in os.environ},
        "config": cell.identity(),
    }
