"""Images for the Keras layers, and their outputs as numpy has them."""

from __future__ import annotations

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
    for layer, module in zip(model.layers, modules, strict=True):
        x = numpy(layer(x)) if isinstance(module, nn.Flatten) else agreeing(layer, module, x)


def agreeing(layer, module, x):
    images = x.ndim == 4
    y = numpy(layer(x))
    if not images:  # a Flatten before it, whose order the rows of a Dense know
        return y
    wanted = module(torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))).detach().numpy()
    np.testing.assert_allclose(y.transpose(0, 3, 1, 2), wanted, rtol=1e-5, atol=1e-5)
    return y
