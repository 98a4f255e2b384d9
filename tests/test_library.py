"""Somebody else's project takes the layers and gets nothing else: each extra imports what it declares, and no more."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest

from scs_study.system.places import PROJECT

DECLARED = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
ALONE = """
import sys
from importlib.abc import MetaPathFinder

ALLOWED = {allowed!r}

class Refuses(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"{{top}} is not in this environment", name=top)

sys.meta_path.insert(0, Refuses())
{code}
"""
LAYERS = """
import torch
from scs_study.layers import MaxAbsPool2d, SharpenedCosineSimilarity2d, SharpenedDotProduct2d
x = torch.rand(2, 3, 8, 8)
for layer in (SharpenedCosineSimilarity2d(3, 4, 3), SharpenedDotProduct2d(3, 4, 3)):
    MaxAbsPool2d(2)(layer(x)).sum().backward()
    layer.project_()
"""
CONVERSION = """
import torch
from scs_study.config.schema import LayerConfig
from scs_study.models import convert
network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.MaxPool2d(2))
report = convert(network, LayerConfig("scs", "may2022", None, (1.0, 3.0), 1.0, 1.0, False), "none", "maxabs", "none")
assert report.converted == ("0", "1", "2"), report
network(torch.rand(2, 3, 8, 8)).sum().backward()
"""


def brought(requirements: list[str]) -> set[str]:
    """The names that can be imported after installing `requirements`: theirs and those of what they need."""
    left, seen = list(requirements), set()
    while left:
        name = re.match(r"[\w.-]+", left.pop()).group().lower().replace("_", "-")  # type: ignore[union-attr]
        if name in seen or name == "scs-study":
            continue
        seen.add(name)
        try:
            left += [need for need in metadata.requires(name) or [] if "extra ==" not in need]
        except metadata.PackageNotFoundError:
            continue  # of another platform
    packages = metadata.packages_distributions()
    tops = {top for top, owners in packages.items() if {o.lower().replace("_", "-") for o in owners} & seen}
    return tops | {"scs_study"}


@pytest.mark.parametrize("code", [LAYERS, CONVERSION], ids=["layers", "conversion"])
def test_the_layers_need_what_the_extra_torch_brings(code: str) -> None:
    allowed = brought([*DECLARED["dependencies"], *DECLARED["optional-dependencies"]["torch"]])
    assert not {"hydra", "pandas", "optuna", "sklearn", "matplotlib"} & allowed
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(allowed=allowed, code=code)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_check_itself_refuses() -> None:
    allowed = brought(DECLARED["dependencies"])
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(allowed=allowed, code=LAYERS)], capture_output=True, text=True
    )
    assert "torch is not in this environment" in done.stderr
