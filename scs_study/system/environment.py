"""What every command in scripts/ settles before it imports anything else, for itself and its processes."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

from scs_study.system.places import CODE

BEGUN = time.monotonic()
"""When this process was begun, less the moment that Python needs to get here: what a time budget counts from."""


def settle() -> None:
    """Set the environment of a command: its drawing, its own code in every process it starts, and words it can print.

    Figures are files. Jupyter and Colab hand MPLBACKEND to what is started from a cell, and name a module that only
    their own Python has; matplotlib then refuses to be imported. A Qt or Tk that is not there fails as late as in the
    first figure.

    A process of Python's fork server or of a launcher of Hydra's looks for the code anew, in the working folder first
    of all: there, or further up PYTHONPATH, may lie another checkout.

    On a GPU: cuBLAS sums in the same order at every run only with workspaces of a fixed size (CUDA Toolkit, cuBLAS,
    "Results reproducibility"), and streams of one process overlap only as far as there are connections to the device.

    A folder's name may have letters that the terminal cannot show; they are escaped there. Ctrl-C while Python still
    imports is told in a word.
    """
    sys.excepthook = _report
    os.environ["MPLBACKEND"] = "agg"
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(CODE)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CODE), *others])
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", "32")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Tell an error that nobody caught: of Ctrl-C only that it came, of others what Python tells."""
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("stopped: before anything was begun\n")
    else:
        sys.__excepthook__(kind, error, trace)
