"""results/paper/claims.yaml as a ClaimFile; a wrong entry is refused in one sentence that names it."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from scs_study.analysis.claims.schema import (
    COMPOSED,
    METRICS,
    NEEDS_BOUND,
    NEEDS_DELTA,
    RULES,
    UNPAIRED,
    Best,
    Choice,
    Claim,
    ClaimFile,
    Margin,
    Metric,
    Settings,
    Test,
)
from scs_study.config.schema import choice, whole
from scs_study.system.places import PAPER

PATH = PAPER / "claims.yaml"
"""The claims of the paper and its sources."""
NAME = re.compile(r"[a-z0-9_]+")
_FILE = ("title", "base", "chance", "margins", "images", "attacks", "choices", "families", "environments", "claims")
DEAD = "dead"
"""Among the margins: how far above chance a network still counts as dead."""
_MARGIN = ("delta", "why")
_OWN = ("delta", "bounds", "bound")
"""The numbers of a test that need a reason."""
_CLAIM = ("id", "name", "source", "section", "sentence", "paper", "overall", "n", "tests")
_CLAIM_MAY = ("family", "controls", "choices", "gated", "fresh", "awaits", "command", "reason")
_TEST = ("metric", "rule", "where", "a")
_TEST_MAY = ("b", "delta", "bounds", "bound", "across", "set", "epochs", "best", "eps", "bench", "why")
_BEST = ("side", "over", "seeds", "metric")


def load_claims(path: Path = PATH) -> ClaimFile:
    """Return the claims of a YAML file, every value of it checked.

    Raises ValueError in one sentence that names the file and the entry.
    """
    try:
        values = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file of claims") from None
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise ValueError(f"{path.name}{line}: not YAML: {getattr(error, 'problem', error)}") from error
    try:
        return claim_file(values)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def claim_file(values: Any) -> ClaimFile:
    """Return the ClaimFile that plain values describe. Raises ValueError in one sentence."""
    top = _group("the file", values, _FILE, ())
    places = {
        str(name): [_settings(f"environments.{name}", each) for each in _list(f"environments.{name}", entries)]
        for name, entries in _mapping("environments", top["environments"]).items()
    }
    choices = {
        str(name): tuple(
            Choice(str(words), _settings(f"choices.{name}.{words}", settings))
            for words, settings in _mapping(f"choices.{name}", points).items()
        )
        for name, points in _mapping("choices", top["choices"]).items()
    }
    families = {str(key): str(text) for key, text in _mapping("families", top["families"]).items()}
    entries = _list("claims", top["claims"])
    margins = _margins(top["margins"])
    claims = tuple(
        _claim(number, entry, places, choices, families, margins) for number, entry in enumerate(entries, start=1)
    )
    for key in ("id", "name"):
        seen: set[Any] = set()
        for claim in claims:
            if getattr(claim, key) in seen:
                raise ValueError(f"claim {claim.id}: another claim has the {key} {getattr(claim, key)} already")
            seen.add(getattr(claim, key))
    attacks = {
        str(name): whole(f"attacks.{name}", least, 1) for name, least in _mapping("attacks", top["attacks"]).items()
    }
    return ClaimFile(
        title=_text("title", top["title"]),
        base=_settings("base", top["base"]),
        chance=_number("chance", top["chance"]),
        dead_margin=margins[DEAD],
        margins={name: margin for name, margin in margins.items() if name != DEAD},
        images=whole("images", top["images"], 1),
        attacks=attacks,
        choices=choices,
        families=families,
        claims=claims,
    )


def _claim(
    number: int,
    entry: Any,
    places: Mapping[str, Sequence[Settings]],
    choices: Mapping[str, Sequence[Choice]],
    families: Mapping[str, str],
    margins: Mapping[str, Margin],
) -> Claim:
    given = _mapping(f"claim number {number}", entry)
    here = f"claim {given.get('id', f'number {number}')}"
    values = _group(here, given, _CLAIM, _CLAIM_MAY)
    if not NAME.fullmatch(str(values["name"])):
        raise ValueError(f"{here}: name={values['name']}: lower case letters, digits and _ only")
    if values.get("family"):
        choice(f"{here}: family", values["family"], families)
    for name in values.get("choices", ()):
        choice(f"{here}: choices", name, choices)
    if not isinstance(values.get("gated", True), bool):
        raise ValueError(f"{here}: gated={values['gated']}: must be true or false")
    tests = [
        _test(f"{here}, test {k}", test, places, margins)
        for k, test in enumerate(_list(f"{here}: tests", values["tests"]), start=1)
    ]
    fresh = tuple(whole(f"{here}: fresh", seed, 0) for seed in _list(f"{here}: fresh", values.get("fresh", [])))
    for test in tests:
        if test.best and set(test.best.seeds) & set(fresh):
            raise ValueError(f"{here}: fresh and best.seeds share a seed, so what is found would not be tested anew")
    return Claim(
        id=whole(f"claim number {number}: id", values["id"], 1),
        name=str(values["name"]),
        tests=tuple(tests),
        n=values["n"],
        family=str(values.get("family") or ""),
        controls=tuple(_text(f"{here}: controls", each) for each in _list(here, values.get("controls", []))),
        choices=tuple(values.get("choices", ())),
        gated=values.get("gated", True),
        fresh=fresh,
        awaits=str(values.get("awaits", "")),
        command=str(values.get("command", "")),
        **{key: _text(f"{here}: {key}", values[key]) for key in ("source", "section", "sentence", "paper", "overall")},
    )


def _margins(entry: Any) -> dict[str, Margin]:
    """The margins by measure, and that of dead networks, each with its reason."""
    found = {}
    for name, value in _mapping("margins", entry).items():
        here = f"margins.{choice('margins', name, (*METRICS, DEAD))}"
        given = _group(here, value, _MARGIN, ())
        found[str(name)] = Margin(
            _number(f"{here}.delta", given["delta"], open_low=True), _text(f"{here}.why", given["why"])
        )
    if DEAD not in found:
        raise ValueError(f"margins: {DEAD} not set: how far above chance a network counts as dead, and why")
    return found


def _why(here: str, values: Mapping[str, Any], metric: Metric, margins: Mapping[str, Margin]) -> str:
    """The reason for the numbers that a test goes by, its own or its measure's."""
    own = [key for key in _OWN if values.get(key) is not None]
    if own and values.get("why") is None:
        raise ValueError(f"{here}: {own[0]}={values[own[0]]}: say why, so that a reader can judge it")
    if values.get("why") is not None and not own:
        raise ValueError(f"{here}: why=...: it gives the reason for a delta, bounds or bound, and there is none")
    if own:
        return _text(f"{here}: why", values["why"])
    if metric.source == "files":  # bits agree or do not
        return ""
    if metric.name not in margins:
        raise ValueError(f"{here}: margins has no {metric.name}: say which difference of it matters, and why")
    return margins[metric.name].why


