"""The config groups: one small file a choice in conf/, and in a folder of the user's own (--config-dir)."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scs_study.config.checks import choice
from scs_study.system.foreign_files import is_foreign
from scs_study.system.places import CONF, PROJECT

OWN = "SCS_CONFIG_DIR"
"""The environment variable with a folder of the user's own config groups: workers of all kinds inherit it."""
_SELF = "_self_"


def own_folder() -> Path | None:
    """Return the folder of the user's own config groups, None where there is none."""
    return Path(os.environ[OWN]) if os.environ.get(OWN) else None


def use_own_folder(path: Path) -> None:
    """Look for choices in `path` too, in this process and in all that it starts. Raises ValueError in one sentence."""
    if not path.is_dir():
        raise ValueError(f"--config-dir {path}: there is no such folder")
    for group in groups():
        for file in _files(path / group):
            if (CONF / group / file.name).is_file():
                raise ValueError(f"{file}: {group}={file.stem} is a choice of the project; give yours another name")
    os.environ[OWN] = str(path.resolve())


def _folders() -> list[Path]:
    own = own_folder()
    return [CONF] if own is None else [CONF, own]


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.yaml") if not is_foreign(path)]


def option_file(group: str, name: object) -> Path:
    """Return the file of a choice, in the project's folder where nobody has it."""
    files = [folder / group / f"{name}.yaml" for folder in _folders()]
    return next((file for file in files if file.is_file()), files[0])


def options(group: str) -> list[str]:
    """Return the names one can choose from in a config group, sorted."""
    return sorted({path.stem for folder in _folders() for path in _files(folder / group)})


def check_option(group: str, name: object) -> None:
    """Do nothing for a choice that a group has. Raises ValueError that names the alternatives."""
    for folder in _folders():
        other = folder / group / f"{str(name).removesuffix('.yml')}.yml"
        if name not in options(group) and other.is_file():
            raise ValueError(f"{group}={name}: rename {shown(other)} to {other.stem}.yaml, which is what is read")
    choice(group, name, options(group))


def groups() -> list[str]:
    """Return the names of the config groups."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and not is_foreign(path))


def load_option(group: str, name: str) -> dict[str, Any]:
    """Return the settings of one choice. Raises ValueError naming the alternatives, or the file that is broken."""
    check_option(group, name)
    values = _composed(group, name)
    return {**layer_defaults(), **values} if group == "layer" else values


def _composed(group: str, name: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """The settings of a choice, after those of the choices of the same group in its defaults list, as Hydra has it."""
    path = option_file(group, name)
    own = dict(_load(path))
    wanted = own.pop("defaults", [])
    if not isinstance(wanted, list) or not all(isinstance(each, str) for each in wanted):
        raise ValueError(f"{shown(path)}: defaults must be a list of choices of the group {group}")
    if name in above:
        raise ValueError(f"{shown(path)}: its defaults lead back to itself")
    values: dict[str, Any] = {}
    for each in wanted if _SELF in wanted else [*wanted, _SELF]:
        if each == _SELF:
            values |= own
        else:
            check_option(group, each)
            values |= _composed(group, each, (*above, name))
    return values


@functools.cache
def _load(path: Path) -> Mapping[str, Any]:
    return read_settings(path, resolve=True)


def read_settings(path: Path, resolve: bool = False) -> dict[str, Any]:
    """Return the settings in a YAML file. Raises ValueError in one sentence naming the file, and the line if known."""
    name = shown(path)
    try:
        content = path.read_bytes()
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{name}, line {line}: is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}") from error
    try:
        values = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=resolve)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        hint = "; indent with spaces, not with tabs" if "\\t" in str(error.problem) else ""
        raise ValueError(f"{name}{where}: {error.problem or error.context}{hint}") from error
    except (yaml.YAMLError, OmegaConfBaseException, OSError, ValueError) as error:
        raise ValueError(f"{name}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    except RecursionError as error:
        raise ValueError(f"{name}: a value is part of itself") from error
    if not isinstance(values, dict):
        raise ValueError(f"{name}: must be settings, a line for each, such as title: My study")
    return {str(key): value for key, value in values.items()}


def shown(path: Path) -> Path:
    """Return a path as messages have it: below the project's folder, where it is there."""
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


@functools.cache
def default_choices() -> Mapping[str, str]:
    """Return what conf/config.yaml chooses in every group."""
    entries = _raw("config")["defaults"]
    return {key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items() if _ours(key)}


@functools.cache
def study_defaults() -> Mapping[str, Any]:
    """Return what a study need not say (conf/study_defaults.yaml)."""
    defaults: dict[str, Any] = _raw("study_defaults")["study"]
    return defaults


@functools.cache
def sweep_defaults() -> Mapping[str, Any]:
    """Return what a sweep need not say (conf/sweep_defaults.yaml)."""
    defaults: dict[str, Any] = _raw("sweep_defaults")["sweep"]
    return defaults


@functools.cache
def layer_defaults() -> Mapping[str, Any]:
    """Return what a layer's file need not say (conf/layer_defaults.yaml)."""
    defaults: dict[str, Any] = _raw("layer_defaults")["layer"]
    return defaults


def settings_of(group: str) -> list[str]:
    """Return the dotted settings of a group that its choices name."""
    names = set({"study": study_defaults, "sweep": sweep_defaults}.get(group, dict)())
    for option in options(group):
        with contextlib.suppress(ValueError):  # a broken file matters to those who choose it
            values = load_option(group, option)
            names |= {*values, *(f"options.{name}" for name in values.get("options") or {})}
    return [f"{group}.{name}" for name in sorted(names)]


def top_level(config: str) -> dict[str, Any]:
    """Return the keys of a config in conf/ with their values, and its groups with their choices."""
    content = _raw(config)
    keys = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
    for entry in content.get("defaults", []):
        if isinstance(entry, dict):
            keys |= {key.removeprefix("override "): value for key, value in entry.items() if _ours(key)}
        elif entry != "_self_":
            keys |= top_level(str(entry))
    return keys


def _ours(key: str) -> bool:
    return not key.startswith(("override hydra/", "optional "))


def _raw(config: str) -> dict[str, Any]:
    return read_settings(CONF / f"{config}.yaml")


def near(key: str, known: Iterable[str]) -> str:
    """Return a hint at the name among `known` that is nearest to `key`, or nothing."""
    found = difflib.get_close_matches(key, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""
