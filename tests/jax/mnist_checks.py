"""The example: the public test network, trained from folders of images."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from scs_study.jax.mnist import public_network, read_images, train


def write(folder, pixels, digits):
    for number, (image, digit) in enumerate(zip(pixels, digits, strict=True)):
        home = folder / str(digit)
        home.mkdir(parents=True, exist_ok=True)
        large = np.pad(np.kron(image * 15, np.ones((3, 3))), 2)
        Image.fromarray(large.astype(np.uint8)).save(home / f"{number}.png")


def test_the_network_has_the_published_number_of_parameters():
    network = public_network(jax.random.key(0))
    assert sum(leaf.size for leaf in jax.tree.leaves(network)) == 1_233  # systems.md 3
    assert jax.eval_shape(network, np.zeros((1, 28, 28), np.float32)).shape == (10,)


@pytest.mark.slow
def test_it_learns_from_folders_of_images(tmp_path, capsys):
    pixels, digits = load_digits(return_X_y=True)
    pixels = pixels.reshape(-1, 8, 8)
    write(tmp_path / "train", pixels[:500], digits[:500])
    write(tmp_path / "test", pixels[500:600], digits[500:600])
    images, _ = read_images(tmp_path / "train")
    assert images.shape == (500, 1, 28, 28)
    assert 0 <= images.min() < images.max() <= 1
    accuracy = train(tmp_path, 3)
    lines = capsys.readouterr().out.splitlines()
    losses = [float(line.split("loss ")[1].split(",")[0]) for line in lines[1:]]
    assert losses[-1] < losses[0] < 3
    assert 0 <= accuracy <= 1


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(ValueError, match="no folders 0 to 9"):
        read_images(tmp_path)
