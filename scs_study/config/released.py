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
        "resnet20_idelbayev": "d0b81b16704c",
        "rohrer37k": "993f1ad3e86e",
        "fashion7659": "46d577d8c685",
        "fashion3423": "e7337ea328bb",
        "fashion2764": "afe8704162e5",
        "fashion_10": "0b8db5b6e750",
        "demo_fashion": "2e7e3a9aa2fd",
        "demo_cifar10": "1f8852182966",
        "demo_lightning": "e97a8c6ddf48",
        "test_mnist": "a3b048f60e68",
        "test_mnist_shared": "0ead1fa541fb",
        "test_mnist_jax": "3882696b7232",
        "blog_keras": "207d3b0e5012",
        "hukkelas": "159ba60491f8",
        "hukkelas_residual": "c38b01e1764b",
        "batchelor_scsnet": "bed1cf623456",
        "batchelor_resnet": "cd4a1eb78bdf",
        "tied12": "0e3a60f803c1",
        "tied13": "9444e6abb378",
        "tied14": "4c455dd43bda",
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
