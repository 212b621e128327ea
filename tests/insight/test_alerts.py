"""Rules that act, on turns made by hand: time is an argument."""

from __future__ import annotations

import tomllib

import pytest

from aural.errors import SettingsError
from aural.insight.alerts import Watch, alert_json, parse_rules
from aural.insight.types import Emotion, Findings, Intent, Keyword, Role, Safety, Span, Turn, Utterance
from aural.types import SAMPLE_RATE

RULES = """
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


def watch() -> Watch:
    return Watch(parse_rules(tomllib.loads(RULES)["alert"]))


def turn(start_s: float, end_s: float, role: Role = Role.CUSTOMER, **found: object) -> Turn:
    utterance = Utterance(f"u{start_s}", "text", round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE), role=role)
    return Turn(utterance, Findings(**found))  # type: ignore[arg-type]


ANGRY = Emotion("anger", 0.8, "NEGATIVE", -0.8)
CALM = Emotion("neutral", 0.8, "NEUTRAL", 0.0)
CHURN = (Keyword("leave", "leave", 1.0, Span(0, 5, 100, 200), "churn"),)


def names(alerts: list) -> list[str]:
    return [alert.rule.name for alert in alerts]


def test_a_keyword_of_the_right_speaker_acts_once_in_its_time() -> None:
    rules = watch()
    assert names(rules.turn(turn(0, 2, Role.AGENT, keywords=CHURN))) == []
    [alert] = rules.turn(turn(3, 5, keywords=CHURN))
    assert alert_json(alert)["points_of_interest"][0] == {
        "condition": "category",
        "value": "churn",
        "utterance_id": "u3",
        "begin_offset_ms": 6,
        "end_offset_ms": 12,
    }
    assert names(rules.turn(turn(6, 7, intent=Intent("cancel_service", 0.9)))) == []
    assert names(rules.turn(turn(70, 72, intent=Intent("cancel_service", 0.9)))) == ["cancel-risk"]
    assert names(rules.turn(turn(140, 142, intent=Intent("cancel_service", 0.3)))) == []


def test_an_emotion_must_last() -> None:
    rules = watch()
    assert names(rules.turn(turn(0, 4, emotion=ANGRY))) == []
    assert names(rules.turn(turn(5, 9, emotion=CALM))) == []
    assert names(rules.turn(turn(9, 14, emotion=ANGRY))) == []
    assert names(rules.turn(turn(14, 20, emotion=ANGRY))) == ["angry"]


def test_all_conditions_within_their_time() -> None:
    rules = watch()
    rules.turn(turn(0, 4, emotion=ANGRY))
    assert names(rules.clock(11 * SAMPLE_RATE)) == []
    assert names(rules.clock(13 * SAMPLE_RATE)) == ["angry-and-ignored"]
    other = watch()
    other.turn(turn(0, 4, emotion=ANGRY))
    other.turn(turn(40, 44, emotion=CALM))
    assert names(other.clock(60 * SAMPLE_RATE)) == []


def test_danger_and_talking_over() -> None:
    rules = watch()
    rules.turn(turn(0, 6, Role.AGENT))
    assert names(rules.turn(turn(3, 6, safety=(Safety("SELF_HARM", 0.95, 1.0),)))) == ["danger", "talk-over"]


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("[alert.x]\nany = []", "conditions"),
        ("[alert.x]\nany = [{ moon = 1 }]", "talk_over_s"),
        ("[alert.x]\nany = [{ emotion = 'bored' }]", "surprise"),
        ("[alert.x]\nany = [{ silence_s = 'long' }]", "seconds"),
        ("[alert.x]\nany = [{ silence_s = 1 }]\nall = []", "one of any and all"),
        ("[alert.x]\nrole = 'BOSS'\nany = [{ silence_s = 1 }]", "AGENT"),
    ],
)
def test_a_wrong_rule_is_named(rule: str, named: str) -> None:
    with pytest.raises(SettingsError, match=r"alert\.x") as raised:
        parse_rules(tomllib.loads(rule)["alert"])
    assert named in str(raised.value)
