"""The compact transformer: its sizes, Walton's attention written out, and that p = 50 switches it off."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from scs_study.analysis.attention import cost_sentence
from scs_study.analysis.headtohead.verdict import compare
from scs_study.experiments.compose import compose_cell
from scs_study.models import build_variant, count_parameters
from scs_study.models.architectures import plain_network
from scs_study.models.cct import (
    CCT,
    DIM,
    FILTER,
    FILTER_SCALE,
    HEADS,
    TOKENS,
    Attention,
    PublishedSCSAttention,
    SCSAttention,
    branch_sizes,
)
from scs_study.models.initialization import draw
from scs_study.models.variant import check_cell, remarks
from tests.support.pairs import pair_cell

COUNTS = {"cct2": 283_723, "cct2_scs_published": 283_725, "cct2_scs": 283_729, "cct2_scs_rows": 283_729}
D = DIM // HEADS


@pytest.mark.parametrize(("arch", "count"), COUNTS.items())
def test_sizes_and_a_forward_pass(arch: str, count: int) -> None:
    cell = compose_cell({"arch": arch, "layer": "conv", "activation": "relu", "pooling": "max"}, {}, 0)
    check_cell(cell)
    network = build_variant(cell, draw(arch, 0, "conv2d")).eval()
    assert count_parameters(network) == count
    assert network(torch.rand(3, 3, 32, 32)).shape == (3, 10)
    with pytest.raises(ValueError, match="takes images of 32 pixels only"):
        check_cell(compose_cell({"arch": arch}, {"data.image_size": 64}, 0))


def test_all_of_a_seed_start_from_the_same_numbers() -> None:
    plain = draw("cct2", 3, "conv2d")
    for arch in COUNTS:
        other = draw(arch, 3, "conv2d")
        assert plain.keys() <= other.keys()
        assert all(torch.equal(plain[name], other[name]) for name in plain)
    assert not torch.equal(plain["position"], draw("cct2", 4, "conv2d")["position"])


def inside(attention: Attention, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (B, heads, N, D)."""
    qkv = attention.qkv(x).reshape(len(x), TOKENS, 3, HEADS, D)
    return qkv[:, :, 0].transpose(1, 2), qkv[:, :, 1].transpose(1, 2), qkv[:, :, 2].transpose(1, 2)


@torch.no_grad()
def test_softmax_attention_is_torchs() -> None:
    torch.manual_seed(0)
    attention, x = Attention().double().eval(), torch.randn(2, TOKENS, DIM, dtype=torch.float64)
    q, k, v = inside(attention, x)
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, TOKENS, DIM)
    torch.testing.assert_close(attention(x), attention.proj(wanted))


@pytest.mark.parametrize("p", [1, 2, 3])
@torch.no_grad()
def test_waltons_attention_is_what_his_file_computes(p: int) -> None:
    torch.manual_seed(0)
    attention = PublishedSCSAttention(p).double().eval()
    x = torch.randn(2, TOKENS, DIM, dtype=torch.float64)
    q, k, v = inside(attention, x)
    norms = [
        torch.stack([each[:, :, :, f].flatten().norm() for f in range(D)]) + FILTER / FILTER_SCALE for each in (q, k)
    ]
    outputs = {}
    for b, h in itertools.product(range(2), range(HEADS)):
        dot = q[b, h] @ k[b, h].T
        weights = torch.stack([(dot[:, j] / (norms[0][j] * norms[1][j])) ** p for j in range(TOKENS)], 1)
        outputs[b, h] = dot.sign() * (weights @ v[b, h])
    # Heads first, and then read as if the images came first.
    numbers = torch.cat([outputs[b, h].flatten() for h in range(HEADS) for b in range(2)])
    torch.testing.assert_close(attention(x), attention.proj(numbers.reshape(2, TOKENS, DIM)))


@torch.no_grad()
def test_in_waltons_attention_an_image_sees_its_neighbours_and_in_the_others_it_does_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, TOKENS, DIM)
    changed = x.clone()
    changed[1:] = torch.randn(3, TOKENS, DIM)
    for attention in (Attention(), SCSAttention(rows=False), SCSAttention(rows=True)):
        attention.eval()
        torch.testing.assert_close(attention(x)[0], attention(changed)[0])
    published = PublishedSCSAttention(1).eval()
    assert not torch.allclose(published(x)[0], published(changed)[0], rtol=0.01)


