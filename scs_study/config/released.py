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
        "asl": "86bcf7546370",
        "cct2": "2338d77b637c",
        "cct2_scs_published": "c3e39dd79cc5",
        "cct2_scs": "23fc9ed489d0",
        "cct2_scs_rows": "2c1e2829eaba",
        "tied12": "0e3a60f803c1",
        "tied13": "9444e6abb378",
        "tied14": "4c455dd43bda",
        "dcgan": "c032b6528298",
        "scs_gan": "f88cd67eafb5",
        "scs_gan_hybrid": "acee91bf59d1",
    },
    "layer": {
        "scs": "9a1d62730a69",
        "cosine": "9a1d62730a69",
        "sdp": "e28506ee6d6b",
        "rohrer_feb2022": "61f2b2d29c5a",
        "rohrer_mar2022": "407c3d8743e5",
        "rohrer_apr2022": "24fb14c7ab4d",
        "rohrer_may2022": "a4070dd4637a",
        "wang": "ed5d5a5361f6",
        "batchelor": "4da197f18300",
        "hogg": "88e3c7e7e381",
        "ifeherva": "f77b018529fc",
        "hukkelas": "844ed0c98d4f",
        "zimonitrome": "41f5aa665bf8",
        "pisoni": "eb4cd754cbdc",
    },
    "pooling": {
        "maxabs": "2bb1cbec7db4",
    },
}
