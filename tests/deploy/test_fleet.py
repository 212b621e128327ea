"""Containers that die are replaced, whatever stands in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from aural.deploy.standin.container import StartFailed
from aural.deploy.standin.fleet import Fleet


@dataclass
class Fake:
    """A container without a process, which dies when it is told."""

    number: int
    trouble: Exception | None = None
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    is_alive: bool = True
    in_flight: int = 0

    async def start(self) -> None:
        if self.trouble:
            raise self.trouble
        self.up.set()

    async def stop(self) -> None:
        self.is_alive = False

    async def watch(self) -> None:
        await self.dead.wait()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aural.deploy.standin.fleet.RESTART_S", 0.0)


def made(steps: list[Fake | Exception]) -> Callable[[int], Any]:
    """The next step each time: a container, or that there is none."""

    def make(number: int) -> Fake:
        step = steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    return make


def test_whatever_keeps_a_container_from_starting_another_is_tried() -> None:
    async def life() -> None:
        first, last = Fake(1), Fake(9)
        troubles: list[Fake | Exception] = [Fake(2, StartFailed("no ping")), Fake(3, OSError("no port"))]
        fleet = Fleet(made([first, *troubles, StartFailed("no data"), PermissionError("no folder"), last]))
        await fleet.resize(1)
        first.dead.set()
        await last.up.wait()
        with fleet.least_busy() as container:
            assert container is last  # type: ignore[comparison-overlap]
        assert fleet.replaced == 1
        await fleet.stop()

    asyncio.run(asyncio.wait_for(life(), 60))


def test_one_dies_again_and_again() -> None:
    async def life() -> None:
        containers = [Fake(number) for number in range(3)]
        fleet = Fleet(made([*containers]))
        await fleet.resize(1)
        for dying, following in pairwise(containers):
            dying.dead.set()
            await following.up.wait()
        assert fleet.replaced == len(containers) - 1
        await fleet.stop()

    asyncio.run(asyncio.wait_for(life(), 60))
