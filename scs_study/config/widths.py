"""The widths of a network as a setting (arch.widths): part of the network's name, and so of all that is named after it.

A run, the file of its initial weights and a row of a table say `separable_w8-10-12` for arch=separable
arch.widths=[8,10,12].
"""

from __future__ import annotations

import re

from scs_study.config.checks import whole

WIDTHS = "widths"
KEY = f"arch.{WIDTHS}"
MOST_CHANNELS = 4096
_SIZED = re.compile(r"(?P<name>.+)_w(?P<widths>[1-9]\d{0,3}(-[1-9]\d{0,3})*)")

Widths = tuple[int, ...]


def sized(name: str, widths: object) -> str:
    """Return the name of a network with such widths. Raises ValueError in one sentence for what are no widths."""
    if not isinstance(widths, (list, tuple)) or not widths:
        raise ValueError(f"{KEY}={widths}: must be a list of widths, such as [8,8,8]")
    numbers = [str(whole(KEY, width, 1, MOST_CHANNELS)) for width in widths]
    return f"{name}_w{'-'.join(numbers)}"


def split_widths(name: str) -> tuple[str, Widths]:
    """Return what `sized` was given; () of a name without widths."""
    found = _SIZED.fullmatch(name)
    return (name, ()) if found is None else (found["name"], tuple(int(each) for each in found["widths"].split("-")))


def with_width(widths: object, key: str, width: object) -> list[object]:
    """Return `widths` with another one at the place that `key` names, from 0 on (arch.widths.0).

    Raises ValueError in one sentence for a place that there is not.
    """
    place = key.removeprefix(f"{KEY}.")
    if not isinstance(widths, (list, tuple)) or not place.isdecimal() or int(place) >= len(widths):
        raise ValueError(f"{key}={width}: there is no such width; {KEY} is {widths}, counted from 0")
    changed = list(widths)
    changed[int(place)] = width
    return changed
