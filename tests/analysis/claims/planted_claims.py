"""A claim made up for a test, and run folders with a planted truth."""

import random
from pathlib import Path

import pandas as pd
import torch

from scs_study.analysis.claims.cells import Runs
from scs_study.analysis.claims.decide import Verdict, decide
from scs_study.analysis.claims.load import claim_file
from scs_study.analysis.collect import collect
from scs_study.evaluation.robustness import batches
from scs_study.system.tensors import checksum, save_tensors
from tests.analysis.run_folders import cell, write_run

EPOCHS = 60
RELU, NONE = (
    {"layer": "conv", "activation": "relu", "pooling": "max"},
    {
        "layer": "conv",
        "activation": "none",
        "pooling": "max",
    },
)


MARGINS = {
    name: {"delta": delta, "why": "made up"}
    for name, delta in (
        ("dead", 2.0), ("accuracy", 1.0), ("pgd_accuracy", 2.0), ("worst_accuracy", 2.0), ("kept", 2.0), ("gini", 0.02),
        ("insertion", 0.02), ("train_time", 0.05),
    )
}  # fmt: skip


def judged(runs: Path, benchmark: pd.DataFrame | None = None, top: dict | None = None, **entry: object) -> Verdict:
    """The verdict of one claim about rohrer25k on digits: test keys in `test`, the others the claim's."""
    test = {"metric": "accuracy", "rule": "superior_by", "where": ["here"], "a": RELU, "b": NONE, "epochs": EPOCHS}
    tests = entry.pop("tests", None) or [{**test, **entry.pop("test", {})}]  # type: ignore[dict-item]
    claim = {"id": 1, "name": "planted", "source": "paper", "section": "1", "sentence": "It holds.", "paper": "so",
             "overall": "always", "n": 6, "tests": tests, **entry}  # fmt: skip
    values = {
        "title": "A paper", "base": {"data": "digits", "data.flip": True, "train": "paper"},
        "chance": 10.0, "margins": MARGINS,
        "images": 100, "attacks": {"pgd": 10}, "families": {"G": "all"}, "claims": [claim],
        "choices": {"init": {"uniform weights": {"init": "uniform"}}},
        "environments": {"here": [{"arch": "rohrer25k"}], "two": [{"arch": "rohrer25k"}, {"arch": "rohrer47k"}]},
        **(top or {}),
    }  # fmt: skip
    (verdict,) = decide(
        claim_file(values), Runs({runs: collect(runs)}), pd.DataFrame() if benchmark is None else benchmark
    )
    return verdict


def write(
    runs: Path, accuracies: dict[int, float], epochs: int = EPOCHS, state: str = "done", **choices: object
) -> None:
    """A finished run for each seed that ends at the given accuracy (a fraction)."""
    for seed, accuracy in accuracies.items():
        planned = cell(seed=seed, train__epochs=epochs, **choices)  # type: ignore[arg-type]
        write_run(runs, planned, [0.1] * (epochs - 10) + [accuracy] * 10, state=state)


def planted(runs: Path, seeds: int, difference: float, sd: float = 0.005, **where: object) -> None:
    """Pairs of runs, with and without ReLU, that differ by `difference` on average."""
    draw = random.Random(0)
    base = {seed: 0.7 + draw.gauss(0, 0.02) for seed in range(seeds)}
    write(runs, {seed: value + difference + draw.gauss(0, sd) for seed, value in base.items()}, **where)
    write(runs, base, activation="none", **where)


def attack(folder: Path, first_eps: list[int], right: list[bool], restarts: int = 1) -> None:
    """What an evaluation leaves of a clean pass and of PGD at 1 and 2 of 255."""
    weights = {"w": torch.full((2,), float(len(list(folder.iterdir()))))}
    save_tensors(folder / "weights.safetensors", weights, {"run": folder.name})
    common = {"weights": checksum(weights), "images": "7" * 64}
    method = {"kind": "pgd", "steps": 10, "restarts": restarts, "step_size": 2.5, "random_start": True}
    pgd = {**common, "attack": "pgd", "batch": 500, "method": method, "eps": [1.0, 2.0], "seed": 0}
    for identity, values in ((({**common, "attack": "clean"}), [-1 if ok else 0 for ok in right]), (pgd, first_eps)):
        batches.resume(folder, identity)
        batches.add(folder, identity, batches.Batch(0, len(values), 1, tuple(values), 0, 0, 1.0, "cpu"))
