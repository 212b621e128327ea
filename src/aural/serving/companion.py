"""Insights of live sessions: beside the captions, never before them. A session's events pass through; what is private
is taken out of them on the way, and what its finals mean comes after them.

Sessions that name the same call (the agent's and the customer's) are one call to rules, talk and notes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from aural.errors import AuralError
from aural.insight.alerts import Alert, Watch, alert_json
from aural.insight.call import of_turns
from aural.insight.live_redaction import Growing
from aural.insight.llm_answer import Reading
from aural.insight.redaction import redact
from aural.insight.request import Asked, Wish
from aural.insight.schema import call_json, utterance_json
from aural.insight.types import Role, Turn, Utterance
from aural.live.events import Cleared, Closed, Committed, Draft, Ended, Event, Failed, Final, SpeechStarted
from aural.serving.understanding import Understanding
from aural.types import SAMPLE_RATE

MOST_IN_FLIGHT = 8
"""Utterances of one session whose insights are not there yet; further ones are skipped with a notice."""
MOST_TURNS = 5_000
"""Of a call that are remembered for what it comes to."""
LAST_S = 10.0
"""How long the end of a session waits for the insights of its last words."""
SUMMARY_EVERY_TURNS = 8


@dataclass(frozen=True, slots=True)
class LiveWish:
    """What a session asks for."""

    wish: Wish = field(default_factory=Wish)
    call: str | None = None
    """A name that several sessions share."""
    channel: int = 0
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell beside the events: `type` is one of utterance_insights, alert, call_insights and
    insights_skipped."""

    body: dict[str, Any]


@dataclass(slots=True)
class Call:
    """What sessions that belong together have said."""

    watch: Watch
    turns: list[Turn] = field(default_factory=list)
    listeners: list[Callable[[Told], None]] = field(default_factory=list)
    spoken_until: int = 0
    reading: Reading = field(default_factory=Reading)
    """What a language model has made of it so far."""
    is_being_read: bool = False
    speakers: dict[str, Callable[[Told], None]] = field(default_factory=dict)
    """Who is told of an utterance."""
    talking: set[str] = field(default_factory=set)
    """Sessions in which somebody speaks: then there is no silence."""

    def learn(self, reading: Reading) -> Iterator[Turn]:
        """Takes what was read over, unless more was read meanwhile; the turns that are seen otherwise now."""
        if len(reading.turns) < len(self.reading.turns):
            return
        self.reading = reading
        for at, turn in enumerate(reading.turns):
            if turn is not self.turns[at]:
                self.turns[at] = turn
                yield turn

    def tell(self, told: Told) -> None:
        for listener in self.listeners:
            listener(told)


class Calls:
    """The calls that go on, by name. One per server."""

    def __init__(self, understanding: Understanding) -> None:
        self.understanding = understanding
        self._calls: dict[str, Call] = {}

    def join(self, name: str, listener: Callable[[Told], None]) -> Call:
        call = self._calls.setdefault(name, Call(Watch(self.understanding.settings.rules)))
        call.listeners.append(listener)
        return call

    def leave(self, name: str, listener: Callable[[Told], None]) -> None:
        call = self._calls.get(name)
        if call:
            call.listeners.remove(listener)
            if not call.listeners:
                del self._calls[name]


