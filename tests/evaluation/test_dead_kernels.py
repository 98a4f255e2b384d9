"""A kernel is dead that says the same to every image, and with a ReLU behind it also one that is never above 0."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import nn

from scs_study.evaluation.dead_kernels import dead_counts, dead_kernels
from scs_study.system import files
from scs_study.system.tensors import checksum, save_tensors
from scs_study.training.run_dir import WEIGHTS


def test_silent_kernels_are_counted_layer_by_layer() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 2))
    with torch.no_grad():
        network[0].weight[1] = 0.0  # says its bias to every image
        network[0].bias[2] = -100.0  # never above 0
        network[1].weight[3] *= 1e-6
    x = torch.rand(8, 3, 10, 10)
    assert dead_kernels(network, x, rectified=False) == {"0": (1, 5), "1": (1, 4)}
    assert dead_kernels(network, x, rectified=True)["0"] == (2, 5)
    assert network.training, "left as it was"
    with torch.no_grad():
        network[0].weight.fill_(torch.nan)
    assert dead_kernels(network, x, rectified=False)["0"] == (5, 5)


def test_what_has_been_counted_is_read_from_records_without_weights(tmp_path: Path) -> None:
    def counted(name: str, weights: str) -> None:
        lines = [{"weights": weights}, {"conv1": [1, 24], "conv2": [0, 48]}]
        files.write_text(
            tmp_path / "kernels" / f"dead-{name}.jsonl", "".join(json.dumps(line) + "\n" for line in lines)
        )

    assert dead_counts(tmp_path) is None
    counted("a", "of nobody")
    assert dead_counts(tmp_path) == {"conv1": (1, 24), "conv2": (0, 48)}
    counted("b", "of others")
    assert dead_counts(tmp_path) is None, "which of them is the run's nobody knows"
    weights = {"w": torch.ones(2)}
    save_tensors(tmp_path / WEIGHTS, weights)
    assert dead_counts(tmp_path) is None, "neither is of these weights"
    counted("c", checksum(weights))
    assert dead_counts(tmp_path) is not None
