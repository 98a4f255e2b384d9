"""The layers as modules: parameters, clamps, refusals, and the company they keep (autocast, compile, torch.func)."""

from __future__ import annotations

import io
import math

import pytest
import torch
from torch import nn

from scs_study.layers import SharpenedCosineSimilarity2d as SCS
from scs_study.layers import (
    SharpenedDotProduct2d,
    sharpened_cosine_similarity,
    sharpened_dot_product,
)

KINDS = {
    "may2022": (SCS, {}),
    "mar2022": (SCS, {"parameterisation": "mar2022"}),
    "may2022 p=2": (SCS, {"p": 2.0}),
    "mar2022 p=0.5": (SCS, {"parameterisation": "mar2022", "p": 0.5}),
    "cosine": (SCS, {"p": 1.0}),
    "sdp": (SharpenedDotProduct2d, {}),
    "sdp p=2": (SharpenedDotProduct2d, {"p": 2.0}),
}


@pytest.fixture(params=KINDS, ids=str)
def make(request):
    """A function that builds one kind of layer from a seed."""
    kind, own = KINDS[request.param]

    def build(*args, seed=0, **kw):
        torch.manual_seed(seed)
        return kind(*args, **own, **kw)

    return build


def snapshot(module):
    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    return buffer.getvalue()


def test_weight_has_the_name_and_shape_of_conv2d(make):
    arguments = (4, 6, (3, 2), 2, 1, 2, 2)
    assert make(*arguments).weight.shape == nn.Conv2d(*arguments).weight.shape
    assert "weight" in make(*arguments).state_dict()


OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"padding": "same", "dilation": 2},
    {"padding": (2, 1), "padding_mode": "reflect"},
    {"padding": "same", "padding_mode": "circular"},
    {"padding": 1, "padding_mode": "replicate", "groups": 2},
    {"groups": 4},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_gradcheck_with_the_options_of_conv2d(make, options):
    layer = make(4, 4, (3, 2), dtype=torch.float64, **options)
    x = torch.randn(1, 4, 6, 5, dtype=torch.float64, requires_grad=True)
    names, values = zip(*layer.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    plain = options if options.get("padding_mode") else {**options, "bias": False}
    assert run(x, *values).shape == nn.Conv2d(4, 4, (3, 2), dtype=torch.float64, **plain)(x).shape
    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


def test_padding_modes_pad_the_image_and_its_norm():
    torch.manual_seed(0)
    x = torch.rand(2, 3, 6, 6)
    layer = SCS(3, 4, 3, padding=(1, 2), padding_mode="reflect")
    padded = nn.functional.pad(x, (2, 2, 1, 1), mode="reflect")
    torch.testing.assert_close(layer(x), sharpened_cosine_similarity(padded, layer.weight, layer.p, layer.q))


def test_module_and_function_are_the_same(make):
    layer = make(4, 6, 3, 2, 1, groups=2)
    x = torch.randn(2, 4, 7, 7)
    geometry = {"stride": 2, "padding": 1, "groups": 2}
    if isinstance(layer, SCS):
        expected = sharpened_cosine_similarity(x, layer.weight, layer.p, layer.q, **geometry)
    else:
        expected = sharpened_dot_product(x, layer.weight, layer.p, **geometry)
    assert torch.equal(layer(x), expected)


def test_starting_values_of_may2022():
    torch.manual_seed(0)
    layer = SCS(16, 64, 3)
    assert 0.95 < layer.weight.abs().max() <= 1
    assert 1 <= layer.p.min() < 1.2 < 2.8 < layer.p.max() <= 3
    assert layer.q.item() == pytest.approx(1e-3)
    assert layer.q.shape == ()
    wide = SCS(16, 64, 3, w_max=3.0)
    assert 2.8 < wide.weight.abs().max() <= 3
    assert torch.equal(SCS(1, 2, 3, p_init=(2, 2)).p, torch.tensor([2.0, 2.0]))


def test_starting_values_of_mar2022():
    torch.manual_seed(0)
    layer = SCS(16, 8, 3, parameterisation="mar2022")
    torch.testing.assert_close(layer.p, torch.full((8,), math.e))
    assert layer.q.item() == pytest.approx(math.exp(-1))
    torch.testing.assert_close(layer.raw_p, torch.full((8,), 5.0))
    torch.manual_seed(0)
    assert torch.equal(layer.weight, nn.Conv2d(16, 8, 3, bias=False).weight)


def test_the_dot_product_starts_from_the_weights_of_conv2d():
    torch.manual_seed(0)
    layer = SharpenedDotProduct2d(16, 8, 3)
    torch.manual_seed(0)
    assert torch.equal(layer.weight, nn.Conv2d(16, 8, 3, bias=False).weight)
    assert ((layer.p >= 1) & (layer.p <= 3)).all()


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (SCS(3, 8, 3), 216 + 8 + 1),
        (SCS(3, 8, 3, parameterisation="mar2022"), 216 + 8 + 1),
        (SCS(3, 8, 3, p=1.0), 216 + 1),
        (SharpenedDotProduct2d(3, 8, 3), 216 + 8),
        (SharpenedDotProduct2d(3, 8, 3, p=2.0), 216),
    ],
)
def test_parameter_counts(layer, count):
    """systems.md, appendix A: 3 -> 8 channels, k3."""
    assert sum(p.numel() for p in layer.parameters()) == count


