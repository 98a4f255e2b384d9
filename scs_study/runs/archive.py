"""The published records of a study: the text files of its run folders in one compressed file, JSON lines.

A line is one file of one run: {"run": ..., "file": ..., "text": ...}. Tables and figures are rebuilt from it by
unpacking it into a folder, which then is a folder of runs like any other.
"""

from __future__ import annotations

import atexit
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
"""What is packed: text. Weights are published beside it, where an analysis is rebuilt from them."""
PRIVATE = ("host", "platform")
"""Of a record of provenance, what tells of a machine and its owner, and of no number."""


def pack(runs: Path, names: Sequence[str], archive: Path, leave_out: Iterable[str] = (run_dir.STEPS,)) -> None:
    """Write the records of the runs `names` to `archive`; equal records give equal bytes.

    leave_out: names of files that no published table needs (the norms after every step are most of a run's bytes).
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
    content = "".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
    files.write_bytes(archive, gzip.compress(content.encode(), 9, mtime=0))


def unpack(archive: Path, folder: Path) -> list[str]:
    """Return the names of the runs in `archive`, whose files now lie in `folder`, a folder a run.

    Raises ValueError naming the archive when it is damaged; FileNotFoundError when there is none.
    """
    names: dict[str, None] = {}
    for line in _lines(archive):
        files.write_text(folder / line["run"] / line["file"], line["text"])
        names[line["run"]] = None
    return list(names)


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
