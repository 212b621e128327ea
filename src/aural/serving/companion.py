"""Insights of live sessions: beside the captions, never before them. A session's events pass through; what is private
is taken out of them on the way, and what its finals mean comes after them.

Sessions that name the same call (the agent's and the customer's) are one call to rules, talk and notes. A session is
told of its own utterances in its own clock, and of the call in the call's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from aural.errors import AuralError
from aural.insight.alerts import Alert, Source, Watch
from aural.insight.call import of_turns
from aural.insight.live_redaction import Growing
from aural.insight.llm_answer import Reading
from aural.insight.redaction import redact
from aural.insight.request import Asked, Wish
from aural.insight.rules import Search
from aural.insight.schema import call_json, utterance_json
from aural.insight.types import Role, Turn, Utterance
from aural.live.events import Cleared, Closed, Committed, Draft, Ended, Event, Failed, Final
from aural.serving.leg import Leg, Timeline
from aural.serving.understanding import Understanding
from aural.serving.word_times import Rehear, around, estimated, reheard

MOST_IN_FLIGHT = 8
"""Utterances of one session whose insights are not there yet; further ones are skipped with a notice."""
MOST_TURNS = 5_000
"""Of a call that are remembered for what it comes to."""
LAST_S = 10.0
"""How long the end of a session waits for the insights of its last words."""
STOP_S = 3.0
"""How long the end of the server waits for those of sessions that have gone."""
TICK_S = 1.0
"""How often silence is looked at."""
SUMMARY_EVERY_TURNS = 8
TIMES_S = 0.7
"""How long a finding waits for the time it was said at to be better than an estimate."""


@dataclass(frozen=True, slots=True)
class LiveWish:
    """What a session asks for."""

    wish: Wish = field(default_factory=Wish)
    call: str | None = None
    """A name that several sessions share."""
    channel: int | None = None
    """None where it is not said which: then nothing is known of who speaks on it."""
    role: Role | None = None

    @property
    def speaker(self) -> Role | None:
        """Who speaks here: what is said of the session goes before what is said of its channel."""
        if self.role or self.wish.insights is None or self.channel is None:
            return self.role
        return self.wish.insights.role(self.channel)


@dataclass(frozen=True, slots=True)
class Told:
    """Something to tell beside the events: `type` is one of utterance_insights, alert, call_insights and
    insights_skipped."""

    body: dict[str, Any]


@dataclass(slots=True)
class Call:
    """What sessions that belong together have said. Times are in its own clock."""

    name: str
    watch: Watch
    timeline: Timeline = field(default_factory=Timeline)
    turns: list[Turn] = field(default_factory=list)
    listeners: list[Callable[[Told], None]] = field(default_factory=list)
    spoken_until: int = 0
    reading: Reading = field(default_factory=Reading)
    """What a language model has made of it so far."""
    is_being_read: bool = False
    speakers: dict[str, Callable[[Turn], None]] = field(default_factory=dict)
    """Who is told when an utterance is seen otherwise."""

    def keep(self, turn: Turn, speaker: Callable[[Turn], None]) -> bool:
        """Remember a turn, if there is room; whether it is time to say what the call comes to so far."""
        if len(self.turns) >= MOST_TURNS:
            return False
        self.turns.append(turn)
        self.speakers[turn.utterance.id] = speaker
        return len(self.turns) % SUMMARY_EVERY_TURNS == 0

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
        self.looks: set[asyncio.Task[None]] = set()
        """Insights under way, also of sessions that have gone: what they said last may set off an alert."""
        self._calls: dict[str, Call] = {}

    def join(self, name: str, listener: Callable[[Told], None]) -> Call:
        call = self._calls.setdefault(name, Call(name, Watch(self.understanding.settings.rules)))
        call.listeners.append(listener)
        return call

    def leave(self, call: Call, listener: Callable[[Told], None]) -> None:
        call.listeners.remove(listener)
        if not call.listeners:
            del self._calls[call.name]

    async def stop(self) -> None:
        if self.looks:
            await asyncio.wait(self.looks, timeout=STOP_S)


class Companion:
    """One session's events on their way to the client."""

    def __init__(
        self, calls: Calls, session: str, starts_at: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`starts_at` is where the session's clock begins, in samples; `clock` gives seconds."""
        self.asked = LiveWish()
        self._search: Search | None = None
        self._calls = calls
        self._session = session
        self._clock = clock
        self._leg = Leg(session, starts_at)
        self._told: list[Told] = []
        self._something = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unanswered: set[str] = set()
        """Utterances whose insights are not there yet."""
        self._growing: dict[str, Growing] = {}
        self._plain: dict[str, str] = {}
        """What was told, as it was said, of utterances that nothing is kept back from."""
        self._call: Call | None = None
        self._rehear: Rehear | None = None

    def ask(self, asked: LiveWish) -> None:
        """From here on, this."""
        name, insights = asked.call or self._session, asked.wish.insights
        self.asked = asked
        self._search = self._calls.understanding.settings.search(insights) if insights else None
        if self._call is not None and (insights is None or name != self._call.name):
            self._leave()
        if self._call is None and insights is not None:
            self._call = self._calls.join(name, self._tell)
            self._leg.join(self._call.timeline, self._call.watch)
        self._leg.plays(asked.speaker, self._clock())

    def hears(self) -> None:
        """Audio of the session has come: with its first the session's clock begins."""
        self._leg.hears(self._clock())

    async def events(self, source: AsyncIterable[Event], rehear: Rehear | None = None) -> AsyncGenerator[Event | Told]:
        """The events without what is private, and what is found beside them; the end comes last. `rehear` is who hears
        speech once more for the times of its words."""
        self._rehear = rehear
        events = aiter(source)
        coming = asyncio.ensure_future(anext(events))
        something = asyncio.ensure_future(self._something.wait())
        try:
            while True:
                await asyncio.wait({coming, something}, timeout=TICK_S, return_when=asyncio.FIRST_COMPLETED)
                self._act(self._call, self._leg.tick(self._clock()))
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
            for task in (coming, something):
                task.cancel()
            await asyncio.gather(coming, something, return_exceptions=True)
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
        if call is None or self._search is None:
            return
        self._act(call, self._leg.note(event, self._clock()))
        if isinstance(event, Closed):
            call.spoken_until = max(call.spoken_until, self._leg.place(event.end))
        if isinstance(event, Final) and event.text.strip():
            self._understand(event, call, self._search)

    def _understand(self, final: Final, call: Call, search: Search) -> None:
        if len(self._unanswered) >= MOST_IN_FLIGHT:
            self._give_up(final.utterance, "overloaded", f"{MOST_IN_FLIGHT} utterances of this session wait already")
            return
        self._unanswered.add(final.utterance)
        look = self._look(final, self._utterance(final), call, search, self._leg.shift)
        task = asyncio.get_running_loop().create_task(look)
        for tasks in (self._tasks, self._calls.looks):
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _look(self, final: Final, said: Utterance, call: Call, search: Search, shift: int) -> None:
        """Goes on when the client hangs up: the rules act on what was said last, too."""
        try:
            findings = await self._calls.understanding.insights.one(said, search.wide)
            found = await self._timed(final, Turn(said, findings))
        except AuralError as error:
            self._skip(said.id, error.code, str(error))
            return
        finally:
            self._unanswered.discard(said.id)
        turn = Turn(said, search.told(found.findings))
        self._tell(Told(utterance_json(turn, search.asked)))
        self._act(call, call.watch.turn(found.shifted(shift)))
        is_time = call.keep(turn.shifted(shift), partial(self._tell_again, search.asked, shift))
        if is_time and self._call is call:
            await self._sum_up(call, search.asked, final=False)

    async def _timed(self, final: Final, turn: Turn) -> Turn:
        """With times that are better than estimates, if they can be had soon."""
        clips = around(final, turn.findings)
        if not clips or self._rehear is None:
            return turn
        try:
            async with asyncio.timeout(TIMES_S):
                words = await self._rehear(clips)
        except (TimeoutError, AuralError):
            return turn
        return turn.timed(reheard(final, clips, words)) if words else turn

    def _tell_again(self, asked: Asked, shift: int, turn: Turn) -> None:
        self._tell(Told(utterance_json(turn.shifted(-shift), asked)))

    def _utterance(self, final: Final) -> Utterance:
        return Utterance(
            id=final.utterance,
            text=final.text.strip(),
            start=final.start,
            end=final.end,
            language=final.transcript.language,
            words=estimated(final),
            role=self.asked.speaker,
            channel=self.asked.channel or 0,
        )

    async def _sum_up(self, call: Call, asked: Asked, *, final: bool) -> None:
        """Tell what the call comes to. A language model goes on from what it has read; one question at a time, as the
        next one takes along what was said meanwhile."""
        if final or not call.is_being_read:
            await self._read(call, asked, final=final)
        turns = sorted(call.turns, key=lambda turn: turn.utterance.start)
        found = await asyncio.to_thread(of_turns, turns, asked, call.spoken_until)
        self._tell(Told(call_json(found, asked, call.reading if asked.llm else None, final=final)))

    async def _read(self, call: Call, asked: Asked, *, final: bool) -> None:
        call.is_being_read = True
        try:
            reading = await self._calls.understanding.read_on(call.reading, tuple(call.turns), asked, final=final)
        finally:
            call.is_being_read = False
        for turn in call.learn(reading):
            call.speakers[turn.utterance.id](turn)

    def _act(self, call: Call | None, alerts: Sequence[Alert]) -> None:
        if call is None:
            return
        for alert in alerts:
            body = self._calls.understanding.act(alert, Source(call.name, self._session))
            call.tell(Told(body))

    async def _last(self) -> AsyncIterator[Told]:
        """What is still to come when the session has ended."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_S)
        for utterance in sorted(self._unanswered):
            self._give_up(utterance, "timeout", f"no insights within {LAST_S:g} s of the end of the session")
        call, asked = self._call, self.asked.wish.insights
        self._leave()
        if call is not None and asked is not None:
            await self._sum_up(call, asked, final=not call.listeners)
        for told in self._take():
            yield told

    def _give_up(self, utterance: str, code: str, message: str) -> None:
        self._calls.understanding.metrics.insights_skipped.inc()
        self._skip(utterance, code, message)

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
            self._leg.leave(self._clock())
            self._calls.leave(self._call, self._tell)
            self._call = None
