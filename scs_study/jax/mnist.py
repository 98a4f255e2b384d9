"""The public test network, trained on MNIST in JAX: python -m scs_study.jax.mnist FOLDER [EPOCHS].

FOLDER holds train/ and test/, with a folder of images for each digit. The network is that of the public code's
`test_mnist.py`, 1,233 parameters; so is the recipe: Adam at 0.03, batches of 100, 3 epochs, no augmentation. Its
authors report a test accuracy of 94.40 % for a smaller relative that shares kernels, trained on pixels of 0 to 255;
here they are 0 to 1, which a layer that divides by the patch's length hardly sees.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from PIL import Image

from scs_study.jax.convert import Flatten, Network
from scs_study.jax.modules import MaxAbsPool2d, SharpenedCosineSimilarity2d
from scs_study.system.console import say

BATCH = 100
LEARNING_RATE = 0.03


def public_network(key: Array) -> Network:
    """Return the network: an image (1, 28, 28) -> ten numbers. Two layers are depthwise, each before a pointwise."""
    keys = iter(jax.random.split(key, 6))
    layers = {
        "scs1": SharpenedCosineSimilarity2d(1, 10, 3, padding=1, key=next(keys)),
        "pool1": MaxAbsPool2d(2),
        "scs2a": SharpenedCosineSimilarity2d(10, 20, 3, groups=10, key=next(keys)),
        "scs2b": SharpenedCosineSimilarity2d(20, 8, 1, key=next(keys)),
        "pool2": MaxAbsPool2d(2),
        "scs3a": SharpenedCosineSimilarity2d(8, 32, 3, groups=8, key=next(keys)),
        "scs3b": SharpenedCosineSimilarity2d(32, 10, 1, key=next(keys)),
        "pool3": MaxAbsPool2d(4),
        "flatten": Flatten(),
        "head": eqx.nn.Linear(10, 10, key=next(keys)),
    }
    return Network(tuple(layers.values()), tuple(layers))


def read_images(folder: Path) -> tuple[Array, Array]:
    """Return the images (N, 1, 28, 28), from 0 to 1, and their digits. Raises ValueError where there are none."""
    files = sorted((path, int(digit.name)) for digit in folder.glob("[0-9]") for path in digit.iterdir())
    if not files:
        raise ValueError(f"{folder} has no folders 0 to 9 with images of digits")
    images = np.stack([np.asarray(Image.open(path).convert("L"), np.float32) / 255 for path, _ in files])
    return jnp.asarray(images[:, None]), jnp.array([digit for _, digit in files])


def loss(network: Network, images: Array, digits: Array) -> Array:
    """Return the mean cross entropy of a batch."""
    entropies: Array = optax.softmax_cross_entropy_with_integer_labels(jax.vmap(network)(images), digits)
    return entropies.mean()


@eqx.filter_jit
def step(network: Network, state: Any, images: Array, digits: Array, optimizer: Any) -> tuple[Network, Any, Array]:
    """Return the network and the optimizer's state after one step, and the loss before it."""
    value, grads = eqx.filter_value_and_grad(loss)(network, images, digits)
    updates, state = optimizer.update(grads, state)
    return eqx.apply_updates(network, updates).project(), state, value


@eqx.filter_jit
def count_right(network: Network, images: Array, digits: Array) -> Array:
    """Return how many images are taken for what they are, ()."""
    return (jax.vmap(network)(images).argmax(1) == digits).sum()


def train(folder: Path, epochs: int, seed: int = 0) -> float:
    """Train the network, print a line an epoch, and return the test accuracy after the last one."""
    images, digits = read_images(folder / "train")
    test = read_images(folder / "test")
    network = public_network(jax.random.key(seed))
    weights = eqx.filter(network, eqx.is_array)
    say(f"{sum(leaf.size for leaf in jax.tree.leaves(weights)):,} parameters")
    optimizer = optax.adam(LEARNING_RATE)
    state = optimizer.init(weights)
    order = np.random.default_rng(seed)
    accuracy = 0.0
    for epoch in range(1, epochs + 1):
        shuffled = order.permutation(len(images))
        losses = []
        for start in range(0, len(images) - BATCH + 1, BATCH):
            batch = shuffled[start : start + BATCH]
            network, state, value = step(network, state, images[batch], digits[batch], optimizer)
            losses.append(value)
        starts = range(0, len(test[0]), BATCH)
        right = sum(count_right(network, test[0][i : i + BATCH], test[1][i : i + BATCH]).item() for i in starts)
        accuracy = right / len(test[0])
        say(f"epoch {epoch}: training loss {np.mean(losses):.4f}, test accuracy {accuracy:.4f}")
    return accuracy


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit("usage: python -m scs_study.jax.mnist FOLDER [EPOCHS]")
    train(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 3)
