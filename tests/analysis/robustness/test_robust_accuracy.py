"""Every success is verified by us, holds at every larger eps, and masked gradients do not pass for robustness."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scs_study.analysis.statistics import wilson
from scs_study.evaluation.robustness.attacks import Method
from scs_study.evaluation.robustness.evaluate import NEVER, curve, evaluate_attack, fooled, zero_gradients
from scs_study.evaluation.robustness.masking import Verdict, constant_prediction, verdict

EPS = (0.0, 0.01, 0.02, 0.05, 0.1)


class Linear(nn.Module):
    """Four classes by their mean pixels of four bands; quantised: in steps, whose gradient is zero everywhere."""

    def __init__(self, quantised: bool = False) -> None:
        super().__init__()
        self.quantised = quantised

    def forward(self, x: Tensor) -> Tensor:
        logits = x.mean(1).view(len(x), 4, -1).mean(2) * 20
        return logits.mul(8).round().div(8) if self.quantised else logits


def inputs(net: nn.Module, count: int = 60) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = 0.3 + 0.4 * torch.rand(count, 3, 8, 8, generator=generator)
    with torch.no_grad():
        return x, net(x).argmax(1)


def test_an_attacks_claim_is_never_believed() -> None:
    net = Linear()
    x, y = inputs(net, 5)
    far = x.clone()
    far[:, :, 2 * int(y[0]) : 2 * int(y[0]) + 2] = 0.0
    wrong = torch.roll(y, 1)
    wrong[wrong == y] = (y[wrong == y] + 1) % 4
    assert fooled(net, x, wrong, x, 0.01).all(), "misclassified and in the ball"
    assert not fooled(net, x, y, x, 0.01).any(), "not misclassified"
    assert fooled(net, x, wrong, x + 0.0099, 0.01).all()
    assert not fooled(net, x, wrong, x + 0.0102, 0.01).any(), "outside the ball"
    assert not fooled(net, torch.ones_like(x), wrong, torch.ones_like(x) + 0.005, 0.01).any(), "outside the range"
    assert not fooled(net, x, wrong, torch.full_like(x, torch.nan), 0.01).any(), "not a number"


def test_accuracy_falls_with_eps_and_begins_with_the_clean_one() -> None:
    net = Linear()
    x, y = inputs(net)
    y = torch.where(torch.arange(len(y)) % 6 == 0, (y + 1) % 4, y)
    first_eps = curve(net, x, y, Method("pgd", 5), EPS, seed=0, batch=25)
    accuracies = [float(((first_eps == NEVER) | (first_eps > index)).double().mean()) for index in range(len(EPS))]
    assert accuracies[0] == float((net(x).argmax(1) == y).double().mean()) == 50 / 60
    assert accuracies == sorted(accuracies, reverse=True)
    assert accuracies[-1] < accuracies[1] < accuracies[0]


def test_pgd_on_a_linear_classifier_finds_exactly_what_there_is() -> None:
    net = Linear().double()
    x, y = inputs(net)
    first_eps = curve(net, x.double(), y, Method("pgd", 20), EPS, seed=0, batch=60)
    top = net(x.double()).topk(2).values
    # One eps on every pixel moves the difference of two classes by 2 * 20 * eps: nothing is clipped here.
    needed = (top[:, 0] - top[:, 1]) / 40
    assert needed.max() < EPS[-1]
    assert torch.equal(first_eps, torch.bucketize(needed, torch.tensor(EPS, dtype=torch.float64)))


def test_only_survivors_within_the_mask_are_attacked() -> None:
    net = Linear()
    x, y = inputs(net, 30)
    seen = []

    class Counted(Linear):
        def forward(self, images: Tensor) -> Tensor:
            seen.append(len(images))
            return super().forward(images)

    mask = torch.zeros(2, 30, dtype=torch.bool)
    mask[:, :12] = True
    first_eps = evaluate_attack(Counted(), x, y, Method("pgd", 2), (0.005, 0.1), mask, (0,))
    assert (first_eps[12:] == NEVER).all()
    second = int((first_eps[:12] != 0).sum())
    assert 0 < second < 12
    assert seen == [12, 12, 12, second, second, second]


def test_restarts_find_more_and_never_less() -> None:
    net = Linear()
    x, y = inputs(net)
    mask = torch.ones(1, len(x), dtype=torch.bool)
    once, often = (evaluate_attack(net, x, y, Method("pgd", 1, n, step_size=0.2), (0.02,), mask, (0,)) for n in (1, 6))
    assert (often[once == 0] == 0).all()
    assert (often == 0).sum() > (once == 0).sum()


def judged(net: nn.Module) -> Verdict:
    x, y = inputs(net)
    mask = torch.ones(1, len(x), dtype=torch.bool)
    pgd = evaluate_attack(net, x, y, Method("pgd", 10), (0.05,), mask, (0,))
    square = evaluate_attack(net, x, y, Method("square", 300), (0.05,), (pgd == NEVER)[None], (0,))
    zero = torch.where(zero_gradients(net, x, y), 0, NEVER)
    right = np.ones(len(x), dtype=np.bool_)
    return verdict(right, pgd.numpy(), {"square": square.numpy()}, zero.numpy(), 0.05, 0, 0, 0.01)


def test_masked_gradients_are_flagged_by_an_attack_that_needs_none() -> None:
    masked = judged(Linear(quantised=True))
    found = masked.found["square"]
    assert found is not None
    assert found > 0.3 * masked.images
    assert masked.worst == masked.pgd - found
    assert masked.zero == masked.images
    assert [flag.split(" ")[0] for flag in masked.flags] == ["Square", "no"]


def test_honest_gradients_are_not_flagged() -> None:
    honest = judged(Linear())
    assert honest.flags == ()
    assert honest.zero == 0
    assert honest.worst == honest.pgd < honest.images


def test_the_worst_case_is_over_all_attacks_and_an_attack_not_made_is_not_complete() -> None:
    right = np.array([True, True, True, True, False])
    pgd = np.array([0, NEVER, NEVER, 2, NEVER])
    additional = {"apgd_ce": np.array([NEVER, 0, NEVER, NEVER, NEVER]), "square": np.array([NEVER, NEVER, 1, 0, NEVER])}
    first = verdict(right, pgd, additional, None, 1, 0, 0, 0.3)
    assert (first.clean, first.pgd, first.worst) == (4, 3, 1)
    assert first.found == {"apgd_ce": 1, "square": 1}
    assert first.flags == ()
    assert verdict(right, pgd, additional, None, 2, 1, 1, 0.3).flags == ("Square +40.0",)
    assert not verdict(right, pgd, {"square": None}, None, 1, 0, 0, 0.3).complete


def test_a_network_that_answers_with_one_class_is_flagged() -> None:
    fair = np.arange(100) % 10
    assert constant_prediction(fair, 10) is None
    half_dead = np.where(np.arange(100) < 20, 3, fair)
    assert constant_prediction(half_dead, 10) == pytest.approx(0.28)
    assert constant_prediction(np.array([0, 1, 1, 1]), 2) == 0.75
    assert constant_prediction(np.array([0, 0, 1, 1, 1]), 2) is None
    right, never = np.array([True]), np.array([NEVER])
    assert verdict(right, never, {}, None, 1, 0, 0, 0.3, 0.28).flags == ("constant prediction 28 %",)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634), (3, 3, 0.4385, 1.0)]
)
def test_wilson_intervals_are_those_of_the_textbook(right: int, n: int, low: float, high: float) -> None:
    assert wilson(right, n) == pytest.approx((low, high), abs=1e-4)
