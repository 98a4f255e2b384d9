"""The compiled CPU layers against their definition in float64: values, all gradients, and what may go wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d, cpu
from scs_study.layers.functional import MIN_KERNEL_NORM, cosine_power, dot_power
from scs_study.layers.sizes import Geometry, Sides

EPS = 1e-6
TIE, SMALL = 1e-5, 3e-3
"""What comes so near to a tie, or to the power's bend at zero, is another case in float32: it gets no gradient here."""


@pytest.fixture(autouse=True)
def the_usual_kernels():
    yield
    cpu.choose("auto")


def refuse(*_: Any) -> Tensor:
    raise AssertionError("the compiled loops were meant")


def setting(geometry: Geometry, window: cpu.Window, cosine: bool) -> cpu.Settings:
    return cpu.Settings(geometry, window, MIN_KERNEL_NORM if cosine else None, refuse)


def windows_of(c: Tensor, window: cpu.Window) -> Tensor:
    """(B, O, Hp, Wp, places): what each window holds, NaN where it reaches over the edge."""
    sizes = window.size
    if window.ceil:
        c = F.pad(c, (0, -c.shape[3] % sizes[1], 0, -c.shape[2] % sizes[0]), value=float("nan"))
    return c.unfold(2, sizes[0], sizes[0]).unfold(3, sizes[1], sizes[1]).flatten(4)


def length_of(weight: Tensor, least: float | None) -> Tensor:
    if least is None:
        return torch.ones(())
    return weight.square().sum((1, 2, 3), keepdim=True).clamp_min(least**2).sqrt()


def definition(x: Tensor, unit: Tensor, p: Tensor, q: Tensor, s: cpu.Settings) -> tuple[Tensor, Tensor]:
    """The layer in the operands' own precision, and where its winners are neither close to the next nor to zero.

    p may be (O,) or one number for every output, q one number or a map, so that single terms of their gradients show.
    """
    g = s.geometry
    place: dict[str, Any] = {"stride": g.stride, "padding": g.padding, "groups": g.groups}
    if s.least is None:
        c = F.conv2d(x, unit, **place)
    else:
        ones = torch.ones_like(unit)
        c = F.conv2d(x, unit, **place) / ((F.conv2d(x.square(), ones, **place) + g.eps).sqrt() + q)
    held = windows_of(c, s.window)
    order = (held.abs() if s.window.by_size else held).nan_to_num(nan=-torch.inf)
    winner = held.gather(-1, order.argmax(-1, keepdim=True)).squeeze(-1)
    if held.shape[-1] == 1:
        clear = torch.ones_like(winner, dtype=torch.bool)
    else:
        first, second = order.topk(2, -1).values.unbind(-1)
        clear = (first - second) > TIE * first.abs() + 1e-9
    clear &= winner.abs() > SMALL * winner.abs().max()
    p = p.view(-1, 1, 1) if p.dim() == 1 else p
    return winner.sign() * (winner.abs() + g.eps) ** p, clear


def assert_close(ours: Tensor, exact: Tensor, scale: Tensor, bound: float = 1e-5) -> None:
    assert ours.shape == exact.shape
    worst = (ours.double() - exact).abs().max() / scale.abs().max().clamp_min(1e-30)
    assert worst < bound, f"off by {worst:.1e} of the scale"


def assert_is_its_definition(leaves: list[Tensor], s: cpu.Settings, layout: torch.memory_format) -> None:
    x, weight, p, q = (t.contiguous(memory_format=layout) if t.dim() == 4 else t for t in leaves)
    assert cpu.takes(x, weight, p, q, s)
    ours = [t.clone().requires_grad_() for t in (x, weight, p, q)]
    y = cpu.power(*ours, s)
    x64, w64, p64, q64 = (t.double() for t in leaves)
    # A p for every output and a q for every place: sums of many terms that cancel are as good as their terms.
    height, width = s.outputs(x, weight)
    channels = weight.shape[0] if s.geometry.groups > 1 else 1
    p64 = p64.view(1, -1, 1, 1).expand(y.shape).clone()
    q64 = q64.expand(len(x), channels, height, width).clone()
    exact = [t.requires_grad_() for t in (x64, w64, p64, q64)]
    length = length_of(w64, s.least)
    unit = w64 / length
    expected, clear = definition(x64, unit, p64, q64, s)
    assert_close(y.detach() * clear, expected.detach() * clear, expected.detach())
    with torch.no_grad():
        assert torch.equal(cpu.power(*ours, s), y)

    direction = torch.cos(torch.arange(y.numel(), dtype=torch.float64)).view_as(y) * clear
    found = torch.autograd.grad(y, ours, direction.float())
    wanted = torch.autograd.grad(expected, exact, direction, allow_unused=True, materialize_grads=True)
    (to_unit,) = torch.autograd.grad(definition(x64, unit, p64, q64, s)[0], unit, direction)
    assert_close(found[0], wanted[0], wanted[0])
    assert_close(found[1], wanted[1], (to_unit / length).detach())
    assert_close(found[2], wanted[2].sum((0, 2, 3)), wanted[2].abs().sum((0, 2, 3)))
    assert_close(found[3], wanted[3].sum(), wanted[3].abs().sum())


