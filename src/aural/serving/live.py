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
from dataclasses import dataclass, replace
from fractions import Fraction
from uuid import uuid4

from aural.audio.encoding import SAMPLE_BYTES
from aural.errors import AuralError, BadRequest, Draining, EngineFailed, Overloaded, ServerLost, WorkerLost
from aural.live.ask import Ask
from aural.live.checkpoint import Checkpoint
from aural.live.events import Ended, Event, Failed, Final, replaces
from aural.live.session import SESSION_FINISHED, Session
from aural.live.settings import LiveSettings
from aural.metrics import Metrics
from aural.serving import ear
from aural.serving.door import Door
from aural.serving.ear import Line, Order
from aural.serving.fleet import AUTO, Fleet
from aural.serving.inbox import Inbox
from aural.serving.policy import Priority
from aural.types import SAMPLE_RATE, Transcript

log = logging.getLogger("aural.live")

TICK_S = 0.03
"""How often the ear listens: about a frame of voice activity detection."""
QUICKEST_STEP_S = 0.5
SLOWEST_STEP_S = 2.5
PARTIALS_SHARE = 0.85
"""Of the workers' time that partials may take: they become rarer as the server fills, and leave room for finals and
requests."""
LONGEST_REACH_S = 12.0
MOST_UNHEARD_S = 60.0
MOST_EVENTS = 1000
"""What a session may owe before whoever sends waits."""
HEARINGS = 9.0
"""Seconds that an engine hears for a second of speech: each window some six seconds long, heard once a second, finals
and room for them."""
RETRY_AFTER_S = 5.0
AGAIN_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""A final that could not be heard is asked for again after so long, or after what the model says."""
LEAVE_WITHIN_S = 60.0
"""So long a session that is to end waits for a pause; whoever sends nothing more in mid-sentence will not make one."""
PAUSE_SHARE = 0.5
"""Of the time that a server has for its end: so long sessions may look for a pause to leave in."""


def reach_s(step_s: float) -> float:
    """How much a final may hear, its context included: the less, the rarer partials have become."""
    return LONGEST_REACH_S * (QUICKEST_STEP_S / step_s) ** 2


class Stream:
    """One live session. Orders take effect in the order they were given, between the audio before and after them. All
    that is sent waits while too much is unheard, and raises BadRequest once the session was finished."""

    def __init__(self, settings: LiveSettings, scheduler: Door, live: Live, *, moves: bool) -> None:
        """`moves` is whether the caller can go on with another server. Raises BadAudio for a format that is not
        offered, BadRequest for a resume token that is none."""
        self.id = uuid4().hex[:16]
        self.settings = settings
        self.line = Line.open(settings.format)
        self.inbox = Inbox()
        self.has_audio = False
        """Whether any came."""
        self._live = live
        self._scheduler = scheduler
        self._moves = moves
        begin = Checkpoint.of(settings.resume) if settings.resume else Checkpoint(0, f"item_{self.id}", 0)
        self._session = Session(settings, begin, scheduler.capabilities)
        self._hearing: asyncio.Task[None] | None = None
        self._events: deque[Event] = deque()
        self._told = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._leaving: asyncio.TimerHandle | None = None
        self._is_finished = False
        self._is_closed = False

    @property
    def is_speaking(self) -> bool:
        return self._session.is_speaking

    @property
    def is_due(self) -> bool:
        """Whether what arrived is to be heard now."""
        return self.inbox.is_due(is_alert=self._session.is_alert)

    async def append(self, data: bytes) -> None:
        """Audio in the format of the settings, cut anywhere, also within a sample. NaN and infinity come back as
        `Failed`, and are not part of the session's clock."""
        self._check_open()
        self.has_audio = self.has_audio or bool(data)
        form = self.settings.format
        second_bytes = SAMPLE_BYTES[form.encoding] * form.channels * form.rate
        for start in range(0, len(data), second_bytes):
            await self._room.wait()
            part = bytes(data[start : start + second_bytes])
            self._put(part, len(part) / second_bytes)

    async def commit(self, reference: str | None = None) -> None:
        """End the open utterance here. With less than 100 ms of audio, `Failed` with the reference comes."""
        self._check_open()
        await self._room.wait()
        self._put(ear.Commit(reference))

    async def clear(self) -> None:
        """Throw away what is not committed yet."""
        self._check_open()
        await self._room.wait()
        self._put(ear.Clear())

    async def configure(self, settings: LiveSettings) -> None:
        """From here on, other settings. Raises what `Live.open` raises, and BadRequest for another model once audio
        came."""
        self._check_open()
        await self._room.wait()
        self._scheduler = await self._live.place(self, settings)
        self.settings = settings
        self._put(ear.Configure(settings, self._scheduler.capabilities))

    async def finish(self) -> None:
        """No more audio: what is open is heard, then `Ended` comes. Does not wait for it."""
        if not self._is_finished:
            self._is_finished = True
            self._put(ear.Finish())

    def leave(self, within_s: float = LEAVE_WITHIN_S) -> None:
        """End at the next pause between utterances, or after so long where it is: a `Notice` says where to go on, then
        `Ended` comes."""
        loop = asyncio.get_running_loop()
        if self._is_closed or (self._leaving and self._leaving.when() <= loop.time() + within_s):
            return
        if self._leaving:
            self._leaving.cancel()
        else:
            self._put(ear.Leave())
        self._leaving = loop.call_later(within_s, self._put, ear.Finish())

    def retire(self, within_s: float) -> None:
        """The server stops: leave, or end where there is no other place to go."""
        if self._moves:
            self.leave(within_s)
        else:
            self._put(ear.Finish())

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
        if self._leaving:
            self._leaving.cancel()
        if self._hearing:
            self._hearing.cancel()

    def _check_open(self) -> None:
        if self._is_finished:
            raise BadRequest("expected nothing more: the session was finished", code=SESSION_FINISHED)

    def _put(self, item: bytes | Order, duration_s: float = 0.0) -> None:
        if self._is_closed:
            return
        self.inbox.put(item, duration_s)
        self._make_room()
        if self.is_due:
            self._live.wake()

    def _obey(self, part: ear.Heard) -> None:
        match part:
            case ear.Sound(samples, probabilities):
                self._session.append(samples)
                self._session.voice(probabilities.tolist())
            case ear.Commit(reference, held):
                self._session.commit(reference, held)
            case ear.Clear():
                self._session.clear()
            case ear.Configure(settings, can):
                self._session.configure(settings, can)
            case ear.Finish():
                self._session.finish()
            case ear.Leave():
                self._session.leave()
            case AuralError():
                self._tell(Failed(None, part))
            case _:
                raise part

    def _pump(self) -> None:
        """Ask for what the session wants to hear, and tell what it has to say."""
        step_s = self._live.step_s(self._scheduler)
        ask = self._session.wanted(round(step_s * SAMPLE_RATE), round(reach_s(step_s) * SAMPLE_RATE))
        if ask:
            if self._hearing:
                self._hearing.cancel()
            self._hearing = asyncio.get_running_loop().create_task(self._hear(ask))
        for event in self._session.take():
            self._tell(event)
        self._make_room()

    async def _hear(self, ask: Ask) -> None:
        """Have it heard, and go on with what is wanted then."""
        try:
            outcome = await self._outcome(ask)
            self._hearing = None
            if isinstance(outcome, AuralError):
                self._session.fail(ask.id, outcome)
            else:
                self._session.answer(ask.id, outcome)
            self._pump()
        except Exception as error:  # noqa: BLE001 - a fault in one session must not reach the others
            self.fail(error)

    async def _outcome(self, ask: Ask) -> Transcript | AuralError:
        """What is heard, or why it cannot be. A final whose failure may pass is asked for again."""
        priority = Priority.FINAL if ask.is_final else Priority.PARTIAL
        tries = 0
        while True:
            try:
                return await self._scheduler.submit(ask.clip, priority=priority)
            except AuralError as error:
                waits_s = _patience(error) if ask.is_final else ()
                if tries == len(waits_s):
                    return error
                wait_s = max(waits_s[tries], error.retry_after_s or 0.0)
            tries += 1
            await asyncio.sleep(wait_s)

    def _tell(self, event: Event) -> None:
        if self._events and replaces(event, self._events[-1]):
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

    def _make_room(self) -> None:
        """Let whoever sends go on, or wait."""
        is_full = (
            self.inbox.is_full
            or self._session.unheard > MOST_UNHEARD_S * SAMPLE_RATE
            or len(self._events) > MOST_EVENTS
        )
        if is_full and not self._is_closed:
            self._room.clear()
        else:
            self._room.set()


def _patience(error: AuralError) -> tuple[float, ...]:
    """How often, and after how many seconds, it is worth to ask again for a final that failed so."""
    if isinstance(error, Draining | WorkerLost):  # the server stops; this clip has ended two workers
        return ()
    if isinstance(error, Overloaded | ServerLost):
        return AGAIN_AFTER_S
    return AGAIN_AFTER_S[:1] if isinstance(error, EngineFailed) else ()


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
        """A session, ended when the block is left. When the server stops, one that `moves` leaves, and any other ends.
        Raises Overloaded, NotReady, Draining, UnknownModel, UnsupportedParameter and BadAudio for a format that is not
        offered."""
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
