"""Rules that act: conditions on what was said, alone or together, written in TOML. Pure: turns in, alerts out.

[alert.cancel-risk]
role = "CUSTOMER"
any = [{ category = "churn" }, { intent = "cancel_service", score = 0.4 }]

[alert.angry-and-ignored]
all = [{ emotion = "anger", for_s = 20 }, { silence_s = 8 }]
within_s = 60
cooldown_s = 120
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aural.errors import SettingsError
from aural.insight.emotion import EMOTIONS
from aural.insight.safety import LABELS
from aural.insight.schema import ms
from aural.insight.talk import side
from aural.insight.types import Role, Turn
from aural.types import SAMPLE_RATE

TESTS = ("keyword", "category", "intent", "emotion", "safety", "silence_s", "talk_over_s")
EXTRAS = {"intent": ("score",), "emotion": ("for_s", "score"), "safety": ("severity",)}
KEYS = frozenset({"any", "all", "role", "within_s", "cooldown_s", "webhook"})
WITHIN_S = 60.0
COOLDOWN_S = 60.0


@dataclass(frozen=True, slots=True)
class Condition:
    """One test; `kind` is a name of `TESTS`."""

    kind: str
    value: str = ""
    """Of keyword, category, intent, emotion and safety."""
    least: float = 0.0
    """Score or severity."""
    lasting: int = 0
    """Samples that an emotion, a silence or an overlap must last."""


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    conditions: tuple[Condition, ...]
    needs_all: bool = False
    role: Role | None = None
    within: int = round(WITHIN_S * SAMPLE_RATE)
    """Samples: in what time all conditions must have held."""
    cooldown: int = round(COOLDOWN_S * SAMPLE_RATE)
    """Samples before the rule may act again in the same call."""
    webhook: bool = True


@dataclass(frozen=True, slots=True)
class Hit:
    """A condition that held, and where."""

    condition: Condition
    start: int
    end: int
    utterance: str = ""


@dataclass(frozen=True, slots=True)
class Alert:
    rule: Rule
    at: int
    """Samples."""
    hits: tuple[Hit, ...]


def alert_json(alert: Alert) -> dict[str, Any]:
    """With `matched_categories` as in the CategoryEvent of Amazon Transcribe."""
    points = [
        {
            "condition": hit.condition.kind,
            "value": hit.condition.value or None,
            "utterance_id": hit.utterance or None,
            "begin_offset_ms": ms(hit.start),
            "end_offset_ms": ms(hit.end),
        }
        for hit in alert.hits
    ]
    return {
        "type": "alert",
        "schema": "1",
        "name": alert.rule.name,
        "offset_ms": ms(alert.at),
        "matched_categories": [alert.rule.name],
        "points_of_interest": points,
    }


class Watch:
    """The rules over one call. Give it the turns as they end, and the time between them."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        self._last: dict[tuple[int, int], Hit] = {}
        self._acted: dict[str, int] = {}
        self._quiet_from = 0
        self._turns: list[Turn] = []
        self._moods: dict[str, tuple[str, int]] = {}

    def turn(self, turn: Turn) -> list[Alert]:
        """What a turn sets off."""
        alerts = self.clock(turn.utterance.start)
        self._feel(turn)
        hits = [
            (r, c, hit)
            for r, rule in enumerate(self._rules)
            if rule.role in (None, turn.utterance.role)
            for c, condition in enumerate(rule.conditions)
            for hit in self._hits(condition, turn)
        ]
        self._turns = [*self._turns[-8:], turn]
        self._quiet_from = max(self._quiet_from, turn.utterance.end)
        return alerts + self._act(hits, turn.utterance.end)

    def clock(self, now: int) -> list[Alert]:
        """What the silence up to now sets off; `now` is in samples."""
        hits = [
            (r, c, Hit(condition, self._quiet_from, now))
            for r, rule in enumerate(self._rules)
            for c, condition in enumerate(rule.conditions)
            if condition.kind == "silence_s" and now - self._quiet_from >= condition.lasting
        ]
        return self._act(hits, now)

    def _act(self, hits: Sequence[tuple[int, int, Hit]], now: int) -> list[Alert]:
        for r, c, hit in hits:
            self._last[r, c] = hit
        alerts = [self._judge(r, now) for r in dict.fromkeys(r for r, _, _ in hits)]
        return [alert for alert in alerts if alert]

    def _judge(self, r: int, now: int) -> Alert | None:
        rule = self._rules[r]
        recent = [
            hit
            for c in range(len(rule.conditions))
            if (hit := self._last.get((r, c))) is not None and now - hit.end <= rule.within
        ]
        missing = rule.needs_all and len(recent) < len(rule.conditions)
        if not recent or missing or now - self._acted.get(rule.name, -rule.cooldown) < rule.cooldown:
            return None
        self._acted[rule.name] = now
        return Alert(rule, now, tuple(recent))

    def _feel(self, turn: Turn) -> None:
        """Since when a side has felt as it does now."""
        felt = turn.findings.emotion
        name = side(turn.utterance)
        if felt and self._moods.get(name, ("", 0))[0] != felt.label:
            self._moods[name] = (felt.label, turn.utterance.start)

    def _hits(self, condition: Condition, turn: Turn) -> Iterator[Hit]:
        said, found = turn.utterance, turn.findings

        def whole() -> Hit:
            return Hit(condition, said.start, said.end, said.id)

        match condition.kind:
            case "keyword" | "category":
                for word in found.keywords:
                    name = word.phrase if condition.kind == "keyword" else word.category
                    if name.lower() == condition.value.lower():
                        yield Hit(condition, word.span.start, word.span.stop, said.id)
            case "intent":
                if found.intent and found.intent.label == condition.value and found.intent.score >= condition.least:
                    yield whole()
            case "emotion":
                felt, since = self._moods.get(side(said), ("", said.start))
                sure = found.emotion is not None and found.emotion.score >= condition.least
                if felt == condition.value and sure and said.end - since >= condition.lasting:
                    yield Hit(condition, since, said.end, said.id)
            case "safety":
                if any(one.label == condition.value and one.severity >= condition.least for one in found.safety):
                    yield whole()
            case "talk_over_s":
                for other in self._turns:
                    start, end = max(said.start, other.utterance.start), min(said.end, other.utterance.end)
                    if side(other.utterance) != side(said) and end - start >= condition.lasting:
                        yield Hit(condition, start, end, said.id)


