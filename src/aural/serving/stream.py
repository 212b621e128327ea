"""One live session on a model of this server."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import uuid4

from aural import text
from aural.audio.encoding import SAMPLE_BYTES
from aural.errors import AuralError, BadRequest, Draining, EngineFailed, Overloaded, ServerLost, WorkerLost
from aural.live.ask import Ask
from aural.live.checkpoint import Checkpoint
from aural.live.events import Ended, Event, Failed, replaces
from aural.live.session import SESSION_FINISHED, Session
from aural.live.settings import LiveSettings
from aural.serving import ear
from aural.serving.door import Door
from aural.serving.ear import Line, Order
from aural.serving.inbox import Inbox
from aural.serving.policy import Priority
from aural.types import SAMPLE_RATE, Clip, Timestamps, Transcript, Word

if TYPE_CHECKING:
    from aural.serving.live import Live

log = logging.getLogger("aural.live")

QUICKEST_STEP_S = 0.5
"""Of new speech, before a session is heard again."""
LONGEST_REACH_S = 12.0
MOST_UNHEARD_S = 60.0
MOST_EVENTS = 1000
"""What a session may owe before whoever sends waits."""
AGAIN_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""A final that could not be heard is asked for again after so long, or after what the model says."""
LEAVE_WITHIN_S = 60.0
"""So long a session that is to end waits for a pause; whoever sends nothing more in mid-sentence will not make one."""


def reach_s(step_s: float) -> float:
    """How much a final may hear, its context included: the less, the rarer partials have become."""
    return LONGEST_REACH_S * (QUICKEST_STEP_S / step_s) ** 2


class Stream:
    """One live session. Orders take effect in the order they were given, between the audio before and after them. All
    that is sent waits while too much is unheard, and raises BadRequest once the session was finished."""

    def __init__(self, settings: LiveSettings, scheduler: Door, live: Live, *, moves: bool) -> None:
        """`moves` is whether the caller can go on with another server; one that cannot heeds `is_to_end`. Raises
        BadAudio for a format that is not offered, BadRequest for a resume token that is none."""
        self.id = uuid4().hex[:16]
        self.settings = settings
        self.line = Line.open(settings.format)
        self.inbox = Inbox()
        self.has_audio = False
        """Whether any came."""
        self.is_to_end = asyncio.Event()
        """The server stops: whoever cannot go on elsewhere must finish now."""
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
        """The server stops: leave, or have the caller finish where there is no other place to go."""
        if self._moves:
            self.leave(within_s)
        else:
            self.is_to_end.set()

    async def words(self, clips: Sequence[Clip]) -> list[Word]:
        """The words of clips that were heard before, with their times in the session's clock; none where the model
        has no times. Raises what the model raises."""
        if Timestamps.WORD not in self._scheduler.capabilities.timestamps:
            return []
        timed = [replace(clip, options=replace(clip.options, timestamps=Timestamps.WORD)) for clip in clips]
        heard = await asyncio.gather(*(self._scheduler.submit(clip, priority=Priority.PARTIAL) for clip in timed))
        script = self.settings.script
        written = [text.in_script(one, script).shifted(clip.start) for clip, one in zip(clips, heard, strict=True)]
        return [word for one in written for segment in one.segments for word in segment.words]

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
