"""The published records of a study: the text files of its run folders in one compressed file, JSON lines.

A line is one file of one run: {"run": ..., "file": ..., "text": ...}, or "bytes" in base64 of the few files of numbers
that are asked for. Tables and figures are rebuilt from it by unpacking it into a folder, which then is a folder of runs
like any other. Weights lie beside it, a file a run, of those runs whose evaluations are published: an evaluation is of
certain weights.
"""

from __future__ import annotations

import atexit
import base64
import gzip
import json
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from scs_study.runs.provenance import PROVENANCE
from scs_study.system import files
from scs_study.training import run_dir

SUFFIX = ".jsonl.gz"
RECORDS = f"records{SUFFIX}"
"""The name of a study's published records in results/<study>/."""
TEXT = (".json", ".jsonl", ".log", ".txt", ".csv")
"""What is packed of every run: text."""
BESIDE = "weights"
"""The folder beside the records with weights, each file named after its run."""
PRIVATE = ("host", "platform")
"""Of a record of provenance, what tells of a machine and its owner, and of no number."""


def pack(
    runs: Path,
    names: Sequence[str],
    archive: Path,
    leave_out: Iterable[str] = (run_dir.STEPS,),
    numbers: Sequence[str] = (),
) -> None:
    """Write the records of the runs `names` to `archive`; equal records give equal bytes.

    leave_out: names of files that no published table needs (the norms after every step are most of a run's bytes).
    numbers: patterns, from a run's folder on, of files that are no text and are packed too.
    Paths and names of the machine that trained are taken out of the provenance.
    """
    left = set(leave_out)
    lines = []
    for name in sorted(names):
        folder = runs / name
        for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix in TEXT and p.name not in left):
            if path.name.startswith("lease-") or path.name == run_dir.ERROR:
                continue
            text = path.read_text(encoding="utf-8")
            if path.name == PROVENANCE:
                text = "".join(_public(line) + "\n" for line in text.splitlines())
            lines.append({"run": name, "file": path.relative_to(folder).as_posix(), "text": text})
        for path in sorted(found for pattern in numbers for found in folder.glob(pattern)):
            encoded = base64.b64encode(path.read_bytes()).decode()
            lines.append({"run": name, "file": path.relative_to(folder).as_posix(), "bytes": encoded})
    content = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
    files.write_bytes(archive, gzip.compress(content.encode(), 9, mtime=0))


def unpack(archive: Path, folder: Path) -> list[str]:
    """Return the names of the runs in `archive`, whose files now lie in `folder`, a folder a run, with the weights that
    lie beside the archive.

    Raises ValueError naming the archive when it is damaged; FileNotFoundError when there is none.
    """
    names: dict[str, None] = {}
    for line in _lines(archive):
        path = folder / line["run"] / line["file"]
        if "bytes" in line:
            files.write_bytes(path, line["bytes"])
        else:
            files.write_text(path, line["text"])
        names[line["run"]] = None
    for name in names:
        weights = archive.parent / BESIDE / f"{name}.safetensors"
        if weights.is_file():
            files.write_bytes(folder / name / run_dir.WEIGHTS, weights.read_bytes())
    return list(names)


def place_weights(runs: Path, names: Iterable[str], archive: Path) -> list[Path]:
    """Return the files beside `archive` that now hold the trained weights of the runs `names`."""
    placed = []
    for name in names:
        placed.append(archive.parent / BESIDE / f"{name}.safetensors")
        files.write_bytes(placed[-1], (runs / name / run_dir.WEIGHTS).read_bytes())
    return placed


def unpacked(archive: Path) -> Path:
    """Return a folder with the runs in `archive`, which is gone when this process ends. Raises as `unpack`."""
    folder = Path(tempfile.mkdtemp(prefix="scs_study-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    unpack(archive, folder)
    return folder


def _lines(archive: Path) -> Iterator[dict[str, Any]]:
    try:
        content = gzip.decompress(archive.read_bytes()).decode()
        if not content.endswith("\n"):
            raise ValueError("it has no last line")
        for text in content.split("\n")[:-1]:
            line = json.loads(text)
            for key in ("run", "file"):
                inside = PurePosixPath(line[key])
                if inside.is_absolute() or ".." in inside.parts:
                    raise ValueError(f"{line[key]} leads out of the folder")
            if "bytes" in line:
                line["bytes"] = base64.b64decode(line["bytes"], validate=True)
            yield line
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{archive} is damaged: {error}") from error


def _public(line: str) -> str:
    """Return a record of provenance without what is private: the host, and the folders of paths in the command."""
    record = {key: value for key, value in json.loads(line).items() if key not in PRIVATE}
    record["command"] = [re.sub(r"(?<==)(~?/)[^,\]]*?([^/,\]]+)/?$", r"\2", word) for word in record.get("command", [])]
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False)
