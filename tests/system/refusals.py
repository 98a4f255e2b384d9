"""What each framework says of bad arguments: python -m tests.system.refusals torch|jax|keras prints {case: sentence}.

A process for each: JAX starts threads, and Keras takes one backend a process.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

LAYER: dict[str, tuple[dict[str, Any], str]] = {
    "no kernel": ({"kernel_size": 0}, "kernel_size must be at least 1, got 0"),
    "a kernel of three sides": ({"kernel_size": (3, 3, 3)}, "kernel_size must be one int or 2 of them, got (3, 3, 3)"),
    "a kernel of halves": ({"kernel_size": 2.5}, "kernel_size must be one int or 2 of them, got 2.5"),
    "no step": ({"stride": 0}, "stride must be at least 1, got 0"),
    "one step": ({"stride": (1,)}, "stride must be one int or 2 of them, got (1,)"),
    "a negative dilation": ({"dilation": -1}, "dilation must be at least 1, got -1"),
    "another word": ({"padding": "full"}, "padding must be 'same', 'valid', one int or 2 of them, got 'full'"),
    "a negative padding": ({"padding": -1}, "padding must not be negative, got -1"),
    "a padding of three sides": ({"padding": (1, 2, 3)}, "padding must be one int or 2 of them, got (1, 2, 3)"),
    "same in steps": ({"padding": "same", "stride": 2}, "padding 'same' needs stride 1, got stride (2, 2)"),
    "groups that do not fit": (
        {"groups": 2},
        "in_channels and out_channels must be positive multiples of groups, got 3, 8, 2",
    ),
    "no outputs": (
        {"in_channels": 1, "out_channels": 0},
        "in_channels and out_channels must be positive multiples of groups, got 1, 0, 1",
    ),
    "a negative p": ({"p": -1.0}, "a fixed p must be positive, got -1.0"),
    "p of zero": ({"p": 0}, "a fixed p must be positive, got 0"),
    "a falling range": ({"p_init": (3.0, 1.0)}, "p_init must be (low, high) with 0.1 <= low <= high, got (3.0, 1.0)"),
    "one number as a range": ({"p_init": (1.0,)}, "p_init must be (low, high) with 0.1 <= low <= high, got (1.0,)"),
    "a negative eps": ({"eps": -1e-6}, "eps must not be negative, got -1e-06"),
}
"""By case the arguments of both sharpened layers, in torch's names, and the sentence."""
COSINE: dict[str, tuple[dict[str, Any], str]] = {
    "no largest weight": ({"w_max": 0.0}, "w_max must be positive or None, got 0.0"),
}
INPUT: dict[str, tuple[tuple[int, ...], str]] = {
    "no image": ((3, 8), "expected (batch, 3, height, width), got shape (3, 8)"),
    "a film": ((1, 2, 3, 8, 8), "expected (batch, 3, height, width), got shape (1, 2, 3, 8, 8)"),
    "other channels": ((2, 4, 8, 8), "expected (batch, 3, height, width), got shape (2, 4, 8, 8)"),
}
POOL: dict[str, tuple[dict[str, Any], str]] = {
    "a pool of nothing": ({"kernel_size": 0}, "kernel_size must be at least 1, got 0"),
    "a pool of three sides": ({"kernel_size": (2, 2, 2)}, "kernel_size must be one int or 2 of them, got (2, 2, 2)"),
    "a pool without a step": ({"kernel_size": 2, "stride": 0}, "stride must be at least 1, got 0"),
    "a padding beyond half": (
        {"kernel_size": 2, "padding": 2},
        "padding must be between 0 and half of kernel_size (2, 2), got 2",
    ),
}
FUNCTION: dict[str, tuple[tuple[tuple[int, ...], ...], str]] = {
    "x of another rank": (
        ((3, 8, 8), (4, 3, 3, 3), (), ()),
        "x must be (batch, channels, height, width), got shape (3, 8, 8)",
    ),
    "kernels of another rank": (
        ((2, 3, 8, 8), (4, 3, 3), (), ()),
        "weight must be (kernels, channels/groups, height, width), got shape (4, 3, 3)",
    ),
    "kernels of other channels": (
        ((2, 3, 8, 8), (4, 2, 3, 3), (), ()),
        "4 kernels of 2 channels in 1 groups do not fit 3 channels",
    ),
    "exponents of others": (
        ((2, 3, 8, 8), (4, 3, 3, 3), (3,), ()),
        "p must be one number or one per kernel (4), got shape (3,)",
    ),
    "a floor each": (
        ((2, 3, 8, 8), (4, 3, 3, 3), (), (4,)),
        "q must be one number for the whole layer, got shape (4,)",
    ),
}
"""By case the shapes of x, weight, p and q."""
WHOLE = {"in_channels": 3, "out_channels": 8, "kernel_size": 3}
NAMES = {"out_channels": "filters", "stride": "strides", "dilation": "dilation_rate"}
"""What Keras calls these, as its Conv2D does."""
STEPPED = ("same in steps", "a pool without a step", "a padding beyond half")
"""Nothing wrong in Keras, whose Conv2D takes 'same' with strides, or nothing that its pool can be asked for."""


