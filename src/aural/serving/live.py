"""Live sessions on the models of this server.

async with live.open(LiveSettings(...)) as stream:   # raises Overloaded, NotReady, UnknownModel, UnsupportedParameter
    await stream.append(data)                        # waits while too much is unheard
    async for event in stream: ...                   # ends after Ended
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from uuid import uuid4

from aural import text
from aural.audio.encoding import SAMPLE_BYTES
from aural.errors import AuralError, EngineFailed, Overloaded
from aural.live.checkpoint import Checkpoint
from aural.live.events import Draft, Ended, Event, Failed, Final, Heard
from aural.live.session import Ask, Session
from aural.live.settings import LiveSettings
from aural.metrics import Metrics
from aural.serving import ear
from aural.serving.door import Door
from aural.serving.ear import Line, Order
from aural.serving.fleet import Fleet
from aural.serving.policy import Priority
from aural.types import SAMPLE_RATE, Transcript

log = logging.getLogger("aural.live")

TICK_S = 0.03
"""How often the ear listens: about a frame of voice activity detection."""
QUIET_S = 0.1
"""How much of a session in which nobody speaks is heard at once: onsets take as long to show."""
MOST_PER_TICK = 64
"""Messages of one session in a tick; whoever sends faster than life does not hold up the others."""
QUICKEST_STEP_S = 0.5
SLOWEST_STEP_S = 2.5
PARTIALS_SHARE = 0.85
"""Of the workers' time that partials may take: they become rarer as the server fills, and leave room for finals and
requests."""
LONGEST_REACH_S = 12.0
MOST_INBOX_S = 20.0
MOST_UNHEARD_S = 60.0
MOST_EVENTS = 1000
"""What a session may owe before `append` waits."""
HEARINGS = 9.0
"""Seconds that an engine hears for a second of speech: each window some six seconds long, heard once a second, finals
and room for them."""
RETRY_AFTER_S = 5.0


def reach_s(step_s: float) -> float:
    """How much a final may hear, its context included: the less, the rarer partials have become."""
    return LONGEST_REACH_S * (QUICKEST_STEP_S / step_s) ** 2


class Stream:
    """One live session. Orders take effect in the order they were given, between the audio before and after them."""

    def __init__(self, settings: LiveSettings, scheduler: Door, live: Live) -> None:
        """Raises BadAudio for a format that is not offered, BadRequest for a resume token that is none."""
        self.id = uuid4().hex[:16]
        self.settings = settings
        self.line = Line.open(settings.format)
        self.inbox: deque[bytes | Order] = deque()
        self._live = live
        self._scheduler = scheduler
        begin = Checkpoint.of(settings.resume) if settings.resume else Checkpoint(0, f"item_{self.id}", 0)
        self._session = Session(settings, begin, detects_language=scheduler.capabilities.detects_language)
        self._future: asyncio.Future[Transcript] | None = None
        self._events: deque[Event] = deque()
        self._told = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._inbox_bytes = 0
        self._is_closed = False

    @property
    def is_speaking(self) -> bool:
        return self._session.is_speaking

    @property
    def is_due(self) -> bool:
        """Whether what arrived is to be heard now: orders, speech and its first sounds; a while of silence at once."""
        if not self.inbox:
            return False
        return self._session.is_alert or not isinstance(self.inbox[-1], bytes) or self._inbox_s >= QUIET_S

    async def append(self, data: bytes) -> None:
        """Audio in the format of the settings, cut anywhere, also within a sample. Waits while too much is unheard.
        NaN and infinity come back as `Failed`, and are not part of the session's clock."""
        await self._room.wait()
        self._inbox_bytes += len(data)
        self._put(bytes(data))

    def commit(self, reference: str | None = None) -> None:
        """End the open utterance here. With less than 100 ms of audio, `Failed` with the reference comes."""
        self._put(ear.Commit(reference))

    def clear(self) -> None:
        """Throw away what is not committed yet."""
        self._put(ear.Clear())

    async def configure(self, settings: LiveSettings) -> None:
        """From here on, other settings. Raises what `Live.open` raises."""
        self._scheduler = await self._live.place(self, settings)
        self.settings = settings
        self._put(ear.Configure(settings))

    async def finish(self) -> None:
        """No more audio: what is open is heard, then `Ended` comes. Does not wait for it."""
        self._put(ear.Finish())

    def leave(self) -> None:
        """End at the next pause between utterances: a `Notice` says where to go on, then `Ended` comes."""
        self._put(ear.Leave())

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while not self._events:
                self._told.clear()
                await self._told.wait()
            event = self._events.popleft()
            self._make_room()
            yield event
            if isinstance(event, Ended):
                return

    def take_inbox(self) -> list[bytes | Order]:
        """For the ear: the next messages, in order."""
        items = [self.inbox.popleft() for _ in range(min(MOST_PER_TICK, len(self.inbox)))]
        self._inbox_bytes -= sum(len(item) for item in items if isinstance(item, bytes))
        return items

    def heard(self, parts: list[ear.Heard]) -> None:
        """From the ear: samples with probabilities, and the orders between them."""
        if self._is_closed:
            return
        try:
            for part in parts:
                self._obey(part)
            self._pump()
        except Exception as error:  # noqa: BLE001 - a fault in one session must not reach the others
            self.fail(error)

    def close(self) -> None:
        """Nobody listens any more."""
        self._is_closed = True
        self.inbox.clear()
        self._room.set()
        if self._future:
            self._future.cancel()

    def _put(self, item: bytes | Order) -> None:
        if self._is_closed:
            return
        self.inbox.append(item)
        self._make_room()
        if self.is_due:
            self._live.wake()

    def _obey(self, part: ear.Heard) -> None:
        match part:
            case ear.Sound(samples, probabilities):
                self._session.append(samples)
                self._session.voice(probabilities.tolist())
            case ear.Commit(reference):
                self._session.commit(reference)
            case ear.Clear():
                self._session.clear()
            case ear.Configure(settings):
                self._session.configure(settings)
            case ear.Finish():
                self._session.finish()
            case ear.Leave():
                self._session.leave()
            case error:
                self._tell(Failed(None, error))

    def _pump(self) -> None:
        """Ask for what the session wants to hear, and tell what it has to say."""
        step_s = self._live.step_s(self._scheduler)
        ask = self._session.wanted(round(step_s * SAMPLE_RATE), round(reach_s(step_s) * SAMPLE_RATE))
        if ask:
            self._submit(ask)
        for event in self._session.take():
            self._tell(event)
        self._make_room()

    def _submit(self, ask: Ask) -> None:
        if self._future:
            self._future.cancel()
        priority = Priority.FINAL if ask.is_final else Priority.PARTIAL
        try:
            self._future = self._scheduler.submit(ask.clip, priority=priority)
        except AuralError as error:  # the server is stopping
            self._session.fail(ask.id, error)
            return
        self._future.add_done_callback(partial(self._answered, ask))

    def _answered(self, ask: Ask, future: asyncio.Future[Transcript]) -> None:
        if self._is_closed or future.cancelled():
            return
        try:
            self._deliver(ask, future)
            self._pump()
        except Exception as error:  # noqa: BLE001 - a fault in one session must not reach the others
            self.fail(error)

    def _deliver(self, ask: Ask, future: asyncio.Future[Transcript]) -> None:
        error = future.exception()
        if error is None:
            self._session.answer(ask.id, text.in_script(future.result(), self.settings.script))
        elif isinstance(error, AuralError):
            self._session.fail(ask.id, error)
        else:
            raise error

    def _tell(self, event: Event) -> None:
        if self._events and _replaces(event, self._events[-1]):
            self._events.pop()
        self._events.append(event)
        self._live.note(event)
        self._told.set()

    def fail(self, error: Exception) -> None:
        """End the session: it cannot go on."""
        log.error("live session broke", exc_info=error)
        self._tell(Failed(None, EngineFailed(f"internal error in this session: {type(error).__name__}")))
        self._tell(Ended(self._session.ledger))
        self.close()

    @property
    def _inbox_s(self) -> float:
        form = self.settings.format
        return self._inbox_bytes / (SAMPLE_BYTES[form.encoding] * form.channels * form.rate)

    def _make_room(self) -> None:
        """Let `append` go on, or wait."""
        is_full = (
            self._inbox_s > MOST_INBOX_S
            or self._session.unheard > MOST_UNHEARD_S * SAMPLE_RATE
            or len(self._events) > MOST_EVENTS
        )
        if is_full and not self._is_closed:
            self._room.clear()
        else:
            self._room.set()


