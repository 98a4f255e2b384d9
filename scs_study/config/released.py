"""The digests of the code behind the names that this project has released (identity.py): a run of them is covered by
its name alone.

A test holds them equal to the code. When it fails, one of these definitions was changed. If its runs still compute the
same, print this file anew (python -m scs_study.config.identity > FILE): their names stay. If they do not, it is a
network or layer of its own, and needs another name.
"""

from __future__ import annotations

RELEASED: dict[str, dict[str, str]] = {
    "arch": {
        "rohrer25k": "6879bf115a3c",
        "rohrer47k": "675e57c15351",
        "rohrer68k": "1c3329af520e",
        "rohrer100k": "2072db4226ec",
        "rohrer583k": "9ee4a9c90831",
        "resnet18": "6c4558985ade",
        "resnet20": "4a9e965efa88",
        "resnet20_idelbayev": "839be323ac06",
        "rohrer37k": "36292caa11e9",
        "fashion7659": "26d6f3f63d10",
        "fashion3423": "d562034c4d15",
        "fashion2764": "4d6d663fbb29",
        "fashion_10": "268f87820530",
        "demo_fashion": "1db393fe14a5",
        "demo_cifar10": "734ea60d9fb9",
        "demo_lightning": "e99b2431e749",
        "test_mnist": "e7fa0f5a0262",
        "test_mnist_shared": "6dc022941193",
        "test_mnist_jax": "fa3269deb2e4",
        "blog_keras": "ad14a52d86d4",
        "hukkelas": "e5198e1312f7",
        "hukkelas_residual": "4697c0c2fd43",
        "batchelor_scsnet": "1ae7ce160376",
        "batchelor_resnet": "09cc11fca3ee",
        "asl": "1a0f94c0f9f6",
        "cct2": "5e8bed5e9ac6",
        "cct2_scs_published": "e63e74d6f53b",
        "cct2_scs": "c6cedd0d6f44",
        "cct2_scs_rows": "6feb7dfe7645",
        "tied12": "9f24c2c56f9a",
        "tied13": "2322c4d18839",
        "tied14": "07bdcdfb2648",
        "tied": "38513fe5ef52",
        "pairs": "4b582b2fe93c",
        "dcgan": "c48670e02bc7",
        "scs_gan": "1dffd0680719",
        "scs_gan_hybrid": "06e30f86d576",
        "resnet50": "140f7387ab0d",
        "frozen_resnet18": "b26617dad8b5",
        "frozen_resnet20": "3bc5f1a44561",
        "frozen_resnet50": "62e62b0e0fe7",
        "frozen_resnet18_imagenet": "5c6d27805863",
        "frozen_resnet50_imagenet": "e6ecba642520",
    },
    "layer": {
        "scs": "9ab63a89430e",
        "cosine": "9ab63a89430e",
        "sdp": "2fe9e95e4c18",
        "rohrer_feb2022": "97c4a0115c92",
        "rohrer_mar2022": "6c864effa3a3",
        "rohrer_apr2022": "b30244da86fe",
        "rohrer_may2022": "f00d37b98a81",
        "wang": "d06c67db4745",
        "batchelor": "8f42371674f1",
        "hogg": "8c28c30719df",
        "ifeherva": "71cdcaadb26c",
        "hukkelas": "88019b1f5b3f",
        "zimonitrome": "d4626a5be1b8",
        "pisoni": "358b5430971d",
    },
    "pooling": {
        "maxabs": "c024e404a8c3",
    },
}
