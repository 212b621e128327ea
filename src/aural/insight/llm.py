"""What a language model is asked about a call, in the words of `data/prompt.toml`. No I/O: `serving/reading.py` has it
asked, `llm_answer.py` says what its answer must be."""

from __future__ import annotations

import json
import tomllib
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from aural.insight.emotion import EMOTIONS
from aural.insight.intent import OTHER, IntentSpec, ready
from aural.insight.request import Asked
from aural.insight.safety import LABELS
from aural.insight.talk import side
from aural.insight.types import Skill, Turn

LEAST_WORDS = 12
"""Of a call: less is nothing to summarise."""
MOST_WEIGHT = 24_000
"""Of the lines in one question, in Latin letters: some 6,000 tokens. What is longer is read window by window."""
WIDE_WEIGHT = 3
"""A Chinese character is about a token, which is as much as so many Latin letters."""
MOST_JUDGED = 40
"""Utterances that are judged in one question."""
JUDGED_TOKENS = 60
"""What the answer says of one utterance takes some 45."""
LETTERS_PER_TOKEN = 2
"""Of a transcript in the answer: fewer than there are, so that it is not cut off."""
MOST_EXAMPLES, MOST_OF_LABEL, LONGEST_EXAMPLE = 100, 3, 80
"""What the question says of labels: examples of all together, of one, and their letters."""
SENTIMENTS = ("POSITIVE", "NEUTRAL", "NEGATIVE", "MIXED")
LISTS = ("topics", "issues", "outcomes", "action_items")
JUDGED = frozenset({Skill.INTENT, Skill.EMOTION, Skill.SAFETY})
"""Skills that a model answers for each utterance."""
VOXTRAL_LANGUAGES = frozenset({"en", "es", "fr", "pt", "hi", "de", "nl", "it"})
"""What Voxtral understands from sound (model card). No Chinese: that takes the way over the text."""
LANGUAGE_NAMES = {"en": "English", "zh": "simplified Chinese", "de": "German", "fr": "French", "es": "Spanish"}


