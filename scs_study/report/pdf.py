"""The page printed by a browser of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "microsoft-edge")
PATIENCE = 300.0
"""Seconds that a browser may take."""


def find_browser() -> str:
    """Return the path of a browser that prints. Raises ValueError where there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise ValueError(f"pdf=true: no browser on PATH (looked for {', '.join(BROWSERS)}); any one prints the HTML file")


def print_page(file: Path, browser: str) -> Path:
    """Return the PDF beside an HTML file, and write it. Raises ValueError when the browser writes none."""
    target = file.with_suffix(".pdf")
    target.unlink(missing_ok=True)
    # Chromium refuses its sandbox to root, which is who one is in a container.
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    line = [browser, "--headless", *root, "--no-pdf-header-footer", f"--print-to-pdf={target}", file.resolve().as_uri()]
    done = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if not target.is_file():
        raise ValueError(f"pdf=true: {Path(browser).name} printed nothing: {done.stderr.strip()[-200:]}")
    return target
