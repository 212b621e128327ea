"""The instances of a variant, or the copies of a component: started, watched, replaced, asked in turn."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aural.deploy.standin.container import Container

log = logging.getLogger("aural.standin")

RESTART_S = 1.0
"""Between attempts to replace a container that does not come up."""
_numbers = itertools.count(1)


@dataclass(slots=True)
class Fleet:
    """`make` gives a fresh container for instance number N."""

    make: Callable[[int], Container]
    containers: list[Container] = field(default_factory=list)
    replaced: int = 0
    _watches: dict[int, asyncio.Task[Any]] = field(default_factory=dict)

    async def resize(self, count: int) -> None:
        """Raises StartFailed; the instances that were there stay."""
        while len(self.containers) > count:
            await self._drop(self.containers[-1])
        missing = count - len(self.containers)
        fresh = [self.make(next(_numbers)) for _ in range(missing)]
        results = await asyncio.gather(*(one.start() for one in fresh), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures:
            await asyncio.gather(*(one.stop() for one in fresh))
            raise failures[0]
        for container in fresh:
            self._take(container)

    async def stop(self) -> None:
        await asyncio.gather(*(self._drop(container) for container in list(self.containers)))

    @contextmanager
    def least_busy(self) -> Iterator[Container]:
        """LEAST_OUTSTANDING_REQUESTS. Raises LookupError when there is none."""
        alive = [container for container in self.containers if container.is_alive]
        if not alive:
            raise LookupError("no instance is in service")
        container = min(alive, key=lambda one: one.in_flight)
        container.in_flight += 1
        try:
            yield container
        finally:
            container.in_flight -= 1

    def _take(self, container: Container) -> None:
        self.containers.append(container)
        self._watches[id(container)] = asyncio.create_task(self._watch(container))

    async def _drop(self, container: Container) -> None:
        self.containers.remove(container)
        watch = self._watches.pop(id(container))
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await container.stop()

    async def _watch(self, container: Container) -> None:
        """Put another in its place whenever it dies."""
        while True:
            await container.watch()
            await container.stop()
            self.replaced += 1
            fresh = await self._another()
            self.containers[self.containers.index(container)] = fresh
            self._watches[id(fresh)] = self._watches.pop(id(container))
            container = fresh

    async def _another(self) -> Container:
        """Tried until one stands."""
        while True:
            try:
                container = self.make(next(_numbers))
                await container.start()
            except Exception as error:  # noqa: BLE001 - whatever keeps one from starting, the next may start
                log.warning("no other container yet: %r", error)
                await asyncio.sleep(RESTART_S)
            else:
                return container
