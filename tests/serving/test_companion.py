"""A live session's insights beside its captions: no server, events and skills made by hand."""

from __future__ import annotations

import asyncio
import threading
import tomllib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from aural.errors import Overloaded
from aural.insight.call import of_turns
from aural.insight.keywords import Phrase
from aural.insight.request import Asked, Wish
from aural.insight.settings import parse
from aural.insight.tags import PRIVATE
from aural.insight.types import Emotion, Findings, Keyword, Role, Skill, Span, Utterance
from aural.live.events import Closed, Committed, Draft, Ended, Event, Final, LanguageDetected, Ledger, SpeechStarted
from aural.metrics import Metrics
from aural.serving import companion as companions
from aural.serving.companion import MOST_IN_FLIGHT, SUMMARY_EVERY_TURNS, Calls, Companion, LiveWish, Told
from aural.serving.understanding import Understanding
from aural.serving.word_times import Rehear
from aural.types import SAMPLE_RATE, Segment, Transcript
from tests.serving.loop import in_loop, until

RULES = """
[alert.churn]
any = [{ keyword = "leave" }]

[alert.angry]
any = [{ emotion = "anger" }]

[alert.silence]
any = [{ silence_s = 8 }]
"""
TICK = LanguageDetected("en", 1.0)
"""Means nothing here; what is due by then is told before it."""