def test_at_p_50_attention_is_its_bias_and_learns_nothing() -> None:
    attention = PublishedSCSAttention().eval()
    torch.nn.init.normal_(attention.proj.bias)
    y = attention(torch.randn(8, TOKENS, DIM))
    assert torch.equal(y, attention.proj.bias.expand_as(y))
    y.square().sum().backward()
    assert attention.qkv.weight.grad is not None
    assert not attention.qkv.weight.grad.any()
    assert attention.filter.grad is not None
    assert not attention.filter.grad.any()


def test_the_branch_vanishes_as_p_rises() -> None:
    x, shares = torch.rand(64, 3, 32, 32), {}
    for p in (1, 2, 5, 50):
        torch.manual_seed(0)
        network = CCT(lambda p=p: PublishedSCSAttention(p), 10, 3).eval()  # type: ignore[misc]
        shares[p] = [branch / tokens for branch, tokens in branch_sizes(network, x)]
    for layer in range(2):
        assert 1e-5 < shares[1][layer] < 1e-2
        assert shares[1][layer] > 100 * shares[2][layer] > 1e4 * shares[5][layer] > 0
        assert shares[50][layer] == 0
    softmax = [branch / tokens for branch, tokens in branch_sizes(plain_network("cct2").eval(), x)]
    repaired = [branch / tokens for branch, tokens in branch_sizes(plain_network("cct2_scs_rows").eval(), x)]
    assert min(*softmax, *repaired) > 0.005


@pytest.mark.parametrize("rows", [False, True])
@torch.no_grad()
def test_the_repaired_attention_is_its_formula_token_by_token(rows: bool) -> None:
    torch.manual_seed(0)
    attention = SCSAttention(rows).eval()
    attention.raw_p.copy_(torch.tensor([1.3, 2.6]))
    attention.raw_q.fill_(30.0)
    x = torch.randn(2, TOKENS, DIM)
    q, k, v = (each.double() for each in inside(attention, x))
    result = torch.empty(2, TOKENS, HEADS, D, dtype=torch.float64)
    for b, h, i in itertools.product(range(2), range(HEADS), range(0, TOKENS, 16)):
        c = torch.stack(
            [q[b, h, i] @ k[b, h, j] / ((q[b, h, i].norm() + 0.3) * (k[b, h, j].norm() + 0.3)) for j in range(TOKENS)]
        )
        weights = c.sign() * c.abs() ** float(attention.p[h])
        if rows:
            weights = weights / weights.abs().sum()
        result[b, i, h] = weights @ v[b, h]
    ours = attention.mixed(*inside(attention, x))
    torch.testing.assert_close(ours[:, ::16].double(), result[:, ::16], rtol=1e-3, atol=1e-5)


def test_the_repaired_attention_learns_p_and_q_from_tokens_that_are_zero_too() -> None:
    attention, x = SCSAttention(rows=True), torch.randn(2, TOKENS, DIM)
    x[:, 5] = 0
    attention(x).square().sum().backward()
    for parameter in attention.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    assert attention.raw_p.grad is not None
    assert attention.raw_p.grad.all()
    assert attention.raw_q.grad is not None
    assert attention.raw_q.grad.all()


def test_four_points_are_held_to_the_published_difference() -> None:
    rng = np.random.default_rng(0)
    base = {seed: (rng.random(2000) < 0.8).astype(float) for seed in range(6)}

    def less(points: int) -> dict[int, np.ndarray]:
        result = {}
        for seed, right in base.items():
            result[seed] = right.copy()
            result[seed][np.flatnonzero(right)[: 20 * points]] = 0
        return result

    words = {}
    for points in (0, 4):
        (found,) = compare(("cct2", base), [("cct2_scs_published", less(points))], 0.1, 1.0)
        words[points] = cost_sentence(found, 310)
        assert "preliminary" in cost_sentence(found, 5)
    assert words[0].endswith("not supported.")
    assert words[4].endswith(": supported.")


def test_a_start_says_a_line_a_network_and_nothing_of_norms_that_it_has_by_design() -> None:
    choices = {"layer": "conv", "activation": "relu", "norm": "none"}
    cells = [compose_cell({"arch": arch, **choices}, {}, seed) for arch in COUNTS for seed in (0, 1)]
    assert remarks(cells) == []
    theirs = dataclasses.replace(cells[0], code=(("arch", "0" * 12),))  # as a network that somebody has added
    (line,) = remarks([theirs])
    assert line == "cct2: layers.0.pre_norm and 4 more: LayerNorm is another norm than BatchNorm2d"
    (line,) = remarks([dataclasses.replace(theirs, activation="none")])
    assert line.count("; ") == 1
    assert "gelu" in line
    (line,) = remarks([pair_cell("hybrid")])
    assert "generator.conv1 and 4 more" in line