@pytest.mark.parametrize("kind", KINDS)
def test_a_learned_exponent_moves_and_a_fixed_one_does_not(kind):
    layer = KINDS[kind][0](3, 4, 3, **KINDS[kind][1])
    before = layer.p.detach().clone()
    optimizer = torch.optim.SGD(layer.parameters(), 10.0)
    layer(torch.rand(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    layer.project_()
    assert torch.equal(layer.p, before) == (layer.fixed_p is not None)
    if layer.fixed_p is not None:
        torch.testing.assert_close(layer.p, torch.full((4,), layer.fixed_p))


@pytest.mark.parametrize("train", [True, False])
def test_forward_changes_no_state(make, train):
    layer = make(3, 4, 3, padding=1).train(train)
    with torch.no_grad():
        layer.weight.mul_(5)  # outside the clamp, which is not forward's to apply
    before = snapshot(layer)
    pointers = [t.data_ptr() for t in layer.state_dict().values()]
    layer(torch.rand(2, 3, 8, 8)).sum().backward()
    assert snapshot(layer) == before
    assert [t.data_ptr() for t in layer.state_dict().values()] == pointers


def test_project_clamps_in_place():
    layer = SCS(3, 4, 3)
    with torch.no_grad():
        layer.weight.fill_(-4)
        layer.raw_p.copy_(torch.tensor([-1.0, 0.05, 0.5, 30.0]))
    pointer = layer.weight.data_ptr()
    layer.project_()
    assert layer.weight.data_ptr() == pointer
    assert (layer.weight == -1).all()
    torch.testing.assert_close(layer.p, torch.tensor([0.1, 0.1, 0.5, 30.0]))


@pytest.mark.parametrize("options", [{"w_max": None}, {"parameterisation": "mar2022"}], ids=str)
def test_project_leaves_weights_without_a_bound_alone(options):
    layer = SCS(3, 4, 3, **options)
    with torch.no_grad():
        layer.weight.fill_(-4)
    layer.project_()
    assert (layer.weight == -4).all()


def test_project_keeps_the_exponent_of_the_dot_product_positive():
    layer = SharpenedDotProduct2d(3, 2, 3)
    with torch.no_grad():
        layer.weight.fill_(4)
        layer.raw_p.fill_(-2)
    layer.project_()
    torch.testing.assert_close(layer.p, torch.full((2,), 0.1))
    assert (layer.weight == 4).all()


def test_autocast_computes_norm_and_power_in_float32(make):
    layer = make(3, 8, 3, padding=1)
    x = torch.rand(2, 3, 8, 8)
    exact = layer(x).detach()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.float32
    assert torch.isfinite(y).all()
    # Compared before the power, which near zero magnifies without bound the rounding of the product to bfloat16.
    p = layer.p.detach().view(-1, 1, 1)
    flat, exact_flat = (t.detach().sign() * t.detach().abs() ** (1 / p) for t in (y, exact))
    torch.testing.assert_close(flat, exact_flat, rtol=0.01, atol=0.01 * float(exact_flat.abs().max()))
    y.sum().backward()
    assert all(torch.isfinite(p.grad).all() and p.grad.dtype == torch.float32 for p in layer.parameters())


def test_compiled_without_a_graph_break_equals_eager(make):
    layer = make(2, 4, 3, padding=1, groups=2)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.rand(2, 2, 6, 6)
    torch.testing.assert_close(compiled(x), layer(x))
    expected = torch.autograd.grad(layer(x).square().sum(), list(layer.parameters()))
    got = torch.autograd.grad(compiled(x).square().sum(), list(layer.parameters()))
    for g, e in zip(got, expected, strict=True):
        torch.testing.assert_close(g, e)


def test_per_sample_gradients_by_vmap_equal_a_loop(make):
    layer = make(2, 4, 3, padding=1, groups=2)
    x = torch.rand(3, 2, 6, 6)
    parameters = {name: p.detach() for name, p in layer.named_parameters()}

    def total(parameters, x):
        return torch.func.functional_call(layer, parameters, (x[None],)).square().sum()

    per_sample = torch.func.vmap(torch.func.grad(total), (None, 0))(parameters, x)
    for i in range(len(x)):
        one = torch.func.grad(total)(parameters, x[i])
        for name in parameters:
            torch.testing.assert_close(per_sample[name][i], one[name])
    total_of_vmap = torch.func.grad(lambda p: torch.func.vmap(total, (None, 0))(p, x).sum())(parameters)
    for name in parameters:
        torch.testing.assert_close(total_of_vmap[name], per_sample[name].sum(0))


def test_an_ensemble_by_vmap_equals_its_members(make):
    layers = [make(2, 4, 3, seed=seed) for seed in range(3)]
    parameters, buffers = torch.func.stack_module_state(layers)
    x = torch.rand(2, 2, 6, 6)

    def call(parameters, buffers):
        return torch.func.functional_call(layers[0], (parameters, buffers), (x,))

    y = torch.func.vmap(call)(parameters, buffers)
    torch.testing.assert_close(y, torch.stack([layer(x) for layer in layers]))


def test_jacobians_agree(make):
    layer = make(1, 2, 2, dtype=torch.float64)
    x = torch.rand(1, 1, 3, 3, dtype=torch.float64)
    expected = torch.autograd.functional.jacobian(layer, x)
    torch.testing.assert_close(torch.func.jacrev(layer)(x), expected)
    torch.testing.assert_close(torch.autograd.functional.jacobian(layer, x, vectorize=True), expected)
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    rows = torch.eye(y.numel(), dtype=y.dtype).view(-1, *y.shape)
    (batched,) = torch.autograd.grad(y, leaf, rows, is_grads_batched=True)
    torch.testing.assert_close(batched.view_as(expected), expected)


def test_gradients_without_those_nobody_asked_for(make):
    layer = make(2, 3, 3)
    x = torch.rand(1, 2, 5, 5, requires_grad=True)
    full = torch.autograd.grad(layer(x).sum(), x)[0]
    layer.requires_grad_(False)
    torch.testing.assert_close(torch.autograd.grad(layer(x).sum(), x)[0], full)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_memory_format_of_the_input_is_kept(make, memory_format):
    layer = make(3, 4, 3).to(memory_format=memory_format)
    y = layer(torch.rand(2, 3, 6, 6).contiguous(memory_format=memory_format))
    assert y.is_contiguous(memory_format=memory_format)


def test_repr_speaks_like_conv2d():
    layer = SCS(3, 8, 3, padding=1, groups=1)
    assert repr(layer).startswith("SharpenedCosineSimilarity2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)")
    assert "p=2.0" in repr(SharpenedDotProduct2d(3, 8, 3, p=2.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bias": True}, "has no bias"),
        ({"groups": 2}, "multiples of groups"),
        ({"groups": 0}, "multiples of groups"),
        ({"kernel_size": 0}, "at least 1"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size must be one int or 2 of them"),
        ({"padding": "full"}, "padding must be"),
        ({"padding": "same", "stride": 2}, "needs stride 1"),
        ({"padding_mode": "mirror"}, "padding_mode must be one of"),
        ({"p": 0.0}, "a fixed p must be positive"),
        ({"p_init": (3.0, 1.0)}, "low <= high"),
        ({"p_init": (0.0, 1.0)}, "low <= high"),
        ({"eps": -1.0}, "eps must not be negative"),
    ],
)
@pytest.mark.parametrize("kind", [SCS, SharpenedDotProduct2d])
def test_wrong_arguments_are_refused_in_one_sentence(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"in_channels": 3, "out_channels": 4, "kernel_size": 3} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"parameterisation": "june"}, "parameterisation must be one of may2022, mar2022"),
        ({"w_max": 0.0}, "w_max must be positive"),
        ({"w_max": 2.0, "parameterisation": "mar2022"}, "w_max belongs to"),
    ],
)
def test_wrong_arguments_of_the_cosine_layer_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SCS(3, 4, 3, **arguments)