class Skills:
    """Finds "leave" and "angry", if asked to; waits, or refuses, when told so."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_full = False
        self.seen: list[Utterance] = []

    async def one(self, utterance: Utterance, asked: Asked) -> Findings:
        if self.is_full:
            raise Overloaded("full", 1.0)
        await self.gate.wait()
        self.seen.append(utterance)
        begin = utterance.text.find("leave")
        span = Span(begin, begin + 5, *utterance.times(begin, begin + 5))
        angry = Emotion("anger", 0.9, "NEGATIVE", -0.9) if "angry" in utterance.text else None
        return Findings(
            keywords=(Keyword("leave", "leave", 1.0, span),) if begin >= 0 else (),
            emotion=angry if Skill.EMOTION in asked.skills else None,
        )


def at(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE)


def said(number: int, text: str) -> list[Event]:
    start, end = at(number), at(number + 1)
    transcript = Transcript((Segment(text, start, end),))
    name = f"u{number}"
    return [Committed(name, text), Closed(name, start, end), Final(name, start, end, transcript, text)]


Script = Sequence[Event | asyncio.Event | float]
"""Events, what is waited for before the next one, and the time that it is by then, in seconds."""


async def played(script: Script, desk: Desk | None = None) -> AsyncIterator[Event]:
    for event in script:
        if isinstance(event, asyncio.Event):
            await event.wait()
        elif isinstance(event, float):
            assert desk is not None
            desk.now = event
        else:
            yield event


class Desk:
    def __init__(self, rules: str = RULES) -> None:
        self.now = 0.0
        self.skills = Skills()
        self.metrics = Metrics()
        settings = parse(tomllib.loads(rules))
        self.calls = Calls(Understanding(self.skills, self.metrics, settings))  # type: ignore[arg-type]

    def companion(self, name: str = "s1", **wish: Any) -> Companion:
        companion = Companion(self.calls, name, clock=lambda: self.now)
        companion.ask(LiveWish(**({"wish": Wish(Asked(phrases=(Phrase("leave"),)))} | wish)))
        companion.hears()
        return companion

    async def heard(self, companion: Companion, script: Script, rehear: Rehear | None = None) -> list[Any]:
        return [item async for item in companion.events(played([*script, Ended(Ledger())], self), rehear)]

    def counted(self, metric: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(metric, labels) or 0.0


def kinds(items: Sequence[Any]) -> list[str]:
    return [item.body["type"] if isinstance(item, Told) else type(item).__name__ for item in items]


def bodies(items: Sequence[Any], kind: str) -> list[dict[str, Any]]:
    return [item.body for item in items if kinds([item]) == [kind]]


def alerts(items: Sequence[Any]) -> list[tuple[str, float]]:
    """Which rules acted, and when, in seconds of the call."""
    return [(body["name"], body["offset_ms"] / 1000) for body in bodies(items, "alert")]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "TICK_S", 0.01)


@in_loop
async def test_insights_come_after_the_final_and_the_end_comes_last() -> None:
    desk = Desk()
    items = await desk.heard(desk.companion(), said(0, " i will leave"))
    told = ["utterance_insights", "alert", "call_insights"]
    assert kinds(items) == ["Committed", "Closed", "Final", *told, "Ended"]
    assert items[3].body["keywords"][0]["phrase"] == "leave"
    assert (items[4].body["call"], items[4].body["session"]) == ("s1", "s1")
    assert items[5].body["is_final"] is True


@in_loop
async def test_captions_do_not_wait_for_skills_that_hang() -> None:
    desk = Desk()
    desk.skills.gate.clear()
    many = MOST_IN_FLIGHT + 2
    seen: list[str] = []
    events = [event for number in range(many) for event in said(number, " words")]
    async for item in desk.companion().events(played([*events, Ended(Ledger())], desk)):
        seen.append(kinds([item])[0])
        if seen.count("Final") == many:
            desk.skills.gate.set()
    assert seen.count("Final") == many
    assert seen.count("insights_skipped") == desk.counted("aural_insight_skipped_total") == 2
    assert seen.count("utterance_insights") == MOST_IN_FLIGHT
    assert seen[-1] == "Ended"


@in_loop
async def test_no_room_is_a_notice() -> None:
    desk = Desk()
    desk.skills.is_full = True
    items = await desk.heard(desk.companion(), said(0, " words"))
    [skipped] = bodies(items, "insights_skipped")
    assert (skipped["utterance_id"], skipped["code"]) == ("u0", "overloaded")


@in_loop
async def test_what_is_not_there_at_the_end_is_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "LAST_S", 0.01)
    desk = Desk()
    desk.skills.gate.clear()
    items = await desk.heard(desk.companion(), said(0, " i leave"))
    [skipped] = bodies(items, "insights_skipped")
    assert (skipped["utterance_id"], skipped["code"]) == ("u0", "timeout")
    assert desk.counted("aural_insight_skipped_total") == 1
    assert kinds(items)[-2:] == ["call_insights", "Ended"]
    desk.skills.gate.set()
    await desk.calls.stop()


@in_loop
async def test_last_words_set_alerts_off_when_the_client_has_hung_up() -> None:
    desk = Desk()
    desk.skills.gate.clear()
    async with aclosing(desk.companion().events(played(said(0, " i leave"), desk))) as events:
        assert kinds([await anext(events) for _ in range(3)]) == ["Committed", "Closed", "Final"]
    assert desk.counted("aural_alerts_total", rule="churn") == 0
    desk.skills.gate.set()
    await desk.calls.stop()
    assert desk.counted("aural_alerts_total", rule="churn") == 1
    assert not desk.calls.looks


@in_loop
async def test_two_sessions_of_one_call_share_its_alerts_and_its_end() -> None:
    desk, later = Desk(), asyncio.Event()
    agent = desk.companion("s1", call="c", channel=0, role=Role.AGENT)
    customer = desk.companion("s2", call="c", channel=1, role=Role.CUSTOMER)
    listening = asyncio.create_task(desk.heard(agent, [*said(0, " hello"), later]))
    theirs = await desk.heard(customer, said(1, " i leave"))
    later.set()
    ours = await listening
    assert alerts(ours) == alerts(theirs) == [("churn", 2.0)]
    assert [body["is_final"] for body in bodies(theirs, "call_insights")] == [False]
    [call] = bodies(ours, "call_insights")
    assert call["is_final"] is True
    assert set(call["talk"]["speakers"]) == {"AGENT", "CUSTOMER"}
    assert {(one.role, one.channel) for one in desk.skills.seen} == {(Role.AGENT, 0), (Role.CUSTOMER, 1)}


@in_loop
async def test_a_session_that_joins_later_has_its_place_in_the_call() -> None:
    desk, later = Desk(), asyncio.Event()
    agent = desk.companion("s1", call="c", role=Role.AGENT)
    hello = [0.2, SpeechStarted("u0", 0), 1.5, *said(0, " hello"), later]
    listening = asyncio.create_task(desk.heard(agent, hello))
    await until(lambda: desk.skills.seen)
    desk.now = 20.0
    customer = desk.companion("s2", call="c", role=Role.CUSTOMER)
    theirs = await desk.heard(customer, [25.2, SpeechStarted("u5", at(5)), 26.5, *said(5, " i leave")])
    later.set()
    ours = await listening
    [found] = bodies(theirs, "utterance_insights")
    assert (found["begin_offset_ms"], found["keywords"][0]["begin_offset_ms"]) == (5000, 5250)
    assert alerts(theirs) == [("churn", 26.0)]
    [point] = bodies(theirs, "alert")[0]["points_of_interest"]
    assert (point["begin_offset_ms"], point["end_offset_ms"]) == (25_250, 26_000)
    silences = bodies(ours, "call_insights")[0]["talk"]["non_talk"]["instances"]
    assert silences == [{"begin_offset_ms": 1000, "end_offset_ms": 25_000}]


@in_loop
async def test_a_session_that_reconnects_is_watched_on() -> None:
    desk, later = Desk(), asyncio.Event()
    listening = asyncio.create_task(desk.heard(desk.companion("s0", call="c"), [later]))
    names = []
    for number, begins in enumerate((0.0, 2400.0, 2430.0, 2465.0)):
        desk.now = begins
        items = await desk.heard(desk.companion(f"s{number + 1}", call="c"), [begins + 2.5, *said(1, " i leave")])
        names.append([alert for alert in alerts(items) if alert[0] == "churn"])
    later.set()
    await listening
    assert names == [[("churn", 2.0)], [("churn", 2402.0)], [], [("churn", 2467.0)]]


@in_loop
async def test_silence_is_heard_though_nothing_comes() -> None:
    desk, acted = Desk(), asyncio.Event()
    events = desk.companion().events(played([1.0, TICK, 8.0, acted, Ended(Ledger())], desk))
    items = []
    async for item in events:
        items.append(item)
        if kinds([item]) == ["alert"]:
            acted.set()
    assert alerts(items) == [("silence", 8.0)]


@in_loop
async def test_silence_goes_by_speech_and_not_by_insights() -> None:
    desk = Desk()
    desk.skills.gate.clear()
    long = [SpeechStarted("u9", 0), 10.6, *said(9, " words"), 11.5, TICK, 17.9, TICK]
    items = []
    async for item in desk.companion().events(played([*long, 18.0, TICK, 19.0, TICK, Ended(Ledger())], desk)):
        items.append(item)
        if isinstance(item, LanguageDetected) and desk.now == 19.0:
            desk.skills.gate.set()
    assert alerts(items) == [("silence", 18.0)]


@in_loop
async def test_there_is_no_silence_while_one_of_two_speaks() -> None:
    desk, begun, later = Desk(), asyncio.Event(), asyncio.Event()
    agent, customer = (desk.companion(name, call="c") for name in ("s1", "s2"))

    async def speech() -> list[Any]:
        items = []
        async for item in agent.events(played([SpeechStarted("u0", 0), later, Ended(Ledger())], desk)):
            items.append(item)
            begun.set()
        return items

    speaking = asyncio.create_task(speech())
    aside = [begun, 12.2, SpeechStarted("u12", at(12)), 13.3, *said(12, " mhm"), 30.0, TICK]
    assert alerts(await desk.heard(customer, aside)) == []
    later.set()
    assert alerts(await speaking) == []


@in_loop
async def test_rules_act_whatever_a_session_asks_for() -> None:
    desk = Desk()
    asked = Asked(skills=frozenset({Skill.KEYWORDS}), phrases=(Phrase("hello"),))
    items = await desk.heard(desk.companion(wish=Wish(asked)), said(0, " i leave, angry"))
    assert [name for name, _ in alerts(items)] == ["churn", "angry"]
    [found] = bodies(items, "utterance_insights")
    assert found["keywords"] == []
    assert "emotion" not in found


@in_loop
async def test_a_very_long_call_is_not_summed_up_with_every_utterance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companions, "MOST_TURNS", SUMMARY_EVERY_TURNS)
    desk = Desk()
    events = [event for number in range(2 * SUMMARY_EVERY_TURNS) for event in said(number, " words")]
    items: list[Any] = []
    async for item in desk.companion().events(played([*events, Ended(Ledger())], desk)):
        items.append(item)
        while isinstance(item, Final) and desk.calls.looks:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
    assert len(bodies(items, "utterance_insights")) == 2 * SUMMARY_EVERY_TURNS
    assert [body["is_final"] for body in bodies(items, "call_insights")] == [False, True]


@in_loop
async def test_what_a_call_comes_to_is_worked_out_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def noting(*given: Any) -> Any:
        threads.append(threading.get_ident())
        return of_turns(*given)

    monkeypatch.setattr(companions, "of_turns", noting)
    desk = Desk()
    await desk.heard(desk.companion(), said(0, " words"))
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.parametrize("insights", [None, Asked(phrases=(Phrase("leave"),))])
def test_redaction_reaches_captions_drafts_and_insights(insights: Asked | None) -> None:
    @in_loop
    async def work() -> None:
        desk = Desk()
        text = " my card is 4111 1111 1111 1111 i leave angry"
        events = [Draft("u0", text[:20]), *said(0, text), Draft("u1", " 4111")]
        items = await desk.heard(desk.companion(wish=Wish(insights, PRIVATE)), events)
        assert "1111" not in repr([item.body if isinstance(item, Told) else item for item in items])
        assert "1111" not in repr(desk.skills.seen)
        committed = "".join(item.text for item in items if isinstance(item, Committed))
        [final] = [item for item in items if isinstance(item, Final)]
        assert committed == final.text == " my card is [CARD_NUMBER] i leave angry"
        points = [point["text"] for body in bodies(items, "alert") for point in body["points_of_interest"]]
        assert points == (["leave", final.text.strip()] if insights else [])

    work()


@in_loop
async def test_without_a_wish_events_pass_as_they_are() -> None:
    desk = Desk()
    events = said(0, " my card is 4111 1111 1111 1111")
    items = await desk.heard(desk.companion(wish=Wish()), events)
    assert items[:-1] == events


def test_redaction_switched_within_an_utterance_keeps_what_was_told_and_holds_to_its_end() -> None:
    @in_loop
    async def work() -> None:
        companion = Desk().companion(wish=Wish())
        text = " my card is 4111 1111 1111 1111 thanks"
        first, *rest = Committed("u0", text[:11]), Committed("u0", text[11:]), *said(0, text)[1:], *said(1, text)

        async def source() -> AsyncIterator[Event]:
            yield first
            companion.ask(LiveWish(Wish(None, PRIVATE)))
            yield rest[0]
            companion.ask(LiveWish(Wish()))
            for event in rest[1:]:
                yield event
            yield Ended(Ledger())

        items = [item async for item in companion.events(source())]
        committed = {"u0": "", "u1": ""}
        for item in items:
            if isinstance(item, Committed):
                committed[item.utterance] += item.text
        assert committed == {item.utterance: item.text for item in items if isinstance(item, Final)}
        assert committed == {"u0": " my card is [CARD_NUMBER] thanks", "u1": text}

    work()


@pytest.mark.parametrize(("channel", "role"), [(None, None), (0, Role.AGENT), (1, Role.CUSTOMER)])
def test_a_role_follows_from_a_channel_that_was_named(channel: int | None, role: Role | None) -> None:
    @in_loop
    async def work() -> None:
        desk = Desk()
        wish = Wish(Asked(roles=(Role.AGENT, Role.CUSTOMER)))
        await desk.heard(desk.companion(wish=wish, channel=channel), said(0, " hello"))
        assert [(one.role, one.channel) for one in desk.skills.seen] == [(role, channel or 0)]

    work()
