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
        "scs": "c24f39036929",
        "cosine": "c24f39036929",
        "sdp": "e3ac786bcf66",
        "rohrer_feb2022": "1bbfdda82f50",
        "rohrer_mar2022": "627f0b63a29b",
        "rohrer_apr2022": "a363e1cab040",
        "rohrer_may2022": "5d23d7ddc0b4",
        "wang": "4f2f4dcf7fbd",
        "batchelor": "e737f915b2cf",
        "hogg": "8751ee5913fc",
        "ifeherva": "6838ce1dfc79",
        "hukkelas": "96ff183c4a3b",
        "zimonitrome": "d9587a01738b",
        "pisoni": "510004eaec7f",
    },
    "pooling": {
        "maxabs": "e1844a9555d0",
    },
}