@dataclass(slots=True)
class _Table:
    """A table of the file, and where it stands, for the message."""

    place: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def wrong(self, expected: str, got: object) -> SettingsError:
        return SettingsError(f"{self.place}: expected {expected}, got {got!r}")

    def seconds(self, key: str, default: float) -> int:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise self.wrong(f"{key} as seconds", value)
        return round(value * SAMPLE_RATE)


def parse_rules(table: Mapping[str, Any]) -> tuple[Rule, ...]:
    """The tables under `alert` of the file; raises SettingsError that names the rule."""
    return tuple(_rule(name, entry) for name, entry in table.items())


def _rule(name: str, entry: Any) -> Rule:
    table = _Table(f"alert.{name}", entry if isinstance(entry, dict) else {})
    if not isinstance(entry, dict) or not entry.keys() <= KEYS or ("any" in entry) == ("all" in entry):
        raise table.wrong(f"keys of {', '.join(sorted(KEYS))}, and one of any and all", entry)
    conditions = entry.get("any", entry.get("all"))
    if not isinstance(conditions, list) or not conditions:
        raise table.wrong("a list of conditions", conditions)
    role = entry.get("role")
    if role not in (None, *Role):
        raise table.wrong("role AGENT or CUSTOMER", role)
    return Rule(
        name,
        tuple(_condition(table.place, one) for one in conditions),
        "all" in entry,
        Role(role) if role else None,
        table.seconds("within_s", WITHIN_S),
        table.seconds("cooldown_s", COOLDOWN_S),
        bool(entry.get("webhook", True)),
    )


def _condition(place: str, entry: Any) -> Condition:
    table = _Table(place, entry if isinstance(entry, dict) else {})
    kinds = [kind for kind in TESTS if kind in table.values]
    if len(kinds) != 1 or not table.values.keys() <= {kinds[0], *EXTRAS.get(kinds[0], ())}:
        raise table.wrong(f"a condition with one of {', '.join(TESTS)}", entry)
    [kind] = kinds
    if kind in ("silence_s", "talk_over_s"):
        return Condition(kind, lasting=table.seconds(kind, 0.0))
    value = table.values[kind]
    allowed = {"emotion": EMOTIONS, "safety": LABELS}.get(kind)
    if not isinstance(value, str) or (allowed and value not in allowed):
        raise table.wrong(f"{kind} of {', '.join(allowed)}" if allowed else f"{kind} as a string", value)
    least = table.values.get("score", table.values.get("severity", 0.0))
    if isinstance(least, bool) or not isinstance(least, int | float):
        raise table.wrong("score or severity as a number", least)
    return Condition(kind, value, float(least), table.seconds("for_s", 0.0))
