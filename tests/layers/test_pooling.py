"""MaxAbsPool against its definition, and against MaxPool where the two are the same function."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from scs_study.layers import MaxAbsPool2d, max_abs_pool2d
from tests.layers import reference


@st.composite
def pools(draw):
    """Kernel, stride, padding and ceil_mode as MaxPool2d accepts them: padding at most half the kernel."""
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = draw(st.none() | st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}


sizes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(4, 8), st.integers(4, 8))


@settings(max_examples=60)
@given(pool=pools(), size=sizes, seed=st.integers(0, 999), ties=st.booleans(), channels_last=st.booleans())
def test_each_value_is_the_largest_magnitude_of_its_window(pool, size, seed, ties, channels_last):
    x = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = x.round() if ties else x
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    y = max_abs_pool2d(x, **pool)
    assert y.shape == F.max_pool2d(x, **pool).shape
    (kh, kw), (ph, pw) = pool["kernel_size"], pool["padding"]
    sh, sw = pool["stride"] or pool["kernel_size"]
    for b, c, i, j in torch.cartesian_prod(*(torch.arange(n) for n in y.shape)).tolist():
        top, left = i * sh - ph, j * sw - pw
        window = x[b, c, max(top, 0) : top + kh, max(left, 0) : left + kw]
        assert y[b, c, i, j] == reference.max_abs(window)


@settings(max_examples=40)
@given(pool=pools(), size=sizes, seed=st.integers(0, 999), ties=st.booleans(), channels_last=st.booleans())
def test_after_a_relu_it_is_max_pooling_in_values_and_gradients(pool, size, seed, ties, channels_last):
    x = torch.randn(size, generator=torch.Generator().manual_seed(seed))
    x = (x.round() if ties else x).relu()
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    results = []
    for function in (max_abs_pool2d, F.max_pool2d):
        leaf = x.clone().requires_grad_()
        y = function(leaf, **pool)
        (g,) = torch.autograd.grad((y * torch.arange(1, 1 + y.numel()).view_as(y)).sum(), leaf)
        results.append((y, g))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


@settings(max_examples=30)
@given(pool=pools(), size=sizes, seed=st.integers(0, 999), ties=st.booleans())
def test_the_gradient_of_a_window_goes_to_one_element_that_holds_its_value(pool, size, seed, ties):
    x = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = (x.round() if ties else x).requires_grad_()
    y = max_abs_pool2d(x, **pool)
    for position in range(min(y.numel(), 12)):
        (g,) = torch.autograd.grad(y.flatten()[position], x, retain_graph=True)
        assert g.count_nonzero() == 1
        assert g.sum() == 1
        assert x[g != 0] == y.flatten()[position]


@pytest.mark.parametrize("window", [[[-2.0, 1.0], [2.0, 0.0]], [[2.0, 1.0], [-2.0, 0.0]]])
def test_equal_magnitudes_give_the_positive_one(window):
    assert max_abs_pool2d(torch.tensor([[window]]), 2).item() == 2


def test_infinities_and_nan_are_kept():
    inf = float("inf")
    x = torch.tensor([[[[inf, -inf, -inf, 1.0, float("nan"), 1.0]]]])
    y = max_abs_pool2d(x, (1, 2)).flatten()
    assert y[0] == inf
    assert y[1] == -inf
    assert y[2].isnan()


def test_padding_never_wins():
    x = torch.full((1, 1, 3, 3), -1e-30)
    assert torch.equal(max_abs_pool2d(x, 3, 2, 1), torch.full((1, 1, 2, 2), -1e-30))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_it_keeps_the_dtype(dtype):
    x = torch.randn(1, 2, 4, 4).to(dtype).requires_grad_()
    y = max_abs_pool2d(x, 2)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype


def test_the_module_takes_the_arguments_of_maxpool2d_in_order():
    x = torch.randn(2, 3, 9, 9)
    arguments = (3, 2, 1, 2, True, True)
    values, indices = MaxAbsPool2d(*arguments)(x)
    high, _ = nn.MaxPool2d(*arguments)(x)
    assert values.shape == high.shape
    assert torch.equal(values, x.flatten(2).gather(2, indices.flatten(2)).view_as(values))
    assert repr(MaxAbsPool2d(3, 2)) == repr(nn.MaxPool2d(3, 2)).replace("MaxPool2d", "MaxAbsPool2d")


def test_pieces_of_a_batch_give_the_whole(monkeypatch):
    x = torch.randn(7, 3, 6, 6, requires_grad=True)
    whole = max_abs_pool2d(x, 3, 2, 1, True)
    (g,) = torch.autograd.grad(whole.square().sum(), x)
    monkeypatch.setattr("scs_study.layers.autograd.CHUNK", 200)
    parts = max_abs_pool2d(x, 3, 2, 1, True)
    assert torch.equal(whole, parts)
    assert torch.equal(g, torch.autograd.grad(parts.square().sum(), x)[0])


def test_gradcheck_and_second_derivative():
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: max_abs_pool2d(x, 3, 2, 1, True), x)
    assert torch.autograd.gradgradcheck(lambda x: max_abs_pool2d(x, 2).pow(3), x)


def test_vmap_grad_and_compile_agree_with_eager():
    x = torch.randn(3, 2, 2, 6, 6)

    def total(x):
        return max_abs_pool2d(x, 2).pow(3).sum()

    expected = torch.stack([torch.func.grad(total)(part) for part in x])
    assert torch.equal(torch.func.vmap(torch.func.grad(total))(x), expected)
    assert torch.equal(torch.func.grad(lambda x: torch.func.vmap(total)(x).sum())(x), expected)
    compiled = torch.compile(total, fullgraph=True, backend="aot_eager")
    leaf = x[0].clone().requires_grad_()
    compiled(leaf).backward()
    assert torch.equal(leaf.grad, expected[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 0}, "at least 1"),
        ({"kernel_size": 2, "stride": 0}, "at least 1"),
        ({"kernel_size": 2, "padding": 2}, "half of kernel_size"),
        ({"kernel_size": (2, 2, 2)}, "kernel_size must be one int or 2 of them"),
    ],
)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaxAbsPool2d(**arguments)
    with pytest.raises(ValueError, match=message):
        max_abs_pool2d(torch.rand(1, 1, 4, 4), **arguments)


def test_a_single_image_may_come_without_a_batch_as_in_maxpool2d():
    x = torch.randn(2, 3, 9, 9)
    assert torch.equal(MaxAbsPool2d(2)(x[0]), MaxAbsPool2d(2)(x)[0])
    values, indices = MaxAbsPool2d(3, 2, 1, 1, True, True)(x[1])
    assert values.shape == indices.shape == nn.MaxPool2d(3, 2, 1, ceil_mode=True)(x[1]).shape
    with pytest.raises(ValueError, match="x must be"):
        MaxAbsPool2d(2)(x[0, 0])
