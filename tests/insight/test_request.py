"""What callers ask, in each form, and what they are told when it is wrong."""

from __future__ import annotations

import json

import pytest

from aural.errors import BadRequest
from aural.insight.keywords import Phrase
from aural.insight.request import Asked, parse_asked, parse_redact
from aural.insight.tags import PRIVATE
from aural.insight.types import Role, Skill


def test_names_switches_and_objects() -> None:
    assert parse_asked(None) is None
    assert parse_asked("false") is None
    assert parse_asked("true") == parse_asked(True) == Asked()
    assert parse_asked("keywords, intent").skills == {Skill.KEYWORDS, Skill.INTENT}  # type: ignore[union-attr]
    table = {
        "skills": ["keywords"],
        "keywords": {"churn": ["leave", {"phrase": "cancel", "variants": ["stop"], "fuzzy": False}]},
        "intents": {"move": ["i am moving"], "stay": []},
        "roles": ["agent", "CUSTOMER"],
    }
    asked = parse_asked(json.dumps(table))
    assert asked == parse_asked(table)
    assert asked is not None
    assert asked.phrases == (Phrase("leave", category="churn"), Phrase("cancel", ("stop",), "churn", fuzzy=False))
    assert [spec.label for spec in asked.intents] == ["move", "stay"]
    assert [asked.role(channel) for channel in (0, 1, 2, None)] == [Role.AGENT, Role.CUSTOMER, None, None]


def test_the_file_of_the_server_lies_below() -> None:
    base = Asked(phrases=(Phrase("refund"),))
    assert parse_asked("intent", base).phrases == base.phrases  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "value",
    [
        *("moods", "{", "[1", '{"moon": 1}', '{"keywords": 3}', '{"keywords": [3]}', '{"intents": {"": []}}', 7),
        *('{"intent_threshold": 2}', '{"roles": ["BOSS"]}', '{"skills": {}}', '{"llm": "yes"}', "[" * 100_000),
    ],
)
def test_wrong_ones_are_refused_by_name(value: object) -> None:
    with pytest.raises(BadRequest) as raised:
        parse_asked(value)
    assert raised.value.param == "insights"


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ({"keywords": [f"phrase {i}" for i in range(10_001)]}, "10000 phrases and variants"),
        (
            {"keywords": [{"phrase": "a", "variants": [f"way {i}" for i in range(10_000)]}]},
            "10000 phrases and variants",
        ),
        ({"keywords": ["long " * 90] * 1_000}, "400000 characters"),
        ({"keywords": {"c" * 501: ["a"]}}, "500 characters"),
        ({"keywords": [{"phrase": "a", "category": 7}]}, "500 characters"),
        ({"intents": [f"label {i}" for i in range(301)]}, "300 labels"),
        ({"intents": {"a": [f"text {i}" for i in range(3_001)]}}, "3000 examples"),
        ({"intents": {"a": ["long " * 90] * 1_000}}, "400000 characters"),
        ({"keywords": {f"category {i}": ["a"] for i in range(10_001)}}, "10000 phrases and variants"),
        ({"keywords": "a," * 10_000}, "10000 phrases and variants"),
        ({"intents": ["a"] * 10_001}, "10000 labels"),
        ({"skills": ["all"] * 10_001}, "10000 names"),
        ({"roles": [""] * 10_001}, "10000 AGENT and CUSTOMER"),
    ],
)
def test_what_would_take_too_long_is_refused(table: dict[str, object], named: str) -> None:
    with pytest.raises(BadRequest, match=named):
        parse_asked(table)


def test_many_phrases_are_matched_to_the_letter() -> None:
    few = parse_asked({"keywords": [f"phrase {i}" for i in range(1_000)]})
    many = parse_asked({"keywords": [*(f"phrase {i}" for i in range(1_000)), "one more"]})
    assert few is not None
    assert many is not None
    assert all(phrase.fuzzy for phrase in few.phrases)
    assert not any(phrase.fuzzy for phrase in many.phrases)


def test_redaction() -> None:
    assert parse_redact(None) == parse_redact("false") == ()
    assert parse_redact("true") == parse_redact(True) == PRIVATE
    assert parse_redact("money, date") == ("MONEY", "DATE")
    with pytest.raises(BadRequest, match="CARD_NUMBER"):
        parse_redact("names")
