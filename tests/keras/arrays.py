"""Images for the Keras layers, and their outputs as numpy has them."""

from __future__ import annotations

import keras
import numpy as np
import torch
from keras import ops
from torch import nn


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).numpy()


def numpy(values):
    return ops.convert_to_numpy(values)


def each_layer_agrees(model, network, x):
    """Check every layer of the two on the same numbers: a pool may choose otherwise where the last digit differs."""
    modules = [module for module in network if not isinstance(module, nn.Identity)]
    outputs = keras.Model(model.inputs[0], [layer.output for layer in model.layers]).predict_on_batch(x)
    for module, before, after in zip(modules, [x, *outputs], outputs, strict=False):
        if before.ndim == 4 and not isinstance(module, nn.Flatten):  # which order a Dense's rows follow, they know
            wanted = module(torch.from_numpy(np.ascontiguousarray(before.transpose(0, 3, 1, 2)))).detach().numpy()
            np.testing.assert_allclose(after.transpose(0, 3, 1, 2), wanted, rtol=1e-5, atol=1e-5)
    assert len(modules) == len(outputs)
