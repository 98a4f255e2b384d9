"""A pool that directly follows a sharpened layer is taken in before the power, for less work and the same result.

The signed power grows with its base and keeps its sign, so the largest value of a window, or the largest magnitude, is
found among the bases just as well; and then only what the pool leaves needs a logarithm and an exponential: a quarter
of the places after a 2x2 pool.

The same up to rounding, that is. The power rounds, so two bases of opposite sign and nearly equal size may have had
powers of one size; MaxAbsPool2d took the positive one then, and takes the larger base now.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from torch import nn

from scs_study.layers import MaxAbsPool2d
from scs_study.layers.registry import LAYERS

POOLS = (nn.MaxPool2d, MaxAbsPool2d)


def fuse_pools(network: nn.Module) -> nn.Module:
    """Return the same network, changed in place: a pool that follows a sharpened layer in an nn.Sequential is the
    layer's own.

    The names and the order of all parameters stay; what a hook on such a layer sees is pooled. Left alone: a layer or a
    pool that stands in several places, a pool that returns its indices, and subclasses, which may do something else.
    """
    fusing = {spec.module for spec in LAYERS.values() if spec.pools}
    places = Counter(id(module) for _, module in network.named_modules(remove_duplicate=False))
    for parent in list(network.modules()):
        if not isinstance(parent, nn.Sequential) or type(parent).forward is not nn.Sequential.forward:
            continue
        # Not named_children, which leaves out a module that stands here for the second time.
        for (_, layer), (name, pool) in pairwise(list(parent._modules.items())):
            if type(layer) in fusing and _takes_in(pool) and places[id(layer)] == places[id(pool)] == 1:
                layer.pool = pool
                setattr(parent, name, nn.Identity())
    return network


def _takes_in(pool: nn.Module | None) -> bool:
    return isinstance(pool, POOLS) and type(pool) in POOLS and not pool.return_indices
