"""Cells from the config groups in conf/, without Hydra's cost of 0.2 s a composition (a test holds the two equal)."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from scs_study.config.schema import CHECKPOINT, PRETRAINED, CellConfig, cell_from_dict, choice
from scs_study.places import CONF, PROJECT

CELL_GROUPS = ("arch", "layer", "activation", "pooling", "norm", "data", "init", "train")
"""The groups that say what a run computes; every other group says how or where."""
_NAME_ONLY = ("arch", "activation", "pooling", "norm", "init")
"""Groups of which a cell knows the name alone; weights that init.checkpoint points to become part of the name."""


def below_project(path: object) -> Path:
    """`path`, taken from the project's folder when it is relative: commands work from anywhere.

    Errors: ValueError where there is none (runs=null).
    """
    if path is None or path == "":
        raise ValueError("runs and results: each must be the path of a folder")
    return PROJECT / user_path("runs and results", path)


def user_path(key: str, path: object) -> Path:
    """Return the path that a user gave for `key`; ~ is his home. Errors: ValueError where nobody knows that home."""
    expanded = os.path.expanduser(str(path))
    if expanded.startswith("~"):
        name = Path(expanded).parts[0]
        raise ValueError(f"{key}: {path}: {name} is nobody's home; write ./{name} for a folder of that name")
    return Path(expanded)


def options(group: str) -> list[str]:
    """The names one can choose from in a config group, sorted."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def groups() -> list[str]:
    """The names of the config groups."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir())


def load_option(group: str, name: str) -> dict[str, Any]:
    """The settings of one choice. Errors: ValueError that names the alternatives."""
    choice(group, name, options(group))
    return dict(_load(CONF / group / f"{name}.yaml"))


@functools.cache
def _load(path: Path) -> Mapping[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    assert isinstance(content, dict), path
    return {str(key): value for key, value in content.items()}


@functools.cache
def default_choices() -> Mapping[str, str]:
    """What conf/config.yaml chooses in every group."""
    entries = _raw("config")["defaults"]
    return {key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items() if _ours(key)}


def compose_cell(choices: Mapping[str, str], settings: Mapping[str, Any], seed: int) -> CellConfig:
    """The cell that group `choices` and dotted `settings` (train.epochs: 3) give on top of the defaults.

    Errors: ValueError in one sentence: unknown choice, unknown setting, value out of range.
    """
    chosen = {**default_choices(), **choices}
    values: dict[str, Any] = {group: load_option(group, chosen[group]) for group in CELL_GROUPS}
    for key, value in settings.items():
        group, _, name = key.partition(".")
        if group not in CELL_GROUPS or name not in values[group]:
            known = [f"{g}.{n}" for g in CELL_GROUPS for n in values[g] if n != "name" or g not in _NAME_ONLY]
            raise ValueError(f"{key}: no such setting{_near(key, known)}")
        values[group][name] = value
    return cell_from_values(values, seed)


def cell_from_values(values: Mapping[str, Any], seed: int) -> CellConfig:
    """The cell of composed config groups (Hydra's or `compose_cell`'s), every value of it checked.

    Whether its network can be built is models.check_cell's to say, which needs torch.
    """
    plain: dict[str, Any] = {group: values[group] for group in CELL_GROUPS if group not in _NAME_ONLY}
    plain |= {group: values[group]["name"] for group in _NAME_ONLY}
    if PRETRAINED in plain["init"] and values["init"]["checkpoint"] is not None:
        scheme = checkpoint_scheme(user_path("init.checkpoint", values["init"]["checkpoint"]))
        plain["init"] = plain["init"].replace(PRETRAINED, scheme)
    plain["data"] = {key: value for key, value in plain["data"].items() if key != "root"}  # where, not what
    return cell_from_dict({**plain, "seed": seed})


@functools.cache
def checkpoint_scheme(path: Path) -> str:
    """The init scheme that a checkpoint file's weights are known by, or that is given in its place.

    Errors: ValueError in one sentence.
    """
    if CHECKPOINT.fullmatch(str(path)):
        return str(path)
    # Imported here: torch takes seconds to load, for this alone.
    from scs_study.models.pretrained import read_checkpoint, scheme_of

    return scheme_of(read_checkpoint(path))


def cell_of(config: DictConfig) -> CellConfig:
    """The cell of a config that Hydra composed, as `cell_from_values` says."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return cell_from_values({str(key): value for key, value in values.items()}, values["seed"])


def parse_overrides(arguments: Iterable[str]) -> list[Override]:
    """The parsed overrides of a command line. Errors: ValueError in one line for what Hydra cannot read."""
    parsed = []
    for argument in arguments:
        try:
            parsed.append(OverridesParser.create().parse_override(argument))
        except HydraException as error:
            raise ValueError(f"{argument!r} cannot be read: write key=value, such as train.epochs=2") from error
    return parsed


def override_values(override: Override) -> list[Any]:
    """The values an override sweeps over; one value where it does not sweep. Errors: ValueError in one line."""
    if override.is_sweep_override():
        try:
            return [_plain(value) for value in override.sweep_iterator()]
        except HydraException as error:  # glob(*) needs Hydra's own search for configs
            raise ValueError(f"{override.input_line}: name the values, such as layer=conv,scs") from error
    return [_plain(override.value())]


def check_override(override: Override, config: str) -> None:
    """None. Errors: ValueError in one line, naming the alternatives, for a group, choice or key that does not exist."""
    key = override.key_or_group
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return
    top = _top_level(config)
    sections = {name for name in groups() if name in top}
    if override.is_delete():
        raise ValueError(f"~{key}: every setting is needed; nothing can be taken away")
    if key in sections:
        for value in override_values(override):
            choice(key, value, options(key))
        return
    group = key.partition(".")[0]
    inside = _settings(group) if group in sections else []
    if key not in (*top, *inside) and not any(key.startswith(f"{name}.") for name in inside):
        known = [*top, *(name for section in sections for name in _settings(section))]
        listing = ", ".join(inside or sorted(top))
        raise ValueError(f"{key}: no such setting{_near(key, known)}; there are {listing}")


def _settings(group: str) -> list[str]:
    names = {name for option in options(group) for name in _load(CONF / group / f"{option}.yaml")}
    return [f"{group}.{name}" for name in sorted(names)]


def _top_level(config: str) -> dict[str, Any]:
    content = _raw(config)
    keys: dict[str, Any] = dict.fromkeys(key for key in content if key not in ("defaults", "hydra"))
    for entry in content["defaults"]:
        if isinstance(entry, dict):
            keys |= dict.fromkeys(key for key in entry if _ours(key))
        elif entry != "_self_":
            keys |= _top_level(str(entry))
    return keys


def _ours(key: str) -> bool:
    return not key.startswith("override hydra/")


def _raw(config: str) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(CONF / f"{config}.yaml"), resolve=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _near(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _plain(value: Any) -> Any:
    # Hydra's parser keeps quoted strings as objects of its own.
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)
