"""The files that torchvision downloads: whole, or not at all."""

from __future__ import annotations

import http.client
import shutil
import socket
import tarfile
import tempfile
import urllib.error
from pathlib import Path

from scs_study.data.datasets import DatasetSpec
from scs_study.system.console import say

SILENCE = 60.0
"""Seconds without a byte after which a download has failed. CIFAR-10's host is slow at times, but not that slow."""


def download_files(known: DatasetSpec, folder: Path) -> None:
    """Put torchvision's files of the data set into `folder`, all of them, or leave the folder as it was.

    Raises OSError or RuntimeError as torchvision raises them, with the reason.
    """
    say(f"Downloading {known.title} ({known.download}) from {address(known)} to {folder}", error=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    before = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(SILENCE)
        known.reader()(str(partial), download=True)
        folder.mkdir(exist_ok=True)
        top = Path(known.layout).parts[0]
        try:
            (partial / top).rename(folder / top)
        except OSError:
            if not (folder / known.layout).is_dir():  # otherwise another process was quicker, and its files are as good
                raise
    except urllib.error.HTTPError as error:
        error.close()  # the answer that it carries keeps its connection open
        raise
    except (http.client.HTTPException, tarfile.TarError, EOFError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
    finally:
        socket.setdefaulttimeout(before)
        shutil.rmtree(partial, ignore_errors=True)


def address(known: DatasetSpec) -> str:
    """Return where torchvision downloads the data set from (the first of its mirrors)."""
    from torchvision.datasets import CIFAR10

    files = known.reader()
    return str(files.url if issubclass(files, CIFAR10) else files.mirrors[0])
