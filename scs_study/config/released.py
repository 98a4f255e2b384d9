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
        "resnet18": "34dcd58e55dd",
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
        "tied": "08e09e45966e",
        "pairs": "5a65751a4210",
        "dcgan": "c032b6528298",
        "scs_gan": "f88cd67eafb5",
        "scs_gan_hybrid": "acee91bf59d1",
        "resnet50": "037dada8aa31",
        "frozen_resnet18": "91c34274a11f",
        "frozen_resnet20": "354d9f605757",
        "frozen_resnet50": "fd2ca82e1ea7",
        "frozen_resnet18_imagenet": "bc04776c3dc9",
        "frozen_resnet50_imagenet": "1f1edfdda928",
    },
    "layer": {
        "scs": "02ffcfb50ab7",
        "cosine": "02ffcfb50ab7",
        "sdp": "af3a9acf5307",
        "rohrer_feb2022": "fa1e2e8ae101",
        "rohrer_mar2022": "2f47311eb825",
        "rohrer_apr2022": "5137c29d75be",
        "rohrer_may2022": "d0b4d17d3ae5",
        "wang": "0b43b6771d64",
        "batchelor": "b0cb51804356",
        "hogg": "b42f0487c4c8",
        "ifeherva": "7040f7a91b6b",
        "hukkelas": "1d45e21716c3",
        "zimonitrome": "c87131a56db3",
        "pisoni": "0e230a902af2",
    },
    "pooling": {
        "maxabs": "04f42311a8e3",
    },
}
