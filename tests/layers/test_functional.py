"""The functional forms against their definition, forward and backward."""

from __future__ import annotations

import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scs_study.layers import sharpened_cosine_similarity, sharpened_dot_product
from scs_study.layers.functional import cosine_power, dot_power
from tests.layers import reference

DOUBLE = {"dtype": torch.float64}


def draw(seed, batch=2, groups=1, fan=2, per_group=2, size=(6, 5), kernel=(3, 2), **kw):
    """Return x, weight, p, q with fixed random content; every one a leaf that wants its gradient."""
    g = torch.Generator().manual_seed(seed)
    kw = kw or DOUBLE
    x = torch.randn(batch, groups * fan, *size, generator=g, **kw)
    weight = torch.randn(groups * per_group, fan, *kernel, generator=g, **kw)
    p = torch.rand(groups * per_group, generator=g, **kw) * 2 + 0.5
    q = torch.rand((), generator=g, **kw) * 0.3
    return [t.requires_grad_() for t in (x, weight, p, q)]


def assert_same_with_gradients(ours, theirs, leaves, rtol=1e-9, atol=1e-10):
    torch.testing.assert_close(ours, theirs, rtol=rtol, atol=atol)
    direction = torch.cos(torch.arange(ours.numel(), dtype=ours.dtype)).view_as(ours)
    got = torch.autograd.grad(ours, leaves, direction)
    expected = torch.autograd.grad(theirs, leaves, direction)
    for g, e in zip(got, expected, strict=True):
        torch.testing.assert_close(g, e, rtol=rtol, atol=atol)


shapes = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**16),
        "batch": st.integers(1, 3),
        "groups": st.integers(1, 3),
        "fan": st.integers(1, 2),
        "per_group": st.integers(1, 2),
        "size": st.tuples(st.integers(3, 6), st.integers(3, 6)),
        "kernel": st.tuples(st.integers(1, 3), st.integers(1, 3)),
    }
)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
paddings = st.tuples(st.integers(0, 3), st.integers(0, 3))


@settings(max_examples=40)
@given(shape=shapes, stride=pairs, padding=paddings, channels_last=st.booleans())
def test_cosine_similarity_is_its_definition(shape, stride, padding, channels_last):
    leaves = draw(**shape)
    x = leaves[0].contiguous(memory_format=torch.channels_last) if channels_last else leaves[0]
    options = {"stride": stride, "padding": padding, "groups": shape["groups"], "eps": 1e-3}
    ours = sharpened_cosine_similarity(x, *leaves[1:], **options)
    assert_same_with_gradients(ours, reference.layer(*leaves, **options), leaves)


@settings(max_examples=25)
@given(shape=shapes, stride=pairs, padding=paddings)
def test_dot_product_is_its_definition(shape, stride, padding):
    x, weight, p, q = draw(**shape)
    options = {"stride": stride, "padding": padding, "groups": shape["groups"], "eps": 1e-3}
    ours = sharpened_dot_product(x, weight, p, **options)
    assert_same_with_gradients(ours, reference.layer(x, weight, p, q, cosine=False, **options), [x, weight, p])


@settings(max_examples=15)
@given(seed=st.integers(0, 99), dilation=pairs, stride=pairs, padding=paddings, groups=st.integers(1, 2))
def test_dilation_is_its_definition(seed, dilation, stride, padding, groups):
    leaves = draw(seed, groups=groups, size=(8, 8))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "eps": 1e-6}
    assert_same_with_gradients(cosine_power(*leaves, **options), reference.layer(*leaves, **options), leaves)
    ours = dot_power(*leaves[:3], **options)
    assert_same_with_gradients(ours, reference.layer(*leaves, cosine=False, **options), leaves[:3])


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_batch_worked_on_in_pieces_is_its_definition(channels_last, monkeypatch):
    monkeypatch.setattr("scs_study.layers.autograd.CHUNK", 100)
    leaves = draw(3, batch=5, groups=2)
    x = leaves[0].contiguous(memory_format=torch.channels_last) if channels_last else leaves[0]
    ours = sharpened_cosine_similarity(x, *leaves[1:], padding=1, groups=2)
    assert_same_with_gradients(ours, reference.layer(*leaves, padding=(1, 1), groups=2), leaves)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_stays_close_to_float64_and_keeps_its_dtype(dtype):
    exact = draw(5, size=(8, 8))
    low = [t.detach().to(dtype).requires_grad_() for t in exact]
    tolerance = {torch.float32: 1e-5, torch.bfloat16: 0.05}[dtype]
    y = sharpened_cosine_similarity(*low, padding=1)
    assert y.dtype == dtype
    expected = sharpened_cosine_similarity(*exact, padding=1)
    torch.testing.assert_close(y.double(), expected, rtol=tolerance, atol=tolerance)
    y.sum().backward()
    assert all(torch.isfinite(t.grad).all() and t.grad.dtype == dtype for t in low)


