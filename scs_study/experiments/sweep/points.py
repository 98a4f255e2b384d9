"""Points of a sweep's space: what a trial tries, where some dimensions vary with a value of another one alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scs_study.experiments.sweep.dimension import Dimension, words_of

Point = Mapping[str, Any]
"""What a trial tries: {name of a dimension: value of its setting}, of those that vary there."""


def product(dimensions: Sequence[Dimension], values: Callable[[Dimension], Sequence[Any]]) -> list[Point]:
    """Return all points that these values of every dimension make, the last one changing fastest."""
    points: list[Point] = [{}]
    for each in dimensions:
        chosen = values(each)
        points = [
            more
            for point in points
            for more in ([{**point, each.name: value} for value in chosen] if each.varies(point) else [point])
        ]
    return points


def corners(dimensions: Sequence[Dimension], most: int) -> tuple[Point, ...]:
    """Return the points with every value of a list and both ends of a range: all of them, or, where they are more than
    `most`, the first one and for every value of every dimension one that has it.
    """
    found: list[Point] = [{}]
    for number in range(1, len(dimensions) + 1):
        if len(found) <= most:
            found = product(dimensions[:number], lambda each: each.sides)
    if len(found) <= most:
        return tuple(found)
    by_name = {each.name: each for each in dimensions}
    tried = [_with(dimensions, _needed(each, value, by_name)) for each in dimensions for value in each.sides]
    return tuple(point for number, point in enumerate(tried) if point not in tried[:number])


def _needed(each: Dimension, value: Any, by_name: Mapping[str, Dimension]) -> dict[str, Any]:
    """A value, and those of the other dimensions without which it does not count."""
    needed = {each.name: value}
    while each.when is not None:
        name, words = each.when
        each = by_name[name]
        needed[name] = next(value for value in each.values if words_of(value) == words)
    return needed


def _with(dimensions: Sequence[Dimension], needed: Mapping[str, Any]) -> Point:
    """The first point that has what is needed."""
    point: dict[str, Any] = {}
    for each in dimensions:
        if each.varies(point):
            point[each.name] = needed.get(each.name, each.sides[0])
    return point
