"""Rules that act, on turns made by hand: time is an argument."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime

import pytest

from aural.insight.alerts import Alert, Source, Watch, alert_json, of_call
from aural.insight.settings import parse
from aural.insight.types import Emotion, Findings, Intent, Keyword, Role, Safety, Span, Turn, Utterance
from aural.types import SAMPLE_RATE

RULES = """
keywords = { churn = ["leave"] }

[alert.cancel-risk]
role = "CUSTOMER"
any = [{ category = "churn" }, { intent = "cancel_service", score = 0.4 }]

[alert.angry]
any = [{ emotion = "anger", for_s = 10 }]

[alert.angry-and-ignored]
all = [{ emotion = "anger" }, { silence_s = 8 }]
within_s = 30

[alert.danger]
any = [{ safety = "SELF_HARM" }]

[alert.talk-over]
any = [{ talk_over_s = 2 }]
"""
AGENT, CUSTOMER = Role.AGENT, Role.CUSTOMER


def watch(rules: str = RULES) -> Watch:
    return Watch(parse(tomllib.loads(rules)).rules)


def of(condition: str, more: str = "") -> Watch:
    """One rule that has one condition."""
    return watch(f"[alert.it]\nany = [{{ {condition} }}]\n{more}")


def at(time_s: float) -> int:
    return round(time_s * SAMPLE_RATE)


def turn(start_s: float, end_s: float, role: Role = CUSTOMER, **found: object) -> Turn:
    utterance = Utterance(f"u{start_s}", "i leave", at(start_s), at(end_s), role=role)
    return Turn(utterance, Findings(**found))  # type: ignore[arg-type]


ANGRY = Emotion("anger", 0.8, "NEGATIVE", -0.8)
CALM = Emotion("neutral", 0.8, "NEUTRAL", 0.0)
CHURN = (Keyword("leave", "leave", 1.0, Span(2, 7, 100, 200), "churn"),)


def names(alerts: list[Alert]) -> list[str]:
    return [alert.rule.name for alert in alerts]


def test_a_keyword_of_the_right_speaker_acts_once_in_its_time() -> None:
    rules = watch()
    assert names(rules.turn(turn(0, 2, AGENT, keywords=CHURN))) == []
    assert names(rules.turn(turn(3, 5, keywords=CHURN))) == ["cancel-risk"]
    assert names(rules.turn(turn(6, 7, intent=Intent("cancel_service", 0.9)))) == []
    assert names(rules.turn(turn(70, 72, intent=Intent("cancel_service", 0.9)))) == ["cancel-risk"]
    assert names(rules.turn(turn(140, 142, intent=Intent("cancel_service", 0.3)))) == []


def test_an_alert_says_what_it_is_about() -> None:
    [alert] = watch().turn(turn(3, 5, keywords=CHURN))
    now = datetime(2026, 11, 30, 11, 3, 2, 123456, UTC)
    assert alert_json(alert, Source("call-7", "sess_1"), now) == {
        "type": "alert",
        "schema": "1",
        "name": "cancel-risk",
        "time": "2026-11-30T11:03:02.123+00:00",
        "call": "call-7",
        "session": "sess_1",
        "request_id": None,
        "offset_ms": 5000,
        "matched_categories": ["cancel-risk"],
        "points_of_interest": [
            {
                "condition": "category",
                "value": "churn",
                "confidence": 1.0,
                "text": "leave",
                "utterance_id": "u3",
                "participant_role": "CUSTOMER",
                "channel": 0,
                "begin_offset_ms": 6,
                "end_offset_ms": 12,
            }
        ],
    }


def test_an_emotion_must_last() -> None:
    rules = watch()
    assert names(rules.turn(turn(0, 4, emotion=ANGRY))) == []
    assert names(rules.turn(turn(5, 9, emotion=CALM))) == []
    assert names(rules.turn(turn(9, 14, emotion=ANGRY))) == []
    assert names(rules.turn(turn(14, 20, emotion=ANGRY))) == ["angry"]


def test_all_conditions_within_their_time() -> None:
    rules = watch()
    rules.was_heard(CUSTOMER, at(4))
    rules.turn(turn(0, 4, emotion=ANGRY))
    assert names(rules.clock(at(11))) == []
    assert names(rules.clock(at(13))) == ["angry-and-ignored"]
    other = watch()
    other.turn(turn(0, 4, emotion=ANGRY))
    other.was_heard(CUSTOMER, at(44))
    assert names(other.clock(at(60))) == []


def test_conditions_may_come_true_in_any_order() -> None:
    rules = watch()
    rules.was_heard(CUSTOMER, at(4))
    assert names(rules.clock(at(13))) == []
    [alert] = rules.turn(turn(0, 4, emotion=ANGRY))
    assert [hit.condition.kind for hit in alert.hits] == ["emotion", "silence_s"]
    late = watch()
    late.was_heard(CUSTOMER, at(44))
    assert names(late.clock(at(53))) == []
    assert names(late.turn(turn(0, 4, emotion=ANGRY))) == []


def test_danger_and_talking_over() -> None:
    rules = watch()
    rules.turn(turn(0, 6, AGENT))
    assert names(rules.turn(turn(3, 6, safety=(Safety("SELF_HARM", 0.95, 1.0),)))) == ["danger", "talk-over"]


@pytest.mark.parametrize(("role", "acts"), [(AGENT, False), (CUSTOMER, True)])
def test_whoever_began_later_talked_over_the_other(role: Role, *, acts: bool) -> None:
    for first, second in (((0, 6, AGENT), (3, 9, CUSTOMER)), ((3, 9, CUSTOMER), (0, 6, AGENT))):
        rules = of("talk_over_s = 2", f'role = "{role}"')
        rules.turn(turn(*first))
        assert names(rules.turn(turn(*second))) == ["it"] * acts


def test_there_is_no_silence_while_somebody_speaks() -> None:
    rules = of("silence_s = 8")
    rules.speaks("agent", AGENT, at(0))
    rules.speaks("customer", CUSTOMER, at(12))
    rules.hushes("customer", at(12.5))
    assert names(rules.turn(turn(12, 12.5))) == []
    assert names(rules.clock(at(20))) == []
    rules.hushes("agent", at(20))
    assert names(rules.clock(at(27))) == []
    assert names(rules.clock(at(28))) == ["it"]


def test_words_that_are_understood_late_are_no_silence() -> None:
    rules = of("silence_s = 8")
    rules.speaks("one", None, at(0))
    rules.hushes("one", at(10))
    assert names(rules.clock(at(11))) == []
    assert names(rules.turn(turn(0, 10))) == []


def test_a_silence_sets_a_rule_off_once() -> None:
    rules = of("silence_s = 8", "cooldown_s = 5")
    rules.comes(None, 0)
    assert [names(rules.clock(at(second))) for second in (7, 8, 9, 20, 100)] == [[], ["it"], [], [], []]
    rules.speaks("one", None, at(101))
    rules.hushes("one", at(102))
    assert names(rules.clock(at(110))) == ["it"]


def test_a_silence_waits_for_the_cooldown() -> None:
    rules = of("silence_s = 8", "cooldown_s = 60")
    rules.comes(None, 0)
    assert names(rules.clock(at(8))) == ["it"]
    rules.was_heard(None, at(20))
    assert names(rules.clock(at(40))) == []
    assert names(rules.clock(at(68))) == ["it"]


def test_a_silence_of_a_role_is_that_sides_alone() -> None:
    rules = of("silence_s = 8", 'role = "AGENT"')
    assert names(rules.clock(at(60))) == []  # there is no agent
    rules.comes(AGENT, at(60))
    rules.speaks("customer", CUSTOMER, at(61))
    assert names(rules.clock(at(67))) == []
    assert names(rules.clock(at(68))) == ["it"]


def test_turns_out_of_order_have_their_cooldown() -> None:
    rules = of('intent = "complaint"', "cooldown_s = 60")
    complaint = Intent("complaint", 0.9)
    assert names(rules.turn(turn(98, 100, intent=complaint))) == ["it"]
    assert names(rules.turn(turn(60, 62, intent=complaint))) == []
    assert names(rules.turn(turn(8, 10, intent=complaint))) == ["it"]
    assert names(rules.turn(turn(140, 142, intent=complaint))) == []
    assert names(rules.turn(turn(160, 162, intent=complaint))) == ["it"]


def test_the_silences_of_a_call_that_is_over() -> None:
    rules = parse(tomllib.loads("[alert.it]\nany = [{ silence_s = 8 }]\ncooldown_s = 0")).rules
    said = [turn(9, 30, AGENT), turn(12, 13), turn(39, 40)]
    alerts = of_call(rules, said, at(50))
    assert [(hit.start / SAMPLE_RATE, hit.end / SAMPLE_RATE) for alert in alerts for hit in alert.hits] == [
        (0, 9),
        (30, 39),
        (40, 50),
    ]
    assert of_call(rules, [turn(0, 30, AGENT), turn(12, 13)]) == []
