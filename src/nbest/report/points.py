"""Selectors at every n as points of charts: accuracy, selection gap, cost, and which are worth their cost.

This module does not know how rows were estimated, or how they are drawn.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

from nbest.measuring.comparison import Comparison, Row

Cost: TypeAlias = Literal["sampled_tokens", "flops"]
COSTS: tuple[Cost, ...] = ("sampled_tokens", "flops")
BOUND = "oracle"
UNCHOSEN = ("random", "first")
"""Picks that need no more than one candidate: at larger N they cost more and gain nothing."""


@dataclass(frozen=True, slots=True)
class Point:
    """One selector at one n. None = undefined.

    `gap` = pass@n - accuracy, what a perfect selector would add. `sampled_tokens` and `flops` are those of sampling the
    candidates of a problem. `front` names the costs at which no other selector is at least as accurate for less.
    """

    selector: str
    n: int
    accuracy: float | None
    low: float | None
    high: float | None
    gap: float | None
    sampled_tokens: float | None
    flops: float | None
    front: tuple[Cost, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def points_of(comparison: Comparison) -> list[Point]:
    """One point a row of `comparison`: that of a run, or the macro average over several."""
    bounds = {row.n: row.accuracy for row in comparison.rows if row.selector == BOUND}
    points = [_point(row, bounds.get(row.n)) for row in comparison.rows]
    fronts: dict[Cost, set[tuple[str, int]]] = {cost: pareto_front(points, cost) for cost in COSTS}
    marked = [(point, tuple(cost for cost in COSTS if _key(point) in fronts[cost])) for point in points]
    return [replace(point, front=front) for point, front in marked]


def pareto_front(points: Sequence[Point], cost: Cost) -> set[tuple[str, int]]:
    """(selector, n) of the points that no other beats: none is as cheap and more accurate, or cheaper and as accurate.

    Equal points share a place. `oracle` is a bound and no competitor.
    """
    known: list[tuple[float, float, Point]] = []
    for point in points:
        price = point.sampled_tokens if cost == "sampled_tokens" else point.flops
        if point.selector != BOUND and price is not None and point.accuracy is not None:
            known.append((price, point.accuracy, point))
    front: set[tuple[str, int]] = set()
    best, paid = -math.inf, math.inf
    for price, accuracy, point in sorted(known, key=lambda each: (each[0], -each[1])):
        if accuracy > best or (accuracy == best and price == paid):
            best, paid = accuracy, price
            front.add(_key(point))
    return front


def _key(point: Point) -> tuple[str, int]:
    return point.selector, point.n


def _point(row: Row, bound: float | None) -> Point:
    return Point(
        selector=row.selector,
        n=row.n,
        accuracy=row.accuracy,
        low=row.low,
        high=row.high,
        gap=None if bound is None or row.accuracy is None else bound - row.accuracy,
        sampled_tokens=row.sampled_tokens,
        flops=row.flops,
    )
