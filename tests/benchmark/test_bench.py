"""The bench of steps and epochs: what is compared with what, on networks small enough to be timed in no time."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from scs_study.analysis.plots.benchmark import bench_chart
from scs_study.benchmark import epoch, table
from scs_study.benchmark import side as side_module
from scs_study.benchmark.cost import floor_seconds, kernel_count, peak_bytes
from scs_study.benchmark.step import Timing, benchmark_case
from scs_study.benchmark.table import BASELINE, NETWORK, Row, bench
from scs_study.benchmark.written import write_csv
from scs_study.config.schema import CellConfig
from scs_study.experiments.compose import compose_cell
from scs_study.training.run import Settings

CPU = torch.device("cpu")


def cell(layer: str, batch: int = 4) -> CellConfig:
    choices = {"arch": "rohrer68k", "layer": layer, "activation": "relu", "pooling": "max", "data": "cifar10"}
    return compose_cell(choices, {"train.batch_size": batch}, 0)


CELLS = {BASELINE: cell("conv"), "scs + max": cell("scs")}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return bench(CELLS, [NETWORK, "eager"], CPU, rounds=1, warm_up=0)


def test_every_variant_is_timed_by_every_engine_and_the_naive_scs_beside_it(rows: list[Row]) -> None:
    alone = {(name, NETWORK, layout) for name in (*CELLS, "scs + max, naive") for layout in ("nchw", "nhwc")}
    assert {(r.variant, r.engine, r.layout) for r in rows} == alone | {(name, "eager", "nhwc") for name in CELLS}
    assert len(rows) == 8


def test_ratios_are_to_the_baseline_of_the_same_engine_in_its_faster_layout(rows: list[Row]) -> None:
    for engine in (NETWORK, "eager"):
        mine = [r for r in rows if r.engine == engine]
        for kind in ("train", "eval"):
            base = min(getattr(r, f"{kind}_ms") for r in mine if r.variant == BASELINE)
            for row in mine:
                assert getattr(row, f"{kind}_x_conv") == pytest.approx(getattr(row, f"{kind}_ms") / base)
    assert all(r.train_images_s == pytest.approx(4 / (1e-3 * r.train_ms)) for r in rows)
    assert all(r.kernels is None and r.of_floor is None for r in rows), "counted on CUDA only"


def test_without_its_baseline_a_bench_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape(BASELINE)):
        bench({"scs + max": cell("scs")}, [NETWORK], CPU, 1)


def test_a_batch_that_a_cpu_would_take_minutes_for_is_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(table, "benchmark_cases", lambda cells, batch, device: seen.append(batch) or [])
    bench({BASELINE: cell("conv", batch=1000)}, [NETWORK], CPU, 1, warm_up=0)
    resnet = compose_cell({"arch": "resnet18", "layer": "conv", "data": "cifar10_224"}, {"train.batch_size": 128}, 0)
    bench({BASELINE: resnet}, [NETWORK], CPU, 1, warm_up=0)
    assert seen == [128, 2]


def test_peak_memory_is_what_was_held_at_once() -> None:
    def work() -> None:
        first = torch.zeros(1 << 20)
        second = first + 1
        del first
        third = second * 2
        del second, third

    assert peak_bytes(work, CPU) == pytest.approx(8 << 20, rel=0.01)


def test_kernels_are_counted_on_a_gpu_only() -> None:
    assert kernel_count(lambda: None, CPU) is None


def test_the_floor_counts_what_convolutions_and_pools_read_and_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scs_study.benchmark.cost.bytes_per_second", lambda device, touched: 1.0)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
    x = torch.zeros(2, 3, 4, 4)
    read_and_written = (2 * 3 * 16 + 2 * 8 * 16) + (2 * 8 * 16 + 2 * 8 * 4)
    assert floor_seconds(network, x) == 3 * 4 * read_and_written


def test_an_epoch_is_taken_apart_into_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epoch, "CPU_IMAGES", (8, 4))
    (row,) = epoch.epochs({BASELINE: cell("conv")}, Settings(CPU), tmp_path)
    assert (row.images, row.test_images, row.engine) == (8, 4, "eager")
    assert min(row.train_s, row.eval_s, row.log_s) > 0
    assert row.epoch_s == pytest.approx(row.train_s + row.eval_s + row.log_s)


def test_cells_side_by_side_are_timed_in_growing_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_module, "WARM_UP", 0)
    rows = side_module.side({BASELINE: cell("conv")}, Settings(CPU, "graphed"), (1, 2), rounds=1)
    assert [(row.cells, row.engine) for row in rows] == [(1, "graphed"), (2, "graphed")]
    assert [row.images_s for row in rows] == pytest.approx([4 * row.cells / (1e-3 * row.step_ms) for row in rows])
    assert rows[1].speedup == pytest.approx(rows[1].images_s / rows[0].images_s)


def test_what_is_written_can_be_read_and_seen(rows: list[Row], tmp_path: Path) -> None:
    with write_csv(tmp_path / "steps.csv", rows).open() as file:
        lines = list(csv.DictReader(file))
    assert [line["variant"] for line in lines] == [row.variant for row in rows]
    assert float(lines[0]["train_ms"]) == pytest.approx(rows[0].train_ms, rel=1e-3)
    assert lines[0]["kernels"] == ""
    assert bench_chart(rows, "a device", tmp_path, "steps").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["steps.csv", "steps.png"]


def test_memory_of_an_engine_is_that_of_its_first_call_since_a_replay_allocates_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(table, "peak_bytes", lambda work, device: calls.append("memory") or 1_000_000)
    monkeypatch.setattr(table, "measure", lambda *_: calls.append("time") or measured)
    timing = Timing.of([1.0])
    measured = {(f"{BASELINE}|graphed", "nhwc"): (timing, timing)}
    (row,) = bench({BASELINE: cell("conv")}, ["graphed"], CPU, 1)
    assert calls == ["memory", "time"]
    assert row.peak_mb == 1.0


def test_a_network_is_timed_in_its_own_precision() -> None:
    seen: list[torch.dtype] = []
    small = replace(cell("conv"), train=replace(cell("conv").train, numerics="bf16"))
    network = nn.Sequential(nn.Conv2d(3, 10, 32), nn.Flatten())
    network[0].register_forward_hook(lambda module, inputs, y: seen.append(y.dtype))
    case = benchmark_case("bf16", small, network, "nhwc", 2, CPU)
    case.train()
    case.evaluate()
    assert seen == [torch.bfloat16] * 2
