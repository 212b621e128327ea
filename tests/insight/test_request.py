"""What callers ask, in each form, and what they are told when it is wrong."""

from __future__ import annotations

import json

import pytest

from aural.errors import BadRequest
from aural.insight.entities import PRIVATE
from aural.insight.keywords import Phrase
from aural.insight.request import Asked, parse_asked, parse_redact
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
    assert (asked.role(0), asked.role(1), asked.role(2)) == (Role.AGENT, Role.CUSTOMER, None)


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


def test_redaction() -> None:
    assert parse_redact(None) == parse_redact("false") == ()
    assert parse_redact("true") == parse_redact(True) == PRIVATE
    assert parse_redact("money, date") == ("MONEY", "DATE")
    with pytest.raises(BadRequest, match="CARD_NUMBER"):
        parse_redact("names")
