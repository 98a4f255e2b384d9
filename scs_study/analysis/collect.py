"""Run folders read into one table: a row a run, whatever state it is in.

Only the small files of a folder are read (config, status, result, provenance), so ten thousand runs take seconds.
The folders may be written to meanwhile: every file but the JSON lines is replaced as a whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from scs_study.config.schema import FOLDER, MOST, cell_from_dict, size_words
from scs_study.system.files import read_json, read_lines
from scs_study.training.record import message
from scs_study.training.run_dir import FINAL_STATES

RENAMED = {
    "arch": "architecture",
    "layer.name": "layer",
    "data.name": "data",
    "data.image_size": "image_size",
    "train.epochs": "epochs",
}
"""Identity keys that have a word of their own as a column; every other key keeps its dotted name."""

HELD_OUT = "_held_out"
"""What is added to a data set's name where held-out training images stand in for its test images."""

USUAL = ("architecture", "layer", "activation", "pooling", "norm", "data", "image_size", "epochs", "seed")
"""The identity columns that every frame has."""

RESULTS = ("best_test_accuracy", "best_epoch", "final_test_accuracy", "final_train_accuracy", "train_seconds",
           "eval_seconds", "parameters", "device", "shared_checksum", "start_checksum", "data_digest")  # fmt: skip
COLUMNS = ("run", *USUAL[:8], "epochs_done", "seed", "state", *RESULTS, "commit", "message")
"""The columns that every frame has, in order; the other identity keys follow them."""

FINAL = FINAL_STATES
"""States of a run that is a result: nothing more will be computed."""

WHOLE = ("done", "untrained", "collapsed")
"""States of a run that has all its epochs."""

STATES = ("running", "interrupted", "failed", "damaged", "missing", *FINAL)
INTEGERS = ("image_size", "epochs", "epochs_done", "seed", "best_epoch", "parameters")
FLOATS = ("best_test_accuracy", "final_test_accuracy", "final_train_accuracy", "train_seconds", "eval_seconds")
RUN_NAME = re.compile(r".+-[0-9a-f]{12}")


def collect(runs: Path, names: Iterable[str] | Mapping[str, Mapping[str, Any]] | None = None) -> pd.DataFrame:
    """Return one row per run folder of `runs`, sorted by name, or per name of `names` in the order given.

    names: None for every run folder there is; run names; or run name -> identity (CellConfig.identity()), which says
    what a run that has not started yet would have computed, so that a table can show it in its place.
    Columns: COLUMNS, then every other identity key under its dotted name (layer.p, train.max_lr, ..., init).
    image_size is a number, or "48x40" (height x width).
    Accuracies are fractions, seconds are medians per epoch. A value that is not known (yet) is NaN or None.
    state: the run's own, or `missing` (no folder), or `damaged` (a file cannot be read; `message` says which).
    A run without status.json yet counts as interrupted: it was named and then nothing more was written.
    """
    planned: Mapping[str, Mapping[str, Any]] = names if isinstance(names, Mapping) else {}
    if names is None:
        names = sorted(folder.name for folder in _folders(runs))
    rows = [_row(runs / name, planned.get(name)) for name in names]
    further = sorted({key for row in rows for key in row} - set(COLUMNS))
    frame = {}
    for column in (*COLUMNS, *further):
        values = [row.get(column) for row in rows]
        if column in INTEGERS and not any(isinstance(value, str) for value in values):
            frame[column] = pd.Series(values, dtype="Int64")
        elif column in FLOATS:
            frame[column] = pd.Series(values, dtype="float64")
        else:
            frame[column] = pd.Series(values, dtype=object)
    return pd.DataFrame(frame)


def history(run: Path) -> pd.DataFrame:
    """Return one row per epoch of a run: the columns of history.jsonl, accuracies as fractions, seconds per epoch.

    Usable while the run is being written; empty (with the usual columns) before its first epoch ends.
    Where a run was interrupted and repeated an epoch, the later record of that epoch stands.
    Raises ValueError naming the file and line when a line other than the last is damaged.
    """
    columns = ["epoch", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "train_seconds", "eval_seconds"]
    rows = read_epochs(run / "history.jsonl")
    columns += sorted({key for row in rows for key in row} - set(columns))
    with _named(run / "history.jsonl"):
        data = {name: _numbers(rows, name) for name in columns if name != "epoch"}
        return pd.DataFrame({"epoch": pd.Series([row["epoch"] for row in rows], dtype="int64"), **data})


def _numbers(rows: Iterable[Mapping[str, Any]], name: str) -> pd.Series[Any]:
    values = [row.get(name) for row in rows]
    return pd.Series([None if value is None else float(value) for value in values], dtype="float64")


def layer_history(run: Path) -> pd.DataFrame:
    """Return one row per epoch and layer of a run: epoch, path, weight_norm, gradient_norm (L2), q, p (list of the
    kernels').

    Usable while the run is being written. q is NaN and p None where a layer has none.
    Raises as `history`.
    """
    records = read_epochs(run / "layers.jsonl")
    with _named(run / "layers.jsonl"):
        rows = [
            {**values, "epoch": record["epoch"], "path": path}
            for record in records
            for path, values in record.get("layers", {}).items()
        ]
        frame: dict[str, pd.Series[Any]] = {"epoch": pd.Series([row["epoch"] for row in rows], dtype="int64")}
        frame["path"] = pd.Series([row["path"] for row in rows], dtype=object)
        for name in ("weight_norm", "gradient_norm", "q"):
            frame[name] = _numbers(rows, name)
        frame["p"] = pd.Series([row.get("p") for row in rows], dtype=object)
        return pd.DataFrame(frame)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Return a context in which whatever is wrong with a file's values is a ValueError that names the file."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def identity_columns(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns that say what a run computes, without the seed: a variant's and recipe's key."""
    return tuple(name for name in frame.columns if name not in COLUMNS or (name in USUAL and name != "seed"))


