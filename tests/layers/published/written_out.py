"""The published formulas, each written out once, with loops over output positions, in numbers and not in forms."""

from __future__ import annotations

import math

import torch

from tests.layers.reference import patches


def sigplus(x):
    return torch.sigmoid(x) * torch.log1p(torch.exp(x))


def pattern(shape, step):
    """Return numbers between -1 and 1 that any program can make: sin(step), sin(2 step), ..."""
    return torch.sin(step * torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)).reshape(shape)


def _patch_cosine(s, w, weight, above, below):
    """Return s.w / (above(|s|^2) below(|w|^2)) for patches s (B, C, kh, kw)."""
    return (s * w).sum((1, 2, 3)) / (above(s.square().sum((1, 2, 3))) * below(w.square().sum()))


def _rohrer(q, p, eps=1e-6):
    def one(s, w, n, o, weight):
        c = _patch_cosine(s, w, weight, lambda e: (e + eps).sqrt() + q(n["q"]), lambda e: e.sqrt())
        return c.sign() * (c.abs() + eps) ** p(n["p"][o])

    return one


def _february(s, w, n, o, weight):
    q = (n["q"] / 100) ** 2
    c = _patch_cosine(s, w, weight, lambda e: (e + 1e-12).sqrt() + q, lambda e: (e + 1e-12).sqrt() + q)
    return c.sign() * (c.abs() + 1e-12) ** ((n["p"][o] / 10) ** 2)


def _april(s, w, n, o, weight):
    return 10 * _rohrer(lambda q: torch.exp(-q / 0.3), lambda p: torch.exp(p / 5))(s, w, n, o, weight)


def _channels(s, w):
    lengths = s.flatten(2).norm(dim=2).clamp_min(1e-12) * w.flatten(1).norm(dim=1).clamp_min(1e-12)
    return ((s * w).flatten(2).sum(2) / lengths).sum(1)


def _wang(s, w, n, o, weight):
    c = _channels(s, w)
    return c.sign() * (c.abs() + 1e-12) ** sigplus(n["p"][o]) + n["bias"][o]


def _batchelor(s, w, n, o, weight):
    c = _channels(s, w)
    return c.sign() * (c.abs() + 1e-12) ** n["p"][o]


def _hogg(s, w, n, o, weight):
    q = torch.exp(n["q"])
    c = (s * w).sum((1, 2, 3)) / ((s.flatten(1).norm(dim=1) + q) * (weight.norm() + q))
    return c.sign() * (c.abs() + 1e-12 + sigplus(n["bias"][o])) ** sigplus(n["p"][o])


def _ifeherva(s, w, n, o, weight):
    c = _patch_cosine(s, w, weight, lambda e: e.sqrt().clamp_min(1e-6), lambda e: e.sqrt().clamp_min(1e-6))
    return c.sign() * (c.abs() + 1e-12 + sigplus(n["bias"][o])) ** sigplus(n["p"][o])


def _hukkelas(s, w, n, o, weight):
    q = (n["q"] / 100) ** 2
    c = _patch_cosine(s, w, weight, lambda e: (e + 1e-12).sqrt() + q, lambda e: e.sqrt() + 1e-12 + q)
    return c.sign() * (c.abs() + 1e-12) ** ((n["p"][o] / 10) ** 2)


def _zimonitrome(s, w, n, o, weight):
    dot = (s * w).sum((1, 2, 3)) / (w.norm() + n["q"] ** 2 / 10)
    c = (dot + n.get("bias", torch.zeros(len(weight)))[o]) / (s.square().sum((1, 2, 3)) + 1e-6).sqrt()
    return c.sign() * (c.abs() + 1e-6) ** ((n["p"][o] / 100) ** 2)


def _pisoni(s, w, n, o, weight):
    q = n["q"] ** 2 / 10
    c = _patch_cosine(
        s, w, weight, lambda e: e.clamp_min(1e-12).sqrt() + q, lambda e: e.clamp_min(1e-12).sqrt() + q
    )  # fmt: skip
    return c.sign() * (c.abs() + 1e-12) ** (n["p"][o] ** 2 / 100)


FORMULAS = {
    "rohrer_feb2022": _february,
    "rohrer_mar2022": _rohrer(lambda q: torch.exp(-q / 0.3), lambda p: torch.exp(p / 5)),
    "rohrer_apr2022": _april,
    "rohrer_may2022": _rohrer(torch.exp, lambda p: p),
    "wang": _wang,
    "batchelor": _batchelor,
    "hogg": _hogg,
    "ifeherva": _ifeherva,
    "hukkelas": _hukkelas,
    "zimonitrome": _zimonitrome,
    "pisoni": _pisoni,
}


def evaluate(layer, x):
    """Return what the published formula gives for the layer's numbers: (B, O, H', W')."""
    numbers = {"p": layer.raw_p.detach()}
    if layer.raw_q is not None:
        numbers["q"] = layer.raw_q.detach()
    if layer.bias is not None:
        numbers["bias"] = layer.bias.detach()
    weight = layer.weight.detach()
    formula = FORMULAS[layer.form.name]
    places = {
        (i, j): torch.stack([formula(s, w, numbers, o, weight) for o, w in enumerate(weight)], 1)
        for i, j, s in patches(x, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    }
    height, width = (1 + max(place[axis] for place in places) for axis in (0, 1))
    rows = [torch.stack([places[i, j] for j in range(width)], -1) for i in range(height)]
    return torch.stack(rows, -2)
