"""The overrides of a command line, checked against the config groups before Hydra sees them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from scs_study.config.groups import check_option, groups, near, option_file, read_settings, settings_of, top_level

RENAMED = {
    "launch.per_gpu": "it is launch.side_by_side now, of one process for each GPU (or launch.workers=N for N processes)"
}
"""What became of settings that there were."""


def parse_overrides(arguments: Iterable[str]) -> list[Override]:
    """Return the parsed overrides of a command line. Raises ValueError in one line for what Hydra cannot read."""
    parsed = []
    for argument in arguments:
        try:
            parsed.append(OverridesParser.create().parse_override(argument))
        except HydraException as error:
            raise ValueError(f"{argument!r} cannot be read: write key=value, such as train.epochs=2") from error
    return parsed


def override_values(override: Override) -> list[Any]:
    """Return the values an override sweeps over; one value where it does not sweep. Raises ValueError in one line."""
    if override.is_sweep_override():
        try:
            return [_plain(value) for value in override.sweep_iterator()]
        except HydraException as error:  # glob(*) needs Hydra's own search for configs
            raise ValueError(f"{override.input_line}: name the values, such as layer=conv,scs") from error
    return [_plain(override.value())]


def check_files(config: str, overridden: Iterable[str]) -> None:
    """Do nothing where `config` and what it chooses can be read. Raises ValueError naming the file that is broken.

    Hydra would answer with a hundred lines. overridden: groups in which the command line chooses.
    """
    top = top_level(config)
    for group in set(groups()) & top.keys() - set(overridden):
        read_settings(option_file(group, top[group]))


def check_override(override: Override, config: str) -> None:
    """Do nothing for what exists. Raises ValueError in one line, naming the alternatives, for what does not."""
    key = override.key_or_group
    if key == "hydra" or key.startswith(("hydra.", "hydra/")):
        return
    top = top_level(config)
    sections = {name for name in groups() if name in top}
    if override.is_delete():
        raise ValueError(f"~{key}: every setting is needed; nothing can be taken away")
    if key in sections:
        for value in override_values(override):
            check_option(key, value)
            read_settings(option_file(key, value))  # Hydra would answer a broken file with a hundred lines
        return
    if key in RENAMED:
        raise ValueError(f"{key}: {RENAMED[key]}")
    group = key.partition(".")[0]
    inside = settings_of(group) if group in sections else []
    open_ended = [f"{name}." for name in inside if name != "layer.options"]  # a layer's file lists its options
    if key not in (*top, *inside) and not key.startswith(tuple(open_ended)):
        known = [*top, *(name for section in sections for name in settings_of(section))]
        there = ", ".join(inside or sorted(top))
        raise ValueError(f"{key}: no such setting{near(key, known)}; there are {there}")


def _plain(value: Any) -> Any:
    # Hydra's parser keeps quoted strings as objects of its own.
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, type(None))) else str(value)
