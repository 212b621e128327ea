"""A live session's insights beside its captions: no server, events and skills made by hand."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from aural.errors import Overloaded
from aural.insight.entities import PRIVATE
from aural.insight.keywords import Phrase
from aural.insight.request import Asked, Wish
from aural.insight.settings import parse
from aural.insight.types import Findings, Keyword, Role, Span, Utterance
from aural.live.events import Committed, Draft, Ended, Event, Final, Ledger
from aural.metrics import Metrics
from aural.serving.companion import MOST_IN_FLIGHT, Calls, Companion, LiveWish, Told
from aural.serving.understanding import Understanding
from aural.types import SAMPLE_RATE, Segment, Transcript

RULES = tomllib.loads('[alert.churn]\nany = [{ keyword = "leave" }]\n')


class Skills:
    """Finds "leave"; waits, or refuses, when told so."""

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
        at = utterance.text.find("leave")
        return Findings((Keyword("leave", "leave", 1.0, Span(at, at + 5, 0, 1)),) if at >= 0 else ())


def said(number: int, text: str) -> list[Event]:
    start, end = number * SAMPLE_RATE, (number + 1) * SAMPLE_RATE
    transcript = Transcript((Segment(text, start, end),))
    return [Committed(f"u{number}", text), Final(f"u{number}", start, end, transcript, text)]


async def played(events: Sequence[Event | asyncio.Event]) -> AsyncIterator[Event]:
    for event in events:
        if isinstance(event, asyncio.Event):
            await event.wait()
        else:
            yield event


class Desk:
    def __init__(self) -> None:
        self.skills = Skills()
        understanding = Understanding(self.skills, Metrics(), parse(RULES))  # type: ignore[arg-type]
        self.calls = Calls(understanding)

    def companion(self, name: str = "s1", **wish: Any) -> Companion:
        companion = Companion(self.calls, name)
        companion.ask(LiveWish(**({"wish": Wish(Asked(phrases=(Phrase("leave"),)))} | wish)))
        return companion


async def heard(companion: Companion, events: Sequence[Event | asyncio.Event]) -> list[Any]:
    return [item async for item in companion.events(played([*events, Ended(Ledger())]))]


def kinds(items: Sequence[Any]) -> list[str]:
    return [item.body["type"] if isinstance(item, Told) else type(item).__name__ for item in items]


def test_insights_come_after_the_final_and_the_end_comes_last() -> None:
    async def work() -> None:
        items = await heard(Desk().companion(), said(0, " i will leave"))
        told = ["utterance_insights", "alert", "call_insights"]
        assert kinds(items) == ["Committed", "Final", *told, "Ended"]
        assert items[2].body["keywords"][0]["phrase"] == "leave"
        assert items[4].body["is_final"] is True

    asyncio.run(work())


def test_captions_do_not_wait_for_skills_that_hang() -> None:
    async def work() -> None:
        desk = Desk()
        desk.skills.gate.clear()
        many = MOST_IN_FLIGHT + 2
        seen: list[str] = []
        events = [event for number in range(many) for event in said(number, " words")]
        async for item in desk.companion().events(played([*events, Ended(Ledger())])):
            seen.append(kinds([item])[0])
            if seen.count("Final") == many:
                desk.skills.gate.set()
        assert seen.count("Final") == many
        assert seen.count("insights_skipped") == 2
        assert seen.count("utterance_insights") == MOST_IN_FLIGHT
        assert seen[-1] == "Ended"

    asyncio.run(work())


def test_no_room_is_a_notice() -> None:
    async def work() -> None:
        desk = Desk()
        desk.skills.is_full = True
        items = await heard(desk.companion(), said(0, " words"))
        [skipped] = [item.body for item in items if kinds([item]) == ["insights_skipped"]]
        assert (skipped["utterance_id"], skipped["code"]) == ("u0", "overloaded")

    asyncio.run(work())


def test_two_sessions_of_one_call_share_its_alerts_and_its_end() -> None:
    async def work() -> None:
        desk, later = Desk(), asyncio.Event()
        agent = desk.companion("s1", call="c", channel=0, role=Role.AGENT)
        customer = desk.companion("s2", call="c", channel=1, role=Role.CUSTOMER)
        listening = asyncio.create_task(heard(agent, [*said(0, " hello"), later]))
        theirs = await heard(customer, said(1, " i leave"))
        later.set()
        ours = await listening
        assert "alert" in kinds(ours)
        assert "alert" in kinds(theirs)
        [call] = [item.body for item in ours if kinds([item]) == ["call_insights"]]
        assert set(call["talk"]["speakers"]) == {"AGENT", "CUSTOMER"}
        assert {(one.role, one.channel) for one in desk.skills.seen} == {(Role.AGENT, 0), (Role.CUSTOMER, 1)}

    asyncio.run(work())


@pytest.mark.parametrize("insights", [None, Asked(phrases=(Phrase("leave"),))])
def test_redaction_reaches_captions_drafts_and_insights(insights: Asked | None) -> None:
    async def work() -> None:
        desk = Desk()
        text = " my card is 4111 1111 1111 1111 thanks"
        events = [Draft("u0", text[:20]), *said(0, text), Draft("u1", " 4111")]
        items = await heard(desk.companion(wish=Wish(insights, PRIVATE)), events)
        assert "111" not in repr([item.body if isinstance(item, Told) else item for item in items])
        assert "111" not in repr(desk.skills.seen)
        committed = "".join(item.text for item in items if isinstance(item, Committed))
        [final] = [item for item in items if isinstance(item, Final)]
        assert committed == final.text == " my card is [CARD_NUMBER] thanks"

    asyncio.run(work())


def test_without_a_wish_events_pass_as_they_are() -> None:
    async def work() -> None:
        events = said(0, " my card is 4111 1111 1111 1111")
        items = await heard(Desk().companion(wish=Wish()), events)
        assert items[:-1] == events

    asyncio.run(work())


def test_redaction_switched_within_an_utterance_keeps_what_was_told_and_holds_to_its_end() -> None:
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

    asyncio.run(work())
