"""Checks of single settings: each returns the value, or refuses it in one sentence."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

MOST = 2**63 - 1
"""The largest whole number of a setting: what a table's column holds."""


def choice(key: str, value: object, known: Iterable[str]) -> str:
    """Return `value`, if it is one of `known`. Raises ValueError naming the alternatives, the nearest first."""
    known = list(known)
    if isinstance(value, str) and value in known:
        return value
    near = difflib.get_close_matches(str(value), known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ValueError(f"{key}={value}: not known{hint}; choose from {', '.join(known)}")


def number(key: str, value: object, low: float, high: float = math.inf, *, open_low: bool = False) -> float:
    """Return `value` as a float, if it is a number from `low` to `high`. Raises ValueError in one sentence."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or _float(value) is None:
        raise ValueError(f"{key}={value}: must be a number")
    if value < low or value > high or (open_low and value == low):
        bound = f"above {low:g}" if open_low else f"at least {low:g}"
        raise ValueError(f"{key}={value}: must be {bound}" + (f" and at most {high:g}" if high < math.inf else ""))
    return float(value)


def _float(value: float) -> float | None:
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number with more than 308 digits
        return None


def whole(key: str, value: object, low: int, high: int = MOST) -> int:
    """Return `value`, if it is a whole number from `low` to `high`. Raises ValueError in one sentence."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{key}={value}: must be a whole number")
    if value < low or value > high:
        shown = value if abs(value) <= 10 * MOST else f"{str(value)[:20]}..."
        bounds = f"at least {low}" + (f" and at most {high}" if high < MOST or value > high else "")
        raise ValueError(f"{key}={shown}: must be {bounds}")
    return value


def time_span(key: str, value: object) -> float:
    """Return the seconds of a time such as 90s, 25m or 1h30m. Raises ValueError in one sentence."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600.0 * hours + 60.0 * minutes + seconds
    if total == 0:
        raise ValueError(f"{key}={value}: must be a time above 0 with its units, such as 90s, 25m or 1h30m")
    return total


_TIME = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)


def flag(key: str, value: object) -> bool:
    """Return `value`, if it is a truth value. Raises ValueError in one sentence."""
    if not isinstance(value, bool):
        raise ValueError(f"{key}={value}: must be true or false")
    return value


def check_keys(prefix: str, values: Mapping[str, Any], known: Iterable[str], optional: Iterable[str] = ()) -> None:
    """Do nothing where `values` has the `known` keys and no others. Raises ValueError in one sentence.

    optional: of them, those that may be missing.
    """
    known, optional = list(known), set(optional)
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {prefix}{near[0]}?)" if near else ""
            raise ValueError(f"{prefix}{name}: no such setting{hint}; there are {', '.join(known)}")
    missing = [prefix + name for name in known if name not in values and name not in optional]
    if missing:
        raise ValueError(f"{', '.join(missing)}: not set")
