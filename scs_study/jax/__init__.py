"""The studied layers for JAX: pure functions, Equinox modules, conversion from and to torch. Needs `scs-study[jax]`.

The modules are Equinox's and not Flax's: a layer is then a pytree of its arrays, which jax.jit, jax.grad and jax.vmap
take as it is, and a user of Flax, Haiku or plain JAX calls the functions. Equinox brings half a megabyte, flax.nnx more
than a hundred with what it needs. torch is imported by `from_torch` and `to_torch` alone.
"""

from scs_study.jax.convert import from_torch, to_torch
from scs_study.jax.functional import max_abs_pool2d, sharpened_cosine_similarity, sharpened_dot_product
from scs_study.jax.modules import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d

__all__ = [
    "MaxAbsPool2d",
    "SharpenedCosineSimilarity2d",
    "SharpenedDotProduct2d",
    "from_torch",
    "max_abs_pool2d",
    "sharpened_cosine_similarity",
    "sharpened_dot_product",
    "to_torch",
]
