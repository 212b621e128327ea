"""What should not be said: words and patterns decide where they can, a trained head adds what they do not see.

A false alarm on an ordinary turn costs more than a miss: the thresholds of the head are set for that.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files

from aural.insight.types import Safety, Span, Utterance
from aural.insight.words import folded, written_in

LABELS = (
    "PROFANITY",
    "HATE_SPEECH",
    "SEXUAL",
    "INSULT",
    "VIOLENCE_OR_THREAT",
    "GRAPHIC",
    "HARASSMENT_OR_ABUSE",
    "SELF_HARM",
)
"""Those of Amazon Transcribe's toxicity detection, and SELF_HARM. SEXUAL comes from a language model alone."""
EMBEDDED_LABELS = tuple(label for label in LABELS if label != "SEXUAL")
SEVERITY = {
    "PROFANITY": 0.3,
    "INSULT": 0.5,
    "SEXUAL": 0.6,
    "GRAPHIC": 0.7,
    "HARASSMENT_OR_ABUSE": 0.7,
    "HATE_SPEECH": 0.8,
    "VIOLENCE_OR_THREAT": 0.9,
    "SELF_HARM": 1.0,
}
OFFENCE_SURE = 0.9
"""Probability of the head that knows offence in Chinese (COLD) from which it counts as HARASSMENT_OR_ABUSE. No ordinary
turn of 235 came so high; a seventh of the abusive ones did."""
SAID = 0.95
"""Score of what a word or pattern decides."""


def by_words(utterance: Utterance) -> tuple[Safety, ...]:
    """Labels that a word or pattern decides, each with its words."""
    language = written_in(utterance.text, utterance.language)
    return tuple(_said(utterance, label, begin, end) for label, begin, end in _matches(utterance.text, language))


def by_head(shares: Mapping[str, float], thresholds: Mapping[str, float]) -> tuple[Safety, ...]:
    """Labels of the head whose probability is above its threshold."""
    return tuple(
        Safety(label, round(share, 3), SEVERITY[label]) for label, share in shares.items() if share > thresholds[label]
    )


def by_offence(share: float) -> tuple[Safety, ...]:
    """What the head for Chinese adds."""
    label = "HARASSMENT_OR_ABUSE"
    return (Safety(label, round(share, 3), SEVERITY[label]),) if share > OFFENCE_SURE else ()


def together(words: tuple[Safety, ...], head: tuple[Safety, ...]) -> tuple[Safety, ...]:
    """Both, a label of the head only where no word has it already."""
    labels = {one.label for one in words}
    return words + tuple(one for one in head if one.label not in labels)


def _matches(text: str, language: str) -> Iterator[tuple[str, int, int]]:
    low = folded(text)
    for spoken, label, pattern in _patterns():
        if spoken in ("any", language):
            for match in pattern.finditer(low):
                yield label, match.start(), match.end()


def _said(utterance: Utterance, label: str, begin: int, end: int) -> Safety:
    return Safety(label, SAID, SEVERITY[label], Span(begin, end, *utterance.times(begin, end)))


@cache
def _patterns() -> tuple[tuple[str, str, re.Pattern[str]], ...]:
    """Language, label and what decides it."""
    table = tomllib.loads((files("aural.insight") / "data" / "safety.toml").read_text(encoding="utf-8"))
    return tuple(
        (language, label, re.compile("|".join(some) if language == "zh" else rf"\b(?:{'|'.join(some)})(?!\w)"))
        for language, labels in table.items()
        for label, some in labels.items()
    )
