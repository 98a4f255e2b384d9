"""The compact convolutional transformer CCT-2/3x2 with attention by choice: softmax, Walton's SCS, or SCS repaired.

Two 3x3 convolutions make 64 tokens of a 32x32 image, two encoder layers of two heads mix them, and a weighted mean over
the tokens is classified (Hassani et al. 2021; systems.md 5). All draw the same numbers for what they have in common.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scs_study.models.published_nets import CIFAR10_DEVIATION, CIFAR10_MEAN
from scs_study.models.resnet import Standardise

DIM, HEADS, LAYERS, TOKENS = 128, 2, 2, 64
ATTENTION_DROPOUT, STOCHASTIC_DEPTH = 0.1, 0.1
PUBLISHED_P = 50.0
"""The exponent in the published file; the names of its runs say 5, 10 and 20 as well."""
FILTER, FILTER_SCALE = 10.0, 100.0
"""The published floor of the norms is a learned number that starts at 10, over 100."""
START_P, LEAST_P, EPS = 1.0, 0.1, 1e-6
"""Of the repaired attention: p starts where its weights are cosines, and is held as the layer of May 2022 holds it."""


class Attention(nn.Module):
    """Softmax attention over tokens (B, N, DIM); its subclasses weigh the values otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(DIM, 3 * DIM, bias=False)
        self.drop = nn.Dropout(ATTENTION_DROPOUT)
        self.proj = nn.Linear(DIM, DIM)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is added to the tokens."""
        qkv = self.qkv(x).unflatten(2, (3, HEADS, DIM // HEADS)).permute(2, 0, 3, 1, 4)
        mixed: Tensor = self.proj(self.mixed(qkv[0], qkv[1], qkv[2]).reshape(x.shape))
        return mixed

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the weighed values (B, N, heads, d) for queries, keys and values (B, heads, N, d)."""
        weights = (q @ k.transpose(-2, -1) * (DIM // HEADS) ** -0.5).softmax(-1)
        y: Tensor = self.drop(weights) @ v
        return y.transpose(1, 2)


class PublishedSCSAttention(Attention):
    """Walton's attention as his file has it, its mistakes included. There are three, and the first switches it off.

    The norms are taken over batch, heads and tokens, a number for each feature, so that cosines are some 1e-4, and
    these to the power 50 are zero: what is left is the projection's bias. They divide the weights of the token of the
    feature's number: that fits since there are 64 of both. And the heads' outputs are put together with those of other
    images of the batch. The sign multiplies what the weights gave, feature by feature, for the same reason.
    """

    def __init__(self, p: float = PUBLISHED_P) -> None:
        super().__init__()
        self.p = p
        self.filter = nn.Parameter(torch.full((1,), FILTER))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the weighed values (heads, B, N, d): heads first, which `forward` then takes for images."""
        dot = q @ k.transpose(-2, -1)
        norms = [torch.linalg.vector_norm(each, dim=(0, 1, 2)) + self.filter / FILTER_SCALE for each in (q, k)]
        weights = (dot / (norms[0] * norms[1])) ** self.p
        y: Tensor = dot.sign() * (self.drop(weights) @ v)
        return y.transpose(0, 1)


class SCSAttention(Attention):
    """SCS attention with what the published one lacks: norms of each query and key, a learned p a head, a learned q.

    weight(i, j) = sgn(c) (|c| + eps)^p, c = q_i . k_j / ((|q_i| + q) (|k_j| + q)). rows: whether the magnitudes of the
    weights of a token are brought to the sum 1, as softmax's are; the published ones are not.
    """

    def __init__(self, rows: bool) -> None:
        super().__init__()
        self.rows = rows
        self.raw_p = nn.Parameter(torch.full((HEADS,), START_P))
        self.raw_q = nn.Parameter(torch.full((1,), FILTER))

    @property
    def p(self) -> Tensor:
        """The exponent of each head, (heads,)."""
        return self.raw_p.clamp_min(LEAST_P)

    @property
    def q(self) -> Tensor:
        """The floor of the norms, ()."""
        return self.raw_q.abs()[0] / FILTER_SCALE

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the weighed values (B, N, heads, d) for queries, keys and values (B, heads, N, d)."""
        a, b = (each.float() / (_norm(each.float()) + self.q) for each in (q, k))
        cosine = (a @ b.transpose(-2, -1)).float()  # the power of a small number needs float32
        weights = cosine.sign() * (cosine.abs() + EPS) ** self.p.view(1, -1, 1, 1)
        if self.rows:
            weights = weights / weights.abs().sum(-1, keepdim=True).clamp_min(EPS)
        y: Tensor = self.drop(weights.to(v.dtype)) @ v
        return y.transpose(1, 2)


def _norm(x: Tensor) -> Tensor:
    return (x.square().sum(-1, keepdim=True) + EPS**2).sqrt()  # so that a zero has a gradient


class Tokenizer(nn.Sequential):
    """Two convolutions, each with a ReLU and a pool: (B, C, 32, 32) -> (B, TOKENS, DIM)."""

    def __init__(self, in_channels: int) -> None:
        def pool() -> nn.MaxPool2d:
            return nn.MaxPool2d(3, 2, padding=1)

        convs = [nn.Conv2d(*ends, 3, padding=1, bias=False) for ends in ((in_channels, 64), (64, DIM))]
        for conv in convs:
            nn.init.kaiming_normal_(conv.weight)
        names = ("conv1", "relu1", "pool1", "conv2", "relu2", "pool2")
        super().__init__(
            OrderedDict(zip(names, (convs[0], nn.ReLU(), pool(), convs[1], nn.ReLU(), pool()), strict=True))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens."""
        for module in self:
            x = module(x)
        return x.flatten(2).transpose(1, 2)


class EncoderLayer(nn.Module):
    """Attention and two linear layers, each added to what it is given; depth: how often either is left out."""

    def __init__(self, attention: Attention, depth: float) -> None:
        import torchvision  # seconds, which the other architectures need not pay

        super().__init__()
        self.pre_norm = nn.LayerNorm(DIM)
        self.attention = attention
        self.norm = nn.LayerNorm(DIM)
        self.linear1, self.linear2 = nn.Linear(DIM, DIM), nn.Linear(DIM, DIM)
        self.depth = torchvision.ops.StochasticDepth(depth, "row") if depth else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the tokens after the layer."""
        x = self.norm(x + self.depth(self.attention(self.pre_norm(x))))
        out: Tensor = x + self.depth(self.linear2(F.gelu(self.linear1(x))))
        return out


class CCT(nn.Module):
    """The whole network. Coloured images are standardised inside, so that attacks and maps go on in [0, 1]."""

    def __init__(self, attention: Callable[[], Attention], num_classes: int, in_channels: int) -> None:
        super().__init__()
        colours = in_channels == len(CIFAR10_MEAN)
        self.standardise = Standardise(CIFAR10_MEAN, CIFAR10_DEVIATION) if colours else nn.Identity()
        self.tokenizer = Tokenizer(in_channels)
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, TOKENS, DIM), std=0.2))
        depths = [STOCHASTIC_DEPTH * number / (LAYERS - 1) for number in range(LAYERS)]
        self.layers = nn.Sequential(*(EncoderLayer(attention(), depth) for depth in depths))
        self.norm = nn.LayerNorm(DIM)
        self.pool = nn.Linear(DIM, 1)
        self.head = nn.Linear(DIM, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes)."""
        x = self.norm(self.layers(self.tokenizer(self.standardise(x)) + self.position))
        weights = self.pool(x).softmax(1)
        out: Tensor = self.head((weights.transpose(1, 2) @ x).squeeze(1))
        return out


def cct2(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """CCT-2/3x2 with softmax attention: 283,723 parameters."""
    return CCT(Attention, num_classes, in_channels)


def cct2_scs_published(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Return the same with Walton's attention as published, p = 50: 283,725 parameters, of which attention uses its
    biases.
    """
    return CCT(PublishedSCSAttention, num_classes, in_channels)


def cct2_scs(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Return the same with the repaired attention: 283,729 parameters."""
    return CCT(lambda: SCSAttention(rows=False), num_classes, in_channels)


def cct2_scs_rows(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """Return the same with the repaired attention whose rows sum to 1: 283,729 parameters."""
    return CCT(lambda: SCSAttention(rows=True), num_classes, in_channels)


@torch.no_grad()
def branch_sizes(network: nn.Module, images: Tensor) -> list[tuple[float, float]]:
    """Return of every encoder layer how large its attention's part is beside the tokens it is added to, on images.

    Pairs of standard deviations: of the attention's output without the projection's bias, which no image can change;
    and of the tokens. The network must be in eval mode.
    """
    found: list[tuple[float, float]] = []

    def look(layer: EncoderLayer, inputs: tuple[Tensor, ...]) -> None:
        tokens = inputs[0]
        branch = layer.attention(layer.pre_norm(tokens)) - layer.attention.proj.bias
        found.append((float(branch.float().std()), float(tokens.float().std())))

    layers = [module for module in network.modules() if isinstance(module, EncoderLayer)]
    hooks = [layer.register_forward_pre_hook(look) for layer in layers]
    try:
        network(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found
