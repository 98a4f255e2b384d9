"""Networks of torch and Keras, there and back, and what is refused, on the backend of this process (test_keras.py)."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from torch import nn

from scs_study import layers
from scs_study.keras import (
    CosSim2D,
    MaxAbsPool2D,
    SharpenedCosineSimilarity2D,
    SharpenedDotProduct2D,
    from_torch,
    to_torch,
)
from scs_study.layers.published import Pisoni
from tests.keras.arrays import each_layer_agrees, images, numpy

# Of Keras, which asks torch for arrays in a way that numpy 2 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def small_network(layer):
    torch.manual_seed(0)
    pool = layers.MaxAbsPool2d if layer is not nn.Conv2d else nn.MaxPool2d
    return nn.Sequential(
        layer(3, 6, 3), pool(2, ceil_mode=True), nn.Identity(), layer(6, 8, 3, padding=1), pool(2, ceil_mode=True),
        nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10),
    )  # fmt: skip


@pytest.mark.parametrize("layer", [nn.Conv2d, layers.SharpenedCosineSimilarity2d, layers.SharpenedDotProduct2d])
def test_networks_convert_there_and_back(layer, tmp_path):
    network = small_network(layer)
    model = from_torch(network, (3, 16, 16))
    x = images(3, 3, 16, 16)
    last = x.transpose(0, 2, 3, 1).copy()
    y = numpy(model(last))
    if layer is nn.Conv2d:  # with a layer of zeros that torch has not
        np.testing.assert_allclose(y, network(torch.from_numpy(x)).detach(), rtol=1e-5, atol=1e-5)
    else:
        each_layer_agrees(model, network, last)
    head = nn.Sequential(nn.Flatten(), network[-1])
    pooled = images(2, 8, 4, 4)
    dense = numpy(from_torch(head, (8, 4, 4))(pooled.transpose(0, 2, 3, 1).copy()))
    np.testing.assert_allclose(dense, head(torch.from_numpy(pooled)).detach(), rtol=1e-5, atol=1e-5)
    back = to_torch(model).state_dict()
    assert back.keys() == network.state_dict().keys()
    assert all(torch.equal(value, back[name]) for name, value in network.state_dict().items())
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(numpy(keras.saving.load_model(tmp_path / "model.keras")(last)), y)


def test_what_cannot_be_converted_is_named():
    cases = [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), "BatchNorm2d"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(3, 2)), "side by side"),
        (nn.Sequential(nn.MaxPool2d(4, ceil_mode=True)), "ceil_mode"),
        (nn.Sequential(Pisoni(3, 3, 3, padding=2)), "half a kernel"),
    ]
    for network, word in cases:
        with pytest.raises(ValueError, match=word):
            from_torch(network, (3, 13, 13))
    with pytest.raises(ValueError, match="input_shape"):
        from_torch(nn.Sequential(nn.ReLU()))
    for made, word in [
        (keras.layers.BatchNormalization(), "BatchNormalization"),
        (keras.layers.Dense(3, "relu"), "layer of its own"),
        (keras.layers.Conv2D(3, 3, 2, "same"), "strides"),
    ]:
        with pytest.raises(ValueError, match=word):
            to_torch(keras.Sequential([keras.Input((8, 8, 3)), made]))


BAD = {
    "kernel_size": ({"kernel_size": 0}, {}),
    "stride": ({"strides": (1, 2, 3)}, {"stride": (1, 2, 3)}),
    "dilation": ({"dilation_rate": 0}, {"dilation": 0}),
    "padding": ({"padding": "full"}, {}),
    "negative": ({"padding": -1}, {}),
    "groups": ({"groups": 3}, {}),
    "fixed p": ({"p": -1.0}, {}),
    "p_init": ({"p_init": (3.0, 1.0)}, {}),
    "eps": ({"eps": -1.0}, {}),
    "bias": ({"use_bias": True}, {"bias": True}),
}


@pytest.mark.parametrize("word", BAD)
@pytest.mark.parametrize("kind", [SharpenedCosineSimilarity2D, SharpenedDotProduct2D])
def test_bad_arguments_are_named_as_in_torch(word, kind):
    ours, theirs = BAD[word]
    with pytest.raises(ValueError, match=word):
        kind(**{"filters": 8, "kernel_size": 3} | ours).build((None, 8, 8, 3))
    module = getattr(layers, kind.__name__[:-2] + "2d")
    with pytest.raises(ValueError, match=word):
        module(**{"in_channels": 3, "out_channels": 8, "kernel_size": 3} | (theirs or ours))


def test_other_bad_arguments_are_named():
    for make, word in [
        (lambda: SharpenedCosineSimilarity2D(8, 3, parameterisation="june2022"), "parameterisation"),
        (lambda: SharpenedCosineSimilarity2D(8, 3, w_max=0.0), "w_max"),
        (lambda: SharpenedCosineSimilarity2D(8, 3, data_format="first"), "data_format"),
        (lambda: CosSim2D(0), "kernel_size"),
        (lambda: CosSim2D(3, padding=1), "padding"),
        (lambda: CosSim2D(3, 0), "out_channels"),
        (lambda: MaxAbsPool2D(0), "pool_size"),
        (lambda: MaxAbsPool2D(2, "front"), "pad_to_fit"),
        (lambda: MaxAbsPool2D(2, ties="last"), "ties"),
        (lambda: SharpenedCosineSimilarity2D(8, 3)(np.zeros((3, 8, 8), np.float32)), "expected"),
    ]:
        with pytest.raises(ValueError, match=word):
            make()
