"""What a caller asks of the skills: names between commas, or a JSON object with the keys of the server's TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aural.errors import BadRequest
from aural.insight.intent import THRESHOLD, IntentSpec
from aural.insight.keywords import Phrase
from aural.insight.tags import CATEGORIES, PRIVATE
from aural.insight.types import Role, Skill

EMBEDDED_SKILLS = frozenset(Skill)
WAYS = "phrases and variants"
MOST_PHRASES = 10_000
"""Phrases and variants together; no list of anything else may be longer either."""
MOST_FUZZY = 1_000
"""Near hits cost time for each phrase; beyond so many a list is matched to the letter alone."""
MOST_LABELS = 300
MOST_EXAMPLES = 3_000
"""Ten for each label. Each takes 10 to 40 ms to learn."""
LONGEST_TEXT = 500
"""Characters of a phrase, a category, a label or an example."""
MOST_CHARACTERS = 400_000
"""Of all phrases together, and of all examples."""
ON = frozenset({"true", "1", "all", "on"})
OFF = frozenset({"false", "0", "off", "none", ""})
KEYS = frozenset({"skills", "keywords", "intents", "intent_threshold", "roles", "llm"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What to look for, and how."""

    skills: frozenset[Skill] = EMBEDDED_SKILLS
    phrases: tuple[Phrase, ...] = ()
    intents: tuple[IntentSpec, ...] = ()
    """Empty takes the ready labels."""
    intent_threshold: float = THRESHOLD
    roles: tuple[Role | None, ...] = ()
    """Who speaks on which channel; None where that is not known."""
    llm: bool = True
    """Whether the language model may be asked, where the server has one."""

    def role(self, channel: int | None) -> Role | None:
        """Who speaks there; nobody is known where channels are not apart."""
        return self.roles[channel] if channel is not None and channel < len(self.roles) else None


@dataclass(frozen=True, slots=True)
class Wish:
    """All that a request says about insights."""

    insights: Asked | None = None
    redact: tuple[str, ...] = ()
    """Categories of `tags.CATEGORIES` that must not leave."""


def parse_asked(value: object, defaults: Asked | None = None) -> Asked | None:
    """None when no insights are asked for; raises BadRequest that names the key."""
    given = _decoded(value)
    base = defaults or Asked()
    if given is None or given is False:
        return None
    if given is True:
        return base
    if isinstance(given, list):
        return replace(base, skills=_skills(given))
    if not isinstance(given, dict):
        raise BadRequest(f"expected insights as names or an object, got {type(given).__name__}", param="insights")
    return from_table(given, base)


def from_table(table: Mapping[str, Any], base: Asked) -> Asked:
    """The keys of an object laid over what is there already; raises BadRequest."""
    unknown = sorted(table.keys() - KEYS)
    if unknown:
        raise _wrong(unknown[0], f"keys of {', '.join(sorted(KEYS))}", unknown[0])
    return Asked(
        skills=_skills(table["skills"]) if "skills" in table else base.skills,
        phrases=_phrases(table["keywords"]) if "keywords" in table else base.phrases,
        intents=_intents(table["intents"]) if "intents" in table else base.intents,
        intent_threshold=_share(table.get("intent_threshold", base.intent_threshold)),
        roles=_roles(table["roles"]) if "roles" in table else base.roles,
        llm=_switch(table.get("llm", base.llm)),
    )


def parse_redact(value: object) -> tuple[str, ...]:
    """Categories to take out; `true` means those of `tags.PRIVATE`. Raises BadRequest."""
    given = value.strip() if isinstance(value, str) else value
    if given is None or given is False or (isinstance(given, str) and given.lower() in OFF):
        return ()
    if given is True or (isinstance(given, str) and given.lower() in ON):
        return PRIVATE
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, list):
        raise BadRequest(f"expected redact as true, false or names, got {type(given).__name__}", param="redact")
    categories = tuple(str(name).strip().upper() for name in names)
    unknown = [name for name in categories if name not in CATEGORIES]
    if unknown:
        raise BadRequest(f"expected redact of {', '.join(CATEGORIES)}; got {unknown[0]!r}", param="redact")
    return categories


