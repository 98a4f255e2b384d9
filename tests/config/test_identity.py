"""A run's name says which code it is of: what is released keeps its name, what was added or changed has another."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scs_study.config import identity, source
from scs_study.config.identity import check_code, code_of, part_digest, source_digest
from scs_study.config.released import RELEASED
from scs_study.config.schema import CellConfig, cell_from_dict
from scs_study.config.source import canonical, installed
from scs_study.experiments.compose import PROJECT, compose_cell
from scs_study.models import ARCHITECTURES, Architecture, check_cell
from scs_study.models.architectures import rohrer25k
from tests.gates import PATIENCE
from tests.support import commands

PINNED = {
    "rohrer25k-scs-none-maxabs-digits-800ep-s0-057ef8d3e34c": ({}, {}, 0),
    "rohrer47k-conv-relu-max-cifar10-800ep-s0-56d3c799d3c7": (
        {"arch": "rohrer47k", "layer": "conv", "activation": "relu", "pooling": "max", "data": "cifar10"}, {}, 0),
    "rohrer68k-sdp-none-max-mnist-20ep-s2-4ed8c9159267": (
        {"arch": "rohrer68k", "layer": "sdp", "pooling": "max", "data": "mnist"}, {"train.epochs": 20}, 2),
    "rohrer100k-cosine-relu-maxabs-cifar10-800ep-s1-37719b6114af": (
        {"arch": "rohrer100k", "layer": "cosine", "activation": "relu", "data": "cifar10"}, {}, 1),
    "rohrer583k-scs-none-maxabs-fashion_mnist-3ep-s7-9b61517b50ec": (
        {"arch": "rohrer583k", "layer": "scs_mar2022", "data": "fashion_mnist"}, {"train.epochs": 3}, 7),
    "resnet18-scs-none-maxabs-batchnorm-cifar10-200ep-s0-b9b40c9ae399": (
        {"arch": "resnet18", "layer": "scs", "norm": "batchnorm", "data": "cifar10"}, {"train.epochs": 200}, 0),
    "resnet18-scs-none-max-batchnorm-cifar10_224-800ep-s0-7c615827d00f": (
        {"arch": "resnet18", "layer": "scs", "norm": "batchnorm", "pooling": "max", "data": "cifar10_224"},
        {"layer.skip_1x1": True}, 0),
    "resnet20-scs-relu-maxabs-batchnorm-uniform-cifar10-800ep-s0-03d6b4968a87": (
        {"arch": "resnet20", "layer": "scs", "activation": "relu", "norm": "batchnorm", "init": "uniform",
         "data": "cifar10"}, {"layer.w_max": None}, 0),
    "resnet20_idelbayev-scs-relu-max-batchnorm-pretrained-cifar10-1ep-s0-033120b855ee": (
        {"arch": "resnet20_idelbayev", "layer": "scs", "activation": "relu", "pooling": "max", "norm": "batchnorm",
         "init": "pretrained", "data": "cifar10", "train": "idelbayev"}, {"train.epochs": 1}, 0),
    "resnet20_idelbayev-conv-relu-max-batchnorm-checkpoint_sized_as_uniform-cifar10-200ep-s0-5359b5d8841d": (
        {"arch": "resnet20_idelbayev", "layer": "conv", "activation": "relu", "pooling": "max", "norm": "batchnorm",
         "init": "pretrained_sized_as_uniform", "data": "cifar10", "train": "idelbayev"},
        {"init.checkpoint": "checkpoint-9e09b27e7776"}, 0),
    "rohrer100k-scs_p1.5-none-maxabs-digits-800ep-s3-3ed0ad4e3e09": (
        {"arch": "rohrer100k", "layer": "scs"}, {"layer.p": 1.5, "layer.p_init": None, "train.numerics": "bf16"}, 3),
    "rohrer25k-sdp-none-maxabs-kaiming_normal-digits-800ep-s11-aeb686aa5c69": (
        {"layer": "sdp", "init": "kaiming_normal"}, {"layer.weight_scale": 1.73, "data.crop_padding": 2}, 11),
}  # fmt: skip


@pytest.mark.parametrize("name", PINNED)
def test_the_names_of_todays_runs_are_pinned_because_another_one_orphans_the_run(name: str) -> None:
    cell = compose_cell(*PINNED[name])
    assert cell.run_name == name
    assert "code" not in cell.identity()


def test_what_is_released_is_the_code_as_it_is() -> None:
    assert identity.released() == RELEASED, "read scs_study/config/released.py"
    assert RELEASED["arch"].keys() == ARCHITECTURES.keys()


# A checkout of one's own, in which a network is added as the README says


ADDED = '''

def mine(num_classes: int, in_channels: int) -> nn.Module:
    """My network."""
    return _gallery((Block(((WIDTH, 3, 0),), 8),), WIDTH * 16, num_classes, in_channels)


WIDTH = 4
ARCHITECTURES["mine"] = Architecture(mine, (32,))
'''


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for part in ("scs_study", "conf", "scripts"):
        shutil.copytree(PROJECT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "conf/arch/mine.yaml").write_text("name: mine\n")
    change(tmp_path, "models/architectures.py", "", ADDED)
    return tmp_path


def change(checkout: Path, file: str, old: str, new: str) -> None:
    path = checkout / "scs_study" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text + new)


def names(checkout: Path, *choices: dict[str, str]) -> list[str]:
    """The run names of these choices, as a process in that checkout says them."""
    script = "import sys; from scs_study.experiments.compose import compose_cell\n" + "".join(
        f"print(compose_cell({choice!r}, {{}}, 0).run_name)\n" for choice in choices
    )
    done = subprocess.run(
        [sys.executable, "-c", script + "assert 'torch' not in sys.modules"], cwd=checkout, capture_output=True,
        text=True, env={"PATH": "", "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


MINE, THEIRS = {"arch": "mine"}, {"arch": "rohrer47k"}


def test_a_change_of_an_added_network_is_another_run_and_no_other_network_is_touched(checkout: Path) -> None:
    mine, theirs = names(checkout, MINE, THEIRS)
    assert theirs == compose_cell(THEIRS, {}, 0).run_name
    found = {mine}
    for old, new in (
        ("WIDTH = 4", "WIDTH = 5"),
        ("WIDTH, 3, 0", "WIDTH, 3, 1"),
        ('ARCHITECTURES["mine"] = Architecture(mine, (32,))', 'ARCHITECTURES.update({"mine": Architecture(mine, ())})'),
    ):
        change(checkout, "models/architectures.py", old, new)
        mine, theirs = names(checkout, MINE, THEIRS)
        found.add(mine)
        assert theirs == compose_cell(THEIRS, {}, 0).run_name
    assert len(found) == 4


def test_comments_docstrings_annotations_and_line_endings_are_no_other_network(checkout: Path) -> None:
    before = names(checkout, MINE)
    change(checkout, "models/architectures.py", '    """My network."""', '    """Mine, said better."""  # it is')
    change(checkout, "models/architectures.py", "int, in_channels: int) -> nn.Module:", "int, in_channels):")
    path = checkout / "scs_study/models/architectures.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert names(checkout, MINE) == before


@pytest.mark.parametrize(
    ("file", "old", "new", "touched"),
    [
        ("models/architectures.py", "Block(((30, 5, 0),), 2)", "Block(((31, 5, 0),), 2)", {"arch": "rohrer47k"}),
        ("models/architectures.py", "pool, ceil_mode=True", "pool, ceil_mode=False", {"arch": "rohrer47k"}),
        ("layers/modules.py", "P_MIN = 0.1", "P_MIN = 0.2", {"layer": "scs"}),
        (
            "layers/pooling.py",
            "def _larger_of_both_signs(",
            "def _larger_of_both_signs(*, _more=1, ",
            {"layer": "conv"},
        ),
    ],
)
def test_a_released_network_or_layer_that_was_changed_is_another_run(
    checkout: Path, file: str, old: str, new: str, touched: dict[str, str]
) -> None:
    change(checkout, file, old, new)
    (changed, other) = names(checkout, touched, {"layer": "conv", "pooling": "max", "arch": "resnet18"})
    assert changed != compose_cell(touched, {}, 0).run_name
    assert changed.rpartition("-")[0] == compose_cell(touched, {}, 0).slug
    assert other == compose_cell({"layer": "conv", "pooling": "max", "arch": "resnet18"}, {}, 0).run_name


def test_entries_that_are_not_written_down_are_covered_by_the_whole_module(checkout: Path) -> None:
    loop = "for size in (8, 16):\n    ARCHITECTURES[f'mine{size}'] = Architecture(lambda: _three_by_three(size), ())\n"
    (checkout / "conf/arch/mine8.yaml").write_text("name: mine8\n")
    change(checkout, "models/architectures.py", "", loop)
    before = names(checkout, {"arch": "mine8"})
    change(checkout, "models/architectures.py", "_three_by_three(size)", "_three_by_three(2 * size)")
    assert names(checkout, {"arch": "mine8"}) != before


def test_a_network_from_a_folder_of_ones_own_is_followed_there(checkout: Path) -> None:
    (checkout / "own").mkdir()
    (checkout / "own/__init__.py").write_text("")
    (checkout / "own/nets.py").write_text("from own.sizes import WIDTH\n\n\ndef net():\n    return WIDTH\n")
    (checkout / "own/sizes.py").write_text("WIDTH = 4\n")
    (checkout / "conf/arch/own.yaml").write_text("name: own\n")
    change(
        checkout,
        "models/architectures.py",
        "",
        "from own.nets import net\nARCHITECTURES['own'] = Architecture(net, ())\n",
    )
    before = names(checkout, {"arch": "own"})
    (checkout / "own/sizes.py").write_text("WIDTH = 5\n")
    assert names(checkout, {"arch": "own"}) != before


def train(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    line = ["arch=mine", "layer=conv", "pooling=max", "train.epochs=1", "engine.device=cpu", "engine.threads=1"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "HOME": str(checkout)}
    return commands.run(checkout / "scripts/train.py", *line, *arguments, cwd=checkout, env=environment)


@pytest.mark.slow
def test_another_width_trains_anew_beside_the_old_result(checkout: Path) -> None:
    done = train(checkout)
    assert done.returncode == 0, done.stderr
    change(checkout, "models/architectures.py", "WIDTH = 4", "WIDTH = 5")
    again = train(checkout)
    assert again.returncode == 0, again.stderr
    assert "load_state_dict" not in again.stdout + again.stderr
    assert len(list((checkout / "runs").glob("mine-*"))) == 2
    assert len(list((checkout / "runs/.initial").glob("mine-*"))) == 2


# Code outside of this package


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_project/parts").mkdir(parents=True)
    for file, text in {
        "__init__.py": "raise RuntimeError('it is read, and not run')",
        "my_module.py": "import torch\nfrom .parts import sizes\n\n\ndef my_net():\n    return sizes.WIDTH\n",
        "parts/__init__.py": "",
        "parts/sizes.py": "WIDTH = 4\n",
        "unrelated.py": "",
    }.items():
        (tmp_path / "my_project" / file).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "my_project"


def fresh(*arguments: str) -> str:
    """The digest, read anew: a process reads a file once."""
    source.module_of.cache_clear()
    return source_digest(*arguments)


def test_the_digest_of_outside_code_covers_its_package_and_nothing_else(project: Path) -> None:
    before = fresh("my_project.my_module", "my_net")
    assert before != fresh("my_project.my_module", "other")
    (project / "unrelated.py").write_text("X = 1\n")
    (project / "my_module.py").write_bytes((project / "my_module.py").read_bytes().replace(b"\n", b"\r\n"))
    assert fresh("my_project.my_module", "my_net") == before
    (project / "parts/sizes.py").write_text("WIDTH = 5\n")
    assert fresh("my_project.my_module", "my_net") != before


@pytest.mark.parametrize("module", ["my_project.nowhere", "nowhere", "math"])
def test_code_without_source_is_refused_in_one_sentence(project: Path, module: str) -> None:
    with pytest.raises(ValueError, match=rf"{module}: there is no such module, or it has no source"):
        fresh(module)


def test_source_that_is_no_python_is_named(project: Path) -> None:
    (project / "my_module.py").write_text("def (")
    with pytest.raises(ValueError, match=r"my_module\.py: its source cannot be read"):
        fresh("my_project.my_module")


def test_a_network_registered_by_a_script_is_covered_by_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    def mine() -> object:
        return rohrer25k()

    assert part_digest("arch", "rohrer25k") is None
    monkeypatch.setitem(ARCHITECTURES, "rohrer25k", Architecture(mine, (32,)))  # type: ignore[arg-type]
    digest = part_digest("arch", "rohrer25k")
    assert digest is not None
    assert dict(compose_cell({}, {}, 0).code) == {"arch": digest}


def test_the_same_syntax_is_the_same_text() -> None:
    import ast

    one = textwrap.dedent('''
        def f(x: int = 1) -> str:
            """Says."""
            return f"{x!r:>{x}}"  # so
    ''')
    other = 'def f(\n  x=1,\n):\n  """Says otherwise."""\n  return (f"{x!r:>{x}}")\n'
    assert canonical(ast.parse(one)) == canonical(ast.parse(other))
    assert canonical(ast.parse(one)) != canonical(ast.parse(other.replace("1", "2")))


# Cells that were read


def old(code: dict[str, str], arch: str = "rohrer25k") -> CellConfig:
    return cell_from_dict({**compose_cell({}, {}, 0).identity(), "arch": arch, **({"code": code} if code else {})})


def test_a_run_of_other_source_is_read_under_its_name_and_its_network_is_not_built() -> None:
    cell = old({"arch": "0123456789ab"})
    assert cell.identity()["code"] == {"arch": "0123456789ab"}
    assert cell_from_dict(cell.identity()).run_name == cell.run_name != old({}).run_name
    with pytest.raises(
        ValueError, match=r"arch=rohrer25k: its source .* \(digest 0123456789ab then, as released now\)"
    ):
        check_cell(cell)
    check_cell(old({}))


def test_runs_of_added_networks_that_were_made_before_there_were_digests_are_let_pass() -> None:
    check_code((), {"arch": "somebodys"})
    with pytest.raises(ValueError, match="digest 0123456789ab then"):
        check_code((("arch", "0123456789ab"),), {"arch": "somebodys"})


def test_the_twin_that_weights_come_from_has_the_code_of_its_own_parts() -> None:
    cell = compose_cell({"layer": "scs", "init": "pretrained"}, {}, 0)
    cell = cell_from_dict({**cell.identity(), "code": {"arch": "0123456789ab", "layer": "ba9876543210"}})
    assert cell.parent is not None
    assert cell.parent.code == (("arch", "0123456789ab"),)


@pytest.mark.parametrize("code", [3, ["arch"], {"arch": 3}])
def test_digests_of_another_form_are_refused(code: object) -> None:
    with pytest.raises(ValueError, match=r"code=.*: must be parts and the digests of their source"):
        cell_from_dict({**compose_cell({}, {}, 0).identity(), "code": code})


def test_names_that_nobody_released_are_covered_by_what_says_what_they_stand_for() -> None:
    parts = dict(code_of({"arch": "rohrer25k", "layer": "mine", "pooling": "mine", "data": "mine", "init": "conv2d"}))
    assert parts.keys() == {"layer", "pooling", "data"}


@pytest.mark.parametrize(("folder", "known"), [("site-packages", True), ("dist-packages", True), ("projects", False)])
def test_packages_of_another_environment_are_installed_too(
    folder: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with --system-site-packages, a user's own or a borrowed one: all of torch would be read for a run's name."""
    name = f"borrowed_{folder.replace('-', '_')}"
    (tmp_path / folder).mkdir()
    (tmp_path / folder / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path / folder)
    assert installed(name) is known