def drawn(seed: int, batch: int, channels: int, kernels: int, size: Sides, kernel: Sides, groups: int):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, channels, *size, generator=g)
    weight = torch.rand(kernels, channels // groups, *kernel, generator=g) * 2 - 1
    p = torch.rand(kernels, generator=g) * 2 + 1
    return [x, weight, p, torch.rand((), generator=g) * 0.1 + 1e-3]


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    batch=st.integers(1, 4),
    channels=st.integers(1, 20),
    kernels=st.integers(1, 40),
    size=st.tuples(st.integers(6, 13), st.integers(6, 13)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    depthwise=st.booleans(),
    window=st.builds(cpu.Window, pairs, st.booleans(), st.booleans()),
    cosine=st.booleans(),
    layout=st.sampled_from([torch.channels_last, torch.contiguous_format]),
    threads=st.sampled_from([1, 1, 3]),
)
def test_values_and_gradients_are_those_of_the_definition(
    seed, batch, channels, kernels, size, kernel, stride, padding, depthwise, window, cosine, layout, threads
):
    groups = 1
    if depthwise:
        groups, kernels = channels, channels
        window = cpu.NO_WINDOW if cosine and groups > 1 else window
    s = setting(Geometry(stride, padding, (1, 1), groups, EPS), window, cosine)
    leaves = drawn(seed, batch, channels, kernels, size, kernel, groups)
    if min(window.counts(s.outputs(*leaves[:2]))) < 1:
        assert not cpu.takes(*leaves, s)
        return
    torch.set_num_threads(threads)
    try:
        assert_is_its_definition(leaves, s, layout)
    finally:
        torch.set_num_threads(1)


TWO, FOUR = cpu.Window((2, 2), True, True), cpu.Window((4, 4), True, True)
NETWORKS = {
    "first of 100k": (3, 32, 32, 3, 1, 0, TWO),
    "second of 100k": (32, 64, 15, 3, 1, 1, TWO),
    "third of 47k": (30, 30, 7, 5, 1, 1, FOUR),
    "1x1 of 25k": (80, 40, 12, 1, 1, 0, TWO),
    "third of 25k": (40, 40, 6, 3, 1, 0, FOUR),
    "max pool": (3, 24, 32, 3, 1, 0, cpu.Window((2, 2), True, False)),
    "resnet, stride 2": (16, 32, 16, 3, 2, 1, cpu.NO_WINDOW),
    "resnet, shortcut": (16, 32, 16, 1, 2, 0, cpu.NO_WINDOW),
}


@pytest.mark.parametrize("cosine", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_layers_of_the_networks_are_their_definition(name: str, cosine: bool):
    channels, kernels, side, kernel, stride, padding, window = NETWORKS[name]
    s = setting(Geometry((stride,) * 2, (padding,) * 2, (1, 1), 1, EPS), window, cosine)
    leaves = drawn(5, 4, channels, kernels, (side, side), (kernel, kernel), 1)
    leaves[0] = leaves[0].abs() if channels == 3 else leaves[0]
    assert_is_its_definition(leaves, s, torch.channels_last)


def test_a_batch_worked_on_in_pieces_is_its_definition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scs_study.layers.cpu.passes.CHUNK", 3000)
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 1, EPS), TWO, True)
    assert_is_its_definition(drawn(7, 11, 5, 8, (9, 9), (3, 3), 1), s, torch.channels_last)
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 8, EPS), cpu.NO_WINDOW, True)
    assert_is_its_definition(drawn(7, 11, 8, 8, (9, 9), (3, 3), 8), s, torch.channels_last)


