"""What each published layer computes, learns and starts from: held against its formula and against its public code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from scs_study.layers import SharpenedCosineSimilarity2d
from scs_study.layers.published import FORMS, HAZARDS, PUBLISHED
from tests.layers.published.written_out import evaluate, pattern

# 3 -> 8 channels, 3 x 3 (systems.md, Appendix A): learned numbers as published, and of the safe form.
PARAMETERS = {
    "rohrer_feb2022": (225, 225),
    "rohrer_mar2022": (233, 225),  # eight of a bias that is never used
    "rohrer_apr2022": (226, 226),
    "rohrer_may2022": (225, 225),
    "wang": (232, 232),
    "batchelor": (224, 224),
    "hogg": (233, 233),
    "ifeherva": (232, 232),
    "hukkelas": (225, 225),
    "zimonitrome": (225, 225),
    "pisoni": (225, 225),
}
# The starts of p and q that systems.md 1 gives, as the formula sees them.
STARTS = {
    "rohrer_feb2022": (2.0, 0.01),
    "rohrer_mar2022": (2.718282, 0.367879),
    "rohrer_apr2022": (2.013753, 0.367879),
    "wang": (1.873392, 0.0),
    "batchelor": (1.0, 0.0),
    "ifeherva": (1.873392, 0.0),
    "hukkelas": (2.0, 0.01),
    "zimonitrome": (1.028484, 1.0),
    "pisoni": (1.0, 1.0),
}
# y[0, :, 1, 2] of the public code at the commit in each form, for the numbers of `set_patterns`, in float32.
MEASURED = {
    "rohrer_feb2022": (-0.487493, 0.316255, -0.015755, -0.053744),
    "rohrer_mar2022": (-0.312939, 0.143792, -0.002822, -0.019592),
    "rohrer_apr2022": (-4.322968, 2.288252, -0.129495, -0.584485),
    "rohrer_may2022": (-0.429513, 0.463437, -0.015720, -0.029748),
    "wang": (-4.539920, 3.155270, 0.165962, -1.052087),
    "batchelor": (-2.428339, 1.519790, -0.488668, -0.768998),
    "hogg": (-0.919196, 1.089123, -0.372359, -0.062507),
    "hukkelas": (-0.487493, 0.316255, -0.015755, -0.053744),
    "ifeherva": (-2.422455, 1.871331, -0.498624, -0.228600),
    "zimonitrome": (-0.372858, 0.358664, -0.070120, -0.119721),
    "pisoni": (-0.287046, 0.300907, -0.059038, -0.095157),
}


@torch.no_grad()
def set_patterns(layer):
    """Give every learned number a value that any program can make, so that public code can be asked for the same."""
    start = layer.form.p.start
    drawn = isinstance(start, tuple)
    layer.weight.copy_(0.4 * pattern(layer.weight.shape, 1.3))
    exponents = pattern(layer.raw_p.shape, 2.1)
    layer.raw_p.copy_(2 + exponents if drawn else start * (1 + 0.1 * exponents))
    if layer.form.q is not None and isinstance(layer.form.q.start, tuple):
        layer.raw_q.fill_(0.5)
    if layer.bias is not None:
        layer.bias.copy_(pattern(layer.bias.shape, 0.9))
    return layer


@pytest.fixture(params=PUBLISHED, ids=str)
def name(request):
    return request.param


@pytest.mark.parametrize("geometry", [{}, {"stride": 2, "padding": 1}, {"dilation": 2}], ids=str)
def test_output_is_the_published_formula(name, geometry):
    layer = set_patterns(PUBLISHED[name](3, 4, 3, dtype=torch.float64, **geometry))
    x = pattern((2, 3, 6, 5), 0.7)
    torch.testing.assert_close(layer(x), evaluate(layer, x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", MEASURED)
def test_output_is_what_the_public_code_gave(name):
    layer = set_patterns(PUBLISHED[name](3, 4, 3))
    y = layer(pattern((1, 3, 5, 5), 0.7).float())
    torch.testing.assert_close(y[0, :, 1, 2], torch.tensor(MEASURED[name]), rtol=2e-6, atol=1e-6)


def test_every_form_is_counted_and_has_its_own_name():
    assert list(PUBLISHED) == list(FORMS) == list(PARAMETERS)
    assert all(PUBLISHED[name].form.name == name for name in PUBLISHED)


def test_numbers_learned_are_those_of_the_public_code(name):
    published, safe = PARAMETERS[name]
    counted = [sum(p.numel() for p in PUBLISHED[name](3, 8, 3, safe=s).parameters()) for s in (False, True)]
    assert counted == [published, safe]


def test_zimonitromes_layer_without_power_has_no_exponents():
    assert sum(p.numel() for p in PUBLISHED["zimonitrome"](3, 8, 3, power=False).parameters()) == 217


@pytest.mark.parametrize("name", STARTS)
def test_exponent_and_q_start_where_they_were_published_to(name):
    layer = PUBLISHED[name](3, 8, 3)
    p, q = STARTS[name]
    assert layer.p.tolist() == pytest.approx([p] * 8, rel=1e-5)
    assert layer.q.item() == pytest.approx(q, rel=1e-5)


def test_drawn_starts_stay_in_their_range_and_differ():
    torch.manual_seed(0)
    may, hogg = PUBLISHED["rohrer_may2022"](3, 64, 3), PUBLISHED["hogg"](3, 64, 3)
    assert may.p.min() >= 1
    assert may.p.max() <= 3
    assert may.p.std() > 0.3
    assert may.q.item() == pytest.approx(1e-3, rel=1e-5)
    assert 1 <= hogg.q.item() <= 2.72
    assert hogg.bias.min() >= 0
    assert hogg.bias.std() > 0.1


@pytest.mark.parametrize(
    ("name", "spread"),
    [  # standard deviation of a weight (64, 32, 3, 3), from each initialiser's definition
        ("rohrer_feb2022", (2 / (32 * 9 + 64 * 9)) ** 0.5),
        ("rohrer_mar2022", (1 / (3 * 32 * 9)) ** 0.5),
        ("rohrer_apr2022", (1 / (32 * 9)) ** 0.5),
        ("rohrer_may2022", (1 / 3) ** 0.5),
        ("wang", (2 / (32 * 9 + 64 * 9)) ** 0.5),
        ("batchelor", (2 / (32 * 9 + 64 * 9)) ** 0.5),
        ("hogg", (2 / (32 * 9 + 64)) ** 0.5),
        ("ifeherva", (2 / (64 * (32 * 9 + 1))) ** 0.5),
        ("hukkelas", (2 / (32 * 9 + 64 * 9)) ** 0.5),
        ("zimonitrome", (1 / (3 * 32 * 9)) ** 0.5),
        ("pisoni", (2 / (32 * 9 + 64)) ** 0.5),
    ],
)
def test_weights_start_as_wide_as_published(name, spread):
    torch.manual_seed(0)
    assert PUBLISHED[name](32, 64, 3).weight.std().item() == pytest.approx(spread, rel=0.02)


def test_the_last_of_rohrers_layers_is_the_studied_one():
    torch.manual_seed(0)
    published = PUBLISHED["rohrer_may2022"](3, 8, 3, padding=1)
    studied = SharpenedCosineSimilarity2d(3, 8, 3, padding=1)
    state = {name: value for name, value in published.state_dict().items() if name in studied.state_dict()}
    studied.load_state_dict(state)
    x = torch.rand(2, 3, 9, 9)
    assert torch.equal(published(x), studied(x))


def test_wangs_sum_of_cosines_exceeds_one():
    torch.manual_seed(0)
    layer = PUBLISHED["wang"](3, 8, 3, bias=False)
    kernel = layer.weight[0].detach()
    c = layer(kernel.unsqueeze(0))[0, 0].item()  # each of the three channels matches in full
    assert c == pytest.approx(3 ** layer.p[0].item(), rel=1e-4)


@pytest.mark.parametrize("name", ["hogg", "ifeherva"])
def test_an_offset_inside_the_power_makes_a_jump_at_zero(name):
    layer = set_patterns(PUBLISHED[name](1, 1, 1))
    small = torch.full((1, 1, 1, 1), 1e-4)
    jump = layer(small) - layer(-small)
    assert jump.abs().item() > 0.1
    assert layer(0 * small).item() == 0


def test_gradients_in_float64(name):
    torch.manual_seed(0)
    layer = set_patterns(PUBLISHED[name](2, 3, 2, stride=2, dtype=torch.float64))
    names = [n for n, _ in layer.named_parameters()]

    def outputs(x, *values):
        return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    x = pattern((2, 2, 5, 5), 0.7).requires_grad_()
    assert torch.autograd.gradcheck(outputs, (x, *layer.parameters()))
    assert torch.autograd.gradgradcheck(outputs, (x, *layer.parameters()))


def test_compiles_to_the_same_numbers():
    layer = set_patterns(PUBLISHED["wang"](3, 4, 3))
    x = pattern((2, 3, 6, 6), 0.7).float()
    assert torch.allclose(torch.compile(layer, backend="aot_eager")(x), layer(x), atol=1e-6)


def test_a_network_of_each_layer_learns(name):
    torch.manual_seed(0)
    network = nn.Sequential(PUBLISHED[name](1, 8, 3, 2), nn.Flatten(), nn.Linear(8 * 9, 2))
    x = torch.randn(64, 1, 8, 8)
    wanted = (x[:, 0, :4].sum((1, 2)) > x[:, 0, 4:].sum((1, 2))).long()
    optimizer = torch.optim.Adam(network.parameters(), 0.02)
    losses = []
    for _ in range(60):
        loss = nn.functional.cross_entropy(network(x), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network[0].project_()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_the_page_on_layers_has_a_row_for_every_form_and_every_hazard():
    page = (Path(__file__).parents[3] / "docs" / "layers.md").read_text()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    for name, form in FORMS.items():
        (row,) = [row for row in rows if row[0] == f"`{name}`" and len(row) == 10]
        assert form.commit in row[1] or name == "pisoni"
        published, safe = PARAMETERS[name]
        assert str(safe) in row[-1]
        assert str(published) in row[-1]
    for hazard in HAZARDS:
        (row,) = [row for row in rows if row[0] == hazard]
        named = {name for name in FORMS if f"`{name}`" in row[1]}
        assert named == {name for name, form in FORMS.items() if hazard in form.hazards}
