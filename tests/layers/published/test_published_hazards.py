"""What goes wrong in the published layers, reproduced with safe=False, and absent without it."""

from __future__ import annotations

import pytest
import torch

from scs_study.layers.published import FORMS, HAZARDS, PUBLISHED
from tests.layers.published.written_out import pattern


def forms_with(hazard):
    return [name for name, form in FORMS.items() if hazard in form.hazards]


def forms_without(hazard):
    return [name for name, form in FORMS.items() if hazard not in form.hazards]


def build(name, safe=True, **options):
    torch.manual_seed(0)
    return PUBLISHED[name](3, 8, 3, safe=safe, **options)


def images():
    return torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def everything(layer, x):
    """Return outputs and all gradients, flat, in float32."""
    x = x.clone().requires_grad_()
    y = layer(x)
    y.float().sum().backward()
    grads = [p.grad for p in layer.parameters() if p.grad is not None]
    return torch.cat([values.detach().float().flatten() for values in (y, x.grad, *grads)])


def largest_gradient(layer, x):
    x = x.clone().requires_grad_()
    layer(x).sum().backward()
    return x.grad.abs().max().item()


def test_every_hazard_has_a_form_and_every_form_only_known_ones():
    assert {hazard for form in FORMS.values() for hazard in form.hazards} == set(HAZARDS)


@pytest.mark.parametrize("name", FORMS)
def test_safe_and_published_agree_on_usual_images(name):
    published = build(name, safe=False)
    safe = build(name)
    safe.load_state_dict({k: v for k, v in published.state_dict().items() if k in safe.state_dict()})
    torch.testing.assert_close(safe(images()), published(images()), rtol=1e-5, atol=1e-6)


def with_zero_kernel(layer):
    with torch.no_grad():
        layer.weight[0] = 0
    return layer


@pytest.mark.parametrize("name", forms_with("zero kernel"))
def test_zero_kernel_breaks_what_has_no_floor(name):
    assert not everything(with_zero_kernel(build(name, safe=False)), images()).isfinite().all()


@pytest.mark.parametrize(
    ("name", "safe"), [(n, True) for n in FORMS] + [(n, False) for n in forms_without("zero kernel")]
)
def test_zero_kernel_is_harmless_elsewhere(name, safe):
    assert everything(with_zero_kernel(build(name, safe)), images()).isfinite().all()


def half_black(dtype):
    x = images().to(dtype)
    x[..., :5, :] = 0
    return x


@pytest.mark.parametrize("name", forms_with("half"))
def test_half_precision_breaks_where_a_floor_underflows(name):
    layer = build(name, safe=False, dtype=torch.float16)
    assert not everything(layer, half_black(torch.float16)).isfinite().all()


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_safe_layers_are_finite_in_half_precision(name, dtype):
    layer = build(name, dtype=dtype)
    assert layer(half_black(dtype)).dtype == dtype
    assert everything(layer, half_black(dtype)).isfinite().all()


@pytest.mark.parametrize("name", forms_with("device"))
@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_ones_of_the_cpu_in_float32_refuse_other_tensors(name, dtype):
    with pytest.raises(RuntimeError):
        build(name, safe=False, dtype=dtype)(images().to(dtype))
    assert build(name, dtype=dtype)(images().to(dtype)).isfinite().all()


@pytest.mark.parametrize("name", forms_with("state"))
def test_published_forward_changes_parameters_and_the_safe_one_only_sees_them_bounded(name):
    published, safe = build(name, safe=False).eval(), build(name).eval()
    for layer in (published, safe):
        with torch.no_grad():
            layer.weight[0, 0, 0, 0] = 5.0
            layer.raw_p[1] = -1.0
    torch.testing.assert_close(safe(images()), published(images()))
    assert published.weight.max() == 1
    assert published.raw_p.min().item() == pytest.approx(0.1)
    assert safe.weight.max() == 5
    safe.project_()
    assert safe.weight.max() == 1
    assert safe.raw_p.min().item() == pytest.approx(0.1)


