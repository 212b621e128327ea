"""Live sessions on the models of this server.

async with live.open(LiveSettings(...)) as stream:   # raises Overloaded, NotReady, UnknownModel, UnsupportedParameter
    await stream.append(data)                        # waits while too much is unheard
    async for event in stream: ...                   # ends after Ended
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from fractions import Fraction

from aural.errors import BadRequest, Draining, Overloaded
from aural.live.events import Event, Final
from aural.live.settings import LiveSettings
from aural.metrics import Metrics
from aural.serving import ear
from aural.serving.door import Door
from aural.serving.ear import Line
from aural.serving.fleet import AUTO, Fleet
from aural.serving.stream import QUICKEST_STEP_S, Stream

log = logging.getLogger("aural.live")

TICK_S = 0.03
"""How often the ear listens: about a frame of voice activity detection."""
SLOWEST_STEP_S = 2.5
PARTIALS_SHARE = 0.85
"""Of the workers' time that partials may take: they become rarer as the server fills, and leave room for finals and
requests."""
HEARINGS = 9.0
"""Seconds that an engine hears for a second of speech: each window some six seconds long, heard once a second, finals
and room for them."""
RETRY_AFTER_S = 5.0
PAUSE_SHARE = 0.5
"""Of the time that a server has for its end: so long sessions may look for a pause to leave in."""


@dataclass(frozen=True, slots=True)
class _Place:
    """The model that hears a session, held while it does."""

    scheduler: Door
    lease: AsyncExitStack

    async def leave(self) -> None:
        await self.lease.aclose()


class Live:
    """Opens sessions as long as they can be heard in time. One per server."""

    def __init__(self, fleet: Fleet, metrics: Metrics) -> None:
        self.fleet = fleet
        self._metrics = metrics
        self._streams: dict[Stream, _Place] = {}
        self._thread = ThreadPoolExecutor(1, "ear")
        self._listening: asyncio.Task[None] | None = None
        self._is_retiring = False
        metrics.live_streams.set_function(lambda: len(self._streams))

    @asynccontextmanager
    async def open(self, settings: LiveSettings, *, moves: bool = False) -> AsyncIterator[Stream]:
        """A session, ended when the block is left. When the server stops, one that `moves` leaves, and any other is to
        be finished: see `Stream.is_to_end`. Raises Overloaded, NotReady, Draining, UnknownModel, UnsupportedParameter
        and BadAudio for a format that is not offered."""
        Line.open(settings.format)
        place = await self._find(settings)
        stream = Stream(settings, place.scheduler, self, moves=moves)
        self._streams[stream] = place
        if self._is_retiring:
            stream.retire(0.0)
        try:
            yield stream
        finally:
            stream.close()
            await self._streams.pop(stream).leave()

    def retire(self, within_s: float) -> None:
        """The server stops: no more sessions, and those that there are end by themselves, at a pause if they find one
        in time."""
        self._is_retiring = True
        for stream in self._streams:
            stream.retire(within_s * PAUSE_SHARE)

    async def place(self, stream: Stream, settings: LiveSettings) -> Door:
        """The model that hears the stream from now on; raises what `open` raises, and BadRequest for another model
        once audio came."""
        Line.open(settings.format)
        before = self._streams[stream]
        if stream.has_audio:
            settings = replace(settings, model=self._same(before.scheduler, settings.model))
        place = await self._find(settings, before.scheduler)
        self._streams[stream] = place
        await before.leave()
        return place.scheduler

    def _same(self, scheduler: Door, asked: str | None) -> str:
        """The name of a model that hears a session already; raises BadRequest when another is asked for."""
        loaded = ((model.name, model.tenure) for model in self.fleet.models if model.tenure)
        own = next(name for name, tenure in loaded if tenure.transcriber.scheduler is scheduler)
        if asked != AUTO and self.fleet.model(asked).name != own:
            message = f"expected the model before the first audio; {own} hears this session, and {asked} was asked for"
            raise BadRequest(message, param="model")
        return own

    async def _find(self, settings: LiveSettings, known: Door | None = None) -> _Place:
        """A place at the model that was asked for; who is known there already needs no admission."""
        async with AsyncExitStack() as lease:
            transcriber = await lease.enter_async_context(self.fleet.use(settings.model, settings.options))
            scheduler = transcriber.scheduler
            if scheduler is not known:
                self.admit(scheduler)
            scheduler.capabilities.check(settings.options, scheduler.name)
            return _Place(scheduler, lease.pop_all())

    def admit(self, scheduler: Door) -> None:
        """Raises NotReady, Draining, or Overloaded when one more session could not be heard in time."""
        if self._is_retiring:
            raise Draining
        scheduler.admit()
        beside = [place.scheduler for place in self._streams.values() if place.scheduler.shares(scheduler)]
        if scheduler.limits.max_streams:
            beside = [one for one in beside if one is scheduler]
            is_full = len(beside) >= scheduler.limits.max_streams
        else:
            is_full = sum(Fraction(1, self.capacity(one)) for one in [*beside, scheduler]) > 1
        if is_full:
            message = f"{len(beside)} live sessions are open, as many as {scheduler.name} can hear in time here"
            raise Overloaded(message, RETRY_AFTER_S)

    def capacity(self, scheduler: Door) -> int:
        """How many sessions that all speak a model can hear in time, when no other model works beside it."""
        return scheduler.limits.max_streams or max(1, int(scheduler.rtfx / HEARINGS))

    def step_s(self, scheduler: Door) -> float:
        """How much new speech is worth another hypothesis, so that all who speak now get their share."""
        speaking = sum(place.scheduler is scheduler and stream.is_speaking for stream, place in self._streams.items())
        workers = max(1, len(scheduler.replicas))
        fair_s = speaking * scheduler.partial_s / (workers * PARTIALS_SHARE)
        return min(max(QUICKEST_STEP_S, fair_s), SLOWEST_STEP_S)

    def wake(self) -> None:
        """Something is to be heard."""
        if self._listening is None:
            self._listening = asyncio.get_running_loop().create_task(self._listen())

    def note(self, event: Event) -> None:
        if isinstance(event, Final):
            self._metrics.live_finals.inc()

    async def _listen(self) -> None:
        """Hear what arrived, tick after tick, until nothing comes."""
        loop = asyncio.get_running_loop()
        while busy := [stream for stream in self._streams if stream.is_due]:
            work = [(stream.line, stream.inbox.take()) for stream in busy]
            try:
                heard = await loop.run_in_executor(self._thread, ear.listen, work)
            except Exception as error:  # noqa: BLE001 - whoever was in this batch cannot go on; the others can
                for stream in busy:
                    stream.fail(error)
                continue
            for stream, parts in zip(busy, heard, strict=True):
                stream.heard(parts)
            await asyncio.sleep(TICK_S)
        self._listening = None
