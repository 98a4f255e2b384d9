"""Any runs as a DataFrame and as event files: what the run folders say, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scs_study.analysis.collect import history, layer_history
from scs_study.analysis.frames import epochs, runs
from scs_study.analysis.tensorboard import write_events
from scs_study.runs.archive import pack
from scs_study.runs.run_one import run_cell
from tests.analysis.run_folders import cell as planned_cell
from tests.analysis.run_folders import write_run
from tests.support import commands
from tests.support.work import cell, run_context

CELLS = (cell("scs", epochs=2), cell("scs", seed=1, epochs=2), cell("conv", epochs=1))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for each in CELLS:
        assert run_cell(each, run_context(folder)).state == "done"
    return folder


def test_a_row_a_run_and_a_row_an_epoch(trained: Path) -> None:
    frame, lines = runs(trained), epochs(trained)
    assert sorted(frame["run"]) == sorted(each.run_name for each in CELLS)
    assert lines.groupby("run").size().to_dict() == {each.run_name: each.train.epochs for each in CELLS}
    best = lines.groupby("run").test_accuracy.max()
    assert frame.set_index("run").best_test_accuracy.to_dict() == best.to_dict()
    assert set(lines.columns) >= {"architecture", "layer", "seed", "train.max_lr", "epoch", "train_loss"}
    assert lines.groupby("run").epoch.apply(list).tolist() == [[*range(1, n + 1)] for n in lines.groupby("run").size()]


def test_published_records_give_the_same_frame(trained: Path, tmp_path: Path) -> None:
    names = [each.run_name for each in CELLS]
    pack(trained, names, tmp_path / "records.jsonl.gz")
    kept = [name for name in runs(trained) if name not in ("message", "device")]
    assert runs(tmp_path / "records.jsonl.gz")[kept].equals(runs(trained)[kept])
    assert len(epochs(tmp_path / "records.jsonl.gz", match="*-scs-*")) == 4


@pytest.mark.parametrize("place", ["nowhere", "here", "notes.txt"])
def test_where_there_is_nothing_a_sentence_says_so(place: str, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "notes.txt").write_text("no records\n")
    with pytest.raises(ValueError, match=place):
        runs(tmp_path / place)


def test_event_files_say_what_the_folders_say(trained: Path, tmp_path: Path) -> None:
    run = trained / CELLS[0].run_name
    for _ in range(2):  # again, and nothing stands twice
        assert write_events(run, tmp_path) == 2
    events = EventAccumulator(str(tmp_path / run.name))
    events.Reload()
    lines = history(run)
    for tag, column in (("accuracy/test", "test_accuracy"), ("loss/train", "train_loss"), ("lr", "lr")):
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        assert found == [(epoch, pytest.approx(value)) for epoch, value in zip(lines.epoch, lines[column], strict=True)]
    last = layer_history(run).iloc[-1]
    assert events.Scalars(f"weight_norm/{last.path}")[-1].value == pytest.approx(last.weight_norm)
    assert events.Scalars(f"p/{last.path}/mean")[-1].value == pytest.approx(sum(last.p) / len(last.p))
    assert "settings/text_summary" in events.Tags()["tensors"]


def test_a_damaged_run_is_named_and_keeps_no_other_from_its_event_file(tmp_path: Path) -> None:
    damaged, whole = planned_cell("conv"), planned_cell("scs")  # in the order of the names
    for each in (damaged, whole):
        write_run(tmp_path / "runs", each, [0.5, 0.6, 0.7])
    (tmp_path / "runs" / damaged.run_name / "history.jsonl").write_text("{broken\n{}\n")
    line = ["match=rohrer25k-*", f"runs={tmp_path / 'runs'}", f"to={tmp_path / 'events'}"]
    found = commands.run("to_tensorboard.py", *line)
    assert found.returncode == 1
    assert f"{damaged.run_name}/history.jsonl" in found.stderr
    assert [folder.name for folder in (tmp_path / "events").iterdir()] == [whole.run_name]
    alone = commands.run("to_tensorboard.py", f"match={damaged.run_name}", *line[1:])
    assert (alone.returncode, alone.stderr.count("\n")) == (2, 1)