@pytest.mark.parametrize("name", FORMS)
def test_only_published_layers_that_read_memory_mind_the_layout(name):
    x = images()
    other = x.to(memory_format=torch.channels_last)
    safe, published = build(name), build(name, safe=False)
    torch.testing.assert_close(safe(other), safe(x), rtol=1e-5, atol=1e-6)
    moved = (published(other) - published(x)).abs().max().item()
    assert (moved > 0.05) == ("layout" in FORMS[name].hazards)


@pytest.mark.parametrize("name", forms_with("unused bias"))
def test_unused_bias_is_counted_and_gets_no_gradient(name):
    published = build(name, safe=False)
    published(images()).sum().backward()
    assert published.bias.shape == (8,)
    assert published.bias.grad is None
    assert build(name).bias is None


@pytest.mark.parametrize("name", forms_with("exponent"))
def test_negative_exponents_explode_without_a_bound(name):
    outputs = []
    for safe in (False, True):
        layer = build(name, safe)
        with torch.no_grad():
            layer.raw_p.fill_(-4.0)
        x = images()
        x[:, :, :3, :3] = 1e-3 * layer.weight[0].detach().roll(1, -1)  # nearly at right angles to some kernel
        outputs.append(layer(x).abs().max().item())
        layer.project_()
        assert (layer.raw_p.min() > 0) == safe
    assert outputs[0] > 1e3
    assert outputs[1] < 2


@pytest.mark.parametrize("name", forms_with("empty channel"))
def test_a_channel_of_zeros_gets_huge_gradients_as_published(name):
    x = images()
    x[:, 1] = 0
    assert largest_gradient(build(name, safe=False), x) > 1e11
    assert largest_gradient(build(name), x) < 100


def test_a_patch_of_zeros_gets_large_gradients_without_power():
    (name,) = forms_with("empty patch")
    assert largest_gradient(build(name, safe=False, power=False), half_black(torch.float32)) > 300
    assert largest_gradient(build(name, power=False), half_black(torch.float32)) < 5
    assert largest_gradient(build(name, safe=False), half_black(torch.float32)) < 5


def test_fehervaris_layer_needs_its_bias_as_published():
    (name,) = forms_with("no bias")
    with pytest.raises(ValueError, match="bias"):
        build(name, safe=False, bias=False)
    layer = build(name, bias=False)
    assert layer.bias is None
    assert layer(images()).isfinite().all()


def test_pisonis_padded_kernels_of_five_look_elsewhere_as_published():
    layers = [PUBLISHED["pisoni"](3, 4, 5, padding=2, safe=safe) for safe in (True, False)]
    x = pattern((1, 3, 5, 5), 0.7).float()
    for layer in layers:
        with torch.no_grad():
            layer.weight.copy_(0.4 * pattern(layer.weight.shape, 1.3))
            layer.raw_p.mul_(1 + 0.1 * pattern((4,), 2.1))
    safe, published = (layer(x)[0, :, 1, 2] for layer in layers)
    measured = torch.tensor([-0.000185, -0.006327, 0.005161, -0.003455])  # the public Keras code
    torch.testing.assert_close(published, measured, rtol=1e-4, atol=1e-6)
    assert (safe - published).abs().max() > 0.01
    for stride in (1, 2):
        centre = [PUBLISHED["pisoni"](1, 1, 5, stride, 2, safe=safe) for safe in (True, False)]
        for layer in centre:
            with torch.no_grad():
                layer.weight.zero_()[0, 0, 2, 2] = 1
        assert torch.equal(*(layer(x[:, :1]).sign() for layer in centre))


@pytest.mark.parametrize("name", FORMS)
def test_an_image_of_zeros_gives_zeros_and_no_input_gradient(name):
    x = torch.zeros(1, 3, 8, 8, requires_grad=True)
    y = build(name)(x)
    y.sum().backward()
    assert not y.any()
    assert not x.grad.any()