def layers() -> list[nn.Module]:
    torch.manual_seed(0)
    made = [
        SharpenedCosineSimilarity2d(4, 6, 3, padding=1),
        SharpenedCosineSimilarity2d(4, 6, 3, padding=1, parameterisation="mar2022"),
        SharpenedCosineSimilarity2d(4, 6, 3, padding=1, p=1.0),
        SharpenedCosineSimilarity2d(4, 4, 3, padding="same", groups=4),
        SharpenedDotProduct2d(4, 6, 2, padding="same"),
        SharpenedDotProduct2d(4, 6, 3, groups=2, p=2.0),
    ]
    made[0].pool, made[4].pool = MaxAbsPool2d(2), nn.MaxPool2d(2, ceil_mode=True)
    return made


def cosines(count: int, like: Tensor) -> Tensor:
    return torch.cos(torch.arange(count, dtype=torch.float32, device="cpu")).view_as(like)


def gradients(y: Tensor, of: list[Tensor], **options: Any) -> list[Tensor]:
    return list(torch.autograd.grad((y * cosines(y.numel(), y)).sum(), of, **options))


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("index", range(len(layers())))
def test_modules_compute_by_them_what_torch_computes(index: int, layout: torch.memory_format):
    layer = layers()[index].to(memory_format=layout)
    x = torch.randn(3, 4, 7, 9).contiguous(memory_format=layout).requires_grad_()
    leaves = [x, *layer.parameters()]
    y = layer(x)
    assert type(y.grad_fn).__name__.startswith("_Layer")
    found = gradients(y, leaves)
    cpu.choose("plain")
    expected = layer(x)
    assert not type(expected.grad_fn).__name__.startswith("_Layer")
    assert y.stride() == expected.stride()
    for ours, theirs in zip([y, *found], [expected, *gradients(expected, leaves)], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_derivatives_of_derivatives_go_by_torchs_operations():
    layer = layers()[0]
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    leaves = [x, *layer.parameters()]

    def second() -> list[Tensor]:
        first = gradients(layer(x), leaves, create_graph=True)
        return [*first, *torch.autograd.grad(sum(each.square().sum() for each in first), leaves)]

    ours = second()
    cpu.choose("plain")
    for mine, theirs in zip(ours, second(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3)


def test_a_batch_of_gradients_at_once_equals_one_after_the_other():
    layer = layers()[0]
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    y = layer(x)
    many = torch.randn(3, *y.shape)
    (together,) = torch.autograd.grad(y, x, many, is_grads_batched=True, retain_graph=True)
    alone = torch.stack([torch.autograd.grad(y, x, each, retain_graph=True)[0] for each in many])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:FutureWarning")  # torch, of its own formulas
def test_a_forward_mode_derivative_is_refused_rather_than_lost():
    layer, x = layers()[0].requires_grad_(False), torch.randn(2, 4, 6, 6)
    with torch.autograd.forward_ad.dual_level(), pytest.raises(NotImplementedError):
        layer(torch.autograd.forward_ad.make_dual(x, torch.ones_like(x)))


def test_only_the_gradients_that_are_wanted_are_there():
    layer = layers()[0].requires_grad_(False)
    x = torch.randn(2, 4, 6, 6, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is None for parameter in layer.parameters())
    weight = layer.requires_grad_(True).weight
    layer(x.detach()).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("pool", [None, MaxAbsPool2d(2), nn.MaxPool2d(2)], ids=["none", "maxabs", "max"])
@pytest.mark.parametrize("p", [0.1, 1.0, 3.0])
def test_empty_kernels_and_patches_give_zeros_and_finite_gradients(p: float, pool: nn.Module | None):
    x, weight, _, q = drawn(3, 2, 3, 5, (8, 8), (3, 3), 1)
    x[:, :, :5] = 0
    x[1] = 0
    weight[1], weight[2] = 0, weight[2] * 1e-14
    leaves = [t.requires_grad_() for t in (x, weight, torch.full((5,), p), q)]
    place: dict[str, Any] = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "eps": EPS, "pool": pool}
    for y, used in ((cosine_power(*leaves, **place), leaves), (dot_power(*leaves[:3], **place), leaves[:3])):
        found = torch.autograd.grad(y.sum(), used)
        assert not y[:, 1].any()
        assert not y[1].any()
        assert not found[1][1].any() if y is not None else None
        assert all(torch.isfinite(each).all() for each in (y, *found))


def test_of_equal_magnitudes_the_positive_one_wins_and_of_equal_values_the_first():
    x = torch.tensor([[-2.0, 2.0, 1.0, 1.0], [2.0, -2.0, 1.0, 1.0]]).view(1, 1, 2, 4)
    weight, p = torch.ones(1, 1, 1, 1), torch.ones(1)
    expected = {True: [[0, 1, 1, 0], [0, 0, 0, 0]], False: [[0, 1, 1, 0], [0, 0, 0, 0]]}
    for by_size, pool in ((True, MaxAbsPool2d(2)), (False, nn.MaxPool2d(2))):
        leaf = x.clone().requires_grad_()
        y = dot_power(leaf, weight, p, stride=1, padding=0, dilation=1, groups=1, eps=EPS, pool=pool)
        torch.testing.assert_close(y.flatten(), torch.tensor([2.0, 1.0]) + EPS)
        (g,) = torch.autograd.grad(y.sum(), leaf)
        assert torch.equal(g.view(2, 4), torch.tensor(expected[by_size], dtype=torch.float32))


@pytest.mark.parametrize("value", [float("nan"), -float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("pool", [None, MaxAbsPool2d(2), nn.MaxPool2d(2), MaxAbsPool2d(3, ceil_mode=True)], ids=str)
def test_what_is_not_finite_comes_out_where_torch_has_it(value: float, pool: nn.Module | None):
    x, weight, p, q = drawn(4, 2, 3, 5, (8, 8), (3, 3), 1)
    x[0, 1, 2, 3] = value
    place: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "eps": EPS, "pool": pool}
    results = {}
    for kernels in cpu.KERNELS:
        cpu.choose(kernels)
        leaves = [t.clone().requires_grad_() for t in (x, weight, p, q)]
        y = cosine_power(*leaves, **place)
        results[kernels] = [y, dot_power(*leaves[:3], **place), *torch.autograd.grad(y.sum(), leaves)]
    assert results["auto"][3].isnan().any(), "the kernels' gradient does not tell"
    if value in (float("inf"), -float("inf")):  # 0 * infinity, which torch computes at places that have not won
        results = {kernels: found[:2] for kernels, found in results.items()}
    for ours, theirs in zip(results["auto"], results["plain"], strict=True):
        assert torch.equal(ours.isnan(), theirs.isnan())
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4, equal_nan=True)


def test_large_exponents_overflow_and_vanish_as_they_do_in_torch():
    x, weight = torch.tensor([1e-3, 0.5, 30.0, 1e4]).view(1, 1, 1, 4), torch.ones(1, 1, 1, 1)
    for p in (9.5, 11.0, 40.0, 100.0):
        found = {}
        for kernels in cpu.KERNELS:
            cpu.choose(kernels)
            found[kernels] = dot_power(x, weight, p, stride=1, padding=0, dilation=1, groups=1, eps=EPS)
        torch.testing.assert_close(found["auto"], found["plain"], rtol=1e-4, atol=1e-37)


FALLBACKS: dict[str, dict[str, Any]] = {
    "float64": {"dtype": torch.float64},
    "bfloat16": {"dtype": torch.bfloat16},
    "dilation": {"dilation": 2},
    "groups of several channels": {"groups": 2},
    "no eps": {"eps": 0.0},
    "overlapping pool": {"pool": MaxAbsPool2d(3, 2)},
    "padded pool": {"pool": nn.MaxPool2d(2, padding=1)},
}


@pytest.mark.parametrize("name", FALLBACKS)
def test_what_they_do_not_do_torch_does(name: str):
    options = {"stride": 1, "padding": 1, "dilation": 1, "groups": 1, "eps": EPS, **FALLBACKS[name]}
    dtype = options.pop("dtype", torch.float32)
    leaves = [t.to(dtype).requires_grad_() for t in drawn(2, 2, 4, 6, (9, 9), (3, 3), options["groups"])]
    results = []
    for kernels in cpu.KERNELS:
        cpu.choose(kernels)
        y = cosine_power(*leaves, **options)
        results.append([y, *torch.autograd.grad(y.sum(), leaves)])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


@pytest.mark.parametrize("index", range(len(layers())))
def test_under_autocast_convolutions_alone_are_in_bfloat16_as_they_are_in_torchs_operations(index: int):
    """Both are as far from the definition: its operands and products are rounded at the same places."""
    layer, torch_layer = layers()[index], layers()[index]
    exact = layers()[index].double()
    exact.load_state_dict(layer.state_dict())
    torch_layer.load_state_dict(layer.state_dict())
    x = torch.randn(8, 4, 12, 14)
    found = []
    for each, kernels in ((layer, "auto"), (torch_layer, "plain"), (exact, "plain")):
        cpu.choose(kernels)
        leaves = [x.to(each.weight.dtype).requires_grad_(), *each.parameters()]
        with torch.autocast("cpu", torch.bfloat16, enabled=each is not exact):
            y = each(leaves[0])
        assert type(y.grad_fn).__name__.startswith("_Layer") == (each is layer)
        assert y.dtype == each.weight.dtype
        found.append([y.detach(), *gradients(y, leaves)])
    for ours, theirs, true in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype == torch.float32
        error, usual = ((each - true).norm() for each in (ours, theirs))
        assert error < 1.3 * usual + 1e-3 * true.norm()
        assert error > 1e-5 * true.norm(), "nothing was rounded"


def test_derivatives_of_derivatives_are_rounded_as_the_layer_was():
    layer, x = layers()[0], torch.randn(2, 4, 6, 6, requires_grad=True)
    found = []
    for kernels in cpu.KERNELS:
        cpu.choose(kernels)
        with torch.autocast("cpu", torch.bfloat16):
            y = layer(x)
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), x)[0])
    torch.testing.assert_close(*found, rtol=0.02, atol=0.02 * float(found[1].abs().max()))


