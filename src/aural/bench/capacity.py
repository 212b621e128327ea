"""The highest rate of arrivals at which an endpoint keeps a latency goal: what no closed loop can tell."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from aural.bench.records import Answer

FIRST_FACTOR = 2.0
"""How fast rates grow until one is too much."""
CLOSE_ENOUGH = 1.08
"""The search ends when the lowest rate that failed is so near to the highest that passed."""
MOST_STEPS = 14
LEAST_RATE = 1e-3
BACKLOG = 2.0
"""In a step that is kept up with, the last fifth waits at most so many times as long as the fifth before the middle."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`share` of all requests answered within `latency_s`, failed ones counted as too late."""

    latency_s: float
    share: float = 0.95


@dataclass(frozen=True, slots=True)
class Step:
    """One rate that was tried."""

    rate: float
    requests: int
    within: float
    """Share of the requests that met the goal."""
    passed: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Requests a second. The true capacity lies between `low`, which passed, and `high`, which did not."""

    low: float
    high: float
    steps: tuple[Step, ...]

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "high": self.high if math.isfinite(self.high) else None}


Try = Callable[[float], Awaitable[Sequence[Answer]]]
"""Arrivals at a rate; the answers, the warm-up left out."""


async def search(attempt: Try, goal: Goal, start: float) -> Capacity:
    """Double or halve from `start` until the goal is passed on one side only, then bisect in ratios."""
    steps: list[Step] = []
    low, high, rate = 0.0, math.inf, start
    while len(steps) < MOST_STEPS and rate >= LEAST_RATE:
        step = judge(rate, await attempt(rate), goal)
        steps.append(step)
        low, high = (max(low, rate), high) if step.passed else (low, min(high, rate))
        if low and high / low <= CLOSE_ENOUGH:
            break
        rate = _next(low, high)
    return Capacity(low, high, tuple(steps))


def _next(low: float, high: float) -> float:
    if not low:
        return high / FIRST_FACTOR
    return low * FIRST_FACTOR if math.isinf(high) else math.sqrt(low * high)


def judge(rate: float, answers: Sequence[Answer], goal: Goal) -> Step:
    """Whether a rate was kept up with: the goal was met, and the wait did not grow from beginning to end."""
    within = sum(a.ok and a.latency_s <= goal.latency_s for a in answers) / max(len(answers), 1)
    if within < goal.share:
        failed = sum(not a.ok for a in answers)
        why = f"{within:.1%} within {goal.latency_s:g} s, {failed} failed; the goal is {goal.share:.0%}"
        return Step(rate, len(answers), within, False, why)
    if _grows(answers, goal):
        return Step(rate, len(answers), within, False, "the wait grew until the end: the queue would never be empty")
    return Step(rate, len(answers), within, True)


def _grows(answers: Sequence[Answer], goal: Goal) -> bool:
    """An overload so short that the goal was still met by the end of the step."""
    waits = [a.latency_s for a in sorted(answers, key=lambda a: a.start if a.due is None else a.due)]
    fifth = len(waits) // 5
    if not fifth:
        return False
    parts = [sum(waits[i * fifth : (i + 1) * fifth]) / fifth for i in range(5)]
    steady = all(b >= a for a, b in pairwise(parts))
    return steady and parts[4] > BACKLOG * parts[1] and parts[4] > goal.latency_s / 2
