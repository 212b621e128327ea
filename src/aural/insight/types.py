"""What goes into the skills and what comes out. Times are samples at 16 kHz, offsets are characters of the text.

The shapes on the wire are written by `schema.py` and described in docs/insights.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from aural.insight.words import placed
from aural.types import Word


class Role(StrEnum):
    AGENT = "AGENT"
    CUSTOMER = "CUSTOMER"


class Skill(StrEnum):
    """What can be asked for by name."""

    KEYWORDS = "keywords"
    TERMS = "terms"
    INTENT = "intent"
    EMOTION = "emotion"
    SAFETY = "safety"
    ENTITIES = "entities"
    NOTES = "notes"
    TALK = "talk"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Utterance:
    """One stretch of speech by one person, as text."""

    id: str
    text: str
    start: int = 0
    end: int = 0
    language: str = "en"
    """ISO 639-1."""
    words: tuple[Word, ...] = ()
    """Empty where times of words are not known; times inside the utterance are then interpolated."""
    role: Role | None = None
    channel: int = 0

    def times(self, begin: int, end: int) -> tuple[int, int]:
        """When the characters from `begin` to `end` were said."""
        hit = [word for first, last, word in placed(self.words, self.text) if first < end and last > begin]
        if hit:
            return hit[0].start, hit[-1].end
        length = max(len(self.text), 1)
        span = self.end - self.start
        return self.start + span * begin // length, self.start + span * end // length


@dataclass(frozen=True, slots=True)
class Span:
    """Evidence: characters of an utterance, and when they were said."""

    begin: int
    end: int
    start: int
    """Samples."""
    stop: int
    """Samples."""

    def shifted(self, by: int) -> Span:
        return replace(self, start=self.start + by, stop=self.stop + by)


@dataclass(frozen=True, slots=True)
class Keyword:
    """A phrase of the caller's list that was said."""

    phrase: str
    """As in the list."""
    text: str
    """As it was said."""
    score: float
    """1 for a literal hit; for a fuzzy one the similarity, 0 to 1."""
    span: Span
    category: str = ""


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase that stands out, without a list."""

    text: str
    score: float
    """0 to 1, comparable within one text."""
    count: int
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Intent:
    label: str
    """`other` when none of the labels fits."""
    score: float
    alternatives: tuple[tuple[str, float], ...] = ()
    """The next best labels with their scores."""


@dataclass(frozen=True, slots=True)
class Emotion:
    label: str
    """anger, disgust, fear, joy, sadness, surprise or neutral."""
    score: float
    sentiment: str
    """POSITIVE, NEGATIVE or NEUTRAL."""
    valence: float
    """-1 to 1."""
    several: tuple[tuple[str, float], ...] = ()
    """All that may be felt at once, the most probable first: of the seven."""
    nuances: tuple[tuple[str, float], ...] = ()
    """The same, of GoEmotions' 28; English only."""


@dataclass(frozen=True, slots=True)
class Safety:
    label: str
    """One of the labels of `safety.LABELS`."""
    score: float
    severity: float
    """0 to 1: how bad it is if it is so."""
    span: Span | None = None
    """The words, where a word decided it; None where the whole utterance did."""


@dataclass(frozen=True, slots=True)
class Entity:
    category: str
    """One of `tags.CATEGORIES`."""
    text: str
    score: float
    span: Span


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence of the call that says its issue, outcome or an action; extracted, not written."""

    kind: str
    """issue, outcome or action."""
    utterance: str
    text: str
    score: float
    start: int
    end: int
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the skills found in one utterance. None and empty mean not found, or not asked for."""

    keywords: tuple[Keyword, ...] = ()
    terms: tuple[Term, ...] = ()
    intent: Intent | None = None
    emotion: Emotion | None = None
    safety: tuple[Safety, ...] = ()
    entities: tuple[Entity, ...] = ()
    notes: tuple[Note, ...] = ()
    models: tuple[str, ...] = ()
    """What embedded the text; empty when no skill needed it."""
    skipped: tuple[Skill, ...] = ()
    """Skills that were asked for and had no model for this language."""
    judge: str = ""
    """The language model that answered `judged`."""
    judged: tuple[Skill, ...] = ()

    def placed(self, place: Callable[[Span], Span]) -> Findings:
        """The same with its spans elsewhere in time."""
        return replace(
            self,
            keywords=tuple(replace(one, span=place(one.span)) for one in self.keywords),
            terms=tuple(replace(one, spans=tuple(map(place, one.spans))) for one in self.terms),
            safety=tuple(replace(one, span=one.span and place(one.span)) for one in self.safety),
            entities=tuple(replace(one, span=place(one.span)) for one in self.entities),
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """An utterance with what was found in it."""

    utterance: Utterance
    findings: Findings

    def shifted(self, by: int) -> Turn:
        """The same in a clock whose zero lies `by` samples earlier."""
        said, found = self.utterance, self.findings
        words = tuple(word.shifted(by) for word in said.words)
        notes = tuple(replace(one, start=one.start + by, end=one.end + by) for one in found.notes)
        return Turn(
            replace(said, start=said.start + by, end=said.end + by, words=words),
            replace(found.placed(lambda span: span.shifted(by)), notes=notes),
        )

    def timed(self, words: Sequence[Word]) -> Turn:
        """The same with what was found where these words were said. They are not kept: what was redacted may be among
        them."""
        said = replace(self.utterance, words=tuple(words))

        def place(span: Span) -> Span:
            start, stop = said.times(span.begin, span.end)
            return replace(span, start=start, stop=stop)

        return replace(self, findings=self.findings.placed(place))
