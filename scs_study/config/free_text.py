"""Overrides whose values are text of the user's own: paths, patterns, addresses. Any sign may be in them."""

from __future__ import annotations

import re
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

FREE_TEXT = (
    "runs", "results", "data.root", "init.checkpoint", "match", "name", "sweep_name", "storage", "launch.python",
    "sweep.space", "a", "b",
)  # fmt: skip
"""The settings whose values are nothing but text."""
_OVERRIDE = re.compile(rf"(\+{{0,2}}(?:{'|'.join(map(re.escape, FREE_TEXT))}))=(.*)", re.DOTALL)


def quoted(argument: str, multirun: bool) -> str:
    """Return an argument of the command line as Hydra has to read it, which is as it stands but for free text.

    Hydra's grammar has a meaning for brackets, commas, quotes, ~, # and =, and refuses letters other than English. What
    it would not read as the text that it is gets quotes; what has them already, null, and in a multirun a sweep over
    values (unless a file of that name exists) are left alone. ${oc.env:VARIABLE} works in either.
    """
    found = _OVERRIDE.fullmatch(argument)
    if found is None:
        return argument
    key, text = found.groups()
    try:
        read = OverridesParser.create().parse_override(argument)
    except HydraException:
        pass
    else:
        if read.is_sweep_override():
            if multirun and not Path(text).exists():
                return argument
        else:
            value, given_quotes = read.value(), text[:1] in ("'", '"')
            if value is None or given_quotes or (str(value) == text and not isinstance(value, (dict, list))):
                return argument
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"
