"""What is attacked, and how: conf/attack/*.yaml as typed and checked values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import DictConfig, OmegaConf

from scs_study.config.schema import check_keys, choice, flag, whole
from scs_study.evaluation.robustness.attacks import Method

ADDITIONAL = ("pgd_long", "apgd_ce", "apgd_dlr", "apgd_t", "square", "transfer", "smooth")
"""The additional attacks, in the order in which tables show them."""
WORDS = {
    "pgd": "PGD",
    "pgd_long": "PGD 10x",
    "apgd_ce": "APGD-CE",
    "apgd_dlr": "APGD-DLR",
    "apgd_t": "APGD-T",
    "square": "Square",
    "transfer": "transfer",
    "smooth": "smooth gradient",
}
LONGER = 10
PIXEL = 255.0
"""Radii are written in 255ths, as people say them; attacks take them as shares of a pixel's range."""


@dataclass(frozen=True)
class Robustness:
    """What is attacked, and how.

    eps: the radii of the PGD curve, increasing from 0, in 255ths; check_eps: those of the additional attacks, among
    eps.

    steps, step_size, restarts, random_start: PGD's. images, check_images: how many of the test set, None for all.
    batch: images attacked at once; seed: of the attacks; checks: additional attacks (ADDITIONAL); apgd_steps,
    apgd_restarts (APGD-DLR's), square_queries: theirs; margin: the share of all images beyond which an additional
    attack flags a network.
    Everything but images, check_images, checks and margin is part of an evaluation's cache key.
    """

    eps: tuple[float, ...]
    steps: int
    step_size: float
    restarts: int
    random_start: bool
    images: int | None
    batch: int
    seed: int
    checks: tuple[str, ...]
    check_eps: tuple[float, ...]
    check_images: int | None
    apgd_steps: int
    apgd_restarts: int
    square_queries: int
    margin: float

    def __post_init__(self) -> None:
        for key, radii in (("eps", self.eps), ("check_eps", self.check_eps)):
            for radius in radii:
                _number(f"attack.{key}", radius, 0, PIXEL)
            if list(radii) != sorted(set(radii)):
                raise ValueError(f"attack.{key}={_shown(radii)}: must increase")
        if not self.eps or self.eps[0] != 0:
            raise ValueError(f"attack.eps={_shown(self.eps)}: must begin with 0, the accuracy without an attack")
        if 0 < self.eps[-1] < 1:
            raise ValueError(
                f"attack.eps={_shown(self.eps)}: radii are in 255ths of a pixel's range; {self.eps[-1]:g} of the whole "
                f"range is written {self.eps[-1] * PIXEL:.4g}"
            )
        if not set(self.check_eps) <= set(self.eps[1:]):
            raise ValueError(
                f"attack.check_eps={_shown(self.check_eps)}: must be among the radii above 0 of attack.eps"
                f" ({_shown(self.eps)}), because the additional attacks are made on PGD's survivors"
            )
        for check in self.checks:
            choice("attack.checks", check, ADDITIONAL)
        if self.checks and not self.check_eps:
            raise ValueError(
                "attack.check_eps=[]: the attacks of attack.checks need a radius (attack.checks=[] for none)"
            )
        for key in ("steps", "restarts", "batch", "apgd_steps", "apgd_restarts", "square_queries"):
            whole(f"attack.{key}", getattr(self, key), 1)
        whole("attack.seed", self.seed, 0)
        for key in ("images", "check_images"):
            if getattr(self, key) is not None:
                whole(f"attack.{key}", getattr(self, key), 1)
        _number("attack.step_size", self.step_size, 0)
        _number("attack.margin", self.margin, 0, 1)
        flag("attack.random_start", self.random_start)
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"attack.restarts={self.restarts} has no effect with attack.random_start=false")
        if self.images is not None and self.checks and (self.check_images is None or self.check_images > self.images):
            raise ValueError(
                f"attack.check_images={self.check_images}: must be at most attack.images={self.images}, because the"
                " additional attacks are made on PGD's survivors"
            )

    def method(self, name: str) -> Method:
        """Return how the attack `name` ("pgd" or one of ADDITIONAL) attacks; a transfer is PGD on another network."""
        if name in ("pgd_long", "smooth"):
            return Method("pgd", LONGER * self.steps, self.restarts, self.step_size, self.random_start)
        if name.startswith("apgd"):
            return Method(name, self.apgd_steps, self.apgd_restarts if name == "apgd_dlr" else 1)
        if name == "square":
            return Method(name, self.square_queries)
        return Method("pgd", self.steps, self.restarts, self.step_size, self.random_start)

    def describe(self) -> str:
        """Return the settings in words, for captions."""
        return pgd_words(self.method("pgd"))


def pgd_words(method: Method) -> str:
    """Return in words how PGD attacks, for captions."""
    plural = "s" if method.restarts > 1 else ""
    start = f"{method.restarts} random start{plural}" if method.random_start else "no random start"
    size = f"step {method.step_size:g} eps / {method.steps}"
    return f"PGD in the L-infinity ball, {method.steps} steps, {size}, {start}"


def robustness_of(config: DictConfig | Mapping[str, Any]) -> Robustness:
    """Return the settings of a composed `attack` group. Raises ValueError in one sentence for what cannot be."""
    values = dict(OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config)  # type: ignore[arg-type]
    check_keys("attack.", values, [each.name for each in fields(Robustness)])
    for key in ("eps", "check_eps", "checks"):
        if not isinstance(values[key], (list, tuple)):
            raise ValueError(f"attack.{key}={values[key]}: must be a list")
        values[key] = tuple(values[key])
    for key in ("eps", "check_eps"):
        values[key] = tuple(_number(f"attack.{key}", radius, 0, PIXEL) for radius in values[key])
    for key in ("step_size", "margin"):
        values[key] = _number(f"attack.{key}", values[key], 0)
    # In one order, so that the same attacks are the same evaluation whoever wrote them down.
    values["checks"] = tuple(
        sorted(dict.fromkeys(values["checks"]), key=lambda c: ADDITIONAL.index(choice("attack.checks", c, ADDITIONAL)))
    )
    return Robustness(**values)


def _number(key: str, value: object, low: float, high: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        bound = f" and at most {high:g}" if high < math.inf else ""
        raise ValueError(f"{key}={value}: must be a number of at least {low:g}{bound}")
    return float(value)


def _shown(radii: tuple[float, ...]) -> str:
    return ", ".join(f"{radius:g}" for radius in radii)
