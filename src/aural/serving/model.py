"""One model that is served: loaded, or let go until somebody asks for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aural.engines.base import Capabilities
from aural.serving.supervisor import State
from aural.serving.transcriber import Transcriber

UNLOADED = "unloaded"
"""The state of a model whose processes have ended. Asking for it loads it."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model whose weights are here and whose processes are not started yet."""

    transcriber: Transcriber
    need_bytes: int = 0
    """Memory that it will take, estimated from its weights; 0 when nobody knows."""


@dataclass(slots=True)
class Tenure:
    """The time in which a model is in memory, and who uses it."""

    transcriber: Transcriber
    memory_bytes: int
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)
    free: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while nobody uses it."""
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while it takes new users; others wait whether it goes or stays."""

    def __post_init__(self) -> None:
        self.free.set()
        self.open.set()

    @contextmanager
    def lease(self) -> Iterator[Transcriber]:
        """While somebody has a lease the model is not let go."""
        self.users += 1
        self.free.clear()
        try:
            yield self.transcriber
        finally:
            self.users -= 1
            self.used_at = time.monotonic()
            if not self.users:
                self.free.set()

    async def is_freed(self, patience_s: float) -> bool:
        """Take no new users and wait for the present ones. If they do not go in time, take new ones again."""
        self.open.clear()
        try:
            async with asyncio.timeout(patience_s):
                await self.free.wait()
            return True
        except TimeoutError:
            return False
        finally:
            if self.users:
                self.open.set()


class Model:
    """A name, the way to load it, and the processes while it is loaded."""

    def __init__(
        self,
        name: str,
        prepare: Callable[[], Prepared],
        *,
        source: str = "",
        idle_s: float = 0.0,
        starts_last: bool = False,
    ) -> None:
        """`prepare` may block and download; it raises LoadFailed. `idle_s` of 0 never lets the model go by itself. One
        that `starts_last` takes a share of the memory that the others have left."""
        self.name = name
        self.prepare = prepare
        self.source = source
        """For people: where the weights come from."""
        self.idle_s = idle_s
        self.starts_last = starts_last
        self.tenure: Tenure | None = None
        self.capabilities: Capabilities | None = None
        """What it could do when it was loaded last, or what is known before; None for nothing."""
        self.reserved_bytes = 0
        """Memory that is kept for it while it is being loaded."""
        self.leaving_bytes = 0
        """Memory of processes that are about to end."""
        self.loading: asyncio.Task[None] | None = None
        self.ending: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        if self.tenure:
            return self.tenure.transcriber.scheduler.state.value
        return "starting" if self.loading else UNLOADED

    @property
    def memory_bytes(self) -> int:
        return (self.tenure.memory_bytes if self.tenure else self.reserved_bytes) + self.leaving_bytes

    @property
    def is_open(self) -> bool:
        """Whether it takes users now."""
        return self.tenure is not None and self.loading is None and self.tenure.open.is_set()

    @property
    def is_idle(self) -> bool:
        """Whether it has gone unused for as long as it may."""
        tenure = self.tenure
        if tenure is None or self.loading or not self.idle_s or tenure.users:
            return False
        return time.monotonic() - tenure.used_at > self.idle_s

    async def begin(self, prepared: Prepared) -> None:
        """Start the processes; they are gone again if that fails. Raises LoadFailed, Draining."""
        self.tenure = Tenure(prepared.transcriber, prepared.need_bytes)
        scheduler = prepared.transcriber.scheduler
        try:
            await scheduler.start()
        except BaseException:
            await self.end()
            raise
        self.capabilities = scheduler.capabilities
        self.measure()

    def measure(self) -> None:
        """Note what its processes hold; the estimate is the least until all of them are warm."""
        if self.tenure is None:
            return
        scheduler, before = self.tenure.transcriber.scheduler, self.tenure.memory_bytes
        is_warm = all(replica.state is State.READY for replica in scheduler.replicas)
        if held := scheduler.memory_bytes:
            self.tenure.memory_bytes = held if is_warm else max(held, before)

    async def end(self) -> None:
        """End the processes, so that all of their memory returns. Whoever still waits for them is refused."""
        if self.tenure:
            tenure, self.tenure = self.tenure, None
            self.leaving_bytes = tenure.memory_bytes
            self.ending = asyncio.create_task(self._stop(tenure))
            tenure.open.set()
        await self.ended()

    async def _stop(self, tenure: Tenure) -> None:
        try:
            await tenure.transcriber.scheduler.stop()
        finally:
            self.leaving_bytes = 0

    async def ended(self) -> None:
        """Returns when the processes of its last time are gone."""
        if self.ending:
            await asyncio.shield(self.ending)
