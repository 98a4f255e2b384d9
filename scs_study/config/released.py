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
        "scs": "f2da46699c83",
        "cosine": "f2da46699c83",
        "sdp": "9f9f45dd97ba",
        "rohrer_feb2022": "77d27dc1fa48",
        "rohrer_mar2022": "37c8814eb29a",
        "rohrer_apr2022": "adffe4eb4521",
        "rohrer_may2022": "a11352158bac",
        "wang": "5d916e4487ff",
        "batchelor": "3ee0ee55ed9b",
        "hogg": "ba5013a46560",
        "ifeherva": "64bc85f88623",
        "hukkelas": "de6de3e5ef7f",
        "zimonitrome": "db5cd47a22c1",
        "pisoni": "83a91971ba24",
    },
    "pooling": {
        "maxabs": "e1844a9555d0",
    },
}
