"""What every command in scripts/ settles before it imports anything else, for itself and its processes."""

from __future__ import annotations

import os
import sys

from scs_study.system.places import CODE


def settle() -> None:
    """Set the environment of a command: its drawing, its own code in every process it starts, and words it can print.

    Figures are files. Jupyter and Colab hand MPLBACKEND to what is started from a cell, and name a module that only
    their own Python has; matplotlib then refuses to be imported. A Qt or Tk that is not there fails as late as in the
    first figure.

    A process of Python's fork server or of a launcher of Hydra's looks for the code anew, in the working folder first
    of all: there, or further up PYTHONPATH, may lie another checkout.

    A folder's name may have letters that the terminal cannot show; they are escaped there.
    """
    os.environ["MPLBACKEND"] = "agg"
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != str(CODE)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(CODE), *others])
    os.environ["PYTHONSAFEPATH"] = "1"
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
