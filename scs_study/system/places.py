"""Where this code and its own files lie: in a checkout beside the package, in an installed package inside it."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
CODE = PACKAGE.parent
"""The folder that the package lies in: a checkout, a copy of one for the cluster, or site-packages."""
INSTALLED = (PACKAGE / "conf").is_dir()
"""Whether this is a package from a wheel, which brings conf/ and results/paper/ along (pyproject.toml)."""
_FILES = PACKAGE if INSTALLED else CODE
CONF = _FILES / "conf"
"""The config groups."""
PAPER = _FILES / "results" / "paper"
"""The paper's tables."""
PROJECT = Path.cwd() if INSTALLED else CODE
"""What relative folders (runs, results, data) are taken from: the checkout; where there is none, the working folder."""
