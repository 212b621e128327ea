"""What a language model is asked about a call, and what its answer must be. No I/O: `serving/chat.py` carries it."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from aural.insight.talk import side
from aural.insight.types import Turn

LEAST_WORDS = 12
"""Of a call: less is nothing to summarise."""
MOST_CHARACTERS = 24_000
"""Of a transcript in one question; of a longer one its end, after the summary so far."""
MOST_ITEMS = 20
LONGEST_ITEM = 1_000
SENTIMENTS = ("POSITIVE", "NEUTRAL", "NEGATIVE", "MIXED")
LISTS = ("topics", "issues", "outcomes", "action_items")
VOXTRAL_LANGUAGES = frozenset({"en", "es", "fr", "pt", "hi", "de", "nl", "it"})
"""What Voxtral understands from sound (model card). No Chinese: that takes the way over the text."""
LANGUAGE_NAMES = {"en": "English", "zh": "simplified Chinese", "de": "German", "fr": "French", "es": "Spanish"}


@dataclass(frozen=True, slots=True)
class Summary:
    """What a model made of a call."""

    summary: str
    topics: tuple[str, ...] = ()
    issues: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    action_items: tuple[str, ...] = ()
    sentiment: str = "NEUTRAL"
    transcript: str = ""
    """From sound only."""


class InvalidAnswer(Exception):
    """The model answered something else than was asked for."""


def schema(*, sound: bool = False) -> dict[str, Any]:
    """`response_format`, as OpenAI's, vLLM and llama.cpp's server take it."""
    texts = {"type": "array", "items": {"type": "string"}}
    properties: dict[str, Any] = {
        **({"transcript": {"type": "string"}} if sound else {}),
        "summary": {"type": "string"},
        **dict.fromkeys(LISTS, texts),
        "sentiment": {"type": "string", "enum": list(SENTIMENTS)},
    }
    shape = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "call_summary", "schema": shape, "strict": True}}


def question(turns: Sequence[Turn], so_far: str = "") -> list[dict[str, Any]]:
    """The messages about a transcript."""
    language = turns[-1].utterance.language if turns else "en"
    lines = [f"{side(turn.utterance)}: {turn.utterance.text}" for turn in turns]
    transcript = "\n".join(lines)[-MOST_CHARACTERS:]
    before = f"What came before, in short: {so_far}\n\n" if so_far else ""
    content = f"{before}<transcript>\n{transcript}\n</transcript>"
    return [{"role": "system", "content": _prompt(language)}, {"role": "user", "content": content}]


def question_of_sound(wav: bytes, language: str) -> list[dict[str, Any]]:
    """The messages about a recording: transcript and summary in one pass. Voxtral takes no system prompt."""
    audio = {"type": "input_audio", "input_audio": {"data": b64encode(wav).decode(), "format": "wav"}}
    text = _prompt(language) + "  transcript: all that is said, word for word\n"
    return [{"role": "user", "content": [audio, {"type": "text", "text": text}]}]


def enough(turns: Sequence[Turn]) -> bool:
    """Whether there is something to summarise; a Chinese character counts as half a word."""
    said = "".join(turn.utterance.text + " " for turn in turns)
    return max(len(said.split()), sum(ord(char) > 0x2E80 for char in said) // 2) >= LEAST_WORDS


def parse(text: str) -> Summary:
    """The answer, whether or not the model was held to the schema; raises InvalidAnswer."""
    try:
        table = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer(f"expected a JSON object, got {text[:60]!r}") from error
    summary = table.get("summary")
    if not isinstance(summary, str) or not summary.strip():
        raise InvalidAnswer(f"expected a summary, got {str(summary)[:60]!r}")
    sentiment = str(table.get("sentiment", "NEUTRAL")).upper()
    return Summary(
        summary=summary.strip()[: 4 * LONGEST_ITEM],
        sentiment=sentiment if sentiment in SENTIMENTS else "NEUTRAL",
        transcript=str(table.get("transcript", "")),
        **{name: _texts(table.get(name), name) for name in LISTS},
    )


def _texts(value: object, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidAnswer(f"expected {name} as a list of texts, got {str(value)[:60]!r}")
    return tuple(one.strip()[:LONGEST_ITEM] for one in value[:MOST_ITEMS] if one.strip())


def _prompt(language: str) -> str:
    return _template().format(language=LANGUAGE_NAMES.get(language, f"the language {language!r}"))


@cache
def _template() -> str:
    return (files("aural.insight") / "data" / "prompt.txt").read_text(encoding="utf-8")
