"""Attacks stay in the ball, do what a plain PGD does, and leave everything else as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchvision.models import resnet18

from scs_study.evaluation.robustness.attacks import KINDS, Method, adversarial
from scs_study.evaluation.robustness.evaluate import TOLERANCE, fooled

EPS = 8 / 255
SHORT = {kind: Method(kind, 4) for kind in KINDS}


def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)
        ).eval()


def inputs(net: nn.Module, count: int = 6, **kind: torch.dtype) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(1)).to(**kind)
    with torch.no_grad():
        return x, net(x).argmax(1)


def plain_pgd(net: nn.Module, x: Tensor, y: Tensor, eps: float, steps: int, step: float, start: Tensor) -> Tensor:
    """PGD from the equation in Madry et al. 2018, one image at a time."""
    made = []
    for image, label, first in zip(x, y, start, strict=True):
        adv = first
        for _ in range(steps):
            adv = adv.detach().requires_grad_()
            cross_entropy(net(adv[None]), label[None]).backward()
            assert adv.grad is not None
            adv = adv.detach() + step * adv.grad.sign()
            adv = torch.minimum(torch.maximum(adv, image - eps), image + eps).clamp(0, 1)
        made.append(adv.detach())
    return torch.stack(made)


def test_pgd_is_the_plain_pgd_of_the_paper_in_float64() -> None:
    net = network().double()
    x, y = inputs(net, dtype=torch.float64)
    ours = adversarial(net, x, y, Method("pgd", 7, step_size=2.0, random_start=False), EPS, seed=0)
    theirs = plain_pgd(net, x, y, EPS, 7, 2.0 * EPS / 7, x)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert (ours - x).abs().amax() > 0.9 * EPS


def test_a_random_start_finds_as_much_as_plain_pgd_from_a_random_start() -> None:
    net = network()
    x, y = inputs(net, 40)
    start = (x + (2 * torch.rand(x.shape, generator=torch.Generator().manual_seed(5)) - 1) * EPS).clamp(0, 1)
    plain = plain_pgd(net, x, y, EPS, 10, EPS / 4, start)
    ours = adversarial(net, x, y, Method("pgd", 10), EPS, seed=0)
    counts = [int(fooled(net, x, y, made, EPS).sum()) for made in (plain, ours)]
    assert counts[0] > 10
    assert abs(counts[0] - counts[1]) <= 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("eps", [1 / 255, 0.2])
def test_adversarial_images_stay_in_the_ball_and_in_the_range(kind: str, eps: float) -> None:
    net = network()
    x, _ = inputs(net)
    x = x.round(decimals=1)  # black and white pixels among them
    made = adversarial(net, x, net(x).argmax(1), SHORT[kind], eps, seed=2)
    assert made.shape == x.shape
    assert not made.requires_grad
    assert (made - x).abs().max() <= eps + TOLERANCE
    assert made.min() >= 0
    assert made.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_everything_else_is_left_alone(kind: str) -> None:
    net = network().train()
    net[1].eval()  # a frozen BatchNorm inside a network in training: a mode of its own
    net[0].weight.requires_grad_(False)
    x, y = inputs(network())
    before = {name: value.clone() for name, value in net.state_dict().items()}
    generator = torch.get_rng_state()
    kept = x.clone()
    adversarial(net, x, y, SHORT[kind], EPS, seed=0)
    assert torch.equal(torch.get_rng_state(), generator)
    assert [module.training for module in net] == [True, False, True, True, True, True]
    assert [p.requires_grad for p in net.parameters()] == [False, True, True, True, True, True]
    assert all(p.grad is None for p in net.parameters())
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(x, kept)


@pytest.mark.parametrize("kind", KINDS)
def test_randomness_is_the_seeds_and_nobody_elses(kind: str) -> None:
    net = network()
    x, y = inputs(net)
    method = Method(kind, 2 if kind == "pgd" else 6)
    first = adversarial(net, x, y, method, 0.1, seed=7)
    torch.rand(5)
    again, other = (adversarial(net, x, y, method, 0.1, seed=seed) for seed in (7, 8))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_somebody_else_can_be_attacked(kind: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = resnet18(weights=None, num_classes=7)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    made = adversarial(net, x, torch.tensor([0, 6]), Method(kind, 1), EPS, seed=0)
    assert made.shape == x.shape
    assert net.training


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_without_parameters_or_gradient_can_be_attacked(kind: str, capsys: pytest.CaptureFixture) -> None:
    class Thresholds(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x.flatten(1)[:, :5] > 0.5).float()

    x, y = inputs(Thresholds())
    made = adversarial(Thresholds(), x, y, SHORT[kind], EPS, seed=0)
    assert (made - x).abs().max() <= EPS + TOLERANCE
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("bad", [torch.full((1, 3, 8, 8), 1.5), torch.full((1, 3, 8, 8), torch.nan)])
def test_images_outside_the_range_are_one_sentence(bad: Tensor) -> None:
    with pytest.raises(ValueError, match=r"^an attack takes images in \[0, 1\]; put a normalisation inside"):
        adversarial(network(), bad, torch.tensor([0]), SHORT["pgd"], EPS, seed=0)


@pytest.mark.parametrize(("kind", "words", "least"), [("apgd_dlr", "APGD-DLR", 3), ("apgd_t", "APGD-T", 4)])
def test_too_few_classes_are_one_sentence(kind: str, words: str, least: int) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, least - 1))
    with pytest.raises(ValueError, match=rf"^{words} needs at least {least} classes, and the network has {least - 1}$"):
        adversarial(net, torch.zeros(1, 3, 2, 2), torch.tensor([0]), SHORT[kind], EPS, seed=0)
