"""The JAX layers against the torch layers with the same numbers, and the company they keep: jit, grad, vmap."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax.test_util import check_grads
from torch import nn

from scs_study import layers
from scs_study.jax import (
    MaxAbsPool2d,
    SharpenedCosineSimilarity2d,
    SharpenedDotProduct2d,
    from_torch,
    max_abs_pool2d,
    sharpened_cosine_similarity,
    to_torch,
)
from scs_study.models.architectures import rohrer25k, rohrer68k

KEY = jax.random.key(0)
called = eqx.filter_jit(lambda layer, x: layer(x))
"""A layer's output by one program: compiled one by one, its operations take longer than all else here."""
KINDS = {
    "may2022": (layers.SharpenedCosineSimilarity2d, {}),
    "mar2022": (layers.SharpenedCosineSimilarity2d, {"parameterisation": "mar2022"}),
    "no clamp": (layers.SharpenedCosineSimilarity2d, {"w_max": None}),
    "p=2": (layers.SharpenedCosineSimilarity2d, {"p": 2.0}),
    "sdp": (layers.SharpenedDotProduct2d, {}),
    "sdp p=0.5": (layers.SharpenedDotProduct2d, {"p": 0.5}),
}
GEOMETRIES = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same", "dilation": 2},
    {"groups": 2, "padding": (2, 0)},
    {"groups": 4, "stride": (1, 2)},
]


def build(name, **geometry):
    torch.manual_seed(0)
    kind, options = KINDS[name]
    return kind(4, 8, (3, 2), **geometry, **options)


@pytest.fixture(params=KINDS, ids=str)
def module(request):
    return build(request.param)


def images(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).numpy()


def torch_grads(module, x, weights):
    x = torch.from_numpy(x).requires_grad_()
    (module(x) * torch.from_numpy(weights)).sum().backward()
    return x.grad.numpy(), {name: p.grad.numpy() for name, p in module.named_parameters()}


CASES = [("may2022", geometry) for geometry in GEOMETRIES] + [
    (name, GEOMETRIES[1]) for name in KINDS if name != "may2022"
]


@pytest.mark.parametrize(("name", "geometry"), CASES, ids=str)
def test_outputs_and_gradients_equal_torchs(name, geometry):
    module = build(name, **geometry)
    layer = from_torch(module)
    x = images(2, 4, 7, 6)
    y = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(called(layer, x), y, rtol=1e-5, atol=1e-5)
    weights = images(*y.shape)
    loss = lambda layer, x: (layer(x) * weights).sum()  # noqa: E731
    by_layer, by_x = eqx.filter_jit(jax.grad(loss, (0, 1)))(layer, jnp.asarray(x))
    wanted_x, wanted = torch_grads(module, x, weights)
    scale = np.abs(wanted_x).max()
    np.testing.assert_allclose(by_x / scale, wanted_x / scale, atol=2e-5)
    for name, grad in wanted.items():
        np.testing.assert_allclose(getattr(by_layer, name), grad, rtol=1e-4, atol=1e-5 * np.abs(grad).max())


def test_there_and_back_changes_no_bit(module):
    back = to_torch(from_torch(module))
    assert type(back) is type(module)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), back.parameters(), strict=True))
    assert repr(back) == repr(module)


def test_one_image_a_batch_and_vmap_agree(module):
    layer = from_torch(module)
    x = jnp.asarray(images(3, 4, 7, 6))
    batch, mapped, single = eqx.filter_jit(lambda layer, x: (layer(x), jax.vmap(layer)(x), layer(x[0])))(layer, x)
    np.testing.assert_allclose(mapped, batch, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(single, batch[0], rtol=1e-5, atol=1e-6)


def test_gradients_in_float64():
    with jax.enable_x64(True):
        x, weight = (jnp.asarray(images(*shape), jnp.float64) for shape in ((1, 4, 4, 4), (4, 2, 2, 2)))
        p = jnp.array([0.7, 1.0, 2.0, 3.1], jnp.float64)
        check_grads(
            jax.jit(lambda x, weight, p, q: sharpened_cosine_similarity(x, weight, p, q, groups=2, padding=1)),
            (x, weight, p, jnp.asarray(0.1, jnp.float64)),
            order=1,
            modes=("fwd", "rev"),
        )


def test_empty_images_and_kernels_give_zeros_and_finite_gradients():
    layer = SharpenedCosineSimilarity2d(3, 4, 3, key=KEY)
    layer = eqx.tree_at(lambda found: found.weight, layer, layer.weight.at[0].set(0.0))
    x = jnp.zeros((1, 3, 6, 6)).at[..., 3:].set(1.0)
    y, grads = eqx.filter_jit(jax.value_and_grad(lambda layer: layer(x).sum()))(layer)
    assert not called(layer, x)[:, 0].any()
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((y, grads)))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_keeps_norm_and_power_in_float32(dtype):
    layer = SharpenedCosineSimilarity2d(3, 4, 3, key=KEY)
    half = jax.tree.map(lambda leaf: leaf.astype(dtype), layer)
    x = jnp.zeros((1, 3, 6, 6), dtype).at[..., 3:].set(1.0)
    y = called(half, x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y.astype(jnp.float32), called(layer, x.astype(jnp.float32)), atol=0.03)
    assert all(
        bool(jnp.isfinite(g).all())
        for g in jax.tree.leaves(eqx.filter_jit(jax.grad(lambda found: found(x).sum().astype(jnp.float32)))(half))
    )


