"""Cells from the config groups in conf/, without Hydra's cost of 0.2 s a composition (a test holds the two equal)."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scs_study.config.identity import code_of
from scs_study.config.schema import CHECKPOINT, FOLDER, PRETRAINED, CellConfig, cell_from_dict, choice
from scs_study.system.foreign_files import is_foreign
from scs_study.system.places import CONF, PROJECT, user_path

CELL_GROUPS = ("arch", "layer", "activation", "pooling", "norm", "data", "init", "train")
"""The groups that say what a run computes; every other group says how or where."""
_NAME_ONLY = ("arch", "activation", "pooling", "norm", "init")
"""Groups of which a cell knows the name alone; weights that init.checkpoint points to become part of the name."""


def options(group: str) -> list[str]:
    """The names one can choose from in a config group, sorted."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if not is_foreign(path))


def check_option(group: str, name: object) -> None:
    """Do nothing for a choice that a group has. Errors: ValueError that names the alternatives."""
    if name not in options(group) and (other := CONF / group / f"{str(name).removesuffix('.yml')}.yml").is_file():
        raise ValueError(f"{group}={name}: rename {_shown(other)} to {other.stem}.yaml, which is what is read")
    choice(group, name, options(group))


def groups() -> list[str]:
    """The names of the config groups."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and not is_foreign(path))


def load_option(group: str, name: str) -> dict[str, Any]:
    """The settings of one choice. Errors: ValueError that names the alternatives, or the file that is broken."""
    check_option(group, name)
    return dict(_load(CONF / group / f"{name}.yaml"))


@functools.cache
def _load(path: Path) -> Mapping[str, Any]:
    return read_settings(path, resolve=True)


def read_settings(path: Path, resolve: bool = False) -> dict[str, Any]:
    """Return the settings in a YAML file. Errors: ValueError in one sentence naming the file, and the line if known."""
    shown = _shown(path)
    try:
        content = path.read_bytes()
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{shown}, line {line}: is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise ValueError(f"{shown} cannot be read: {error.strerror}") from error
    try:
        values = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=resolve)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        hint = "; indent with spaces, not with tabs" if "\\t" in str(error.problem) else ""
        raise ValueError(f"{shown}{where}: {error.problem or error.context}{hint}") from error
    except (yaml.YAMLError, OmegaConfBaseException, OSError, ValueError) as error:
        raise ValueError(f"{shown}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error
    except RecursionError as error:
        raise ValueError(f"{shown}: a value is part of itself") from error
    if not isinstance(values, dict):
        raise ValueError(f"{shown}: must be settings, a line for each, such as title: My study")
    return {str(key): value for key, value in values.items()}


def _shown(path: Path) -> Path:
    return path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path


@functools.cache
def default_choices() -> Mapping[str, str]:
    """What conf/config.yaml chooses in every group."""
    entries = _raw("config")["defaults"]
    return {key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items() if _ours(key)}


@functools.cache
def study_defaults() -> Mapping[str, Any]:
    """Return what a study need not say (conf/study_defaults.yaml)."""
    defaults: dict[str, Any] = _raw("study_defaults")["study"]
    return defaults


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
    root = plain["data"].get("root")
    plain["code"] = dict(code_of({part: str(plain.get(part)) for part in _NAME_ONLY} | _named(plain, "layer", "data")))
    plain["data"] = {key: value for key, value in plain["data"].items() if key != "root"}  # where, not what
    if plain["data"].get("name") == FOLDER:
        plain["data"] |= _folder_values(None if root is None or root == "" else str(root))
    return cell_from_dict({**plain, "seed": seed})


def _named(values: Mapping[str, Any], *sections: str) -> dict[str, str]:
    return {section: str(values[section].get("name")) for section in sections}


@functools.cache
def _folder_values(root: str | None) -> Mapping[str, Any]:
    """What a cell knows of a folder of images: their digest, the number of classes; whose split they have.

    Looked at once: a study has many cells. Whoever loads the images looks again.
    """
    if root is None:
        raise ValueError("data=folder: say where the images are, with data.root=PATH (or SCS_DATA_DIR)")
    # Imported here, since it takes seconds.
    from scs_study.data.image_folder import read_folder

    folder = read_folder(user_path("data.root", root), PROJECT / "data" / ".cache")
    values = {"digest": folder.digest, "num_classes": len(folder.classes)}
    return values if folder.test is None else {**values, "test_share": None, "split_seed": None}


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


def check_files(config: str, overridden: Iterable[str]) -> None:
    """Do nothing where `config` and what it chooses can be read. Errors: ValueError naming the file that is broken.

    Hydra would answer with a hundred lines. overridden: groups in which the command line chooses.
    """
    top = _top_level(config)
    for group in set(groups()) & top.keys() - set(overridden):
        read_settings(CONF / group / f"{top[group]}.yaml")


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
            check_option(key, value)
            read_settings(CONF / key / f"{value}.yaml")  # Hydra would answer a broken file with a hundred lines
        return
    group = key.partition(".")[0]
    inside = _settings(group) if group in sections else []
    if key not in (*top, *inside) and not any(key.startswith(f"{name}.") for name in inside):
        known = [*top, *(name for section in sections for name in _settings(section))]
        listing = ", ".join(inside or sorted(top))
        raise ValueError(f"{key}: no such setting{_near(key, known)}; there are {listing}")


def _settings(group: str) -> list[str]:
    names = set(study_defaults()) if group == "study" else set()
    for option in options(group):
        with contextlib.suppress(ValueError):  # a broken file matters to those who choose it
            names |= set(_load(CONF / group / f"{option}.yaml"))
    return [f"{group}.{name}" for name in sorted(names)]


def _top_level(config: str) -> dict[str, Any]:
    content = _raw(config)
    keys = {key: value for key, value in content.items() if key not in ("defaults", "hydra")}
    for entry in content.get("defaults", []):
        if isinstance(entry, dict):
            keys |= {key.removeprefix("override "): value for key, value in entry.items() if _ours(key)}
        elif entry != "_self_":
            keys |= _top_level(str(entry))
    return keys


def _ours(key: str) -> bool:
    return not key.startswith("override hydra/")


def _raw(config: str) -> dict[str, Any]:
    return read_settings(CONF / f"{config}.yaml")


def _near(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def _plain(value: Any) -> Any:
    # Hydra's parser keeps quoted strings as objects of its own.
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)
