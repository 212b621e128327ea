"""Sessions on the clock of their call: time is an argument."""

from __future__ import annotations

import tomllib

from aural.insight.alerts import Watch
from aural.insight.settings import parse
from aural.insight.types import Role
from aural.live.events import Cleared, Closed, Event, Final, SpeechStarted, TimedOut
from aural.serving.leg import Leg, Timeline
from aural.types import SAMPLE_RATE, Transcript

SILENCE = parse(tomllib.loads("[alert.silence]\nany = [{ silence_s = 8 }]\ncooldown_s = 0")).rules


def at(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE)


class Line:
    """A call whose sessions come and go."""

    def __init__(self) -> None:
        self.timeline, self.watch = Timeline(), Watch(SILENCE)

    def leg(self, name: str, now: float, starts_at: int = 0, role: Role | None = None) -> Leg:
        leg = Leg(name, starts_at)
        leg.join(self.timeline, self.watch)
        leg.plays(role, now)
        leg.hears(now)
        return leg


def silences(leg: Leg, *told: tuple[float, Event | None]) -> list[float]:
    """When rules of silence acted, in seconds, while the session told of this; None is a look at the clock."""
    alerts = []
    for now, event in told:
        alerts += leg.tick(now)
        alerts += leg.note(event, now) if event else []
    return [alert.at / SAMPLE_RATE for alert in alerts]


def final(name: str, start_s: float, end_s: float, text: str = "words") -> Final:
    return Final(name, at(start_s), at(end_s), Transcript(), text)


def test_the_first_sessions_clock_is_that_of_the_call() -> None:
    line = Line()
    first = line.leg("one", 100.0)
    later = line.leg("two", 120.0)
    again = line.leg("one again", 130.0)
    assert [leg.place(at(5)) for leg in (first, later, again)] == [at(5), at(25), at(35)]


def test_a_session_that_goes_on_from_another_keeps_its_clock() -> None:
    line = Line()
    line.leg("one", 100.0)
    resumed = line.leg("two", 2500.0, starts_at=at(2400))
    assert resumed.place(at(2401)) == at(2401)
    assert Line().leg("alone", 2500.0, starts_at=at(2400)).place(at(2401)) == at(2401)


def test_a_session_may_join_long_after_it_began() -> None:
    line = Line()
    first, second = Leg("one"), Leg("two")
    first.hears(100.0)
    second.hears(110.0)
    for leg in (second, first):
        leg.join(line.timeline, line.watch)
        leg.plays(None, 160.0)
    assert second.place(at(60)) == at(60)
    assert first.place(at(70)) == at(60)
    assert first.place(at(1)) == 0


def test_a_clock_stands_still_while_no_audio_comes() -> None:
    leg = Line().leg("one", 0.0)
    spoken = [(1.2, SpeechStarted("u1", at(1))), (3.0, Closed("u1", at(1), at(2.5)))]
    assert silences(leg, *spoken) == []
    heard_later = [(60.2, SpeechStarted("u2", at(3))), (62.0, Closed("u2", at(3), at(4.5))), (63.0, None)]
    assert silences(leg, *heard_later) == [60.2]
    assert leg.place(at(4)) == at(61.2)


def test_audio_may_come_faster_than_life() -> None:
    leg = Line().leg("one", 0.0)
    spoken = [(0.1, SpeechStarted("u1", at(1))), (0.2, Closed("u1", at(1), at(2))), (0.3, None)]
    assert silences(leg, *spoken) == []
    assert silences(leg, (0.4, SpeechStarted("u2", at(20))), (0.5, Closed("u2", at(20), at(22)))) == [20.0]
    assert leg.place(at(22)) == at(22)


def test_silence_is_told_from_speech_by_what_comes() -> None:
    leg = Line().leg("one", 0.0)
    assert silences(leg, (7.9, None), (8.0, None), (9.0, None)) == [8.0]
    assert silences(leg, (10.0, SpeechStarted("u1", at(9.8))), (25.0, None)) == []
    assert silences(leg, (25.5, Closed("u1", at(9.8), at(25))), (26.2, final("u1", 9.8, 25)), (32.9, None)) == []
    assert silences(leg, (33.0, None)) == [33.0]


def test_the_silence_of_an_idle_timeout_is_one() -> None:
    leg = Line().leg("one", 0.0)
    timeout = [(5.0, TimedOut("u1", 0, at(5))), (5.0, Closed("u1", 0, at(5))), (5.3, final("u1", 0, 5, ""))]
    assert silences(leg, *timeout, (8.0, None)) == [8.0]


def test_where_the_client_commits_an_utterance_is_speech_until_then() -> None:
    leg = Line().leg("one", 0.0)
    again = (12.0, SpeechStarted("u1", at(11.9)))
    assert silences(leg, (2.0, SpeechStarted("u1", at(1.9))), again, (30.0, None)) == []
    assert silences(leg, (31.0, Closed("u1", 0, at(31))), (38.0, None), (39.0, None)) == [39.0]
    assert silences(leg, (45.0, Closed("u2", at(31), at(45))), (46.0, None)) == []  # of silence, so it goes on
    assert leg.place(at(40)) == at(40)


def test_whoever_hangs_up_or_clears_does_not_speak_any_more() -> None:
    line = Line()
    agent, customer = line.leg("one", 0.0), line.leg("two", 0.0)
    assert silences(agent, (1.0, SpeechStarted("u1", at(0.8)))) == []
    assert silences(customer, (20.0, None)) == []
    agent.leave(20.0)
    assert silences(customer, (27.0, None), (28.0, None)) == [28.0]
    assert silences(customer, (30.0, SpeechStarted("v1", at(29.8)))) == []
    assert silences(customer, (33.0, Cleared("v1", at(29.8), at(32.8))), (40.0, None), (41.0, None)) == [41.0]
    assert silences(agent, (99.0, None)) == []
