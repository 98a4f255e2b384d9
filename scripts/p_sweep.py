"""What scripts/sweep.py was called when p was all it could vary: python scripts/p_sweep.py sweep=rohrer100k"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's code, whatever else is called scs_study
from scs_study.system import environment

environment.settle()

runpy.run_path(str(Path(__file__).with_name("sweep.py")), run_name=__name__)