def expected(framework: str) -> dict[str, str]:
    """The sentences that the framework is to say, by layer and case."""
    found = {f"{kind}: {case}": says for kind in ("cosine", "dot") for case, (_, says) in LAYER.items()}
    found |= {f"cosine: {case}": says for case, (_, says) in COSINE.items()}
    found |= {f"{kind}: {case}": says for kind in ("cosine", "dot") for case, (_, says) in INPUT.items()}
    found |= {f"pool: {case}": says for case, (_, says) in POOL.items()}
    if framework != "keras":
        return found | {f"function: {case}": says for case, (_, says) in FUNCTION.items()}
    found = {key: says for key, says in found.items() if key.partition(": ")[2] not in STEPPED}
    words = {f"{ours} must": f"{theirs} must" for ours, theirs in NAMES.items()}
    return {
        key: functools.reduce(
            lambda text, pair: text.replace(*pair) if text.startswith(pair[0]) else text,
            [*words.items(), *([("kernel_size", "pool_size")] if key.startswith("pool") else [])],
            says,
        )
        for key, says in found.items()
    }


def said_by(framework: str) -> dict[str, str]:
    """What the framework says of every case."""
    make, image, pool, function = FRAMEWORKS[framework]()
    found: dict[str, str] = {}
    for kind in ("cosine", "dot"):
        for case, (arguments, _) in {**LAYER, **(COSINE if kind == "cosine" else {})}.items():
            found[f"{kind}: {case}"] = _refusal(lambda k=kind, a=arguments: make(k, **{**WHOLE, **a}))
        layer = make(kind, **WHOLE)
        for case, (shape, _) in INPUT.items():
            found[f"{kind}: {case}"] = _refusal(lambda s=shape, on=layer: on(image(s)))
    for case, (arguments, _) in POOL.items():
        found[f"pool: {case}"] = _refusal(lambda a=arguments: pool(**a))
    if function is None:
        return {key: says for key, says in found.items() if key.partition(": ")[2] not in STEPPED}
    for case, (shapes, _) in FUNCTION.items():
        found[f"function: {case}"] = _refusal(lambda s=shapes: function(*map(image, s)))
    return found


def _refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except ValueError as error:
        return str(error)
    return "nothing"


def _torch() -> tuple[Any, ...]:
    import torch

    from scs_study import layers

    kinds = {"cosine": layers.SharpenedCosineSimilarity2d, "dot": layers.SharpenedDotProduct2d}
    function = layers.sharpened_cosine_similarity
    return lambda kind, **a: kinds[kind](**a), torch.ones, layers.MaxAbsPool2d, function


def _jax() -> tuple[Any, ...]:
    import jax

    from scs_study import jax as ours

    kinds = {"cosine": ours.SharpenedCosineSimilarity2d, "dot": ours.SharpenedDotProduct2d}
    key = jax.random.key(0)
    function = ours.sharpened_cosine_similarity
    return lambda kind, **a: kinds[kind](**a, key=key), jax.numpy.ones, ours.MaxAbsPool2d, function


def _keras() -> tuple[Any, ...]:
    from scs_study import keras as ours

    kinds = {"cosine": ours.SharpenedCosineSimilarity2D, "dot": ours.SharpenedDotProduct2D}

    def make(kind: str, in_channels: int, **arguments: Any) -> Any:
        named = {NAMES.get(key, key): value for key, value in arguments.items()}
        layer = kinds[kind](**named, data_format="channels_first")
        layer.build((None, in_channels, 8, 8))
        return layer

    def pool(kernel_size: Any, **_: Any) -> Any:
        return ours.MaxAbsPool2D(kernel_size)

    return make, lambda shape: np.ones(shape, np.float32), pool, None


FRAMEWORKS: dict[str, Callable[[], tuple[Any, ...]]] = {"torch": _torch, "jax": _jax, "keras": _keras}

if __name__ == "__main__":
    print(json.dumps(said_by(sys.argv[1])))
