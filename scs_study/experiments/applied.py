"""What a study or a sweep sets for all of its cells, as a config that Hydra composes: --cfg job prints what runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hydra.core.config_store import ConfigStore

from scs_study.config.groups import load_option
from scs_study.experiments.compose import CELL_GROUPS

GROUPS = ("study", "sweep")
"""The groups whose choices set something: `base`, choices of other groups, and `set`, single settings."""


def apply_settings(group: str, name: str, chosen: Collection[str]) -> None:
    """Give Hydra the settings of a study or sweep, as <group>_settings/<name>, for conf/replicate.yaml and sweep.yaml.

    An axis of one value is a setting too. chosen: the groups in which the command line chooses, which are left alone.
    Raises ValueError in one sentence for a file that is broken.
    """
    values = load_option(group, name)
    axes = values.get("axes") or {}
    single = {axis: points[0] for axis, points in _items(axes) if isinstance(points, list) and len(points) == 1}
    everything = dict([*_items(values.get("base")), *_items(values.get("set")), *single.items()])
    node: dict[str, Any] = {}
    for key in sorted(everything, key=lambda key: "." in key):  # choices first
        part, _, setting = key.partition(".")
        if key in CELL_GROUPS and key not in chosen:
            node[key] = load_option(key, everything[key])
        elif setting and part in CELL_GROUPS:
            home = node.setdefault(part, {})
            *inner, last = setting.split(".")
            for step in inner:
                home = home.setdefault(step, {})
            home[last] = everything[key]
    ConfigStore.instance().store(name, node, group=f"{group}_settings")


def _items(values: object) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in values.items()] if isinstance(values, Mapping) else []