def _test(here: str, entry: Any, places: Mapping[str, Sequence[Settings]], margins: Mapping[str, Margin]) -> Test:
    values = _group(here, _mapping(here, entry), _TEST, _TEST_MAY)
    metric = METRICS[choice(f"{here}: metric", values["metric"], METRICS)]
    rule = choice(f"{here}: rule", values["rule"], RULES)
    where: list[Settings] = []
    for place in _list(f"{here}: where", values["where"]):
        if isinstance(place, str):
            where += places[choice(f"{here}: where", place, places)]
        else:
            where.append(_settings(f"{here}: where", place))
    if not where:
        raise ValueError(f"{here}: where=[]: name at least one environment")
    usual = margins[metric.name].delta if metric.name in margins else None
    delta = usual if values.get("delta") is None else _number(f"{here}: delta", values["delta"], open_low=True)
    if rule in NEEDS_BOUND and values.get("bound") is None:
        raise ValueError(f"{here}: rule {rule} needs a bound")
    sides = {key: _side(f"{here}: {key}", values.get(key, [])) for key in ("a", "b")}
    _check_sides(here, rule, metric.pair, sides)
    if (metric.name in ("pgd_accuracy", "worst_accuracy")) != (values.get("eps") is not None):
        raise ValueError(f"{here}: eps is for pgd_accuracy and worst_accuracy, which need one (in 255ths)")
    why = _why(here, values, metric, margins)
    if delta is None and rule in NEEDS_DELTA:
        raise ValueError(f"{here}: rule {rule} on {metric.name} needs a delta")
    across = {
        str(axis): tuple(_list(f"{here}: across.{axis}", points))
        for axis, points in _mapping(f"{here}: across", values.get("across", {})).items()
    }
    for axis in across:
        _check_key(f"{here}: across", axis.removeprefix("a.").removeprefix("b."))
    delta = math.nan if delta is None else delta
    bounds = _bounds(here, values.get("bounds"), delta)
    epochs = values.get("epochs")
    return Test(
        metric=metric,
        rule=rule,
        delta=delta,
        bounds=bounds,
        bound=math.nan if values.get("bound") is None else _number(f"{here}: bound", values["bound"]),
        where=tuple(where),
        across=across,
        a=sides["a"],
        b=sides["b"],
        set=_settings(f"{here}: set", values.get("set", {})),
        epochs=None if epochs is None else whole(f"{here}: epochs", epochs, 1),
        best=None if values.get("best") is None else _best(here, values["best"]),
        eps=None if values.get("eps") is None else _number(f"{here}: eps", values["eps"], open_low=True),
        bench={str(k): str(v) for k, v in _mapping(f"{here}: bench", values.get("bench", {})).items()},
        why=why,
    )


