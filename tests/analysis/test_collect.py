"""`collect` tells what every run folder says, whatever state it is in, and nothing it finds hides another run."""

import json
import math
import shutil

import pandas as pd
import pytest

from scs_study.analysis import collect as module
from scs_study.analysis.collect import COLUMNS, collect, history, identity_columns, layer_history
from scs_study.analysis.tables import table
from tests.analysis.run_folders import cell, write_run
from tests.opened import counted


def one(frame, column):
    assert len(frame) == 1
    return frame[column].iloc[0]


def test_a_finished_run_gives_its_identity_and_its_result(tmp_path):
    planned = cell("scs", "none", "maxabs", seed=3, train__weight_decay=1e-4)
    write_run(tmp_path, planned, [0.25, 0.75, 0.5], device="NVIDIA H200", seconds=(2.5, 0.5))
    frame = collect(tmp_path)
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    expected = {
        "run": planned.run_name, "architecture": "rohrer25k", "layer": "scs", "activation": "none", "pooling": "maxabs",
        "norm": "none", "data": "digits", "image_size": 32, "epochs": 3, "epochs_done": 3, "seed": 3, "state": "done",
        "best_test_accuracy": 0.75, "best_epoch": 2, "final_test_accuracy": 0.5, "train_seconds": 2.5,
        "eval_seconds": 0.5, "parameters": 24970, "device": "NVIDIA H200", "shared_checksum": "5" * 64,
        "start_checksum": "6" * 64, "data_digest": "7" * 64, "commit": "0123456", "layer.p": None, "layer.w_max": 1.0,
        "layer.p_init": (1.0, 3.0), "layer.parameterisation": "may2022", "train.weight_decay": 1e-4,
        "train.max_lr": 0.01, "init": "conv2d", "data.flip": True, "data.crop_padding": 4,
    }  # fmt: skip
    assert {name: one(frame, name) for name in expected} == expected


def test_every_key_of_the_identity_becomes_one_column(tmp_path):
    planned = cell()
    write_run(tmp_path, planned, [0.1] * 3)
    leaves = sum(len(value) if isinstance(value, dict) else 1 for value in planned.identity().values())
    assert len(identity_columns(collect(tmp_path))) == leaves - 2  # all but the format and the seed


def test_names_choose_the_runs_and_their_order(tmp_path):
    cells = [cell(seed=seed) for seed in range(3)]
    for planned in cells:
        write_run(tmp_path, planned, [0.1] * 3)
    names = [cells[2].run_name, cells[0].run_name]
    assert list(collect(tmp_path, names)["run"]) == names
    assert list(collect(tmp_path)["run"]) == sorted(planned.run_name for planned in cells)


def test_a_run_without_a_folder_is_missing_and_known_from_its_plan(tmp_path):
    planned = cell("sdp", "none", "max")
    frame = collect(tmp_path, {planned.run_name: planned.identity()})
    assert one(frame, "state") == "missing"
    assert one(frame, "layer") == "sdp"
    assert math.isnan(one(frame, "best_test_accuracy"))
    bare = collect(tmp_path, [planned.run_name])
    assert one(bare, "state") == "missing"
    assert one(bare, "layer") is None


def test_no_folder_at_all_gives_an_empty_frame_with_the_columns(tmp_path):
    frame = collect(tmp_path / "nowhere")
    assert len(frame) == 0
    assert tuple(frame.columns) == COLUMNS


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", b'{"format": 1, "arch": ', "config.json is damaged"),
        ("config.json", b"[]", "config.json is damaged: not a JSON object"),
        ("config.json", None, "no config.json"),
        ("config.json", b'{"format": 99}', "format 99"),
        ("status.json", b'{"state": "daydreaming"}', "daydreaming"),
        ("status.json", b"\xff\xfe", "status.json is damaged"),
        ("result.json", b'{"state": "done", "best_test', "result.json is damaged"),
        ("result.json", b'{"state": "done", "best_test_accuracy": "high"}', "best_test_accuracy is not a number"),
        ("result.json", b'{"state": "done", "epochs": 2.5}', "epochs_done is not a whole number"),
        ("result.json", b'{"state": "done", "device": ["cpu"]}', "device is not a text"),
        ("status.json", b'{"state": "running", "epoch": "2"}', "epochs_done is not a whole number"),
        ("status.json", b'{"state": "done", "epoch": 9223372036854775808}', "epochs_done is not a whole number"),
        ("result.json", b'{"state": "done", "best_test_accuracy": 1' + b"0" * 400 + b"}", "is not a number"),
        ("result.json", b"[" * 100_000, "result.json is damaged"),
        ("result.json", None, "there is no result.json"),
        ("provenance.jsonl", b"nonsense\n{}\n", "provenance.jsonl, line 1, is damaged"),
    ],
)
def test_a_damaged_file_is_named_and_hides_no_other_run(tmp_path, name, content, says):
    broken, sound = write_run(tmp_path, cell(seed=0), [0.1] * 3), write_run(tmp_path, cell(seed=1), [0.2] * 3)
    if content is None:
        (broken / name).unlink()
    else:
        (broken / name).write_bytes(content)
    frame = collect(tmp_path, [broken.name, sound.name])
    assert list(frame["state"]) == ["damaged", "done"]
    assert says in frame["message"].iloc[0]
    assert str(tmp_path) not in frame["message"].iloc[0]
    assert frame["best_test_accuracy"].iloc[1] == 0.2


