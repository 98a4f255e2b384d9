"""Attacks on real small runs: exact where nothing is attacked, cached per image, resumed where they were cut short."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scs_study.analysis.collect import collect, identity_columns
from scs_study.analysis.robustness import report as analysis
from scs_study.analysis.robustness.report import models_of
from scs_study.analysis.robustness.results import AttackResult, attack_result
from scs_study.analysis.variants import records
from scs_study.evaluation.parts import Part, compute_parts
from scs_study.evaluation.robustness import batches
from scs_study.evaluation.robustness.classifier import balanced, classifier
from scs_study.evaluation.robustness.evaluate import NEVER, curve
from scs_study.evaluation.robustness.evaluator import RobustnessEvaluator, too_few
from scs_study.evaluation.robustness.identity import PGD, attack_names, identity
from scs_study.evaluation.robustness.models import sources
from scs_study.evaluation.robustness.settings import Robustness, robustness_of
from scs_study.experiments.compose import load_option
from scs_study.runs.run_one import run_cell
from scs_study.system import files
from scs_study.training import run_dir as run_folder
from scs_study.training.stopping import Interrupted
from tests.gates import Gate
from tests.support.work import cell, few_digits, run_context, start

CONV, SCS = cell("conv"), cell("scs")


def settings(**changed: Any) -> Robustness:
    few = {
        "eps": [0, 8, 24, 64],
        "steps": 3,
        "batch": 16,
        "check_eps": [8, 64],
        "check_images": 40,
        "apgd_steps": 3,
        "apgd_restarts": 1,
    }
    return robustness_of({**load_option("attack", "pgd"), **few, "square_queries": 20, **changed})


def attack(
    runs: Path, which: Robustness, report: Callable[[Part], None] = lambda part: None, **stop: Any
) -> list[AttackResult]:
    """The results of the attacks on both runs, which are made where they are missing."""
    frame = collect(runs, [CONV.run_name, SCS.run_name])
    found, problems = models_of(frame, runs)
    if problems:
        raise ValueError(problems[0])
    for model in found.values():
        for part in compute_parts(RobustnessEvaluator(model, which, run_context(runs), **stop)):
            report(part)
    results = [attack_result(row, found[row["run"]], which) for row in records(frame)]
    assert all(results)
    return [each for each in results if each]


def fresh(parts: list[Part], kind: str = "") -> list[bool]:
    """Of each part (of that kind) whether it was computed, and not found."""
    return [part.compute is not None for part in parts if kind in part.kind]


def attack_to_the_end(runs: Path) -> None:
    """As `attack`, in a process of its own."""
    attack(runs, settings(checks=["apgd_ce"]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("attacked") / "runs"
    for each in (CONV, SCS):
        assert run_cell(each, run_context(runs)).state == "done"
    return runs


def test_more_images_than_there_are_is_said_before_they_are_attacked(trained: Path) -> None:
    frame = collect(trained, [CONV.run_name, SCS.run_name])
    found, _ = models_of(frame, trained)
    count = len(few_digits().test_labels)
    which = settings(images=5000, check_images=count, checks=["square"])
    assert too_few(found, which, run_context(trained)) == [
        f"digits has {count} test images, fewer than attack.images=5000: all are attacked"
    ]
    both = too_few(found, settings(images=5000, check_images=5000), run_context(trained))
    assert "fewer than attack.images=5000 and attack.check_images=5000:" in both[0]
    assert too_few(found, settings(images=count, check_images=1), run_context(trained)) == []
    assert too_few(found, settings(images=None, check_images=5000, checks=[], check_eps=[]), run_context(trained)) == []
    work = [
        [RobustnessEvaluator(model, each, run_context(trained)).work() for model in found.values()]
        for each in (which, settings(images=count, check_images=count, checks=["square"]))
    ]
    assert work[0] == work[1]


@pytest.fixture
def runs(trained: Path, tmp_path: Path) -> Path:
    """Both runs, not attacked yet."""
    for each in (CONV, SCS):
        folder = tmp_path / each.run_name
        folder.mkdir()
        for file in (trained / each.run_name).iterdir():
            if file.is_file():
                (folder / file.name).write_bytes(file.read_bytes())
    return tmp_path


def cached(runs: Path) -> dict[str, list[Any]]:
    """Everything that is cached of the attacks, without what they cost."""
    costs = ("gradients", "forwards", "seconds", "device")
    return {
        str(path.relative_to(runs)): [
            {key: value for key, value in line.items() if key not in costs} for line in files.read_lines(path)
        ]
        for path in sorted(runs.glob(f"*/{batches.FOLDER}/*.jsonl"))
    }


def test_without_an_attack_accuracy_is_the_recorded_one_to_the_last_image(runs: Path) -> None:
    for each in attack(runs, settings(checks=[])):
        result = files.read_json(runs / each.row["run"] / run_folder.RESULT)
        assert each.survivors(settings())[0] / len(each.right) == result["final_test_accuracy"]
        assert each.survivors(settings()) == sorted(each.survivors(settings()), reverse=True)


def test_another_accuracy_than_the_recorded_one_is_one_sentence(runs: Path) -> None:
    path = runs / CONV.run_name / run_folder.RESULT
    files.write_json(path, {**files.read_json(path), "final_test_accuracy": 0.5})
    with pytest.raises(
        ValueError, match=r"^rohrer68k-conv-.*: the accuracy without an attack is .* and 0.5 in its rec"
    ):
        attack(runs, settings(checks=[]))


def test_a_run_is_attacked_as_any_network_would_be(runs: Path) -> None:
    each = attack(runs, settings(checks=[]))[1]
    images = few_digits()
    order = balanced(images.test_labels)
    x = (images.test_images[order].float() / 255).permute(0, 3, 1, 2)
    y = images.test_labels[order]
    net = classifier(runs / SCS.run_name)
    first_eps = curve(net, x, y, settings().method(PGD), [r / 255 for r in settings().eps], seed=0, batch=16)
    accuracies = [int(((first_eps == NEVER) | (first_eps > index)).sum()) for index in range(4)]
    # Another batch's randomness, so not the same images; the same network and radii, so nearly as many.
    assert np.abs(np.array(accuracies) - each.survivors(settings())).max() <= 3
    assert accuracies[0] == each.survivors(settings())[0]


def test_an_attack_killed_in_the_middle_ends_as_if_nothing_had_happened(runs: Path, shut: Callable[..., Gate]) -> None:
    attack(runs, settings(checks=["apgd_ce"]))
    whole = cached(runs)
    for path in runs.glob(f"*/{batches.FOLDER}/*"):
        path.unlink()
    second = shut(f"{runs}/*/{batches.FOLDER}/apgd_ce-*", after=1, kill=True)
    process = start(attack_to_the_end, runs)
    process.join()
    second.open()
    assert process.exitcode == -signal.SIGKILL
    assert cached(runs) != whole
    parts: list[Part] = []
    attack(runs, settings(checks=["apgd_ce"]), parts.append)
    assert cached(runs) == whole
    assert True in fresh(parts)
    assert False in fresh(parts)


def test_predictions_are_added_to_evaluations_that_were_made_without_them(runs: Path) -> None:
    whole = attack(runs, settings(checks=[]))
    for each in whole:
        (path,) = (runs / each.row["run"] / batches.FOLDER).glob("predicted-*.jsonl")
        predicted = files.read_lines(path)[1]["fell"]
        images = few_digits()
        labels = images.test_labels[balanced(images.test_labels)].numpy()
        assert np.array_equal(np.array(predicted) == labels, each.right)
        path.unlink()
    parts: list[Part] = []
    again = attack(runs, settings(checks=[]), parts.append)
    assert fresh(parts, "clean") == [True, True]
    assert not any(fresh(parts, PGD))
    for one, other in zip(whole, again, strict=True):
        assert np.array_equal(one.right, other.right)
        assert one.constant == other.constant


def test_an_attack_that_is_stopped_goes_on_at_the_batch(runs: Path) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise Interrupted("stopped")

    with pytest.raises(Interrupted):
        attack(runs, settings(checks=[]), check=check)
    parts: list[Part] = []
    attack(runs, settings(checks=[]), parts.append)
    assert fresh(parts)[0] is False
    assert fresh(parts).count(True) >= 4
    again: list[Part] = []
    attack(runs, settings(checks=[]), again.append)
    assert not any(fresh(again))


def test_an_additional_attack_is_made_on_the_survivors_of_pgd_alone(runs: Path) -> None:
    both = attack(runs, settings(checks=["square"]))
    for each in both:
        index = settings().eps.index(64) - 1
        survivors = each.right & ((each.pgd == NEVER) | (each.pgd > index))
        square = each.additional["square"]
        assert square is not None
        fooled_at_64 = square == 1
        assert not (fooled_at_64 & ~survivors[:40]).any()
        verdict = each.verdicts(settings(checks=["square"]))[1]
        assert verdict.pgd == survivors[:40].sum()
        assert verdict.worst == (survivors[:40] & (square == NEVER)).sum()


def test_the_curve_of_pgd_needs_no_additional_attacks(runs: Path) -> None:
    each = attack(runs, settings(checks=[], check_eps=[]))[0]
    assert each.verdicts(settings(checks=[], check_eps=[])) == []
    assert len(each.survivors(settings(checks=[], check_eps=[]))) == len(settings().eps)


def test_fewer_images_are_the_first_of_more(runs: Path) -> None:
    few = attack(runs, settings(checks=[], images=32, check_images=16))
    again: list[Part] = []
    more = attack(runs, settings(checks=[]), again.append)
    for small, large in zip(few, more, strict=True):
        assert len(small.pgd) == 32
        assert np.array_equal(small.pgd, large.pgd[:32])
    assert fresh(again, PGD) == [False, False, True, True] * 2


def test_a_damaged_file_is_quarantined_with_a_message_and_made_again(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(runs, settings(checks=[]))
    whole = cached(runs)
    path = next((runs / SCS.run_name / batches.FOLDER).glob("pgd-*"))
    lines = path.read_text().splitlines()
    changed = json.loads(lines[2])
    changed["fell"][0] = NEVER if changed["fell"][0] != NEVER else 1
    path.write_text("\n".join([*lines[:2], json.dumps(changed), *lines[3:]]) + "\n")
    attack(runs, settings(checks=[]))
    (message,) = capsys.readouterr().err.splitlines()
    assert "line 3, is damaged" in message
    assert message.endswith(f"kept as {path.name}.damaged-1, computing it again")
    assert cached(runs) == whole


def test_transfers_come_from_the_other_kind_of_layer(runs: Path) -> None:
    frame = collect(runs, [CONV.run_name, SCS.run_name])
    found = sources(records(frame), identity_columns(frame))
    assert found == {CONV.run_name: SCS.run_name, SCS.run_name: CONV.run_name}
    assert sources(records(frame)[:1], identity_columns(frame)) == {CONV.run_name: None}


def test_smooth_gradients_are_followed_where_they_are_not_the_networks_own(runs: Path) -> None:
    found, _ = models_of(collect(runs, [CONV.run_name, SCS.run_name]), runs)
    assert "smooth" in attack_names(found[SCS.run_name], settings())
    assert "smooth" not in attack_names(found[CONV.run_name], settings())


def test_what_a_result_depends_on_is_in_its_name(runs: Path) -> None:
    frame = collect(runs, [CONV.run_name, SCS.run_name])
    found, _ = models_of(frame, runs)
    conv, scs = found[CONV.run_name], found[SCS.run_name]
    usual = settings()
    others = [
        settings(steps=4),
        settings(seed=1),
        settings(batch=17),
        settings(random_start=False),
        settings(restarts=2),
    ]
    names = {batches.path_of(runs, identity(conv, PGD, each)) for each in [usual, *others]}
    assert len(names | {batches.path_of(runs, identity(scs, PGD, usual))}) == 7
    same = replace(usual, margin=0.5, images=48, square_queries=7, checks=("square",))
    assert batches.path_of(runs, identity(conv, PGD, same)) in names


def test_a_classifier_is_what_robustbench_takes(runs: Path) -> None:
    net = classifier(runs / SCS.run_name)
    assert not net.training
    images = few_digits()
    x = (images.test_images.float() / 255).permute(0, 3, 1, 2).contiguous().requires_grad_()
    logits = net(x)
    assert logits.shape == (64, 10)
    assert logits.dtype == torch.float32
    assert (logits.sum(1) - 1).abs().max() > 1e-3, "logits, not probabilities"
    assert torch.equal(logits, net(x)), "nothing random"
    assert torch.autograd.grad(logits.sum(), x)[0].abs().max() > 0
    assert not any(p.requires_grad for p in net.parameters())
    accuracy = float((logits.argmax(1) == images.test_labels).double().mean())
    assert accuracy == files.read_json(runs / SCS.run_name / run_folder.RESULT)["final_test_accuracy"]


def test_images_are_attacked_with_all_classes_in_turn() -> None:
    labels = torch.tensor([0] * 5 + [1] * 3 + [2] * 4)
    order = balanced(labels)
    assert sorted(order.tolist()) == list(range(12))
    assert labels[order].tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 2, 0]
    assert order.tolist() != sorted(order.tolist(), key=lambda index: (index, 0))
    assert torch.equal(order, balanced(labels))


def test_a_study_gets_table_and_figures_of_what_is_finished(runs: Path, tmp_path: Path, capsys: Any) -> None:
    (runs / SCS.run_name / run_folder.WEIGHTS).write_bytes(b"damaged")
    frame = collect(runs, [CONV.run_name, SCS.run_name])
    problems = analysis.compute(frame, run_context(runs), settings(checks=["square"]))
    analysis.report(frame, runs, settings(checks=["square"]), tmp_path / "out")
    assert len(problems) == 1
    assert "weights.safetensors is damaged" in problems[0]
    written = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*"))
    assert len(written) == 5
    number = written[-1].removeprefix("tables/robustness-").removesuffix(".tex")  # settings that have no name
    assert written == [
        f"figures/pgd-{number}-rohrer68k-digits.pdf",
        f"figures/pgd-{number}-rohrer68k-digits.png",
        *(f"tables/robustness-{number}.{form}" for form in ("csv", "md", "tex")),
    ]
    assert (tmp_path / f"out/tables/robustness-{number}.csv").read_text().count(CONV.run_name) == 2
