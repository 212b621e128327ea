"""Who spoke how long and how fast, who was silent, who spoke over whom. Times are samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from aural.insight.types import Utterance
from aural.insight.words import folded, tokens
from aural.types import SAMPLE_RATE

PAUSE = SAMPLE_RATE
"""A shorter silence is breathing."""
TALK_OVER = SAMPLE_RATE // 2
"""A shorter overlap is a word of assent."""
MINUTE = 60 * SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Stretch:
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Speaker:
    """One side of a call."""

    name: str
    """The role, or `channel N` where roles are not known."""
    talk: int
    """Samples."""
    turns: int
    words: int
    """Characters, where words are not spaced."""
    words_per_minute: float


@dataclass(frozen=True, slots=True)
class Talk:
    speakers: tuple[Speaker, ...]
    silences: tuple[Stretch, ...]
    """In which nobody speaks, from `PAUSE` on."""
    overlaps: tuple[Stretch, ...]
    """In which two speak, from `TALK_OVER` on."""
    length: int


def side(utterance: Utterance) -> str:
    return utterance.role.value if utterance.role else f"channel {utterance.channel}"


def talk(utterances: Sequence[Utterance], length: int = 0) -> Talk:
    """The statistics of a call of `length` samples, or as long as its last utterance."""
    ordered = sorted(utterances, key=lambda one: (one.start, one.end))
    length = max([length, *(one.end for one in ordered)])
    sides = dict.fromkeys(side(one) for one in ordered)
    return Talk(
        tuple(_speaker(name, [one for one in ordered if side(one) == name]) for name in sides),
        tuple(_silences(ordered, length)),
        tuple(_overlaps(ordered)),
        length,
    )


def _speaker(name: str, said: Sequence[Utterance]) -> Speaker:
    spoken = sum(len(stretch) for stretch in _merged([Stretch(one.start, one.end) for one in said]))
    words = sum(len(tokens(folded(one.text))) for one in said)
    return Speaker(name, spoken, len(said), words, round(words * MINUTE / spoken, 1) if spoken else 0.0)


def _silences(ordered: Sequence[Utterance], length: int) -> list[Stretch]:
    spoken = _merged([Stretch(one.start, one.end) for one in ordered])
    edges = [Stretch(0, 0), *spoken, Stretch(length, length)]
    gaps = [Stretch(left.end, right.start) for left, right in pairwise(edges)]
    return [gap for gap in gaps if len(gap) >= PAUSE]


def _overlaps(ordered: Sequence[Utterance]) -> list[Stretch]:
    found: list[Stretch] = []
    speaking: list[Utterance] = []
    for one in ordered:
        speaking = [other for other in speaking if other.end > one.start]
        others = [other for other in speaking if side(other) != side(one)]
        found += [Stretch(one.start, min(one.end, other.end)) for other in others]
        speaking.append(one)
    return [stretch for stretch in _merged(found) if len(stretch) >= TALK_OVER]


def _merged(stretches: Sequence[Stretch]) -> list[Stretch]:
    """The same times without overlaps, in order."""
    merged: list[Stretch] = []
    for one in sorted(stretches, key=lambda stretch: stretch.start):
        if merged and one.start <= merged[-1].end:
            merged[-1] = Stretch(merged[-1].start, max(merged[-1].end, one.end))
        else:
            merged.append(one)
    return merged