def test_starts_are_torchs():
    layer = SharpenedCosineSimilarity2d(8, 256, 3, key=KEY)
    assert layer.weight.min() >= -1
    assert layer.weight.max() <= 1
    assert float(layer.weight.std()) == pytest.approx(3**-0.5, rel=0.02)
    assert 1 <= float(layer.p.min()) < float(layer.p.max()) <= 3
    assert float(layer.q) == pytest.approx(1e-3, rel=1e-5)
    march = SharpenedCosineSimilarity2d(8, 256, 3, parameterisation="mar2022", key=KEY)
    assert float(march.p[0]) == pytest.approx(np.e, rel=1e-5)
    assert float(march.q) == pytest.approx(1 / np.e, rel=1e-5)
    assert float(march.weight.std()) == pytest.approx((3 * 8 * 9) ** -0.5, rel=0.02)


def test_project_clamps_what_torchs_project_clamps(module):
    with torch.no_grad():
        module.weight.mul_(3)
        if module.fixed_p is None:
            module.raw_p[0] = -2.0
    layer = from_torch(module).project()
    module.project_()
    for name, value in module.named_parameters():
        np.testing.assert_allclose(getattr(layer, name), value.detach().numpy(), rtol=1e-6)


def test_the_jax_authors_parameterisation_stores_shifted_numbers_and_clamps_what_it_sees():
    layer = SharpenedCosineSimilarity2d(3, 64, 3, parameterisation="jax2022", key=KEY)
    assert layer.weight.min() >= 0
    assert layer.weight.max() <= 2
    assert layer.raw_p.min() >= 0
    assert layer.raw_p.max() <= 2
    far = eqx.tree_at(lambda found: (found.weight, found.raw_p), layer, (layer.weight + 5, layer.raw_p - 5))
    assert (far.kernels == 1).all()
    assert jnp.allclose(far.p, 0.1)
    beyond = eqx.filter_jit(jax.grad(lambda found: found(jnp.ones((3, 5, 5))).sum()))(far)
    assert not beyond.weight.any()
    module = to_torch(layer)
    x = images(2, 3, 8, 8)
    np.testing.assert_allclose(called(layer, x), module(torch.from_numpy(x)).detach(), atol=1e-5)


# y[0, :, 1, 2] of the public JAX code at 938c153 for w = 1 + 0.4 sin(1.3 k), p = 1 + sin(2.1 k), x = sin(0.7 k).
MEASURED = (-0.429513, 0.463437, -0.015720, -0.029748)


def test_output_is_what_the_public_jax_code_gave():
    wave = lambda shape, step: np.sin(step * np.arange(1, np.prod(shape) + 1)).reshape(shape).astype(np.float32)  # noqa: E731
    layer = SharpenedCosineSimilarity2d(3, 4, 3, parameterisation="jax2022", key=KEY)
    stored = (jnp.asarray(1 + 0.4 * wave((4, 3, 3, 3), 1.3)), jnp.asarray(1 + wave((4,), 2.1)))
    layer = eqx.tree_at(lambda found: (found.weight, found.raw_p), layer, stored)
    np.testing.assert_allclose(called(layer, wave((1, 3, 5, 5), 0.7))[0, :, 1, 2], MEASURED, atol=1e-6)


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), (4, 3, 2), ((2, 3), (1, 2), (1, 0))]
)
@pytest.mark.parametrize("size", [(7, 8), (4, 5)])
def test_pool_equals_torchs(kernel, stride, padding, ceil_mode, size):
    x = np.round(images(2, 3, *size))  # ties of either sign
    both = jax.jit(
        lambda x: (
            MaxAbsPool2d(kernel, stride, padding, ceil_mode)(x),
            max_abs_pool2d(x, kernel, stride, padding, ceil_mode, magnitudes=False),
        )
    )
    pooled, plain = both(x)
    wanted = layers.max_abs_pool2d(torch.from_numpy(x), kernel, stride, padding, ceil_mode)
    np.testing.assert_array_equal(pooled, wanted)
    stride = kernel if stride is None else stride
    np.testing.assert_array_equal(
        plain, nn.functional.max_pool2d(torch.from_numpy(x), kernel, stride, padding, ceil_mode=ceil_mode)
    )


