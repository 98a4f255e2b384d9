"""Conv2d, MaxPool2d and ReLU fused as the sharpened layers are: the fairer thing to compare them with on a CPU.

Its convolution, bias, pool and ReLU are one operation of autograd that works on a chunk of the batch at a time, with
the same loops for the pool. Needs numba (the extra 'fast').
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from scs_study.benchmark import fused_conv_loops as loops
from scs_study.layers.cpu.passes import CHUNK
from scs_study.layers.cpu.settings import Window, window_of
from scs_study.layers.cpu.shares import chunks, in_shares


class FusedConv(nn.Module):
    """The same function and parameters as a convolution with bias, a pool without overlap and a ReLU, in this order."""

    def __init__(self, conv: nn.Conv2d, pool: nn.Module) -> None:
        super().__init__()
        window = window_of(pool)
        assert window is not None
        assert conv.groups == 1
        self.weight, self.bias, self.window = conv.weight, conv.bias, window
        self.stride, self.padding = conv.stride, conv.padding

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(pool(conv(x))), (B, O, H', W') from x (B, C, H, W), channels last."""
        y: Tensor = _FusedConv.apply(x, self.weight, self.bias, self.stride, self.padding, self.window)
        return y


def fused_network(network: nn.Sequential) -> nn.Sequential:
    """Return the network itself, each Conv2d, MaxPool2d, ReLU of it that follow one another made one FusedConv."""
    names = list(network._modules)
    for name, second, third in zip(names, names[1:], names[2:], strict=False):
        conv, pool, relu = (network.get_submodule(each) for each in (name, second, third))
        if isinstance(conv, nn.Conv2d) and isinstance(pool, nn.MaxPool2d) and isinstance(relu, nn.ReLU):
            setattr(network, name, FusedConv(conv, pool))
            setattr(network, second, nn.Identity())
            setattr(network, third, nn.Identity())
    return network


def _nhwc(maps: Tensor) -> Any:
    return maps.detach().permute(0, 2, 3, 1).numpy()


def _rows(maps: Tensor) -> Any:
    array = _nhwc(maps)
    return array.reshape(*array.shape[:2], -1)


class _FusedConv(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: Any, padding: Any, window: Window) -> Tensor:
        x, weight = (each.contiguous(memory_format=torch.channels_last) for each in (x, weight))
        height, width = (
            (size + 2 * pad - k) // step + 1
            for size, k, step, pad in zip(x.shape[2:], weight.shape[2:], stride, padding, strict=True)
        )
        rows, columns = window.counts((height, width))
        kernels = len(weight)
        y = torch.empty((len(x), kernels, rows, columns), memory_format=torch.channels_last)
        at = torch.empty((len(x), rows, columns * kernels), dtype=torch.uint8)
        ys, ats, biases = _rows(y), at.numpy(), bias.detach().repeat(columns).numpy()
        for chunk in chunks(len(x), kernels * height * width, CHUNK):
            z = _nhwc(torch.conv2d(x[chunk], weight, None, stride, padding))

            def share(_: int, part: slice, b: slice, z: Any = z) -> None:
                loops.forward(z[part], biases, *window.size, ats[b], ys[b])

            in_shares(chunk, share)
        ctx.save_for_backward(x, weight, at)
        ctx.settings = stride, padding, window, (height, width)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, at = ctx.saved_tensors
        stride, padding, window, (height, width) = ctx.settings
        kernels, wanted = len(weight), ctx.needs_input_grad[0]
        grad = grad.contiguous(memory_format=torch.channels_last)
        cuts = list(chunks(len(x), kernels * height * width, CHUNK))
        gz = torch.empty((cuts[0].stop, kernels, height, width), memory_format=torch.channels_last)
        sums = np.zeros((len(cuts), torch.get_num_threads(), grad.shape[3] * kernels), np.float32)
        grads, ats, gzs = _rows(grad), at.numpy(), _nhwc(gz)
        grad_x, grad_weight = torch.empty_like(x) if wanted else None, torch.zeros_like(weight)
        for number, chunk in enumerate(cuts):

            def share(index: int, part: slice, b: slice, to: Any = sums[number]) -> None:
                loops.backward(grads[b], ats[b], *window.size, gzs[part], to[index])

            in_shares(chunk, share)
            back, to_weight, _ = torch.ops.aten.convolution_backward(
                gz[: chunk.stop - chunk.start], x[chunk], weight, None, stride, padding, (1, 1), False, (0, 0), 1,
                (wanted, True, False),
            )  # fmt: skip
            grad_weight += to_weight
            if grad_x is not None:
                grad_x[chunk] = back
        grad_bias = torch.from_numpy(sums.reshape(-1, kernels).sum(0))
        return grad_x, grad_weight, grad_bias, None, None, None