def test_an_input_of_other_channels_is_refused(make):
    with pytest.raises(ValueError, match="expected \\(batch, 3, height, width\\)"):
        make(3, 4, 3)(torch.rand(1, 2, 5, 5))


def test_a_single_image_may_come_without_a_batch_as_in_conv2d(make):
    module, x = make(3, 4, 3), torch.rand(3, 3, 8, 8)
    assert torch.equal(module(x[0]), module(x[:1])[0])
    for wrong in (torch.rand(8, 8), torch.rand(2, 8, 8), torch.rand(1, 1, 3, 8, 8)):
        with pytest.raises(ValueError, match=r"expected \(batch, 3, height, width\), got shape"):
            module(wrong)


@pytest.mark.parametrize("layer", [SCS, SharpenedDotProduct2d])
def test_an_output_may_be_changed_in_place(layer: type[nn.Module]) -> None:
    """ResNet adds its shortcut to what a convolution gave, where no norm stands between."""
    module = layer(3, 4, 3)
    expected, found = (torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) for _ in range(2))
    for x, in_place in ((expected, False), (found, True)):
        x.requires_grad_()
        y = module(x)
        y = y.mul_(3).add_(1) if in_place else y * 3 + 1
        y.square().sum().backward()
    assert torch.equal(found.grad, expected.grad)
