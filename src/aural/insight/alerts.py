"""Rules over one call. Pure: speech and turns in, alerts out. Times are samples in the clock of the call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from aural.insight.rules import Condition, Rule
from aural.insight.schema import ms
from aural.insight.talk import side
from aural.insight.types import Role, Turn

RECENT_TURNS = 8
"""Over which somebody may have talked."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A condition that held, and where."""

    condition: Condition
    start: int
    end: int
    turn: Turn | None = None
    """None for a silence."""
    said: str = ""
    """The words that met it, as far as they may leave."""
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    rule: Rule
    at: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """What an alert is about, as far as it is known."""

    call: str | None = None
    session: str | None = None
    request: str | None = None


def alert_json(alert: Alert, source: Source, now: datetime) -> dict[str, Any]:
    """With `matched_categories` as in the CategoryEvent of Amazon Transcribe."""
    return {
        "type": "alert",
        "schema": "1",
        "name": alert.rule.name,
        "time": now.isoformat(timespec="milliseconds"),
        "call": source.call,
        "session": source.session,
        "request_id": source.request,
        "offset_ms": ms(alert.at),
        "matched_categories": [alert.rule.name],
        "points_of_interest": [_point(hit) for hit in alert.hits],
    }


def _point(hit: Hit) -> dict[str, Any]:
    said = hit.turn.utterance if hit.turn else None
    return {
        "condition": hit.condition.kind,
        "value": hit.condition.value or None,
        "confidence": hit.score,
        "text": hit.said or None,
        "utterance_id": said.id if said else None,
        "participant_role": said.role.value if said and said.role else None,
        "channel": said.channel if said else None,
        "begin_offset_ms": ms(hit.start),
        "end_offset_ms": ms(hit.end),
    }