def _decoded(value: object) -> object:
    """A string as what it says: a switch, names between commas, or JSON."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() in OFF:
        return None
    if text.lower() in ON:
        return True
    if not text.startswith(("{", "[")):
        return [name for name in text.split(",") if name.strip()]
    try:
        decoded: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"expected insights as names or JSON: {error}", param="insights") from error
    return decoded


def _skills(value: object) -> frozenset[Skill]:
    names = [str(name).strip().lower() for name in _list(value, "skills", "names")]
    if "all" in names:
        return EMBEDDED_SKILLS
    for name in names:
        if name not in set(Skill):
            raise _wrong("skills", ", ".join(Skill), name)
    return frozenset(map(Skill, names))


def _phrases(value: object) -> tuple[Phrase, ...]:
    """`["refund", {"phrase": "cancel", "variants": [...], "category": "churn", "fuzzy": false}]`, or categories with
    their phrases: `{"churn": ["cancel", "leave"]}`."""
    if isinstance(value, dict):
        entries = [(category, one) for category, some in value.items() for one in _list(some, "keywords", WAYS)]
    else:
        entries = [("", one) for one in _list(value, "keywords", WAYS)]
    if len(entries) > MOST_PHRASES:
        raise _wrong("keywords", f"at most {MOST_PHRASES} {WAYS}", len(entries))
    phrases = tuple(_phrase(one, category) for category, one in entries)
    ways = [way for phrase in phrases for way in (phrase.text, *phrase.variants)]
    if len(ways) > MOST_PHRASES:
        raise _wrong("keywords", f"at most {MOST_PHRASES} {WAYS}", len(ways))
    _check_length("keywords", ways)
    return phrases if len(ways) <= MOST_FUZZY else tuple(replace(phrase, fuzzy=False) for phrase in phrases)


def _phrase(value: object, category: str) -> Phrase:
    if isinstance(value, str):
        return Phrase(_text(value, "keywords"), category=_category(category))
    if not isinstance(value, dict) or not {"phrase"} <= value.keys() <= {"phrase", "variants", "category", "fuzzy"}:
        raise _wrong("keywords", "a string, or an object with phrase, variants, category, fuzzy", value)
    variants = tuple(_text(one, "keywords") for one in _list(value.get("variants", []), "keywords", "variants"))
    return Phrase(
        _text(value["phrase"], "keywords"),
        variants,
        _category(value.get("category", category)),
        _switch(value.get("fuzzy", True)),
    )


def _intents(value: object) -> tuple[IntentSpec, ...]:
    """`{"cancel": ["i want to cancel", ...]}`, or labels without examples: `["cancel", "complain"]`."""
    table = value if isinstance(value, dict) else {str(label): [] for label in _list(value, "intents", "labels")}
    specs = tuple(
        IntentSpec(_text(label, "intents"), tuple(_text(one, "intents") for one in _list(some, "intents", "examples")))
        for label, some in table.items()
    )
    examples = [text for spec in specs for text in spec.examples]
    if len(specs) > MOST_LABELS or len(examples) > MOST_EXAMPLES:
        got = f"{len(specs)} and {len(examples)}"
        raise _wrong("intents", f"at most {MOST_LABELS} labels and {MOST_EXAMPLES} examples", got)
    _check_length("intents", examples)
    return specs


def _roles(value: object) -> tuple[Role | None, ...]:
    names = [str(name).strip().upper() for name in _list(value, "roles", "AGENT and CUSTOMER")]
    for name in names:
        if name not in (*Role, ""):
            raise _wrong("roles", "AGENT, CUSTOMER or an empty name, by channel", name)
    return tuple(Role(name) if name else None for name in names)


def _list(value: object, key: str, of: str) -> list[Any]:
    if not isinstance(value, str | list | tuple):
        raise _wrong(key, f"a list of {of}", value)
    length = value.count(",") + 1 if isinstance(value, str) else len(value)
    if length > MOST_PHRASES:
        raise _wrong(key, f"a list of at most {MOST_PHRASES} {of}", length)
    return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else list(value)


def _category(value: object) -> str:
    return _text(value, "keywords") if value != "" else ""


def _check_length(key: str, texts: Sequence[str]) -> None:
    if (length := sum(map(len, texts))) > MOST_CHARACTERS:
        raise _wrong(key, f"at most {MOST_CHARACTERS} characters together", length)


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEXT:
        raise _wrong(key, f"a text of 1 to {LONGEST_TEXT} characters", value)
    return value.strip()


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _wrong("intent_threshold", "a number from 0 to 1", value)
    return float(value)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _wrong("llm or fuzzy", "true or false", value)
    return value


def _wrong(key: str, expected: str, got: object) -> BadRequest:
    return BadRequest(f"insights: expected {key} as {expected}; got {str(got)[:80]!r}", param="insights")
