"""The skills together: one embedding per utterance serves intent, emotion, safety and notes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from aural.insight import embed, notes, safety
from aural.insight.embed import Bge, Embedder, Vectors
from aural.insight.emotion import emotion, held
from aural.insight.entities import entities
from aural.insight.heads import Heads, heads
from aural.insight.intent import Intents, IntentSpec, ready, spoken
from aural.insight.keywords import Phrase, Phrases
from aural.insight.request import Asked
from aural.insight.terms import terms
from aural.insight.types import Emotion, Findings, Intent, Safety, Skill, Utterance
from aural.insight.words import shares_script

EMBEDDED = frozenset({Skill.INTENT, Skill.EMOTION, Skill.SAFETY, Skill.NOTES})
"""Skills that go by the vector of the utterance."""
KEPT = 32
"""Lists of phrases and sets of labels that stay compiled."""
TERMS_PER_UTTERANCE = 3

Made = TypeVar("Made")


class Analyst:
    """Owns the models. Not for several threads at once."""

    def __init__(self) -> None:
        self._embedders: dict[str, Embedder] = {}
        self._compiled: OrderedDict[Hashable, Any] = OrderedDict()

    def warm_up(self) -> list[str]:
        """Load what is installed; returns the names."""
        names = [name for name in embed.EMBEDDERS if embed.is_here(name)]
        for name in names:
            self._embedder(name).embed(["hello"])
            heads(name)
        return names

    def analyse(self, utterances: Sequence[Utterance], asked: Asked) -> tuple[Findings, ...]:
        """What the skills find in each utterance, in order."""
        return tuple(self._one(utterance, asked) for utterance in utterances)

    def _one(self, utterance: Utterance, asked: Asked) -> Findings:
        skills = asked.skills
        name = embed.for_language(utterance.language) if skills & EMBEDDED and utterance.text.strip() else None
        vector = self._embedder(name).embed([utterance.text]) if name else None
        found = _Felt(self, utterance, asked, name, vector) if name and vector is not None else None
        words = safety.by_words(utterance) if Skill.SAFETY in skills else ()
        return Findings(
            keywords=self._phrases(asked.phrases).find(utterance) if Skill.KEYWORDS in skills and asked.phrases else (),
            terms=terms([utterance], TERMS_PER_UTTERANCE) if Skill.TERMS in skills else (),
            intent=found.intent() if found and Skill.INTENT in skills else None,
            emotion=found.emotion() if found and Skill.EMOTION in skills else None,
            safety=safety.together(words, found.dangers()) if found and Skill.SAFETY in skills else words,
            entities=entities(utterance) if Skill.ENTITIES in skills else (),
            notes=notes.notes(utterance, found.shares("notes")) if found and Skill.NOTES in skills else (),
            models=(name,) if name else (),
            skipped=() if name or not utterance.text.strip() else tuple(sorted(skills & EMBEDDED)),
        )

    def intents(self, specs: tuple[IntentSpec, ...], name: str, language: str) -> Intents | None:
        """The labels, learnt from their examples; None when there are no examples that this embedder can read."""

        def learn() -> Intents | None:
            said = spoken(specs or ready(), english=name == Bge.name)
            if not specs:  # in one language they are enough, and learnt in half the time
                said = [pair for pair in said if shares_script(pair[1], language)]
            means = heads(name).means
            return Intents(said, self._embedder(name), means.get(language, means["en"]), language) if said else None

        return self._kept(("intents", specs, name, language), learn)

    def _phrases(self, phrases: tuple[Phrase, ...]) -> Phrases:
        return self._kept(("phrases", phrases), lambda: Phrases(phrases))

    def _embedder(self, name: str) -> Embedder:
        if name not in self._embedders:
            self._embedders[name] = embed.load(name)
        return self._embedders[name]

    def _kept(self, key: Hashable, make: Callable[[], Made]) -> Made:
        if key not in self._compiled:
            self._compiled[key] = make()
            while len(self._compiled) > KEPT:
                self._compiled.popitem(last=False)
        self._compiled.move_to_end(key)
        made: Made = self._compiled[key]
        return made


class _Felt:
    """One utterance with its vector."""

    def __init__(self, analyst: Analyst, utterance: Utterance, asked: Asked, name: str, vector: Vectors) -> None:
        self._analyst = analyst
        self._utterance = utterance
        self._asked = asked
        self._name = name
        self._heads: Heads = heads(name)
        self._vector = np.asarray(vector)

    def shares(self, skill: str) -> dict[str, float]:
        text, language = self._utterance.text, self._utterance.language
        return self._heads.probabilities(skill, self._vector, [text], language)[0]

    def emotion(self) -> Emotion:
        return replace(emotion(self.shares("call")), several=self._held("ekman"), nuances=self._held("fine"))

    def _held(self, skill: str) -> tuple[tuple[str, float], ...]:
        if skill not in self._heads.by_skill:
            return ()
        return held(self.shares(skill), self._heads.thresholds(skill))

    def dangers(self) -> tuple[Safety, ...]:
        found = safety.by_head(self.shares("safety"), self._heads.thresholds("safety"))
        if self._utterance.language != "zh" or "offence" not in self._heads.by_skill:
            return found
        return safety.together(found, safety.by_offence(self.shares("offence")["OFFENCE"]))

    def intent(self) -> Intent | None:
        known = self._analyst.intents(self._asked.intents, self._name, self._utterance.language)
        return known.find([self._utterance.text], self._asked.intent_threshold)[0] if known else None