def _check_sides(here: str, rule: str, pair: bool, sides: Mapping[str, Sequence[Settings]]) -> None:
    if not sides["a"]:
        raise ValueError(f"{here}: a=[]: name at least one cell")
    if rule in UNPAIRED and sides["b"]:
        raise ValueError(f"{here}: rule {rule} looks at a alone; take b away")
    if rule == "identity" and not len(sides["a"]) == len(sides["b"]) == 1:
        raise ValueError(f"{here}: rule identity compares one cell a with one cell b")
    if pair and any(len(cells) not in (0, 2) for cells in sides.values()):
        raise ValueError(f"{here}: map_similarity is between two cells: name two on each side")


def _best(here: str, entry: Any) -> Best:
    values = _group(f"{here}: best", _mapping(f"{here}: best", entry), _BEST, ())
    over = {str(k): tuple(_list(f"{here}: best.over.{k}", v)) for k, v in _mapping(here, values["over"]).items()}
    for axis in over:
        _check_key(f"{here}: best.over", axis)
    seeds = tuple(whole(f"{here}: best.seeds", seed, 0) for seed in _list(here, values["seeds"]))
    if not seeds:
        raise ValueError(f"{here}: best.seeds=[]: the best variant is chosen on seeds of its own")
    metric = choice(f"{here}: best.metric", values["metric"], METRICS)
    return Best(choice(f"{here}: best.side", values["side"], ("a", "b")), over, seeds, metric)


def _side(here: str, entry: Any) -> tuple[Settings, ...]:
    return tuple(_settings(here, each) for each in (entry if isinstance(entry, list) else [entry]))


def _settings(here: str, entry: Any) -> Settings:
    values = _mapping(here, entry)
    for key in values:
        _check_key(here, key)
    return {str(key): tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _check_key(here: str, key: object) -> None:
    if not isinstance(key, str) or ("." not in key and key not in ("match", "label")):
        choice(here, key, COMPOSED)


def _bounds(here: str, entry: Any, delta: float) -> tuple[float, float]:
    if entry is None:
        return -delta, delta
    if not isinstance(entry, list) or len(entry) != 2:
        raise ValueError(f"{here}: bounds={entry}: must be [low, high]")
    low, high = (_number(f"{here}: bounds", each, low=-math.inf) for each in entry)
    if low >= high:
        raise ValueError(f"{here}: bounds={entry}: low must be below high")
    return low, high


def _group(here: str, values: Any, needed: Sequence[str], may: Sequence[str]) -> Mapping[str, Any]:
    given = _mapping(here, values)
    for key in given:
        choice(f"{here}: key", key, (*needed, *may))
    if missing := [key for key in needed if key not in given]:
        raise ValueError(f"{here}: {', '.join(missing)} not set")
    return given


def _mapping(here: str, values: Any) -> Mapping[str, Any]:
    if not isinstance(values, Mapping):
        raise ValueError(f"{here}: {values!r}: must be keys and their values")
    return values


def _list(here: str, values: Any) -> Sequence[Any]:
    if not isinstance(values, list):
        raise ValueError(f"{here}: {values!r}: must be a list")
    return values


def _text(here: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{here}: {value!r}: must be a text")
    return value.strip()


def _number(here: str, value: Any, low: float = 0, *, open_low: bool = False) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < low:
        raise ValueError(f"{here}={value}: must be a number" + ("" if low == -math.inf else f" of at least {low:g}"))
    if open_low and value == low:
        raise ValueError(f"{here}={value}: must be above {low:g}")
    return float(value)


def chosen_claims(file: ClaimFile, names: Sequence[int | str]) -> ClaimFile:
    """Return the file with only the claims of these numbers or names, in its order; all of them for an empty list.

    Raises ValueError that names the alternatives.
    """
    known = {str(key): claim for claim in file.claims for key in (claim.id, claim.name)}
    wanted = {known[choice("only", str(name), known)].id for name in names}
    return dataclasses.replace(file, claims=tuple(c for c in file.claims if not wanted or c.id in wanted))
