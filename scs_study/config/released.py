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
        "scs": "bfc98c42144c",
        "cosine": "bfc98c42144c",
        "sdp": "a72a7fd931ee",
        "rohrer_feb2022": "ace59756af4e",
        "rohrer_mar2022": "b3ae2ebb4f14",
        "rohrer_apr2022": "95a1bf451900",
        "rohrer_may2022": "e2d04f6d4259",
        "wang": "9116f253dc16",
        "batchelor": "3e634b237c03",
        "hogg": "52d2e66e0bd0",
        "ifeherva": "d966e121a45b",
        "hukkelas": "0dd419637ac4",
        "zimonitrome": "4c63e896876b",
        "pisoni": "044cadd3353b",
    },
    "pooling": {
        "maxabs": "e1844a9555d0",
    },
}
