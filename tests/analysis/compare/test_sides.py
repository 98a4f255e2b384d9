"""What differs throughout is compared, everything else must agree, and nothing stands beside itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from scs_study.analysis.collect import collect
from scs_study.analysis.compare.sides import Matched, matched, side
from scs_study.config.schema import CellConfig
from tests.analysis.run_folders import cell, write_run


def match(runs: Path, a: list[CellConfig], b: list[CellConfig]) -> Matched:
    for planned in {each.run_name: each for each in (*a, *b)}.values():
        if not (runs / planned.run_name).exists():
            write_run(runs, planned, [0.5] * planned.train.epochs)
    return matched(
        *(side(name, collect(runs, [c.run_name for c in cells]), runs) for name, cells in (("A", a), ("B", b)))
    )


def words(found: Matched) -> list[tuple[str, str, str]]:
    return [(pair.place, pair.a_words, pair.b_words) for pair in found.pairs]


def test_layers_are_compared_in_every_network_that_both_sides_have(tmp_path: Path) -> None:
    sizes = ("rohrer25k", "rohrer47k")
    found = match(
        tmp_path,
        [cell("conv", arch=arch, seed=seed) for arch in sizes for seed in (0, 1)],
        [*(cell("scs", arch=arch, seed=seed) for arch in sizes for seed in (0, 1)), cell("scs", arch="rohrer68k")],
    )
    assert words(found) == [(arch, "conv relu max", "scs relu max") for arch in sizes]
    assert [(len(pair.a), len(pair.b)) for pair in found.pairs] == [(2, 2), (2, 2)]
    assert found.alone == ("B: rohrer68k scs relu max",)


def test_a_setting_of_a_layer_is_compared_though_convolutions_on_both_sides_have_none(tmp_path: Path) -> None:
    def of(p: float, epochs: int) -> list[CellConfig]:
        fixed = cell("scs", layer__p=p, layer__p_init=None, train__epochs=epochs)
        return [fixed, cell("conv", train__epochs=epochs)]

    found = match(tmp_path, of(1.0, 3), of(2.0, 4))
    assert words(found) == [("conv relu max", "3 epochs", "4 epochs"), ("scs relu max", "3 epochs p=1", "4 epochs p=2")]


def test_of_variants_that_both_sides_have_each_stands_beside_its_own(tmp_path: Path) -> None:
    layers = ("conv", "scs", "sdp")
    found = match(
        tmp_path,
        [cell(layer) for layer in layers],
        [cell(layer, train__max_lr=0.05) for layer in layers[:2]],
    )
    assert words(found) == [(f"{name} relu max", "max_lr=0.01", "max_lr=0.05") for name in layers[:2]]
    assert found.alone == ("A: rohrer25k sdp relu max",)


def test_scs_and_sharpened_sdp_stand_side_by_side_from_equal_starts_of_p(tmp_path: Path) -> None:
    both = {"wide": (1.0, 3.0), "one": (1.0, 1.0)}
    scs = {name: cell("scs", layer__p_init=start) for name, start in both.items()}
    sdp = {name: cell("sdp", layer__p_init=start) for name, start in both.items()}
    found = match(tmp_path, [scs["wide"], scs["one"]], [sdp["one"]])
    assert [(len(found.pairs), pair.a[0]["layer.p_init"]) for pair in found.pairs] == [(1, (1.0, 1.0))]
    assert len(found.alone) == 1
    assert len(match(tmp_path, list(scs.values()), list(sdp.values())).pairs) == 2
    (only,) = match(tmp_path, [scs["wide"]], [sdp["one"]]).pairs
    assert (only.a_words, only.b_words) == ("scs relu max p_init=1-3", "sdp relu max p_init=1-1")


def test_the_same_runs_are_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the same runs"):
        match(tmp_path, [cell(seed=0), cell(seed=1)], [cell(seed=1), cell(seed=2)])


def test_sides_that_overlap_in_part_have_nothing_to_compare(tmp_path: Path) -> None:
    a = [cell("conv"), cell("scs", arch="rohrer47k")]
    b = [cell("conv", arch="rohrer47k"), cell("scs")]
    assert len(match(tmp_path, a[:1], b[:1]).pairs) == 1
    with pytest.raises(ValueError, match="nothing to compare"):
        match(tmp_path, a, b)