GEOMETRIES = [
    {},
    {"stride": 2},
    {"stride": (1, 2), "padding": (2, 0)},
    {"padding": "same"},
    {"padding": "valid"},
    {"groups": 2, "padding": 1},
    {"groups": 4},
]


@pytest.mark.parametrize("p_kind", ["vector", "scalar", "float"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_gradcheck(geometry, p_kind):
    groups = geometry.get("groups", 1)
    x, weight, p, q = draw(7, groups=groups, fan=4 // groups, per_group=4 // groups, size=(4, 4), batch=1)
    p = {"vector": p, "scalar": p.detach()[0].clone().requires_grad_(), "float": 1.7}[p_kind]
    if p_kind == "float":
        assert torch.autograd.gradcheck(
            lambda x, w, q: sharpened_cosine_similarity(x, w, p, q, **geometry), (x, weight, q), fast_mode=True
        )
        assert torch.autograd.gradcheck(
            lambda x, w: sharpened_dot_product(x, w, p, **geometry), (x, weight), fast_mode=True
        )
    else:
        assert torch.autograd.gradcheck(
            lambda *a: sharpened_cosine_similarity(*a, **geometry), (x, weight, p, q), fast_mode=True
        )
        assert torch.autograd.gradcheck(
            lambda *a: sharpened_dot_product(*a, **geometry), (x, weight, p), fast_mode=True
        )


def test_second_derivatives_are_right():
    leaves = draw(11, size=(4, 4), batch=1)
    # fast_mode off would take long; eps of the norm is raised to keep finite differences well conditioned
    assert torch.autograd.gradgradcheck(
        lambda *a: sharpened_cosine_similarity(*a, padding=1, eps=1e-2), leaves, fast_mode=True
    )
    assert torch.autograd.gradgradcheck(lambda *a: sharpened_dot_product(*a, eps=1e-2), leaves[:3], fast_mode=True)


def convolve(x, weight, padding):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Using padding='same' with even kernel")
        return torch.nn.functional.conv2d(x, weight, padding=padding)


@pytest.mark.parametrize("padding", [0, 1, (2, 1), "valid", "same"])
def test_the_output_has_the_shape_of_a_convolution(padding):
    x, weight, p, q = draw(13, size=(7, 6), kernel=(2, 3))
    expected = convolve(x, weight, padding).shape
    assert sharpened_cosine_similarity(x, weight, p, q, padding=padding).shape == expected
    assert sharpened_dot_product(x, weight, p, padding=padding).shape == expected


def test_same_padding_of_an_even_kernel_goes_where_conv2d_puts_it():
    x, weight, _, _ = draw(17, kernel=(2, 4))
    c = sharpened_dot_product(x, weight, 1.0, padding="same", eps=1e-12)
    torch.testing.assert_close(c, convolve(x, weight, "same"))


@pytest.mark.parametrize("p", [0.1, 0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_empty_kernels_and_empty_patches_give_zeros_and_finite_gradients(p, dtype):
    x, weight, _, q = (t.detach() for t in draw(19, size=(8, 8), dtype=dtype))
    x[:, :, :4] = 0
    x[1] = 0
    weight[1] = 0
    exponents = torch.full((2,), p, dtype=dtype)
    leaves = [t.clone().requires_grad_() for t in (x, weight, exponents, q)]
    y = sharpened_cosine_similarity(*leaves, padding=1)
    assert torch.equal(y[:, 1], torch.zeros_like(y[:, 1]))
    assert torch.equal(y[1], torch.zeros_like(y[1]))
    dot = sharpened_dot_product(*leaves[:3], padding=1)
    for result, used in ((y, leaves), (dot, leaves[:3])):
        assert torch.isfinite(result).all()
        assert all(torch.isfinite(g).all() for g in torch.autograd.grad(result.sum(), used))


def test_at_exactly_zero_the_gradient_is_zero():
    x = torch.tensor([[[[1.0, 1.0]]]], requires_grad=True)
    weight = torch.tensor([[[[1.0, -1.0]]]], requires_grad=True)
    p = torch.tensor([0.5], requires_grad=True)
    for y in (sharpened_cosine_similarity(x, weight, p, 0.1), sharpened_dot_product(x, weight, p)):
        assert y.item() == 0
        assert all(not g.any() for g in torch.autograd.grad(y, (x, weight, p)))


@settings(max_examples=25)
@given(seed=st.integers(0, 999), scale=st.floats(1e-3, 1e3))
def test_the_length_of_a_kernel_does_not_matter(seed, scale):
    x, weight, p, q = draw(seed)
    torch.testing.assert_close(
        sharpened_cosine_similarity(x, weight * scale, p, q), sharpened_cosine_similarity(x, weight, p, q)
    )


@settings(max_examples=25)
@given(seed=st.integers(0, 999), padding=st.integers(0, 2), scale=st.floats(1e-3, 1e3))
def test_a_cosine_is_at_most_one(seed, padding, scale):
    x, weight, _, _ = draw(seed)
    c = sharpened_cosine_similarity(x * scale, weight, 1.0, 0.0, padding=padding, eps=1e-12)
    assert c.abs().max() <= 1 + 1e-9


def test_a_patch_equal_to_its_kernel_has_similarity_one():
    weight = draw(23, kernel=(3, 3))[1].detach()
    x = torch.cat([weight[:1], -weight[:1]])
    y = sharpened_cosine_similarity(x, weight[:1], 3.0, 0.0, eps=1e-12)
    torch.testing.assert_close(y.flatten(), torch.tensor([1.0, -1.0], **DOUBLE))


def test_the_kernel_gradient_is_orthogonal_to_the_kernel():
    leaves = draw(29)
    weight = leaves[1]
    (g,) = torch.autograd.grad(sharpened_cosine_similarity(*leaves).square().sum(), weight)
    torch.testing.assert_close((g * weight).sum((1, 2, 3)), torch.zeros(2, **DOUBLE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.rand(2, 5, 5)}, "x must be"),
        ({"weight": torch.rand(4, 2)}, "weight must be"),
        ({"x": torch.rand(1, 3, 5, 5)}, "do not fit 3 channels"),
        ({"groups": 3}, "do not fit"),
        ({"p": torch.rand(3)}, "p must be one number or one per kernel"),
        ({"eps": -1.0}, "eps must not be negative"),
        ({"padding": "full"}, "padding must be"),
        ({"padding": -1}, "padding must not be negative"),
        ({"padding": "same", "stride": 2}, "needs stride 1"),
        ({"stride": (1, 2, 3)}, "stride must be one int or 2 of them"),
    ],
)
def test_wrong_operands_are_refused_in_one_sentence(change, message):
    arguments = {"x": torch.rand(1, 2, 5, 5), "weight": torch.rand(4, 2, 3, 3), "p": 1.0} | change
    x, weight, p = (arguments.pop(name) for name in ("x", "weight", "p"))
    with pytest.raises(ValueError, match=message):
        sharpened_dot_product(x, weight, p, **arguments)
    with pytest.raises(ValueError, match=message):
        sharpened_cosine_similarity(x, weight, p, 0.1, **arguments)


def test_q_is_one_number():
    x, weight, p, _ = draw(31)
    with pytest.raises(ValueError, match="q must be one number"):
        sharpened_cosine_similarity(x, weight, p, torch.rand(2))


@pytest.mark.parametrize("groups", [1, 2])
def test_an_empty_batch_gives_an_empty_output_and_zero_gradients(groups: int) -> None:
    x = torch.zeros(0, 2, 5, 5, requires_grad=True)
    weight = torch.randn(4, 2 // groups, 3, 3, requires_grad=True)
    for y in (
        sharpened_cosine_similarity(x, weight, 2.0, 0.1, groups=groups),
        sharpened_dot_product(x, weight, 2.0, groups=groups),
    ):
        assert y.shape == (0, 4, 3, 3)
        (gradient,) = torch.autograd.grad(y.sum(), weight)
        assert not gradient.any()