class Watch:
    """The rules over one call. It is told of speech as it begins and ends, and of turns when they are understood, be it
    much later and in another order: silence goes by speech alone."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._last: dict[tuple[int, int], Hit] = {}
        """The latest hit of each condition."""
        self._acted: dict[int, int] = {}
        self._speaking: dict[str, Role | None] = {}
        self._quiet_from: dict[Role | None, int] = {}
        """When somebody of this role was last heard, or came."""
        self._complained: dict[int, int] = {}
        """The silence, by its beginning, about which a rule has acted: it does so once."""
        self._turns: list[Turn] = []
        self._moods: dict[str, tuple[str, int]] = {}

    def comes(self, role: Role | None, at: int) -> None:
        """Somebody of this role is there, and may speak."""
        self._quiet_from.setdefault(role, at)

    def speaks(self, who: str, role: Role | None, at: int) -> list[Alert]:
        """Somebody begins to; what the silence before sets off."""
        alerts = self.clock(at)
        self._speaking[who] = role
        return alerts

    def hushes(self, who: str, at: int) -> None:
        """Whoever began to speak does not any more."""
        if who in self._speaking:
            self.was_heard(self._speaking.pop(who), at)

    def was_heard(self, role: Role | None, at: int) -> None:
        self._quiet_from[role] = max(self._quiet_from.get(role, 0), at)

    def clock(self, now: int) -> list[Alert]:
        """What the silence up to now sets off."""
        fresh: dict[int, Hit] = {}
        for r, rule in enumerate(self._rules):
            since = self._silent_since(rule.role)
            for c, condition in enumerate(rule.conditions):
                if condition.kind == "silence_s" and since is not None and now - since >= condition.lasting:
                    hit = self._last[r, c] = Hit(condition, since, now)
                    if self._complained.get(r) != since:
                        fresh[r] = hit
        return self._act(fresh, now)

    def turn(self, turn: Turn) -> list[Alert]:
        """What a turn sets off."""
        self._feel(turn)
        fresh: dict[int, Hit] = {}
        for r, rule in enumerate(self._rules):
            for c, condition in enumerate(rule.conditions):
                for hit in self._hits(condition, turn, rule.role):
                    self._last[r, c] = fresh[r] = hit
        self._turns = [*self._turns[1 - RECENT_TURNS :], turn]
        return self._act(fresh, turn.utterance.end)

    def _silent_since(self, role: Role | None) -> int | None:
        """None while somebody speaks, and where nobody of the role is."""
        if any(role in (None, speaker) for speaker in self._speaking.values()):
            return None
        heard = [at for of, at in self._quiet_from.items() if role in (None, of)]
        return max(heard, default=None)

    def _act(self, fresh: dict[int, Hit], now: int) -> list[Alert]:
        alerts = [self._judge(r, hit, now) for r, hit in fresh.items()]
        return [alert for alert in alerts if alert]

    def _judge(self, r: int, fresh: Hit, now: int) -> Alert | None:
        rule = self._rules[r]
        held = [hit for c in range(len(rule.conditions)) if (hit := self._last.get((r, c)))]
        hits = [hit for hit in held if abs(fresh.end - hit.end) <= rule.within]
        is_whole = len(hits) == len(rule.conditions) or not rule.needs_all
        if not is_whole or (r in self._acted and abs(now - self._acted[r]) < rule.cooldown):
            return None
        self._acted[r] = max(now, self._acted.get(r, now))
        for hit in hits:
            if hit.condition.kind == "silence_s":
                self._complained[r] = hit.start
        return Alert(rule, now, tuple(hits))

    def _feel(self, turn: Turn) -> None:
        """Since when a side has felt as it does now."""
        felt = turn.findings.emotion
        name = side(turn.utterance)
        if felt and self._moods.get(name, ("", 0))[0] != felt.label:
            self._moods[name] = (felt.label, turn.utterance.start)

    def _hits(self, condition: Condition, turn: Turn, role: Role | None) -> Iterator[Hit]:
        if condition.kind == "talk_over_s":
            yield from self._talked_over(condition, turn, role)
        elif role in (None, turn.utterance.role):
            hits = _felt(condition, turn, self._moods) if condition.kind == "emotion" else _said(condition, turn)
            yield from hits

    def _talked_over(self, condition: Condition, turn: Turn, role: Role | None) -> Iterator[Hit]:
        """Whoever began later is the one who talked over the other."""
        for other in self._turns:
            one, two = sorted((turn, other), key=lambda each: each.utterance.start)
            start, end = two.utterance.start, min(one.utterance.end, two.utterance.end)
            is_long = side(one.utterance) != side(two.utterance) and end - start >= condition.lasting
            if is_long and role in (None, two.utterance.role):
                yield Hit(condition, start, end, two, two.utterance.text)


def of_call(rules: Sequence[Rule], turns: Sequence[Turn], length: int = 0) -> list[Alert]:
    """The alerts of a call that is over and lasted `length` samples, or as long as its turns."""
    watch = Watch(rules)
    for turn in turns:
        watch.comes(turn.utterance.role, 0)
    moments = [(turn.utterance.start, False, n) for n, turn in enumerate(turns)]
    moments += [(turn.utterance.end, True, n) for n, turn in enumerate(turns)]
    alerts: list[Alert] = []
    for at, is_end, n in sorted(moments):
        if is_end:
            watch.hushes(str(n), at)
            alerts += watch.turn(turns[n])
        else:
            alerts += watch.speaks(str(n), turns[n].utterance.role, at)
    return alerts + (watch.clock(length) if length else [])


def _said(condition: Condition, turn: Turn) -> Iterator[Hit]:
    """Hits of keyword, category, intent and safety."""
    said, found = turn.utterance, turn.findings
    whole = Hit(condition, said.start, said.end, turn, said.text)
    match condition.kind:
        case "keyword" | "category":
            for word in found.keywords:
                name = word.phrase if condition.kind == "keyword" else word.category
                if name.lower() == condition.value.lower():
                    yield Hit(condition, word.span.start, word.span.stop, turn, word.text, word.score)
        case "intent":
            intent = found.intent
            if intent and intent.label == condition.value and intent.score >= condition.least:
                yield replace(whole, score=intent.score)
        case "safety":
            for one in found.safety:
                if one.label == condition.value and one.severity >= condition.least:
                    yield replace(whole, score=one.score)


def _felt(condition: Condition, turn: Turn, moods: dict[str, tuple[str, int]]) -> Iterator[Hit]:
    felt, said = turn.findings.emotion, turn.utterance
    label, since = moods.get(side(said), ("", said.start))
    is_sure = felt is not None and felt.score >= condition.least
    if felt and is_sure and label == condition.value and said.end - since >= condition.lasting:
        yield Hit(condition, since, said.end, turn, said.text, felt.score)
