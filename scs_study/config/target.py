"""Python objects of somebody else's project, by their dotted names: my_project.nets.my_net (`_target_` in a YAML)."""

from __future__ import annotations

import importlib
import re

_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")


def split_target(part: str, target: object) -> tuple[str, str]:
    """Return module and name of a target. Raises ValueError in one sentence for what is no dotted name."""
    if not isinstance(target, str) or not _DOTTED.fullmatch(target):
        raise ValueError(f"{part}._target_={target}: must name a Python object, such as my_project.nets.my_net")
    module, _, name = target.rpartition(".")
    return module, name


def load_target(part: str, target: str) -> object:
    """Return the object that a target names. Raises ValueError in one sentence where there is none."""
    module, name = split_target(part, target)
    try:
        home = importlib.import_module(module)
    except Exception as error:  # whatever somebody else's module does when it is imported
        reason = (str(error).splitlines() or [""])[0]
        raise ValueError(
            f"{part}._target_={target}: {module} cannot be imported: {reason or type(error).__name__}"
        ) from error
    if not hasattr(home, name):
        raise ValueError(f"{part}._target_={target}: {module} has no {name}")
    return getattr(home, name)
