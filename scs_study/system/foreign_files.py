"""Files and folders that an operating system or a server puts beside a user's own, and that nobody means."""

from __future__ import annotations

from pathlib import Path

NAMES = frozenset(
    {
        # macOS: archives, servers and volumes (AppleDouble's "._cat.png" and ".DS_Store" begin with a dot)
        "__macosx", "icon\r", "network trash folder", "temporary items", "thevolumesettingsfolder",
        # Windows
        "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin", "system volume information",
        # disk stations (Synology, QNAP) and file servers
        "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "~snapshot",
        # Linux file systems, Python
        "lost+found", "__pycache__",
    }
)  # fmt: skip
"""In lower case."""


def is_foreign(path: Path) -> bool:
    """Return whether a file or folder is hidden (its name begins with a dot) or one of NAMES, whatever the case."""
    return path.name.startswith(".") or path.name.lower() in NAMES
