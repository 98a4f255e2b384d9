"""Downloads come whole or not at all, from a web server on this machine."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import http.server
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from torchvision.datasets import MNIST

from scs_study.data.datasets import DatasetSpec
from scs_study.data.image_set import DataError
from scs_study.data.load import load_known
from tests.data.small_sets import COLOUR, GREY, draw, pinned, write_cifar, write_mnist, write_tree


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and its address."""
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def cifar_at(folder: Path, address: str) -> DatasetSpec:
    known = write_cifar(folder / "original", pinned(COLOUR, draw(COLOUR)), draw(COLOUR))
    archive = folder / "cifar.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder / "original" / "cifar-10-batches-py", "cifar-10-batches-py")
    names = {"url": address + archive.name, "filename": archive.name, "tgz_md5": md5(archive)}
    return dataclasses.replace(known, reader=lambda: type("CIFAR10", (known.reader(),), names))


def mnist_at(folder: Path, address: str) -> DatasetSpec:
    write_mnist(folder / "original", draw(GREY))
    resources = []
    for path in sorted((folder / "original").rglob("*-ubyte")):
        archive = folder / f"{path.name}.gz"
        archive.write_bytes(gzip.compress(path.read_bytes()))
        resources.append((archive.name, md5(archive)))
    names = {"mirrors": [address], "resources": resources}
    return dataclasses.replace(pinned(GREY, draw(GREY)), reader=lambda: type("MNIST", (MNIST,), names))


@pytest.mark.parametrize("publish", [cifar_at, mnist_at])
def test_a_download_is_announced_checked_and_kept(
    publish: object, served: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(publish)
    known: DatasetSpec = publish(*served)
    home = tmp_path / "home"
    images = load_known(known, None, home / "cache", download=True)
    assert images.digest == known.digest
    assert images.origin == str(home / known.name)
    announcement = capsys.readouterr().err.splitlines()[0]
    assert announcement.startswith(f"Downloading {known.title} (nothing) from {served[1]}")
    assert announcement.endswith(f" to {home / known.name}")
    assert sorted(path.name for path in home.iterdir()) == ["cache", known.name]
    # A second time, nothing is fetched: the server has nothing any more.
    for path in served[0].glob("*.gz"):
        path.unlink()
    (home / "cache" / f"{known.name}-1.safetensors").unlink()
    assert load_known(known, None, home / "cache", download=True).digest == known.digest


def test_nothing_is_downloaded_where_the_images_are(served: tuple[Path, str], tmp_path: Path) -> None:
    known = cifar_at(*served)
    (served[0] / "cifar.tar.gz").unlink()
    write_tree(tmp_path / "root", known, draw(COLOUR))
    assert load_known(known, tmp_path / "root", tmp_path / "home" / "cache", download=True).digest == known.digest


def test_a_worker_does_not_download(served: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no Small Colour Set in "):
        load_known(cifar_at(*served), None, tmp_path / "home" / "cache", download=False)
    assert not (tmp_path / "home").exists()


def fails(known: DatasetSpec, home: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_known(known, None, home / "cache", download=True)
    assert not list(home.iterdir())
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"data.name={known.name}: no {known.title} in {home}, and its download from http://127.")
    assert "; put " in message
    return message


@pytest.mark.parametrize("publish", [cifar_at, mnist_at])
def test_without_a_network_one_sentence_says_what_to_do(publish: object, tmp_path: Path) -> None:
    assert callable(publish)
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        (tmp_path / "nowhere").mkdir()
        known = publish(tmp_path / "nowhere", f"http://127.0.0.1:{taken.getsockname()[1]}/")
        assert "refused" in fails(known, tmp_path / "home")


@pytest.mark.parametrize("publish", [cifar_at, mnist_at])
def test_an_archive_that_is_not_the_original_is_not_kept(
    publish: object, served: tuple[Path, str], tmp_path: Path
) -> None:
    assert callable(publish)
    known = publish(*served)
    for path in served[0].glob("*.gz"):
        path.write_bytes(path.read_bytes()[:-1])
    assert "corrupted" in fails(known, tmp_path / "home")


def test_a_page_that_is_gone(served: tuple[Path, str], tmp_path: Path) -> None:
    known = cifar_at(*served)
    (served[0] / "cifar.tar.gz").unlink()
    assert "HTTP Error 404" in fails(known, tmp_path / "home")