def swapped(network, layer):
    """Return the gallery network with its convolutions and pools replaced by `layer` and MaxAbsPool2d."""
    for name, module in list(network.named_children()):
        if isinstance(module, nn.Conv2d):
            new = layer(
                module.in_channels,
                module.out_channels,
                module.kernel_size,
                module.stride,
                module.padding,
                groups=module.groups,
            )
            network.add_module(name, new)
        if isinstance(module, nn.MaxPool2d):
            network.add_module(name, layers.MaxAbsPool2d(module.kernel_size, ceil_mode=True))
        if isinstance(module, nn.ReLU):
            network.add_module(name, nn.Identity())
    return network


@pytest.mark.parametrize(
    "network",
    [
        rohrer68k,
        lambda: swapped(rohrer68k(), layers.SharpenedCosineSimilarity2d),
        lambda: swapped(rohrer25k(), layers.SharpenedDotProduct2d),
    ],
)
def test_gallery_networks_convert_there_and_back(network):
    torch.manual_seed(0)
    network = network()
    x = torch.rand(2, 3, 32, 32)
    converted = from_torch(network)
    assert jax.eval_shape(jax.vmap(converted), x.numpy()).shape == (2, 10)
    for name, layer in zip(converted.names, converted.layers, strict=True):  # on the same numbers: a pool may choose
        y = network.get_submodule(name)(x).detach()  # otherwise where the last digit differs
        np.testing.assert_allclose(jax.jit(jax.vmap(layer))(x.numpy()), y, rtol=1e-5, atol=1e-5)
        x = y
    back = to_torch(converted)
    state = network.state_dict()
    assert state.keys() == back.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in back.state_dict().items())


def test_what_is_no_chain_is_named():
    with pytest.raises(ValueError, match="BatchNorm2d"):
        from_torch(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
    with pytest.raises(ValueError, match="padding mode"):
        from_torch(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(ValueError, match="Dropout"):
        to_torch(eqx.nn.Dropout())


BAD = {
    "kernel_size": {"kernel_size": 0},
    "stride": {"stride": (1, 2, 3)},
    "dilation": {"dilation": 0},
    "padding": {"padding": "full"},
    "negative": {"padding": -1},
    "same": {"padding": "same", "stride": 2},
    "groups": {"groups": 2},
    "fixed p": {"p": -1.0},
    "p_init": {"p_init": (3.0, 1.0)},
    "eps": {"eps": -1.0},
}


@pytest.mark.parametrize("word", BAD)
@pytest.mark.parametrize("kind", [SharpenedCosineSimilarity2d, SharpenedDotProduct2d])
def test_bad_arguments_are_named_as_in_torch(word, kind):
    arguments = {"in_channels": 3, "out_channels": 8, "kernel_size": 3} | BAD[word]
    for make in (getattr(layers, kind.__name__), partial(kind, key=KEY)):
        with pytest.raises(ValueError, match=word):
            make(**arguments)


def test_bad_words_and_inputs_are_named():
    for options in ({"parameterisation": "june2022"}, {"w_max": 0.0}, {"parameterisation": "jax2022", "w_max": None}):
        with pytest.raises(ValueError, match=next(iter(options.values())) if "w_max" not in options else "w_max"):
            SharpenedCosineSimilarity2d(3, 8, 3, key=KEY, **options)
    layer = SharpenedCosineSimilarity2d(3, 8, 3, key=KEY)
    for shape in ((3, 8), (2, 4, 8, 8), (1, 2, 3, 8, 8)):
        with pytest.raises(ValueError, match="expected"):
            layer(jnp.zeros(shape))
    for bad in ({"kernel_size": 0}, {"kernel_size": 2, "padding": 2}):
        with pytest.raises(ValueError, match=list(bad)[-1]):
            MaxAbsPool2d(**bad)


def test_importing_it_imports_no_torch():
    code = "import scs_study.jax, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
