"""A connection that is lost: what was not heard to its end goes over another one, once, on the caller's clock."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from aural.errors import SessionLost, SessionRefused
from aural.streaming import patience
from aural.streaming import session as sessions
from aural.streaming.events import Done, Event, Grown, Lost, Other, Reconnected, Refused
from aural.streaming.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S, RECONNECT_S, Patience
from aural.streaming.progress import Progress
from aural.streaming.session import LiveSession, Wish, connect
from tests.streaming.standin import TRANSCRIPTION, Line, Script, standing_in
from tests.streaming.test_session import AUDIO, run, send_all

BROKEN = 1006


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE_S", 0.01)


async def hang_up(line: Line, code: int) -> None:
    if code == BROKEN:
        line.socket.transport.abort()
    else:
        await line.socket.close(code)


def after_one(code: int) -> Script:
    """Hears one utterance to its end, begins with another, and is gone."""

    async def script(line: Line) -> None:
        await line.listen(32_000)
        await line.start("item_1", 0, "one")
        await line.say("item_1", "one", 0, 300)
        await line.start("item_2", 500, "tw")
        await hang_up(line, code)

    return script


async def the_rest(line: Line) -> None:
    await line.listen()
    await line.start("other_1", 100, "two")
    await line.say("other_1", "two", 100, 1200)
    await line.end(received=1700, final=1100, suppressed=600)


async def events_of(session: LiveSession, told: list[Event] | None = None) -> list[Event]:
    """All of them; into `told`, where the session may break."""
    told = [] if told is None else told
    sending = asyncio.create_task(send_all(session, AUDIO))
    try:
        async for event in session:
            told.append(event)
    finally:
        await sending
    return told


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Done)]


@pytest.mark.parametrize("code", [1001, BROKEN, 1011, 1012, 1014])
def test_what_was_not_heard_to_its_end_is_sent_again_and_told_once(code: int) -> None:
    wish = Wish(language="en", silence_ms=300, aural={"redact": True})

    async def scenario() -> None:
        scripts = (after_one(code), HTTPStatus.BAD_GATEWAY, the_rest)
        async with standing_in(*scripts) as server, connect(server.url, wish) as session:
            events = await events_of(session)
            lost, again = events.index(next(e for e in events if isinstance(e, Lost))), events.index(Reconnected(0.3))
            assert again == lost + 1
            assert events[lost].items == ("item_2",)  # type: ignore[union-attr]
            assert events[again + 2 :] == [Grown("other_1", "two"), Done("other_1", "two", 0.4, 1.5)]
            assert texts(events) == ["one", "two"]
            first, second = server.lines
            assert bytes(second.heard) == AUDIO[300 * 32 :]
            assert (first.settings, second.resume) == (second.settings, None)
            assert session.totals_ms == {"received": 2000, "final": 1400, "suppressed": 600}
            assert session.ledger_closed

    run(scenario)


def test_silence_before_the_next_speaker_does_not_pass_over_who_spoke_last() -> None:
    async def slow(line: Line) -> None:
        await line.listen(32_000)
        await line.start("item_1", 0)
        await line.tell("aural.suppressed", item_id=None, start_ms=300, end_ms=900, reason="no_speech")
        await line.start("item_2", 900)
        await hang_up(line, 1012)

    async def scenario() -> None:
        async with standing_in(slow, the_rest) as server, connect(server.url) as session:
            events = await events_of(session)
            assert Reconnected(0.0) in events
            assert bytes(server.lines[1].heard) == AUDIO

    run(scenario)


def test_who_has_told_all_may_break_before_goodbye() -> None:
    async def curt(line: Line) -> None:
        await line.listen()
        await line.start("item_1", 0)
        await line.say("item_1", "all", 0, 2000)
        await hang_up(line, BROKEN)

    async def scenario() -> None:
        async with standing_in(curt) as server, connect(server.url) as session:
            assert texts(await events_of(session)) == ["all"]
            assert len(server.lines) == 1
            assert session.totals_ms == {"received": 2000, "final": 2000, "suppressed": 0}

    run(scenario)


def test_a_session_that_nobody_ended_goes_on() -> None:
    async def hasty(line: Line) -> None:
        await line.listen(32_000)
        await line.end(received=0)

    async def scenario() -> None:
        async with standing_in(hasty, the_rest) as server, connect(server.url) as session:
            sending = asyncio.create_task(session.send(AUDIO))
            events = []
            async for event in session:
                events.append(event)
                if isinstance(event, Reconnected):
                    await sending
                    await session.finish()
            assert texts(events) == ["two"]
            assert bytes(server.lines[1].heard) == AUDIO

    run(scenario)


def test_a_token_holds_until_more_is_heard() -> None:
    """The next server is lost before it has heard anything: the one after it goes on from the same place."""

    async def leave(line: Line) -> None:
        await line.listen(32_000)
        await line.go_away(500, "token=")

    async def lose(line: Line) -> None:
        await line.listen()
        await hang_up(line, 1012)

    async def last(line: Line) -> None:
        await line.listen()
        await line.say("item_2", "two", 600, 2000)  # a clock that goes on
        await line.end(received=1500, final=1400, suppressed=100)

    async def scenario() -> None:
        async with standing_in(leave, lose, last) as server, connect(server.url) as session:
            events = await events_of(session)
            assert [line.resume for line in server.lines] == [None, "token=", "token="]
            assert bytes(server.lines[2].heard) == AUDIO[500 * 32 :]
            assert events[-1] == Done("item_2", "two", 0.6, 2.0)

    run(scenario)


@pytest.mark.parametrize("code", [1000, 1007, 1008, 1009, 4000])
def test_what_will_not_get_better_is_told_at_once(code: int) -> None:
    async def scenario() -> None:
        async with standing_in(after_one(code)) as server, connect(server.url) as session:
            with pytest.raises(SessionRefused, match=str(code)):
                await events_of(session)
            assert len(server.lines) == 1

    run(scenario)


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST])
def test_a_refusal_on_the_way_back_is_told_at_once(status: HTTPStatus) -> None:
    async def scenario() -> None:
        async with standing_in(after_one(1012), status) as server, connect(server.url) as session:
            with pytest.raises(SessionRefused, match=str(status.value)):
                await events_of(session)

    run(scenario)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("invalid_request_error", SessionRefused),
        ("authentication_error", SessionRefused),
        ("server_error", SessionLost),
    ],
)
def test_settings_that_are_refused(kind: str, error: type[SessionLost]) -> None:
    async def unwilling(line: Line) -> None:
        raise AssertionError("it was configured")

    async def scenario() -> None:
        async with standing_in(unwilling, refusing=(kind, "no such model")) as server:
            with pytest.raises(SessionLost, match="no such model") as told:
                async with connect(server.url):
                    pass
            assert type(told.value) is error

    run(scenario)


def test_a_full_server_is_asked_again_when_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    least: list[float] = []

    def pause_s(self: Patience, now: float, at_least_s: float = 0.0) -> float:
        least.append(at_least_s)
        return 0.0

    async def full(line: Line) -> None:
        await line.listen(32_000)
        await line.complain("overloaded_error", "full", retry_after_s=7)
        await line.socket.close(1013)

    monkeypatch.setattr(Patience, "pause_s", pause_s)

    async def scenario() -> None:
        scripts = (full, (HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "9"}), the_rest)
        async with standing_in(*scripts) as server, connect(server.url) as session:
            events = await events_of(session)
            assert [event for event in events if isinstance(event, Lost | Refused)] == [Lost("full")]
            assert least == [7, 9]

    run(scenario)


def test_an_error_about_an_order_is_told_and_the_session_goes_on() -> None:
    async def scold(line: Line) -> None:
        await line.listen()
        await line.complain("invalid_request_error", "expected less", event_id="mine")
        await line.say("item_1", "all", 0, 2000)
        await line.end(received=2000, final=2000)

    async def scenario() -> None:
        async with standing_in(scold) as server, connect(server.url) as session:
            assert await events_of(session) == [Refused("expected less", "odd", "mine"), Done("item_1", "all", 0, 2)]

    run(scenario)


def test_an_error_that_ends_the_session_is_its_reason() -> None:
    async def fail(line: Line) -> None:
        await line.listen(32_000)
        await line.complain("server_error", "the worker died")
        await line.socket.close(1011)

    async def expire(line: Line) -> None:
        await line.listen()
        await line.complain("invalid_request_error", "nothing came for 600 s")
        await line.socket.close(1000)

    async def scenario() -> None:
        async with standing_in(fail, expire) as server, connect(server.url) as session:
            told: list[Event] = []
            with pytest.raises(SessionRefused, match="nothing came"):
                await events_of(session, told)
            assert told == [Lost("the worker died"), Reconnected(0.0)]

    run(scenario)


def test_the_search_ends_and_says_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "RECONNECT_S", 0.0)

    async def scenario() -> None:
        async with standing_in(after_one(1012)) as server, connect(server.url) as session:
            with pytest.raises(SessionLost, match=r"1012.*after 0\.3 s"):
                await events_of(session)

    run(scenario)


def test_a_long_silence_is_not_kept_and_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_KEPT_BYTES", 16_000)

    async def silent(line: Line) -> None:
        await line.listen(64_000)
        await hang_up(line, 1012)

    async def deaf(line: Line) -> None:
        await line.listen(32_000)
        await line.start("item_1", 100)
        await line.listen(64_000)
        await hang_up(line, 1012)

    async def last(line: Line) -> None:
        await line.listen()
        await line.say("item_1", "one", 100, 200)
        await line.end(received=500, final=100, suppressed=400)

    async def scenario() -> None:
        async with standing_in(silent, last) as server, connect(server.url) as session:
            events = await events_of(session)
            assert bytes(server.lines[1].heard) == AUDIO[-16_000:]
            assert events[-1] == Done("item_1", "one", 1.6, 1.7)
        async with standing_in(deaf) as server, connect(server.url) as session:
            with pytest.raises(SessionLost, match="not all of what followed is kept"):
                await events_of(session)

    run(scenario)


@pytest.mark.parametrize("call", ["", "call-7"])
def test_times_of_all_but_a_named_call_are_in_the_callers_clock(call: str) -> None:
    insight = {
        "begin_offset_ms": 100,
        "keywords": [{"character_offsets": {"begin": 1, "end": 2}, "begin_offset_ms": 150, "end_offset_ms": 160}],
    }

    async def telling(line: Line) -> None:
        await line.listen()
        words = [{"word": "two", "start": 0.25, "end": 0.5}]
        await line.tell(f"{TRANSCRIPTION}.delta", item_id="a", delta="two", words=words)
        await line.tell("aural.utterance_insights", **insight)
        await line.tell("aural.alert", offset_ms=7)
        await line.end(received=1700)

    async def scenario() -> None:
        wish = Wish(aural={"call": call} if call else {})
        async with standing_in(after_one(1012), telling) as server, connect(server.url, wish) as session:
            *_, grown, other, alert = await events_of(session)
            assert isinstance(grown, Grown)
            assert isinstance(other, Other)
            [word] = grown.words
            assert (word.start_s, word.end_s) == pytest.approx((0.55, 0.8))
            assert isinstance(alert, Other)
            assert alert.raw["offset_ms"] == (7 if call else 307)
            assert other.raw["begin_offset_ms"] == 400
            assert other.raw["keywords"][0]["character_offsets"] == {"begin": 1, "end": 2}
            assert other.raw["keywords"][0]["end_offset_ms"] == 460

    run(scenario)


def test_pauses_grow_differ_and_end() -> None:
    one = Patience()
    pauses, now = [], 0.0
    while (pause_s := one.pause_s(now)) is not None:
        pauses.append(pause_s)
        now += pause_s
    assert RECONNECT_S - LONGEST_PAUSE_S < now <= RECONNECT_S
    assert pauses[0] <= FIRST_PAUSE_S
    assert all(LONGEST_PAUSE_S / 2 <= pause_s <= LONGEST_PAUSE_S for pause_s in pauses[10:])
    one.rest()
    assert one.pause_s(now, at_least_s=20.0) == 20.0
    assert one.pause_s(now + RECONNECT_S + 1) is None


def test_what_failed_is_not_open() -> None:
    progress = Progress.at(1000, "token")
    assert not progress.note({"type": "input_audio_buffer.speech_started", "item_id": "a", "audio_start_ms": 1200})
    assert progress.open == {"a": 1200}
    assert not progress.note({"type": f"{TRANSCRIPTION}.failed", "item_id": "a"})
    assert progress.note({"type": "aural.suppressed", "item_id": None, "end_ms": 1500})
    assert (progress.heard_ms, progress.resume, progress.open) == (1500, None, {})
    assert progress.totals_ms == {"received": 500, "final": 0, "suppressed": 500}


def test_where_a_final_has_no_times_those_of_the_speech_hold() -> None:
    progress = Progress()
    assert not progress.note({"type": "input_audio_buffer.speech_started", "item_id": "a", "audio_start_ms": 200})
    assert not progress.note({"type": "input_audio_buffer.speech_stopped", "item_id": "a", "audio_end_ms": 900})
    assert progress.note({"type": f"{TRANSCRIPTION}.completed", "item_id": "a", "transcript": "one"})
    assert (progress.heard_ms, progress.open, progress.stopped) == (900, {}, {})
    assert progress.totals_ms == {"received": 900, "final": 700, "suppressed": 200}


def test_who_sends_more_than_is_kept_waits_for_the_next_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MOST_KEPT_BYTES", 16_000)

    async def scenario() -> None:
        scripts = (lambda line: hang_up(line, 1012), HTTPStatus.BAD_GATEWAY, the_rest)
        async with standing_in(*scripts) as server, connect(server.url) as session:
            told = aiter(session)
            assert isinstance(await anext(told), Lost)
            sending = asyncio.create_task(send_all(session, AUDIO))
            assert texts([event async for event in told]) == ["two"]
            await sending
            assert bytes(server.lines[1].heard) == AUDIO

    run(scenario)