def _replaces(event: Event, last: Event) -> bool:
    """Whether nobody needs the one before any more."""
    match event, last:
        case Draft(utterance), Draft(before):
            return utterance == before
        case Heard(), Heard():
            return True
    return False


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
        metrics.live_streams.set_function(lambda: len(self._streams))

    @asynccontextmanager
    async def open(self, settings: LiveSettings) -> AsyncIterator[Stream]:
        """A session, ended when the block is left. Raises Overloaded, NotReady, UnknownModel, UnsupportedParameter and
        BadAudio for a format that is not offered."""
        Line.open(settings.format)
        place = await self._find(settings)
        stream = Stream(settings, place.scheduler, self)
        self._streams[stream] = place
        try:
            yield stream
        finally:
            stream.close()
            await self._streams.pop(stream).leave()

    async def place(self, stream: Stream, settings: LiveSettings) -> Door:
        """The model that hears the stream from now on; raises what `open` raises."""
        Line.open(settings.format)
        before = self._streams[stream]
        place = await self._find(settings, before.scheduler)
        self._streams[stream] = place
        await before.leave()
        return place.scheduler

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
        scheduler.admit()
        count = sum(place.scheduler is scheduler for place in self._streams.values())
        most = self.capacity(scheduler)
        if count >= most:
            message = f"{count} live sessions are open, as many as {scheduler.name} can hear in time here"
            raise Overloaded(message, RETRY_AFTER_S)

    def capacity(self, scheduler: Door) -> int:
        """How many sessions that all speak a model can hear in time."""
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
            work = [(stream.line, stream.take_inbox()) for stream in busy]
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
