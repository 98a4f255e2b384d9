"""The digests of the code behind the names that this project has released (identity.py): a run of them is covered by
its name alone.

A test holds them equal to the code. When it fails, one of these definitions was changed. If its runs still compute the
same, print this file anew (python -m scs_study.config.identity > FILE): their names stay. If they do not, it is a
network or layer of its own, and needs another name.
"""

from __future__ import annotations

RELEASED: dict[str, dict[str, str]] = {
    "arch": {
        "rohrer25k": "eda3fa4419c8",
        "rohrer47k": "ef0f3c07e663",
        "rohrer68k": "74eef7811680",
        "rohrer100k": "382d1887d45d",
        "rohrer583k": "8a6ccdc07d00",
        "resnet18": "da7cd137b1d2",
        "resnet20": "5d8379acae0e",
        "resnet20_idelbayev": "f63c6b7ce79b",
    },
    "layer": {
        "scs": "24f485e9d403",
        "cosine": "24f485e9d403",
        "sdp": "f7a0cd1bacff",
        "rohrer_feb2022": "a34931a9f591",
        "rohrer_mar2022": "9be6c0778c98",
        "rohrer_apr2022": "d8e8cf3e7163",
        "rohrer_may2022": "3e28dbdd12c9",
        "wang": "5d92514aa542",
        "batchelor": "c5cd5cf8181e",
        "hogg": "0adbb946341e",
        "ifeherva": "307cdc0c4a8d",
        "hukkelas": "fb937adb926f",
        "zimonitrome": "e35fe5663e3a",
        "pisoni": "57345261ed57",
    },
    "pooling": {
        "maxabs": "e1844a9555d0",
    },
}
