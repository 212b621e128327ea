"""What the utterances of a call come to together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from aural.insight import notes
from aural.insight.request import Asked
from aural.insight.talk import Talk, side, talk
from aural.insight.terms import terms
from aural.insight.types import Note, Skill, Term, Turn

QUARTERS = 4
SCALE = 5.0
"""Sentiment of a call goes from -5 to 5, as in Amazon Transcribe Call Analytics."""
SMOOTH = 3
"""Turns of a speaker over which emotion is smoothed."""


@dataclass(frozen=True, slots=True)
class Mood:
    """How a speaker felt, as time went on."""

    side: str
    overall: float
    """-5 to 5."""
    quarters: tuple[float | None, ...]
    """The same for each quarter of the call; None where nothing was said."""
    course: tuple[tuple[int, float, str], ...]
    """At each turn of the speaker: its start in samples, valence -1 to 1 smoothed over `SMOOTH` turns, and emotion."""


@dataclass(frozen=True, slots=True)
class Call:
    turns: tuple[Turn, ...]
    talk: Talk | None
    moods: tuple[Mood, ...]
    topics: tuple[Term, ...]
    notes: tuple[Note, ...]
    intents: tuple[tuple[str, int], ...]
    """Labels and how often, the most frequent first; `other` is none."""
    keywords: tuple[tuple[str, int], ...]
    safety: tuple[tuple[str, float], ...]
    """Labels with their highest severity times score."""


def of_turns(turns: Sequence[Turn], asked: Asked, length: int = 0) -> Call:
    """The call as a whole; `length` is that of the audio, in samples."""
    said = [turn.utterance for turn in turns]
    found = [turn.findings for turn in turns]
    danger: dict[str, float] = {}
    for one in (one for findings in found for one in findings.safety):
        danger[one.label] = max(danger.get(one.label, 0.0), round(one.severity * one.score, 3))
    wanted = Counter(f.intent.label for f in found if f.intent and f.intent.label != "other")
    return Call(
        turns=tuple(turns),
        talk=talk(said, length) if Skill.TALK in asked.skills else None,
        moods=_moods(turns, length),
        topics=terms(said) if Skill.TERMS in asked.skills else (),
        notes=notes.of_call(turns),
        intents=tuple(wanted.most_common()),
        keywords=tuple(Counter(word.phrase for f in found for word in f.keywords).most_common()),
        safety=tuple(sorted(danger.items(), key=lambda pair: -pair[1])),
    )


def _moods(turns: Sequence[Turn], length: int) -> tuple[Mood, ...]:
    felt = [turn for turn in turns if turn.findings.emotion]
    end = max([length, *(turn.utterance.end for turn in turns), 1])
    sides = dict.fromkeys(side(turn.utterance) for turn in felt)
    return tuple(_mood(name, [turn for turn in felt if side(turn.utterance) == name], end) for name in sides)


def _mood(name: str, turns: Sequence[Turn], end: int) -> Mood:
    valences = [turn.findings.emotion.valence for turn in turns if turn.findings.emotion]
    labels = [turn.findings.emotion.label for turn in turns if turn.findings.emotion]
    at = [min(turn.utterance.start * QUARTERS // end, QUARTERS - 1) for turn in turns]
    quarters = [[v for v, quarter in zip(valences, at, strict=True) if quarter == q] for q in range(QUARTERS)]
    course = tuple(
        (turn.utterance.start, _mean(valences[max(0, i + 1 - SMOOTH) : i + 1]), label)
        for i, (turn, label) in enumerate(zip(turns, labels, strict=True))
    )
    scaled = tuple(round(SCALE * _mean(some), 2) if some else None for some in quarters)
    return Mood(name, round(SCALE * _mean(valences), 2), scaled, course)


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 3)
