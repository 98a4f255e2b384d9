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
        "scs": "da3027f335f2",
        "cosine": "da3027f335f2",
        "sdp": "60b146b63e11",
        "rohrer_feb2022": "f76f59cddc3d",
        "rohrer_mar2022": "a2c09dee138c",
        "rohrer_apr2022": "b40392c17a08",
        "rohrer_may2022": "9c6e5c09cc24",
        "wang": "d31ad2c71acf",
        "batchelor": "d3a2c1fa581d",
        "hogg": "d524455266f5",
        "ifeherva": "9700f942bacb",
        "hukkelas": "f112cd975ae7",
        "zimonitrome": "32b72306f88e",
        "pisoni": "afe3f39f941a",
    },
    "pooling": {
        "maxabs": "e1844a9555d0",
    },
}
