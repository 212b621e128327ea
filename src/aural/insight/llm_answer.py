"""What a language model's answer about a call must be, and what becomes of it. What is wrong in it is never repeated in
an error: it may be what was said."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aural.insight import safety
from aural.insight.emotion import EMOTIONS
from aural.insight.emotion import sentiment as sentiment_of
from aural.insight.llm import SENTIMENTS, Form, Window
from aural.insight.types import Emotion, Findings, Intent, Safety, Skill, Turn

MOST_ITEMS = 20
"""Of a list in one answer."""
MOST_TOGETHER = 100
"""Of a list, over all of a call."""
LONGEST_ITEM = 1_000
LONGEST_SUMMARY = 4_000


class InvalidAnswer(Exception):
    """The model answered something else than was asked for."""


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
    end: int = 0
    """How far of the call it goes, in samples."""

    def after(self, before: Summary | None) -> Summary:
        """This one with the lists of what came before: it is a summary of both already."""
        if before is None:
            return self
        return replace(
            self,
            end=max(before.end, self.end),
            topics=_together(before.topics, self.topics),
            issues=_together(before.issues, self.issues),
            outcomes=_together(before.outcomes, self.outcomes),
            action_items=_together(before.action_items, self.action_items),
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What a model says of one utterance; None where it said nothing that counts."""

    intent: Intent | None = None
    emotion: Emotion | None = None
    safety: tuple[Safety, ...] | None = None

    @property
    def skills(self) -> tuple[Skill, ...]:
        said = {Skill.EMOTION: self.emotion, Skill.INTENT: self.intent, Skill.SAFETY: self.safety}
        return tuple(skill for skill, value in said.items() if value is not None)


@dataclass(frozen=True, slots=True)
class Answer:
    summary: Summary | None
    judged: Mapping[int, Judged]
    """By the number of the utterance in the window, from 1."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a call was read, and what came of it."""

    turns: tuple[Turn, ...] = ()
    """Those that were read, as the model sees them."""
    summary: Summary | None = None
    failure: str = ""
    """Why the last question had no answer."""

    def on(self, window: Window, answer: Answer, model: str) -> Reading:
        """With what was answered about a window."""
        new = tuple(
            _revised(turn, answer.judged[n], model) if n in answer.judged else turn
            for n, turn in enumerate(window.new, 1)
        )
        summary = self.summary
        if answer.summary is not None:
            end = max(turn.utterance.end for turn in window.turns)
            before = None if window.known else self.summary
            summary = replace(answer.summary, end=end).after(before)
        return Reading((*self.turns, *new), summary)


def parse(text: str, form: Form, window: Window) -> Answer:
    """The answer, whether or not the model was held to the schema; raises InvalidAnswer. Of the utterances only what is
    right is taken, so that one that is not costs nothing but itself."""
    try:
        table = json.loads(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer("expected a JSON object, got something else") from error
    judged = dict(_all_judged(table.get("utterances"), form, len(window.new))) if form.skills else {}
    if not form.summary and not judged:
        raise InvalidAnswer("expected utterances, got none that can be read")
    return Answer(_summary(table) if form.summary else None, judged)


def _summary(table: Mapping[str, Any]) -> Summary:
    summary, transcript = table.get("summary"), table.get("transcript")
    if not isinstance(summary, str) or not summary.strip():
        raise InvalidAnswer(f"expected a summary, got {_kind(summary)}")
    sentiment = str(table.get("sentiment")).upper()
    return Summary(
        summary=_clean(summary)[:LONGEST_SUMMARY],
        sentiment=sentiment if sentiment in SENTIMENTS else "NEUTRAL",
        transcript=_clean(transcript) if isinstance(transcript, str) else "",
        topics=_texts(table, "topics"),
        issues=_texts(table, "issues"),
        outcomes=_texts(table, "outcomes"),
        action_items=_texts(table, "action_items"),
    )


def _texts(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = table.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidAnswer(f"expected {name} as a list of texts, got {_kind(value)}")
    return tuple(_clean(one)[:LONGEST_ITEM] for one in value[:MOST_ITEMS] if one.strip())


def _clean(text: str) -> str:
    """JSON may have halves of characters in it, which cannot be written again."""
    return text.encode(errors="replace").decode().strip()


def _together(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[str, ...]:
    """Both lists, each text once."""
    return tuple({text.casefold(): text for text in (*before, *after)}.values())[:MOST_TOGETHER]


def _all_judged(value: object, form: Form, most: int) -> Iterator[tuple[int, Judged]]:
    """What is right of the list; an utterance that comes twice is taken as it came first."""
    seen: set[int] = set()
    for entry in value if isinstance(value, list) else []:
        n = entry.get("n") if isinstance(entry, dict) else None
        if type(n) is not int or not 1 <= n <= most or n in seen:
            continue
        seen.add(n)
        judged = _judged(entry, form)
        if judged.skills:
            yield n, judged


def _judged(entry: Mapping[str, Any], form: Form) -> Judged:
    score = _number(entry.get("confidence"), 0.0)
    if score is None:
        return Judged()
    return Judged(
        _intent(entry, form, score) if Skill.INTENT in form.skills else None,
        _emotion(entry, score) if Skill.EMOTION in form.skills else None,
        _dangers(entry.get("safety"), score) if Skill.SAFETY in form.skills else None,
    )


def _intent(entry: Mapping[str, Any], form: Form, score: float) -> Intent | None:
    label = entry.get("intent")
    return Intent(label, score) if isinstance(label, str) and label in form.labels else None


def _emotion(entry: Mapping[str, Any], score: float) -> Emotion | None:
    label, valence = entry.get("emotion"), _number(entry.get("valence"), -1.0)
    if not isinstance(label, str) or label not in EMOTIONS or valence is None:
        return None
    return Emotion(label, score, sentiment_of(valence), valence)


def _dangers(value: object, score: float) -> tuple[Safety, ...] | None:
    """None where one of them is not what was asked for: then nothing is known of the rest either."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    found = {str(one.get("label")): _number(one.get("severity"), 0.0) for one in value}
    if not found.keys() <= set(safety.LABELS) or None in found.values():
        return None
    return tuple(Safety(label, score, severity) for label, severity in found.items() if severity is not None)


def _number(value: object, least: float) -> float | None:
    """A number from `least` to 1, to three digits."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 1:
        return None
    return round(float(value), 3)


def _kind(value: object) -> str:
    return "an empty one" if value == "" else type(value).__name__


def _revised(turn: Turn, judged: Judged, model: str) -> Turn:
    """What was found by words keeps its place in the text; the rest is the model's where it answered."""
    found, skills = turn.findings, judged.skills
    said = tuple(one for one in found.safety if one.span)
    findings: Findings = replace(
        found,
        intent=judged.intent or found.intent,
        emotion=judged.emotion or found.emotion,
        safety=found.safety if judged.safety is None else safety.together(said, judged.safety),
        judge=model,
        judged=skills,
        skipped=tuple(skill for skill in found.skipped if skill not in skills),
    )
    return replace(turn, findings=findings)