@pytest.mark.parametrize(
    ("key", "value"),
    [("seed", 2**63), ("arch", ["rohrer25k"]), ("arch", {}), ("seed", 1e300), ("train.epochs", 10**30),
     ("layer.weight_scale", 10**400), ("data", []), ("layer.p_init", [1, [2]]), ("code", [1])],
)  # fmt: skip
def test_a_config_that_no_run_can_have_hides_no_other_run(tmp_path, key, value):
    broken, sound = write_run(tmp_path, cell(seed=0), [0.1] * 3), write_run(tmp_path, cell(seed=1), [0.2] * 3)
    config = json.loads((broken / "config.json").read_text())
    section, _, name = key.rpartition(".")
    (config[section] if section else config)[name] = value
    (broken / "config.json").write_text(json.dumps(config))
    frame = collect(tmp_path).set_index("run")
    assert frame["state"].to_dict() == {broken.name: "damaged", sound.name: "done"}
    assert "\n" not in frame["message"][broken.name]
    table(collect(tmp_path), None)


def test_an_error_that_nobody_thought_of_hides_no_other_run(tmp_path, monkeypatch):
    broken, sound = write_run(tmp_path, cell(seed=0), [0.1] * 3), write_run(tmp_path, cell(seed=1), [0.2] * 3)
    flatten = module.flatten
    monkeypatch.setattr(module, "flatten", lambda identity: 1 / identity["seed"] and flatten(identity))
    frame = collect(tmp_path).set_index("run")
    assert frame["state"].to_dict() == {broken.name: "damaged", sound.name: "done"}
    assert "config.json is damaged: ZeroDivisionError" in frame["message"][broken.name]


@pytest.mark.parametrize("line", ['{"epoch": 9223372036854775808}', '{"epoch": 1, "test_accuracy": "x"}',
                                  '{"epoch": 1, "test_accuracy": [1]}'])  # fmt: skip
def test_a_strange_line_of_a_history_is_a_sentence(tmp_path, line):
    folder = write_run(tmp_path, cell(), [0.5], state="running")
    (folder / "history.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"history\.jsonl is damaged"):
        history(folder)


@pytest.mark.parametrize("layers", [[1], {"conv1": 3}, {"conv1": {"weight_norm": "x"}}])
def test_a_strange_line_of_layers_is_a_sentence(tmp_path, layers):
    folder = write_run(tmp_path, cell(), [0.5], state="running")
    (folder / "layers.jsonl").write_text(json.dumps({"epoch": 1, "layers": layers}) + "\n")
    with pytest.raises(ValueError, match=r"layers\.jsonl is damaged"):
        layer_history(folder)


def test_a_result_counts_although_the_run_died_before_it_could_say_done(tmp_path):
    folder = write_run(tmp_path, cell(), [0.1, 0.2, 0.3])
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "state": "running", "epoch": 2}))
    frame = collect(tmp_path)
    assert (one(frame, "state"), one(frame, "epochs_done")) == ("done", 3)


def test_a_run_that_has_only_said_what_it_is_counts_as_interrupted(tmp_path):
    folder = write_run(tmp_path, cell(), [], state="running")
    (folder / "status.json").unlink()
    assert one(collect(tmp_path), "state") == "interrupted"


