"""The search for the highest rate that keeps a goal, on servers whose capacity is known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from aural.bench.capacity import CLOSE_ENOUGH, Goal, Try, judge, longest_s, requests_of, search
from aural.bench.load import Driver
from aural.bench.notes import Notes
from aural.bench.protocols import PROTOCOLS
from aural.bench.records import Answer, Load
from tests.bench.virtual import Endpoint, Plain, now, run


def attempts(service_s: float, servers: int, goal: Goal) -> Try:
    """Steps as they are shipped, in made-up time."""

    async def attempt(rate: float, again: int) -> Sequence[Answer]:
        load = Load(f"{rate} {again}", "capacity", "3", rate=rate, requests=requests_of(rate, goal))
        notes = Notes(load, lambda answer: None, goal)
        endpoint, protocol = Endpoint(service_s, servers), PROTOCOLS["invocations-raw"]
        driver = Driver(
            endpoint, protocol, Plain(), notes.add, clock=now, sleep=asyncio.sleep, period_s=1.0, enough=notes.enough
        )
        await driver.run(load)
        return notes.answers

    return attempt


@pytest.mark.parametrize(("servers", "start"), [(1, 1.0), (4, 1.0), (4, 500.0)])
def test_the_capacity_that_is_there_is_found(servers: int, start: float) -> None:
    """With constant service a goal of two seconds holds nearly up to what the servers can do at all."""
    true = servers / 0.1
    found = run(search(attempts(0.1, servers, Goal(2.0)), Goal(2.0), start))
    assert true * 0.85 < found.low < true * 1.05
    assert found.high <= found.low * CLOSE_ENOUGH
    assert not found.stopped
    assert [sum(step.rate == rate for step in found.steps) >= 2 for rate in (found.low, found.high)] == [True, True]


@pytest.mark.parametrize(("goal_s", "start"), [(10.0, 1.4), (10.0, 2.5), (60.0, 5.0)])
def test_a_long_goal_hides_no_overload(goal_s: float, start: float) -> None:
    """Two requests a second, and a queue that would take a minute to be late."""
    found = run(search(attempts(0.5, 1, Goal(goal_s)), Goal(goal_s), start))
    assert 2.0 * 0.8 < found.low < 2.0 * 1.1


def test_a_step_ends_when_it_is_lost_and_is_bounded_in_time() -> None:
    (step, *_) = run(search(attempts(0.5, 1, Goal(2.0)), Goal(2.0), 6.0)).steps
    assert step.requests < requests_of(6.0, Goal(2.0)) / 2
    seconds = []

    async def never(rate: float, again: int) -> Sequence[Answer]:
        seconds.append(requests_of(rate, Goal(1.0)) / rate)
        return [Answer(0, i, float(i), i + 9.0, due=float(i)) for i in range(40)]

    found = run(search(never, Goal(1.0), 8.0))
    assert max(seconds) <= longest_s(Goal(1.0))
    assert "lower rates give too few requests" in found.stopped


def test_a_step_that_was_unlucky_is_tried_again() -> None:
    tried: list[float] = []

    async def attempt(rate: float, again: int) -> Sequence[Answer]:
        tried.append(rate)
        late = rate > 10 or (rate == 8 and tried.count(rate) == 1)
        return [Answer(0, i, float(i), i + (9.0 if late else 0.1), due=float(i)) for i in range(40)]

    found = run(search(attempt, Goal(1.0), 4.0))
    assert 10 / CLOSE_ENOUGH < found.low <= 10 < found.high


def test_nothing_is_kept_when_every_request_fails() -> None:
    async def attempt(rate: float, again: int) -> Sequence[Answer]:
        return [Answer(0, i, float(i), float(i) + 0.1, error="http-500", due=float(i)) for i in range(40)]

    found = run(search(attempt, Goal(1.0), 8.0))
    assert found.low == 0
    (step,) = found.steps
    assert "40 failed" in step.why
    assert found.stopped == "no request was answered at 8 a second"


def test_a_wait_that_only_grows_is_not_kept_though_the_goal_was_met() -> None:
    growing = [Answer(0, i, float(i), i + 0.001 + i * 0.018, due=float(i)) for i in range(50)]
    steady = [Answer(0, i, float(i), i + 0.9, due=float(i)) for i in range(50)]
    assert not judge(1.0, growing, Goal(1.0)).passed
    assert judge(1.0, steady, Goal(1.0)).passed
