"""The digests of the code behind the names that this project has released (identity.py): a run of them is covered by
its name alone.

A test holds them equal to the code. When it fails, one of these definitions was changed. If its runs still compute the
same, print this file anew (python -m scs_study.config.identity > FILE): their names stay. If they do not, it is a
network or layer of its own, and needs another name.
"""

from __future__ import annotations

RELEASED: dict[str, dict[str, str]] = {
    "arch": {
        "rohrer25k": "14e1ae6e5402",
        "rohrer47k": "6d48213f9db9",
        "rohrer68k": "59d01b1bfb70",
        "rohrer100k": "05eb4082e718",
        "rohrer583k": "eab37dfea80a",
        "resnet18": "a6007c1a224e",
        "resnet20": "06bd155b3cce",
        "resnet20_idelbayev": "360f2daa275f",
        "rohrer37k": "db47a069eb18",
        "fashion7659": "e463daa7811e",
        "fashion3423": "03ed3ec05764",
        "fashion2764": "8f627545aac6",
        "fashion_10": "34632dc87946",
        "demo_fashion": "02bac0e1a95e",
        "demo_cifar10": "bff994c64768",
        "demo_lightning": "c0482ac59860",
        "test_mnist": "ce6ccd311c1b",
        "test_mnist_shared": "cb4890893027",
        "test_mnist_jax": "9c9b358b1c11",
        "blog_keras": "cb7aac14ba6c",
        "hukkelas": "a0824953fa3e",
        "hukkelas_residual": "fe7af1ef06bf",
        "batchelor_scsnet": "a767e3d3eff5",
        "batchelor_resnet": "cee181f26242",
        "asl": "2454f308feff",
        "cct2": "7614a76b8cd9",
        "cct2_scs_published": "f207a4c9358e",
        "cct2_scs": "10ec89f8d5aa",
        "cct2_scs_rows": "3fc8b82e0684",
        "tied12": "ab261c117ac2",
        "tied13": "6ff0daaed6cf",
        "tied14": "b0f99641e56e",
        "tied": "236f0bd43df3",
        "pairs": "5b837df17110",
        "dcgan": "cd1eedd97b16",
        "scs_gan": "d9284a0b3a54",
        "scs_gan_hybrid": "bc2515090153",
        "resnet50": "76aea414d0d2",
        "frozen_resnet18": "10fb0e91a9bb",
        "frozen_resnet20": "3872e1349e93",
        "frozen_resnet50": "1f4b281841e9",
        "frozen_resnet18_imagenet": "df22988a9196",
        "frozen_resnet50_imagenet": "183f8683c31c",
    },
    "layer": {
        "scs": "32da49e8cc49",
        "cosine": "32da49e8cc49",
        "sdp": "24509d81c145",
        "rohrer_feb2022": "1ea5f19bc9fe",
        "rohrer_mar2022": "3c9ce9488c6f",
        "rohrer_apr2022": "722f502da0d6",
        "rohrer_may2022": "2bac3cf51e54",
        "wang": "cc126dd52698",
        "batchelor": "b797b5153992",
        "hogg": "4f6294eab61e",
        "ifeherva": "32023690fde2",
        "hukkelas": "cfeb2c856f2c",
        "zimonitrome": "e68fbafafa02",
        "pisoni": "1240ab9d7b0b",
    },
    "pooling": {
        "maxabs": "04f42311a8e3",
    },
}