def test_under_autocast_to_another_type_torch_does_it():
    layer, x = layers()[0], torch.randn(2, 4, 6, 6)
    with torch.autocast("cpu", torch.float16):
        ours = layer(x)
        cpu.choose("plain")
        assert torch.equal(ours, layer(x))


def test_kernels_that_threads_share_are_their_definition(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("scs_study.layers.cpu.passes.MANY_WEIGHTS", 1)
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 1, EPS), cpu.NO_WINDOW, True)
    torch.set_num_threads(3)
    try:
        assert_is_its_definition(drawn(9, 2, 6, 17, (7, 7), (3, 3), 1), s, torch.channels_last)
    finally:
        torch.set_num_threads(1)


def test_two_threads_give_the_same_bits_every_time():
    s = setting(Geometry((1, 1), (1, 1), (1, 1), 1, EPS), TWO, True)
    leaves = [t.requires_grad_() for t in drawn(8, 9, 6, 16, (11, 11), (3, 3), 1)]
    torch.set_num_threads(2)
    try:
        first, second = ([y := cpu.power(*leaves, s), *torch.autograd.grad(y.sum(), leaves)] for _ in range(2))
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_another_word_for_the_kernels_is_refused():
    with pytest.raises(ValueError, match="kernels must be one of auto, plain"):
        cpu.choose("fast")


def test_defaults_of_the_process_do_not_matter():
    layer, x = layers()[0], torch.randn(2, 4, 6, 6)
    leaves = [x.requires_grad_(), *layer.parameters()]
    dot = SharpenedDotProduct2d(4, 6, 3, p=2.0)
    expected = [*gradients(layer(x), leaves), dot(x)]
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    try:
        found = [*torch.autograd.grad(layer(x), leaves, cosines(layer(x).numel(), layer(x))), dot(x)]
    finally:
        torch.set_default_device(None)
        torch.set_default_dtype(dtype)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_inference_mode_and_tensors_of_any_layout_are_taken():
    layer = layers()[0]
    x = torch.randn(2, 7, 6, 4).permute(0, 3, 2, 1)[..., 1:]
    expected = layer(x.contiguous())
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer(x[:1].expand(3, -1, -1, -1)), expected[:1].expand(3, -1, -1, -1))
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), expected)
