"""Rules that act, as they are written in TOML: conditions on what is said, alone or together.

[alert.cancel-risk]
role = "CUSTOMER"
any = [{ category = "churn" }, { intent = "cancel_service", score = 0.4 }]

[alert.angry-and-ignored]
all = [{ emotion = "anger", for_s = 20 }, { silence_s = 8 }]
within_s = 60
cooldown_s = 120
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from aural.insight.emotion import EMOTIONS
from aural.insight.intent import OTHER, ready
from aural.insight.keywords import Phrase
from aural.insight.request import LONGEST_TEXT, Asked
from aural.insight.safety import EMBEDDED_LABELS, LABELS
from aural.insight.table import Table
from aural.insight.types import Findings, Role, Skill
from aural.types import SAMPLE_RATE

LASTING = ("silence_s", "talk_over_s")
SKILLS = {
    "keyword": Skill.KEYWORDS,
    "category": Skill.KEYWORDS,
    "intent": Skill.INTENT,
    "emotion": Skill.EMOTION,
    "safety": Skill.SAFETY,
}
"""What must be looked for, by kind of condition; silence and talk-over are a matter of times."""
TESTS = (*SKILLS, *LASTING)
EXTRAS = {"intent": ("score",), "emotion": ("for_s", "score"), "safety": ("severity",)}
KEYS = frozenset({"any", "all", "role", "within_s", "cooldown_s", "webhook"})
MOST_SEARCHES = 64
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
    """Whose words, feelings and silence count; None counts everybody's."""
    within: int = round(WITHIN_S * SAMPLE_RATE)
    """Samples: how far apart the conditions may have held."""
    cooldown: int = round(COOLDOWN_S * SAMPLE_RATE)
    """Samples before the rule may act again in the same call."""
    webhook: bool = True


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. Rules may need more than was asked for; that is found for them and told to nobody."""

    asked: Asked
    wide: Asked
    """With what the rules need."""
    hidden: frozenset[tuple[str, str]] = frozenset()
    """Phrases with their categories that only the rules look for."""

    def told(self, found: Findings) -> Findings:
        """Of the findings of `wide`, what was asked for. Other skills than those asked for are not written anyway."""
        return replace(
            found,
            keywords=tuple(word for word in found.keywords if (word.phrase, word.category) not in self.hidden),
            skipped=tuple(skill for skill in found.skipped if skill in self.asked.skills),
        )


@dataclass(frozen=True, slots=True)
class Needs:
    """What must be looked for so that the rules can act, whatever a request asks for."""

    skills: frozenset[Skill] = frozenset()
    phrases: tuple[Phrase, ...] = ()

    @classmethod
    def of(cls, rules: Sequence[Rule], phrases: Sequence[Phrase]) -> Needs:
        """`phrases` are those of the file; a rule may name others, too."""
        conditions = [condition for rule in rules for condition in rule.conditions]
        keywords = {one.value.lower(): one.value for one in conditions if one.kind == "keyword"}
        categories = {one.value.lower() for one in conditions if one.kind == "category"}
        listed = [one for one in phrases if one.text.lower() in keywords or one.category.lower() in categories]
        missing = keywords.keys() - {phrase.text.lower() for phrase in listed}
        named = [Phrase(text) for low, text in keywords.items() if low in missing]
        return cls(frozenset(SKILLS[one.kind] for one in conditions if one.kind in SKILLS), (*listed, *named))

    def search(self, asked: Asked) -> Search:
        """For a request. Who asks alike gets the same one, so that the worker is told it once."""
        return _search(self, asked)


@lru_cache(MOST_SEARCHES)
def _search(needs: Needs, asked: Asked) -> Search:
    wide = replace(
        asked,
        skills=asked.skills | needs.skills,
        phrases=tuple(dict.fromkeys((*asked.phrases, *needs.phrases))),
    )
    given = {(phrase.text, phrase.category) for phrase in asked.phrases}
    return Search(asked, wide, frozenset((one.text, one.category) for one in needs.phrases) - given)


def parse_rules(table: Mapping[str, Any], asked: Asked, *, has_llm: bool = False) -> tuple[Rule, ...]:
    """The tables under `alert` of the file, whose keywords and intents are in `asked`. Raises SettingsError that names
    the rule, also for one that could never act."""
    names = {
        "category": tuple(dict.fromkeys(phrase.category for phrase in asked.phrases if phrase.category)),
        "intent": (*(spec.label for spec in asked.intents or ready()), OTHER),
        "emotion": EMOTIONS,
        "safety": LABELS if has_llm else EMBEDDED_LABELS,
    }
    return tuple(_rule(name, entry, names) for name, entry in table.items())


def _rule(name: str, entry: object, names: Mapping[str, Collection[str]]) -> Rule:
    table = Table.of(f"alert.{name}", entry, KEYS)
    ways = [way for way in ("any", "all") if way in table.values]
    if len(ways) != 1:
        raise table.wrong("one of any and all", " and ".join(ways) or "none")
    [way] = ways
    conditions = table.values[way]
    if not isinstance(conditions, list) or not conditions:
        raise table.wrong("a list of conditions", conditions, way)
    return Rule(
        name,
        tuple(_condition(f"{table.place}.{way}[{n}]", one, names) for n, one in enumerate(conditions)),
        way == "all",
        Role(table.one_of("role", tuple(Role))) if "role" in table.values else None,
        table.span("within_s", WITHIN_S),
        table.span("cooldown_s", COOLDOWN_S, 0.0),
        table.switch("webhook", default=True),
    )


def _condition(place: str, entry: object, names: Mapping[str, Collection[str]]) -> Condition:
    kinds = [kind for kind in TESTS if isinstance(entry, dict) and kind in entry]
    if len(kinds) != 1:
        raise Table(place, {}).wrong(f"a condition with one of {', '.join(TESTS)}", entry)
    [kind] = kinds
    table = Table.of(place, entry, (kind, *EXTRAS.get(kind, ())))
    if kind in LASTING:
        return Condition(kind, lasting=table.span(kind, 0.0))
    least = table.number("severity" if kind == "safety" else "score", 0.0, 0.0, 1.0)
    return Condition(kind, _value(table, kind, names), least, table.span("for_s", 0.0, 0.0))


def _value(table: Table, kind: str, names: Mapping[str, Collection[str]]) -> str:
    if kind in names:
        return table.one_of(kind, names[kind])
    value = table.text(kind)
    if len(value) > LONGEST_TEXT:
        raise table.wrong(f"at most {LONGEST_TEXT} characters", value, kind)
    return value