def flatten(identity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the identity of a run as the columns of a collected frame: one level, our words, lists as tuples.

    Raises ValueError for an identity of another format, or one that is no valid config.
    """
    if "format" not in identity:
        raise ValueError("the config has no format, so it is not a run's")
    checked = cell_from_dict(identity).identity()
    row = {RENAMED.get(key, key): value for key, value in _leaves(checked) if key != "format"}
    if not isinstance(row["image_size"], int):
        row["image_size"] = size_words(row["image_size"])
    if row["data"] != FOLDER and "data.test_share" in row:
        row["data"] += HELD_OUT
    return row


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, tuple(value) if isinstance(value, list) else value


def _folders(runs: Path) -> Iterator[Path]:
    if runs.is_dir():
        yield from (folder for folder in runs.iterdir() if RUN_NAME.fullmatch(folder.name) and folder.is_dir())


def _row(folder: Path, planned: Mapping[str, Any] | None) -> dict[str, Any]:
    row: dict[str, Any] = {"run": folder.name, "state": "missing"}
    if planned is not None:
        row |= flatten(planned)
    if not folder.is_dir():
        return row
    damage: list[str] = []
    try:
        row |= flatten(_object(folder / "config.json"))
    except Exception as error:  # whatever somebody put there: it must not hide the other runs
        damage.append(_sentence(folder / "config.json", error))
    for part in (_status, _result, _provenance):
        try:
            row |= part(folder, row)
        except Exception as error:  # as above
            damage.append(_sentence(folder, error))
    if damage:
        row |= {"state": "damaged", "message": "; ".join(damage)}
    return row


def _status(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        status = _object(folder / "status.json")
    except FileNotFoundError:
        return {"state": "interrupted", "epochs_done": 0, "message": "no status.json yet"}
    if status.get("state") not in STATES:
        raise ValueError(f"status.json is damaged: state {status.get('state')!r} is not known")
    values = {"state": status["state"], "epochs_done": status.get("epoch"), "message": status.get("message")}
    return _checked("status.json", values)


def _result(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        result = _object(folder / "result.json")
    except FileNotFoundError:
        if row["state"] in FINAL:
            raise ValueError(f"status.json says {row['state']}, but there is no result.json") from None
        return {}
    if result.get("state") not in FINAL:
        raise ValueError(f"result.json is damaged: state {result.get('state')!r} is not final")
    values = {name: result.get(name) for name in RESULTS}
    if result["state"] == "done":
        try:
            values["message"] = message(result) or row.get("message")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("result.json is damaged: gradient_left_bounds is not a place and a norm") from error
    # The result is written before the status: a run that died in between is finished all the same.
    return _checked("result.json", {**values, "state": result["state"], "epochs_done": result.get("epochs")})


def _checked(file: str, values: dict[str, Any]) -> dict[str, Any]:
    """Return `values`, where each is of its column's kind: one wrong value must not spoil the column for all runs."""
    for name, value in values.items():
        if name in INTEGERS:
            kind, sound = "a whole number", isinstance(value, int) and not isinstance(value, bool)
            sound = sound and abs(value) <= MOST
        elif name in FLOATS:
            kind, sound = "a number", isinstance(value, (int, float)) and not isinstance(value, bool)
            sound = sound and (isinstance(value, float) or abs(value) <= MOST)
        else:
            kind, sound = "a text", isinstance(value, str)
        if value is not None and not sound:
            raise ValueError(f"{file} is damaged: {name} is not {kind}")
    return values


def _provenance(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    starts = read_lines(folder / "provenance.jsonl")
    commits = [str(s["commit"])[:7] + ("+" if s.get("dirty") else "") for s in starts if s.get("commit")]
    found: dict[str, Any] = {"commit": " ".join(dict.fromkeys(commits)) or None}
    shared = max((n for s in starts if isinstance(n := s.get("at_once"), int)), default=1)
    if shared > 1 and row.get("device"):
        # Its seconds measure what the others do, too: they are not compared with those of a run alone.
        found["device"] = f"{row['device']}, {shared} runs at once"
    return found


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} is damaged: not a JSON object")
    return value


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Return the records of a run's file that has a line for every epoch, by epoch; of an epoch recorded twice the
    later.

    Raises ValueError naming the file when a line other than the last is damaged.
    """
    epochs = {}
    for record in read_lines(path):
        epoch = record.get("epoch")
        if not isinstance(epoch, int) or abs(epoch) > MOST:
            raise ValueError(f"{path} is damaged: a record without an epoch: {json.dumps(record)[:80]}")
        epochs[epoch] = record
    return [epochs[epoch] for epoch in sorted(epochs)]


def _sentence(path: Path, error: Exception) -> str:
    if not isinstance(error, (ValueError, OSError)):
        return f"{path.name} is damaged: {type(error).__name__}: {error}"
    if isinstance(error, FileNotFoundError):
        return f"no {Path(error.filename or path).name}"
    # Folder names of the machine that collects are no business of a table.
    return str(error).replace(f"{path if path.is_dir() else path.parent}/", "")
