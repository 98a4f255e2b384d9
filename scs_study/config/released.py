"""The digests of the code behind the names that this project has released (identity.py): a run of them is covered by
its name alone.

A test holds them equal to the code. When it fails, one of these definitions was changed. If its runs still compute the
same, print this file anew (python -m scs_study.config.identity > FILE): their names stay. If they do not, it is a
network or layer of its own, and needs another name.
"""

from __future__ import annotations

RELEASED: dict[str, dict[str, str]] = {
    "arch": {
        "rohrer25k": "c42487ceac90",
        "rohrer47k": "7e5e6debbc14",
        "rohrer68k": "ba3dc7205ea3",
        "rohrer100k": "3924689c7460",
        "rohrer583k": "da20b8dfc322",
        "resnet18": "f4653d6de571",
        "resnet20": "064adf189ccb",
        "resnet20_idelbayev": "8c3d3ef0723a",
    },
    "layer": {
        "scs": "6eea6962d8f7",
        "cosine": "6eea6962d8f7",
        "sdp": "400f1d29b408",
    },
    "pooling": {
        "maxabs": "7ea422079a10",
    },
}
