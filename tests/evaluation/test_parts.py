"""Evaluations in parts: cached ones are not computed again, nobody computes the same twice, failures stop nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from scs_study.evaluation.cache import load_result, store_result
from scs_study.evaluation.parts import Part, evaluate
from scs_study.runs.lock import acquire


class Squares:
    """An evaluation of three parts: the square of each number, cached; a negative number cannot be evaluated."""

    def __init__(self, run: Path, numbers: tuple[int, ...] = (1, 2, 3)) -> None:
        self.folder = run / "squares"
        self.check: Callable[[], None] = lambda: None
        self.numbers = numbers

    def work(self) -> float:
        return float(len(self.numbers))

    def parts(self) -> Iterator[Part]:
        for number in self.numbers:
            if number < 0:
                raise ValueError(f"{number} is negative")
            key = {"number": number}

            def compute(number: int = number) -> str:
                store_result(self.folder, "square", {"number": number}, ({"x": torch.tensor(number**2)}, {}))
                return "done"

            cached = load_result(self.folder, "square", key) is not None
            yield Part("square", f"square of {number}", 1, None if cached else compute)


def runs(folder: Path) -> list[Path]:
    found = [folder / name for name in ("a", "b")]
    for each in found:
        each.mkdir(exist_ok=True)
    return found


def test_what_is_cached_is_not_computed_again(tmp_path: Path) -> None:
    first, second = runs(tmp_path)
    computed: list[tuple[str, bool]] = []

    def report(run: str, part: Part) -> None:
        computed.append((run, part.compute is not None))

    assert evaluate("squares", {"a": Squares(first, (1, 2))}, report) == []
    assert evaluate("squares", {"a": Squares(first), "b": Squares(second, (1,))}, report) == []
    assert computed == [("a", True), ("a", True), ("a", False), ("a", False), ("a", True), ("b", True)]
    found = load_result(second / "squares", "square", {"number": 1})
    assert found is not None
    assert int(found[0]["x"]) == 1


def test_one_that_cannot_be_evaluated_stops_nobody_and_keeps_what_it_has(tmp_path: Path) -> None:
    first, second = runs(tmp_path)
    assert evaluate("squares", {"a": Squares(first, (2, -1)), "b": Squares(second)}) == ["-1 is negative"]
    assert load_result(first / "squares", "square", {"number": 2}) is not None
    assert load_result(second / "squares", "square", {"number": 3}) is not None


def test_what_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    first, second = runs(tmp_path)
    (first / "squares").mkdir()
    lock = acquire(first / "squares")
    try:
        assert evaluate("squares", {"a": Squares(first), "b": Squares(second)}) == ["a: another process is at it"]
    finally:
        lock.release()
    assert load_result(first / "squares", "square", {"number": 1}) is None
    assert evaluate("squares", {"a": Squares(first)}) == []
