"""The search for the highest rate that keeps a goal, on servers whose capacity is known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from aural.bench.capacity import CLOSE_ENOUGH, Goal, judge, search
from aural.bench.load import Driver
from aural.bench.protocols import PROTOCOLS
from aural.bench.records import Answer, Load
from tests.bench.virtual import Endpoint, Plain, now, run

SERVICE_S = 0.1


@pytest.mark.parametrize(("servers", "start"), [(1, 1.0), (4, 1.0), (4, 500.0)])
def test_the_capacity_that_is_there_is_found(servers: int, start: float) -> None:
    """With constant service a goal of a second holds nearly up to what the servers can do at all."""

    async def attempt(rate: float) -> Sequence[Answer]:
        answers: list[Answer] = []
        protocol = PROTOCOLS["invocations-raw"]
        driver = Driver(
            Endpoint(SERVICE_S, servers),
            protocol,
            Plain(),
            answers.append,
            clock=now,
            sleep=asyncio.sleep,
            period_s=1.0,
        )
        await driver.run(Load(f"{rate}", "capacity", "3", rate=rate, requests=1_500))
        return answers

    true = servers / SERVICE_S
    found = run(search(attempt, Goal(1.0), start))
    assert found.low < true * 1.02
    assert found.low > true * 0.85
    assert found.high <= found.low * CLOSE_ENOUGH
    assert any(not step.passed for step in found.steps)


def test_nothing_is_kept_when_every_request_fails() -> None:
    async def attempt(rate: float) -> Sequence[Answer]:
        return [Answer(0, i, float(i), float(i) + 0.1, error="http-500", due=float(i)) for i in range(40)]

    found = run(search(attempt, Goal(1.0), 8.0))
    assert found.low == 0
    assert "40 failed" in found.steps[0].why


def test_a_wait_that_only_grows_is_not_kept_though_the_goal_was_met() -> None:
    growing = [Answer(0, i, float(i), i + 0.001 + i * 0.018, due=float(i)) for i in range(50)]
    steady = [Answer(0, i, float(i), i + 0.9, due=float(i)) for i in range(50)]
    assert not judge(1.0, growing, Goal(1.0)).passed
    assert judge(1.0, steady, Goal(1.0)).passed
