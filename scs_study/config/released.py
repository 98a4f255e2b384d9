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
        "scs": "96b6744a0c33",
        "cosine": "96b6744a0c33",
        "sdp": "e28506ee6d6b",
        "rohrer_feb2022": "2aaf1f3cb7eb",
        "rohrer_mar2022": "7f179f284931",
        "rohrer_apr2022": "d25e06739249",
        "rohrer_may2022": "3fcba9bea1a0",
        "wang": "e232bf891928",
        "batchelor": "243fc34bd0c4",
        "hogg": "ebc76f6a7b93",
        "ifeherva": "ae16aa7202c6",
        "hukkelas": "78c8f13f5afc",
        "zimonitrome": "41086e013f5b",
        "pisoni": "d24ae6f83959",
    },
    "pooling": {
        "maxabs": "2bb1cbec7db4",
    },
}
