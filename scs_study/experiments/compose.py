"""Cells from the config groups in conf/, without Hydra's cost of 0.2 s a composition (a test holds the two equal)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scs_study.config.groups import check_option as check_option
from scs_study.config.groups import default_choices as default_choices
from scs_study.config.groups import groups as groups
from scs_study.config.groups import load_option as load_option
from scs_study.config.groups import near
from scs_study.config.groups import options as options
from scs_study.config.groups import study_defaults as study_defaults
from scs_study.config.identity import code_of
from scs_study.config.overrides import check_files as check_files
from scs_study.config.overrides import check_override as check_override
from scs_study.config.overrides import override_values as override_values
from scs_study.config.overrides import parse_overrides as parse_overrides
from scs_study.config.schema import CHECKPOINT, FOLDER, PRETRAINED, CellConfig, cell_from_dict, check_keys
from scs_study.config.widths import KEY as WIDTHS_KEY
from scs_study.config.widths import WIDTHS, sized, with_width
from scs_study.system.places import CONF as CONF
from scs_study.system.places import PROJECT as PROJECT
from scs_study.system.places import user_path

CELL_GROUPS = ("arch", "layer", "activation", "pooling", "norm", "data", "init", "train", "objective")
"""The groups that say what a run computes; every other group says how or where."""
_NAME_ONLY = ("arch", "activation", "pooling", "norm", "init", "objective")
"""Groups of which a cell knows the name alone; weights that init.checkpoint points to become part of the name."""
TARGET, TARGETED = "_target_", ("arch", "layer", "objective")
"""The key that names a Python object outside this package, such as my_project.nets.my_net, and where it may stand."""
SPLIT = ("test_share", "split_seed", "validation_share")
"""The settings of a split, which have no effect on a folder that has one of its own."""
AS_BUILT = "as_built"
"""The choice of norm that is batchnorm where the plain network has it, and none elsewhere."""


def compose_cell(choices: Mapping[str, str], settings: Mapping[str, Any], seed: int) -> CellConfig:
    """Return the cell that group `choices` and dotted `settings` (train.epochs: 3) give on top of the defaults.

    Raises ValueError in one sentence: unknown choice, unknown setting, value out of range.
    """
    chosen = {**default_choices(), **choices}
    values: dict[str, Any] = {group: load_option(group, chosen[group]) for group in CELL_GROUPS}
    for key, value in sorted(settings.items()):  # arch.widths before arch.widths.0
        group, _, name = key.partition(".")
        home, _, option = name.partition("options.")
        if group in CELL_GROUPS and option and not home and option in values[group].get("options", {}):
            values[group]["options"] = {**values[group]["options"], option: value}
            continue
        if key.startswith(f"{WIDTHS_KEY}.") and values["arch"].get(WIDTHS):
            values["arch"][WIDTHS] = with_width(values["arch"][WIDTHS], key, value)
            continue
        if group not in CELL_GROUPS or name not in values[group]:
            known = [f"{g}.{n}" for g in CELL_GROUPS for n in values[g] if n != "name" or g not in _NAME_ONLY]
            known += [f"{g}.options.{n}" for g in CELL_GROUPS for n in values[g].get("options") or {}]
            raise ValueError(f"{key}: no such setting{near(key, known)}")
        values[group][name] = value
    return cell_from_values(values, seed)


def cell_from_values(values: Mapping[str, Any], seed: int) -> CellConfig:
    """Return the cell of composed config groups (Hydra's or `compose_cell`'s), every value of it checked.

    Whether its network can be built is models.check_cell's to say, which needs torch.
    """
    plain: dict[str, Any] = {group: values[group] for group in CELL_GROUPS if group not in _NAME_ONLY}
    plain |= {group: values[group]["name"] for group in _NAME_ONLY}
    check_keys("arch.", values["arch"], ("name", TARGET, WIDTHS), (TARGET, WIDTHS))
    if values["arch"].get(WIDTHS) is not None:
        plain["arch"] = sized(plain["arch"], values["arch"][WIDTHS])
    if PRETRAINED in plain["init"] and values["init"]["checkpoint"] is not None:
        scheme = checkpoint_scheme(user_path("init.checkpoint", values["init"]["checkpoint"]))
        plain["init"] = plain["init"].replace(PRETRAINED, scheme)
    root = plain["data"].get("root")
    targets = {part: values[part][TARGET] for part in TARGETED if values[part].get(TARGET) is not None}
    plain["layer"] = {key: value for key, value in plain["layer"].items() if key != TARGET}
    plain["targets"] = targets
    as_built = plain["norm"] == AS_BUILT
    if as_built:
        plain["norm"] = "none"
    names = {part: str(plain.get(part)) for part in _NAME_ONLY} | _named(plain, "layer", "data")
    plain["code"] = dict(code_of(names, targets))
    plain["data"] = {key: value for key, value in plain["data"].items() if key != "root"}  # where, not what
    if plain["data"].get("name") == FOLDER:
        plain["data"] |= _folder_values(None if root is None or root == "" else str(root))
    cell = cell_from_dict({**plain, "seed": seed})
    if as_built:
        # Imported here: torch takes seconds to load, for this alone.
        from scs_study.models.variant import norm_as_built

        cell = dataclasses.replace(cell, norm=norm_as_built(cell))
    return cell


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
    return values if folder.test is None else {**values, **dict.fromkeys(SPLIT)}


@functools.cache
def checkpoint_scheme(path: Path) -> str:
    """Return the init scheme that a checkpoint file's weights are known by, or that is given in its place.

    Raises ValueError in one sentence.
    """
    if CHECKPOINT.fullmatch(str(path)):
        return str(path)
    # Imported here: torch takes seconds to load, for this alone.
    from scs_study.models.pretrained import read_checkpoint, scheme_of

    return scheme_of(read_checkpoint(path))


def cell_of(config: DictConfig) -> CellConfig:
    """Return the cell of a config that Hydra composed, as `cell_from_values` says."""
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return cell_from_values({str(key): value for key, value in values.items()}, values["seed"])