class Companion:
    """One session's events on their way to the client."""

    def __init__(self, calls: Calls, session: str) -> None:
        self.asked = LiveWish()
        self._calls = calls
        self._session = session
        self._told: list[Told] = []
        self._something = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._growing: dict[str, Growing] = {}
        self._plain: dict[str, str] = {}
        """What was told, as it was said, of utterances that nothing is kept back from."""
        self._call: Call | None = None
        self._call_name = ""
        self._silent_since: tuple[int, float] | None = None

    def ask(self, asked: LiveWish) -> None:
        """From here on, this."""
        name = asked.call or self._session
        if self._call is not None and (asked.wish.insights is None or name != self._call_name):
            self._leave()
        if self._call is None and asked.wish.insights is not None:
            self._call, self._call_name = self._calls.join(name, self._tell), name
        self.asked = asked

    async def events(self, source: AsyncIterable[Event]) -> AsyncGenerator[Event | Told]:
        """The events without what is private, and what is found beside them; the end comes last."""
        events = aiter(source)
        coming = asyncio.ensure_future(anext(events))
        something = asyncio.ensure_future(self._something.wait())
        try:
            while True:
                await asyncio.wait({coming, something}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                self._listen_to_silence()
                for told in self._take():
                    yield told
                if something.done():
                    something = asyncio.ensure_future(self._something.wait())
                if not coming.done():
                    continue
                if isinstance(coming.exception(), StopAsyncIteration):
                    return
                event = coming.result()
                if isinstance(event, Ended):
                    async for told in self._last():
                        yield told
                    yield event
                    return
                for safe in self._through(event):
                    yield safe
                coming = asyncio.ensure_future(anext(events))
        finally:
            for task in (coming, something, *self._tasks):
                task.cancel()
            await asyncio.gather(coming, something, *self._tasks, return_exceptions=True)
            if isinstance(events, AsyncGenerator):
                await events.aclose()
            self._leave()

    def _through(self, event: Event) -> Iterator[Event]:
        for safe in self._safe(event):
            self._note(safe)
            yield safe

    def _safe(self, event: Event) -> Iterator[Event]:
        """The event without what is private: from an order to redact on, and to the end of an utterance at least."""
        match event:
            case Failed(str(utterance)) | Cleared(str(utterance)):
                self._growing.pop(utterance, None)
                self._plain.pop(utterance, None)
                yield event
            case Committed(utterance) | Draft(utterance) | Final(utterance):
                growing = self._grown(utterance)
                yield from self._told_plainly(event) if growing is None else self._redacted(event, growing)
            case _:
                yield event

    def _told_plainly(self, event: Committed | Draft | Final) -> Iterator[Event]:
        match event:
            case Committed(utterance, text):
                self._plain[utterance] = self._plain.get(utterance, "") + text
            case Final(utterance):
                self._plain.pop(utterance, None)
        yield event

    def _redacted(self, event: Committed | Draft | Final, growing: Growing) -> Iterator[Event]:
        match event:
            case Committed(_, text, words):
                piece = growing.grow(text, words)
                if piece.text:
                    yield replace(event, text=piece.text, words=piece.words)
            case Draft(_, text):
                yield replace(event, text=growing.draft(text))
            case Final(utterance):
                del self._growing[utterance]
                rest = growing.end()
                if rest.text:
                    yield Committed(utterance, rest.text, rest.words, event.end)
                transcript = redact(event.transcript, growing.categories, edges=True)
                yield replace(event, transcript=transcript, text=growing.told)

    def _grown(self, utterance: str) -> Growing | None:
        """What takes out of an utterance what is private; None when nobody has asked for that."""
        asked = self.asked.wish.redact
        growing = self._growing.get(utterance)
        if growing is None and asked:
            growing = self._growing[utterance] = Growing(asked, self._plain.pop(utterance, ""))
        elif growing is not None:
            growing.categories = tuple(dict.fromkeys((*growing.categories, *asked)))
        return growing

    def _note(self, event: Event) -> None:
        call = self._call
        if call is None:
            return
        match event:
            case SpeechStarted():
                call.talking.add(self._session)
                self._silent_since = None
            case Closed(_, _, end):
                call.talking.discard(self._session)
                call.spoken_until = max(call.spoken_until, end)
                self._silent_since = (end, time.monotonic())
            case Final() if event.text.strip():
                self._understand(event, call)

    def _understand(self, final: Final, call: Call) -> None:
        if len(self._tasks) >= MOST_IN_FLIGHT:
            self._skip(final.utterance, "overloaded", f"{MOST_IN_FLIGHT} utterances of this session wait already")
            return
        task = asyncio.get_running_loop().create_task(self._look(final, call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look(self, final: Final, call: Call) -> None:
        asked = self.asked.wish.insights
        if asked is None:
            return
        utterance = self._utterance(final, asked)
        try:
            findings = await self._calls.understanding.insights.one(utterance, asked)
        except AuralError as error:
            self._skip(final.utterance, error.code, str(error))
            return
        turn = Turn(utterance, findings)
        is_kept = len(call.turns) < MOST_TURNS
        if is_kept:
            call.turns.append(turn)
            call.speakers[utterance.id] = self._tell
        self._tell(Told(utterance_json(turn, asked)))
        self._act(call, call.watch.turn(turn))
        if is_kept and len(call.turns) % SUMMARY_EVERY_TURNS == 0:
            await self._sum_up(call, asked, final=False)

    def _utterance(self, final: Final, asked: Asked) -> Utterance:
        wish = self.asked
        return Utterance(
            id=final.utterance,
            text=final.text.strip(),
            start=final.start,
            end=final.end,
            language=final.transcript.language,
            words=tuple(word for segment in final.transcript.segments for word in segment.words),
            role=wish.role or asked.role(wish.channel),
            channel=wish.channel,
        )

    async def _sum_up(self, call: Call, asked: Asked, *, final: bool) -> None:
        """Tell what the call comes to. A language model goes on from what it has read; one question at a time, as the
        next one takes along what was said meanwhile."""
        if final or not call.is_being_read:
            await self._read(call, asked, final=final)
        turns = sorted(call.turns, key=lambda turn: turn.utterance.start)
        reading = call.reading if asked.llm else None
        self._tell(Told(call_json(of_turns(turns, asked, call.spoken_until), asked, reading, final=final)))

    async def _read(self, call: Call, asked: Asked, *, final: bool) -> None:
        call.is_being_read = True
        try:
            reading = await self._calls.understanding.read_on(call.reading, tuple(call.turns), asked, final=final)
        finally:
            call.is_being_read = False
        for turn in call.learn(reading):
            call.speakers[turn.utterance.id](Told(utterance_json(turn, asked)))

    def _act(self, call: Call, alerts: list[Alert]) -> None:
        for alert in alerts:
            self._calls.understanding.act(alert, self._call_name)
            call.tell(Told(alert_json(alert)))

    def _listen_to_silence(self) -> None:
        call = self._call
        if call is None or call.talking or self._silent_since is None:
            return
        since, at = self._silent_since
        now = since + round((time.monotonic() - at) * SAMPLE_RATE)
        if now - call.spoken_until >= SAMPLE_RATE:
            self._act(call, call.watch.clock(now))

    async def _last(self) -> AsyncIterator[Told]:
        """What is still to come when the session has ended."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_S)
        asked = self.asked.wish.insights
        if self._call is not None and asked is not None:
            await self._sum_up(self._call, asked, final=True)
        for told in self._take():
            yield told

    def _skip(self, utterance: str, code: str, message: str) -> None:
        self._tell(Told({"type": "insights_skipped", "utterance_id": utterance, "code": code, "message": message}))

    def _tell(self, told: Told) -> None:
        self._told.append(told)
        self._something.set()

    def _take(self) -> list[Told]:
        told, self._told = self._told, []
        self._something.clear()
        return told

    def _leave(self) -> None:
        if self._call is not None:
            self._calls.leave(self._call_name, self._tell)
            self._call = None
