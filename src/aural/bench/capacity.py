"""The highest rate of arrivals at which an endpoint keeps a latency goal: what no closed loop can tell."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aural.bench.records import Answer

FIRST_FACTOR = 2.0
"""How fast rates grow until one is too much."""
CLOSE_ENOUGH = 1.08
"""The search ends when the lowest rate that failed is so near to the highest that passed, and both did so twice."""
MOST_STEPS = 18
STEP_S = 20.0
GOALS = 5
"""A step lasts at least so many times the goal: an overload of a twentieth then shows as a wait that rises."""
LONGEST_STEP_S = 600.0
LEAST_REQUESTS, MOST_REQUESTS = 40, 10_000
"""Of a step."""
MOST_RISE = 0.25
"""Share of the goal by which the wait may rise from the first request of a step to the last."""
PARTS = 10
SURE = 2.0
"""Standard errors by which a rise must stand out from the scatter of the parts of a step."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`share` of all requests answered within `latency_s`, failed ones counted as too late."""

    latency_s: float = 2.0
    share: float = 0.95

    def kept_by(self, answer: Answer) -> bool:
        return answer.ok and answer.latency_s <= self.latency_s


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
    stopped: str = ""
    """Why the search ended before `low` and `high` were near each other; empty when they are."""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "high": self.high if math.isfinite(self.high) else None}


Try = Callable[[float, int], Awaitable[Sequence[Answer]]]
"""Arrivals at a rate, for the how-manieth time; the answers, the warm-up left out."""
Tries = dict[float, list[bool]]
"""Whether each rate was kept, as often as it was tried."""


async def search(attempt: Try, goal: Goal, start: float) -> Capacity:
    """Double or halve from `start` until the goal is passed on one side only, then bisect in ratios. The last two rates
    are tried again; where the second try says otherwise a third one decides."""
    steps: list[Step] = []
    tries: Tries = {}
    least = LEAST_REQUESTS / longest_s(goal)
    rate: float | None = max(start, least)
    stopped = ""
    while rate is not None and not stopped:
        answers = await attempt(rate, len(tries.get(rate, [])))
        steps.append(judge(rate, answers, goal))
        tries.setdefault(rate, []).append(steps[-1].passed)
        rate = _next(tries, rate)
        stopped = _stop(steps, answers, rate, least)
    return Capacity(*_bracket(tries), tuple(steps), stopped)


def _stop(steps: Sequence[Step], answers: Sequence[Answer], rate: float | None, least: float) -> str:
    """Why no further step is worth its time."""
    if not any(answer.ok for answer in answers):
        return f"no request was answered at {steps[-1].rate:.3g} a second"
    if rate is not None and rate < least:
        return f"not kept at {steps[-1].rate:.3g} a second, and lower rates give too few requests in a bearable time"
    return f"{MOST_STEPS} steps were not enough" if rate is not None and len(steps) == MOST_STEPS else ""


def _kept(tries: Sequence[bool]) -> bool:
    return 2 * sum(tries) > len(tries)


def _bracket(tries: Mapping[float, Sequence[bool]]) -> tuple[float, float]:
    """The lowest rate that was not kept, and the highest below it that was."""
    high = min((rate for rate, seen in tries.items() if not _kept(seen)), default=math.inf)
    return max((rate for rate in tries if rate < high), default=0.0), high


def _next(tries: Mapping[float, Sequence[bool]], last: float) -> float | None:
    """The rate to try now; None when the search is over."""
    if sorted(tries[last]) == [False, True]:
        return last
    low, high = _bracket(tries)
    if not low:
        return high / FIRST_FACTOR
    if math.isinf(high):
        return low * FIRST_FACTOR
    if high / low > CLOSE_ENOUGH:
        return math.sqrt(low * high)
    return next((rate for rate in (low, high) if len(tries[rate]) == 1), None)


def longest_s(goal: Goal) -> float:
    """The most seconds for which requests of one step arrive."""
    return max(LONGEST_STEP_S, GOALS * goal.latency_s)


def requests_of(rate: float, goal: Goal) -> int:
    """Of a step: as many as arrive in several times the goal."""
    seconds = max(STEP_S, GOALS * goal.latency_s, LEAST_REQUESTS / rate)
    return min(round(rate * seconds), MOST_REQUESTS)


def judge(rate: float, answers: Sequence[Answer], goal: Goal) -> Step:
    """Whether a rate was kept up with: the goal was met, and the wait did not rise from beginning to end."""
    within = sum(map(goal.kept_by, answers)) / max(len(answers), 1)
    if within < goal.share:
        failed = sum(not a.ok for a in answers)
        why = f"{within:.1%} within {goal.latency_s:g} s, {failed} failed; the goal is {goal.share:.0%}"
        return Step(rate, len(answers), within, False, why)
    if (rise := _rise_s(answers)) > MOST_RISE * goal.latency_s:
        why = f"the wait rose by {rise:.2g} s from beginning to end: the queue would never be empty"
        return Step(rate, len(answers), within, False, why)
    return Step(rate, len(answers), within, True)


def _rise_s(answers: Sequence[Answer]) -> float:
    """By how much the wait rose over a step so short that the goal was still met: the slope of a line through the means
    of its parts, times its length; 0 when that is no more than their scatter."""
    order = sorted((a.start if a.due is None else a.due, a.latency_s) for a in answers if a.ok)
    if len(order) < 2 * PARTS:
        return 0.0
    at, waits = np.array([part.mean(axis=0) for part in np.array_split(np.array(order), PARTS)]).T
    line, covariance = np.polyfit(at, waits, 1, cov=True)
    slope, error = float(line[0]), math.sqrt(covariance[0, 0])
    return slope * (order[-1][0] - order[0][0]) if slope > SURE * error else 0.0
