"""Maps of anybody's network: captum's are plain autograd's, and nothing is left changed behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from scs_study.evaluation.saliency.maps import saliency_maps
from scs_study.evaluation.saliency.measures import ZERO, measure, spearman
from scs_study.evaluation.saliency.perturbation import CURVES, area, blurred, perturb
from scs_study.evaluation.saliency.randomisation import layers_with_weights, randomise_weights, randomised
from scs_study.evaluation.saliency.settings import MapSettings

GRADIENT = MapSettings()
INTEGRATED = MapSettings("integrated_gradients", steps=64)
SMOOTH = MapSettings("smoothgrad", samples=3, noise=0.1)


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 5))
    return body.double().eval()


def images(count: int = 4, side: int = 12) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, side, side, generator=draw, dtype=torch.float64)


LABELS = torch.tensor([0, 1, 2, 4])


def slopes(of: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    at = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(of(at).sum(), at)
    return found


@pytest.mark.parametrize("target", ["predicted", "true"])
@pytest.mark.parametrize("output", ["logit", "loss"])
def test_gradients_are_plain_autograds(target: str, output: str) -> None:
    net, x = network(), images()
    classes = net(x).argmax(1) if target == "predicted" else LABELS

    def of(at: Tensor) -> Tensor:
        chosen = net(at).gather(1, classes[:, None])[:, 0]
        return chosen if output == "logit" else net(at).logsumexp(1) - chosen

    found = saliency_maps(net, x, LABELS, MapSettings("gradient", target, output))
    torch.testing.assert_close(found, slopes(of, x).abs().amax(1), rtol=1e-12, atol=1e-15)


def test_integrated_gradients_are_the_integral_from_black() -> None:
    net, x = network(), images()
    classes = net(x).argmax(1)[:, None]
    steps = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    mean = sum(slopes(lambda at: net(at).gather(1, classes), x * share) for share in steps[::4]) / 500
    found = saliency_maps(net, x, LABELS, INTEGRATED)
    torch.testing.assert_close(found, (x * mean).abs().amax(1), rtol=1e-3, atol=1e-6)


def test_smoothgrad_of_a_linear_network_is_its_gradient_and_else_it_is_not() -> None:
    linear, x = nn.Sequential(nn.Flatten(), nn.Linear(432, 5)).double(), images()
    plain, smooth = (saliency_maps(linear, x, LABELS, s) for s in (GRADIENT, SMOOTH))
    torch.testing.assert_close(plain, smooth)
    assert not torch.allclose(*(saliency_maps(network(), x, LABELS, s) for s in (GRADIENT, SMOOTH)), rtol=1e-3)


def test_the_noise_of_an_image_does_not_depend_on_its_batch() -> None:
    net, x = network(), images()
    together = saliency_maps(net, x, LABELS, SMOOTH, [7, 8, 9, 10])
    alone = saliency_maps(net, x[2:3], LABELS[2:3], SMOOTH, [9])
    torch.testing.assert_close(together[2:3], alone)
    assert not torch.allclose(alone, saliency_maps(net, x[2:3], LABELS[2:3], SMOOTH, [11]))


def test_anybodys_network_is_left_as_it_was_and_so_is_the_global_generator() -> None:
    net = resnet18(num_classes=5)
    net.layer1.eval()  # a network that is partly frozen
    net.conv1.weight.requires_grad_(False)
    x = images(side=32).float()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    flags = [module.training for module in net.modules()], [p.requires_grad for p in net.parameters()]
    state = torch.get_rng_state()
    for settings in (GRADIENT, MapSettings("integrated_gradients", steps=2), SMOOTH):
        maps = saliency_maps(net, x, LABELS, settings)
        assert maps.shape == (4, 32, 32)
    perturb(net, x, LABELS, maps, 2)
    found = randomised(net, x, LABELS, GRADIENT)
    assert found.layers[0] == "fc"
    assert found.layers[-1] == "conv1"
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert flags == ([module.training for module in net.modules()], [p.requires_grad for p in net.parameters()])
    assert all(p.grad is None for p in net.parameters())


def test_a_dead_network_has_all_zero_maps() -> None:
    dead = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    nn.init.constant_(dead[0].bias, -100.0)
    maps = saliency_maps(dead, images().float(), LABELS, GRADIENT)
    assert (measure(maps.numpy()).state == ZERO).all()


def test_curves_begin_and_end_where_they_must() -> None:
    net, x = network(), images()
    maps = saliency_maps(net, x, LABELS, GRADIENT)
    curves = perturb(net, x, LABELS, maps, 4)
    chance = net(x).softmax(1).gather(1, LABELS[:, None])[:, 0].detach().numpy()
    for name in CURVES:
        assert getattr(curves, name).shape == (4, 5)
        whole = getattr(curves, name)[:, 0 if name.startswith("deletion") else -1]
        assert whole == pytest.approx(chance, abs=1e-12)
    mean = x.mean((2, 3), keepdim=True).expand_as(x)
    end = net(mean).softmax(1).gather(1, LABELS[:, None])[:, 0].detach().numpy()
    assert curves.deletion[:, -1] == pytest.approx(end)


def test_deletion_takes_the_most_salient_pixels_first() -> None:
    """A network that looks at one pixel alone, and a map that knows it: one step of 16 pixels is all it takes."""
    weights = torch.zeros(2, 3 * 16)
    weights[0, 5] = 8.0
    net = nn.Sequential(nn.Flatten(), nn.Linear(48, 2, bias=False))
    net[1].weight.data = weights
    x = torch.zeros(1, 3, 4, 4)
    x[0, 0, 1, 1] = 1.0
    right, wrong = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    right[0, 1, 1], wrong[0, 1, 1] = 1.0, 0.0
    known, unknown = (perturb(net, x, torch.tensor([0]), maps, 16) for maps in (right, wrong))
    fallen = float(torch.tensor([8 / 16, 0.0]).double().softmax(0)[0])
    assert known.deletion[0, 1:] == pytest.approx([fallen] * 16)
    assert (unknown.deletion[0, :-1] > 0.999).all()
    assert area(known.deletion)[0] < area(known.deletion_random)[0] < area(unknown.deletion)[0]
    assert area(known.insertion)[0] > area(unknown.insertion)[0]


def test_an_all_zero_map_knows_as_much_as_a_random_order() -> None:
    net, x = network(), images()
    curves = perturb(net, x, LABELS, torch.zeros(4, 12, 12), 6)
    assert (curves.deletion == curves.deletion_random).all()
    assert (curves.insertion == curves.insertion_random).all()


def test_areas_are_trapezoids_and_blurring_keeps_an_even_image() -> None:
    assert area(torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0]]).numpy()).tolist() == [0.5, 1.0]
    even = torch.full((1, 3, 8, 8), 0.3)
    torch.testing.assert_close(blurred(even), even)


def test_layers_are_randomise_weightsn_one_after_the_other_from_the_head() -> None:
    net = network()
    assert layers_with_weights(net) == ["4", "0"]
    first, second = network(), network()
    randomise_weights(first, "4", 0)
    randomise_weights(second, "4", 0)
    assert torch.equal(first[4].weight, second[4].weight)
    assert not torch.equal(first[4].weight, net[4].weight)
    assert torch.equal(first[0].weight, net[0].weight)


def test_maps_of_randomise_weightsn_weights_are_compared_with_the_trained_ones() -> None:
    net, x = network(), images()
    found = randomised(net, x, LABELS, MapSettings("gradient", "true"))
    changed = network()
    before = saliency_maps(net, x, LABELS, MapSettings("gradient", "true"))
    for row, path in zip(found.correlation, found.layers, strict=True):
        randomise_weights(changed, path, 0)
        after = saliency_maps(changed, x, LABELS, MapSettings("gradient", "true"))
        assert row == pytest.approx(spearman(before, after))
    assert found.gini == pytest.approx(measure(after).gini)


class Oddity(nn.Module):
    """Weights of its own, and no law they could be drawn from."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.arange(8.0))


def test_weights_without_a_law_of_their_own_change_places() -> None:
    odd = Oddity()
    randomise_weights(odd, "", 0)
    assert sorted(odd.scale.tolist()) == list(range(8))
    assert odd.scale.tolist() != list(range(8))
