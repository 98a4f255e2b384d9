"""Prints what the layers cost on this machine, as ratios to Conv2d + ReLU + MaxPool: python scripts/bench.py"""

from __future__ import annotations

import re

from omegaconf import DictConfig
from tabulate import tabulate

from scs_study import files
from scs_study.bench.step import contestants, measure
from scs_study.config import whole
from scs_study.study.command import results_folder, run_command, workplace
from scs_study.study.compose import compose_cell
from scs_study.training.run import device_name

BASELINE = "conv + relu + max"
VARIANTS = {
    BASELINE: ("conv", "relu", "max"),
    "scs + maxabs": ("scs", "none", "maxabs"),
    "cosine + maxabs": ("cosine", "none", "maxabs"),
    "sdp + maxabs": ("sdp", "none", "maxabs"),
}
HEAD = ("network", "layout", "train ms", "quartiles", "x conv", "eval ms", "x conv")


def main(config: DictConfig) -> int:
    """Exit status 0."""
    place, folder = workplace(config), results_folder(config, "bench")
    rounds = whole("rounds", config.rounds, 1)
    device = place.settings.device
    cells = {
        name: compose_cell({"arch": config.arch.name, "layer": layer, "activation": act, "pooling": pool}, {}, 0)
        for name, (layer, act, pool) in VARIANTS.items()
    }
    timings = measure(contestants(cells, whole("train.batch_size", config.train.batch_size, 1), device), rounds, device)
    best = [min(t[i].median for (name, _), t in timings.items() if name == BASELINE) for i in (0, 1)]
    rows = [
        (name, layout, f"{1e3 * train.median:.1f}", f"{1e3 * train.low:.1f}-{1e3 * train.high:.1f}",
         f"{train.median / best[0]:.2f}", f"{1e3 * evaluate.median:.1f}", f"{evaluate.median / best[1]:.2f}")
        for (name, layout), (train, evaluate) in timings.items()
    ]  # fmt: skip
    where = f"{config.arch.name}, batch {config.train.batch_size}, {device_name(device)}, median of {rounds} rounds"
    print(f"{where}; x conv: against {BASELINE} in its faster layout\n{tabulate(rows, HEAD, disable_numparse=True)}")
    csv = "\n".join(",".join(row) for row in (HEAD, *rows)) + "\n"
    slug = re.sub(r"[^a-z0-9]+", "_", device_name(device).lower())
    path = folder / f"step_{config.arch.name}_{slug}.csv"
    files.write_text(path, csv)
    print(f"  {path}")
    return 0


if __name__ == "__main__":
    run_command(main, "bench")