@dataclass(frozen=True, slots=True)
class Form:
    """What an answer has to hold."""

    summary: bool = True
    skills: frozenset[Skill] = frozenset()
    """Of `JUDGED`, for each utterance."""
    intents: tuple[IntentSpec, ...] = ()
    transcript: bool = False
    """From sound."""

    @classmethod
    def of(cls, asked: Asked, turns: Sequence[Turn], *, judges: bool) -> Form:
        """What of the caller's wishes a model can answer about these turns."""
        skills = asked.skills & JUDGED if judges else frozenset[Skill]()
        return cls(Skill.SUMMARY in asked.skills and enough(turns), skills, asked.intents or ready())

    @property
    def is_empty(self) -> bool:
        return not self.summary and not self.skills

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*(spec.label for spec in self.intents), OTHER]))


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a call that one question is about."""

    new: tuple[Turn, ...]
    """Each of them is judged."""
    known: tuple[Turn, ...] = ()
    """What was read before, word for word."""
    so_far: str = ""
    """The same in short, where it is too long for that."""

    @property
    def turns(self) -> list[Turn]:
        """All of them, in order of time."""
        return sorted([*self.known, *self.new], key=lambda turn: turn.utterance.start)

    @property
    def language(self) -> str:
        """The one that most of it is in."""
        return Counter(turn.utterance.language for turn in (*self.known, *self.new)).most_common(1)[0][0]


def windows(turns: Sequence[Turn], form: Form) -> list[tuple[Turn, ...]]:
    """The turns, parted into as many as one question takes at a time."""
    parts: list[list[Turn]] = []
    room = 0
    for turn in turns:
        room -= weight(turn)
        if not parts or room < 0 or (form.skills and len(parts[-1]) == MOST_JUDGED):
            parts.append([])
            room = MOST_WEIGHT - weight(turn)
        parts[-1].append(turn)
    return [tuple(part) for part in parts]


def fits(window: Window) -> bool:
    """Whether one question takes all of it."""
    return sum(map(weight, window.turns)) <= MOST_WEIGHT


def weight(turn: Turn) -> int:
    text = turn.utterance.text
    return len(text) + (WIDE_WEIGHT - 1) * _wide(text)


def enough(turns: Sequence[Turn]) -> bool:
    """Whether there is something to summarise; a Chinese character counts as half a word."""
    said = "".join(turn.utterance.text + " " for turn in turns)
    return max(len(said.split()), _wide(said) // 2) >= LEAST_WORDS


def tokens(window: Window, form: Form, of_summary: int) -> int:
    """How many the answer may have, of which a summary takes `of_summary`."""
    judged = JUDGED_TOKENS * len(window.new) if form.skills else 0
    heard = sum(map(weight, window.new)) // LETTERS_PER_TOKEN if form.transcript else 0
    return of_summary + judged + heard


def schema(form: Form) -> dict[str, Any]:
    """`response_format`, as OpenAI's, vLLM and llama.cpp's server take it."""
    texts = {"type": "array", "items": {"type": "string"}}
    properties: dict[str, Any] = {}
    if form.transcript:
        properties["transcript"] = {"type": "string"}
    if form.summary:
        properties |= {"summary": {"type": "string"}, **dict.fromkeys(LISTS, texts), "sentiment": _one_of(SENTIMENTS)}
    if form.skills:
        properties["utterances"] = {"type": "array", "items": _judged(form)}
    return {"type": "json_schema", "json_schema": {"name": "call", "schema": _object(properties), "strict": True}}


def messages(window: Window, form: Form, *, wav: bytes = b"", is_system: bool = True) -> list[dict[str, Any]]:
    """The question. With a recording its words are told only where they are to be judged line by line. Instructions
    are a system prompt, unless the model takes none (`is_system` False, as Voxtral)."""
    told = _prompt(window, form)
    data = _data(window, form) if form.skills or not wav else ""
    if is_system:
        return [{"role": "system", "content": told}, {"role": "user", "content": data}]
    text = f"{told}\n\n{data}".strip()
    if not wav:
        return [{"role": "user", "content": text}]
    audio = {"type": "input_audio", "input_audio": {"data": b64encode(wav).decode(), "format": "wav"}}
    return [{"role": "user", "content": [audio, {"type": "text", "text": text}]}]


def _judged(form: Form) -> dict[str, Any]:
    number = {"type": "number"}
    properties: dict[str, Any] = {"n": {"type": "integer"}, "confidence": number}
    if Skill.INTENT in form.skills:
        properties["intent"] = _one_of(form.labels)
    if Skill.EMOTION in form.skills:
        properties |= {"emotion": _one_of(EMOTIONS), "valence": number}
    if Skill.SAFETY in form.skills:
        danger = _object({"label": _one_of(LABELS), "severity": number})
        properties["safety"] = {"type": "array", "items": danger}
    return _object(properties)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _one_of(labels: Sequence[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(labels)}


def _prompt(window: Window, form: Form) -> str:
    parts = _parts()
    told = [parts["head"]]
    told += [parts["transcript"]] if form.transcript else []
    told += [parts["summary"]] if form.summary else []
    if form.skills:
        told += [parts["utterances"], *(parts[skill] for skill in sorted(form.skills))]
    told += [parts["before"]] if window.so_far and form.summary else []
    language = LANGUAGE_NAMES.get(window.language, f"the language {window.language!r}")
    return "\n".join([*told, parts["tail"]]).format(language=language, labels=_labels(form.intents))


def _labels(intents: Sequence[IntentSpec]) -> str:
    """Each label on a line, with some of what people say who mean it."""
    most = min(MOST_OF_LABEL, MOST_EXAMPLES // max(len(intents), 1))
    lines = []
    for spec in intents:
        said = " / ".join(_line(one)[:LONGEST_EXAMPLE] for one in spec.examples[:most])
        lines.append(f"      {json.dumps(spec.label, ensure_ascii=False)}" + (f": {said}" if said else ""))
    return "\n".join(lines)


def _data(window: Window, form: Form) -> str:
    """The conversation. What is to be judged has a number, counted in `window.new` from 1."""
    numbers = {id(turn): f"[{n}] " for n, turn in enumerate(window.new, 1)} if form.skills else {}
    lines = "\n".join(
        f"{numbers.get(id(turn), '')}{side(turn.utterance)}: {_line(turn.utterance.text)[:MOST_WEIGHT]}"
        for turn in window.turns
    )
    before = f"<before>\n{_line(window.so_far)}\n</before>\n" if window.so_far else ""
    return f"{before}<transcript>\n{lines}\n</transcript>"


def _line(text: str) -> str:
    """On one line, and with nothing in it that could end what it stands in."""
    return " ".join(text.split()).replace("<", "‹")


def _wide(text: str) -> int:
    return sum(char > "\u2e80" for char in text)


@cache
def _parts() -> dict[str, str]:
    return tomllib.loads((files("aural.insight") / "data" / "prompt.toml").read_text(encoding="utf-8"))
