"""The published schema, the code that writes it, and the page that describes it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from aural.insight.analyst import Analyst
from aural.insight.call import of_turns
from aural.insight.emotion import EMOTIONS
from aural.insight.keywords import Phrase
from aural.insight.llm_answer import Reading, Summary
from aural.insight.request import Asked
from aural.insight.safety import LABELS
from aural.insight.schema import insights_json
from aural.insight.types import Role, Turn, Utterance
from aural.types import SAMPLE_RATE
from tests.insight.conform import conforms, published

PAGE = (Path(__file__).parents[2] / "docs" / "insights.md").read_text()
SAID = (
    (Role.AGENT, "thank you for calling northline broadband how can i help"),
    (Role.CUSTOMER, "you idiots, my internet has been down for three days, i want to cancel my contract tomorrow"),
    (Role.AGENT, "i have booked an engineer for tomorrow morning and will send you a text to confirm"),
)
EVERYTHING = Asked(phrases=(Phrase("cancel my contract", category="churn"),))


def call(asked: Asked = EVERYTHING, reading: Reading | None = None) -> dict[str, object]:
    utterances = [
        Utterance(f"u{i}", text, 5 * i * SAMPLE_RATE, (5 * i + 4) * SAMPLE_RATE, role=role, channel=i % 2)
        for i, (role, text) in enumerate(SAID)
    ]
    turns = [Turn(*pair) for pair in zip(utterances, Analyst().analyse(utterances, asked), strict=True)]
    return insights_json(of_turns(turns, asked, 20 * SAMPLE_RATE), asked, (), reading)


def example() -> dict[str, object]:
    [block] = re.findall(r"```json\n(\{\"type\": \"utterance_insights\".*?)```", PAGE, re.DOTALL)
    shown: dict[str, object] = json.loads(block)
    return shown


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(published())


def test_all_that_is_found_is_as_the_schema_has_it() -> None:
    found = call()
    conforms(found)
    jsonschema.validate(found, published())
    written = Summary("s", ("t",), ("i",), ("o",), ("a",), "MIXED", transcript="heard")
    conforms(call(reading=Reading(summary=written)))
    conforms(call(reading=Reading(failure="TIMEOUT")))


def test_the_example_of_the_page_is_what_the_code_writes() -> None:
    shown, found = example(), call()
    conforms(shown, "utterance")
    [_, real, _] = found["utterances"]  # type: ignore[misc]
    assert set(real) == set(shown)
    for name in ("keywords", "content_safety", "entities"):
        [ours, *_], [theirs, *_] = real[name], shown[name]  # type: ignore[index]
        assert set(ours) == set(theirs), name


def test_every_key_of_a_call_is_on_the_page() -> None:
    section = PAGE.partition("## Schema 1")[2].partition("\n## ")[0]
    schema = published()["$defs"]
    names = {*schema["call"]["properties"], *schema["found"]["properties"]} - {"event_id", "item_id"}
    for part in ("talk", "summary", "sentiment"):
        names |= set(schema["call"]["properties"][part]["properties"])
    speaker = schema["call"]["properties"]["talk"]["properties"]["speakers"]["additionalProperties"]
    assert [name for name in {*names, *speaker["properties"]} if f"`{name}`" not in section] == []


def test_labels_are_those_of_the_code() -> None:
    schema = published()["$defs"]
    assert tuple(schema["emotion_label"]["enum"]) == EMOTIONS
    assert set(schema["danger_label"]["enum"]) == set(LABELS)


@pytest.mark.parametrize("broken", [{"schema": "2"}, {"utterances": None}, {"call": {}}, {"moon": 1}])
def test_what_is_wrong_does_not_conform(broken: dict[str, object]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        conforms(call(Asked(skills=frozenset())) | broken)