def test_other_folders_are_no_runs(tmp_path):
    write_run(tmp_path, cell(), [0.1] * 3)
    (tmp_path / "notes").mkdir()
    (tmp_path / "something-0123456789ab.txt").write_text("")
    assert len(collect(tmp_path)) == 1


def test_a_start_from_a_changed_checkout_is_marked(tmp_path):
    folder = write_run(tmp_path, cell(), [0.1] * 3)
    with (folder / "provenance.jsonl").open("a") as file:
        file.write(json.dumps({"commit": "fedcba9876543210", "dirty": True}) + "\n")
    assert one(collect(tmp_path), "commit") == "0123456 fedcba9+"


def test_history_leaves_out_a_half_written_last_line(tmp_path):
    folder = write_run(tmp_path, cell(), [0.5, 0.75], state="running")
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"epoch": 3, "test_acc')
    epochs = history(folder)
    assert list(epochs["epoch"]) == [1, 2]
    assert list(epochs["test_accuracy"]) == [0.5, 0.75]


def test_history_names_a_damaged_line(tmp_path):
    folder = write_run(tmp_path, cell(), [0.5, 0.75], state="running")
    lines = (folder / "history.jsonl").read_text().splitlines(keepends=True)
    (folder / "history.jsonl").write_text("{,\n" + lines[1])
    with pytest.raises(ValueError, match=r"history\.jsonl, line 1"):
        history(folder)


def test_history_of_a_diverged_epoch_is_nan_and_of_no_epoch_is_empty(tmp_path):
    diverged = history(write_run(tmp_path, cell(seed=0), [0.5, None], state="diverged"))
    assert diverged["test_accuracy"].isna().tolist() == [False, True]
    waiting = history(write_run(tmp_path, cell(seed=1), [], state="running"))
    assert len(waiting) == 0
    assert "test_accuracy" in waiting.columns


def test_an_epoch_that_was_repeated_counts_once(tmp_path):
    folder = write_run(tmp_path, cell(), [0.5, 0.75], state="running")
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"epoch": 2, "test_accuracy": 0.8}\n')
    assert list(history(folder)["test_accuracy"]) == [0.5, 0.8]


def test_layer_history_is_long_form(tmp_path):
    folder = write_run(tmp_path, cell("scs", "none", "max"), [0.5, 0.75, 0.8], layers=2)
    frame = layer_history(folder)
    assert list(frame.columns) == ["epoch", "path", "weight_norm", "gradient_norm", "q", "p"]
    assert list(zip(frame["epoch"], frame["path"], strict=True))[:3] == [
        (1, "layer1.conv"), (1, "layer2.conv"), (2, "layer1.conv"),
    ]  # fmt: skip
    assert frame["p"].iloc[0] == [1.5, 2.5]
    conv = layer_history(write_run(tmp_path, cell(), [0.5], state="running", layers=1))
    assert conv["p"].iloc[0] is None
    assert math.isnan(conv["q"].iloc[0])


def test_of_a_thousand_folders_only_the_small_files_are_read_and_each_once(tmp_path):
    first = write_run(tmp_path, cell(), [0.1] * 3)
    for number in range(1, 1000):
        shutil.copytree(first, tmp_path / f"copy-{number:012x}")
    frames = []
    opened, listed = counted(lambda: frames.append(collect(tmp_path)), tmp_path)
    assert len(frames[0]) == 1000
    assert opened <= 1000 * len(("config", "status", "result", "provenance"))
    assert listed < 10
    assert isinstance(frames[0], pd.DataFrame)


def test_seconds_of_a_run_beside_others_are_of_another_device_than_those_of_a_run_alone(tmp_path):
    alone, beside = cell("conv", "relu", "max"), cell("scs", "none", "max")
    write_run(tmp_path, alone, [0.5, 0.6, 0.7], seconds=(2.0, 0.5))
    with (write_run(tmp_path, beside, [0.5, 0.6, 0.7], seconds=(3.0, 0.5)) / "provenance.jsonl").open("a") as file:
        file.write(json.dumps({"commit": "0123456789abcdef", "at_once": 2}) + "\n")
    frame = collect(tmp_path).set_index("layer")
    assert list(frame.loc[["conv", "scs"], "device"]) == ["cpu", "cpu, 2 runs at once"]
    ratios = {row.layer: row.times.train_ratio for row in table(collect(tmp_path)).rows}
    assert ratios["scs"] is None or math.isnan(ratios["scs"])
