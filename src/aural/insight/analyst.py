"""The skills together: one embedding per utterance serves intent, emotion, safety and notes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from weakref import WeakValueDictionary

import numpy as np

from aural.insight import embed, notes, safety
from aural.insight.embed import Bge, Embedder, Vectors
from aural.insight.emotion import emotion, held
from aural.insight.entities import entities
from aural.insight.heads import Heads, heads
from aural.insight.intent import Intents, IntentSpec, learning, ready, spoken
from aural.insight.keywords import Phrase, Phrases
from aural.insight.request import Asked
from aural.insight.terms import terms
from aural.insight.types import Emotion, Findings, Intent, Safety, Skill, Utterance
from aural.insight.words import shares_script
from aural.insight.work import Job

EMBEDDED = frozenset({Skill.INTENT, Skill.EMOTION, Skill.SAFETY, Skill.NOTES})
"""Skills that go by the vector of the utterance."""
KEPT = 64
"""Of what callers ask, with phrases and labels, that stays ready."""
TERMS_PER_UTTERANCE = 3


class Analyst:
    """Owns the models. Not for several threads at once."""

    def __init__(self) -> None:
        self._embedders: dict[str, Embedder] = {}
        self._seekers: OrderedDict[Asked, Seeker] = OrderedDict()
        self._lists: WeakValueDictionary[tuple[Phrase, ...], Phrases] = WeakValueDictionary()
        self._labels: WeakValueDictionary[Hashable, Job[Intents]] = WeakValueDictionary()
        """The same lists and labels of several callers are one, as long as somebody's seeker has them."""

    def warm_up(self) -> list[str]:
        """Load what is installed; returns the names."""
        names = [name for name in embed.EMBEDDERS if embed.is_here(name)]
        for name in names:
            self.embedder(name).embed(["hello"])
            heads(name)
        return names

    def analyse(self, utterances: Sequence[Utterance], asked: Asked) -> tuple[Findings, ...]:
        """What the skills find in each utterance, in order. Labels are learnt first, however long it takes."""
        return self.seeker(asked).analyse(utterances)

    def seeker(self, asked: Asked) -> Seeker:
        """What is asked, ready to be looked for."""
        if asked not in self._seekers:
            self._seekers[asked] = Seeker(self, asked)
            while len(self._seekers) > KEPT:
                self._seekers.popitem(last=False)
        self._seekers.move_to_end(asked)
        return self._seekers[asked]

    def embedder(self, name: str) -> Embedder:
        if name not in self._embedders:
            self._embedders[name] = embed.load(name)
        return self._embedders[name]

    def phrases(self, phrases: tuple[Phrase, ...]) -> Phrases:
        compiled = self._lists.get(phrases)
        if compiled is None:
            compiled = self._lists[phrases] = Phrases(phrases)
        return compiled

    def labels(self, specs: tuple[IntentSpec, ...], name: str, language: str) -> Job[Intents] | None:
        """The labels, to be learnt; None when there are no examples that this embedder can read."""
        key = (specs, name, language)
        job = self._labels.get(key)
        if job is not None:
            return job
        said = spoken(specs or ready(), english=name == Bge.name)
        if not specs:  # in one language they are enough, and learnt in half the time
            said = [pair for pair in said if shares_script(pair[1], language)]
        if not said:
            return None
        job = self._labels[key] = Job(learning(said, self.embedder(name), heads(name), language))
        return job


class Seeker:
    """What one caller asks, with its phrases compiled and its labels learnt."""

    def __init__(self, analyst: Analyst, asked: Asked) -> None:
        self.asked = asked
        self._analyst = analyst
        self._phrases = analyst.phrases(asked.phrases) if asked.phrases else None
        self._labels: dict[str, Job[Intents] | None] = {}
        """By language."""

    def learn(self, languages: Iterable[str], until: float | None = None) -> bool:
        """Learn the labels for speakers of these languages, until the monotonic clock shows `until`. Returns whether
        all are learnt; if not, there is more to do, one step at least is done with each call."""
        for language in languages:
            job = self._job(language)
            if job is not None and not job.is_done:
                job.go_on(until)
                if not job.is_done:
                    return False
        return True

    def intents(self, language: str) -> Intents | None:
        """The labels as speakers of a language name them, learnt now if they are not yet."""
        job = self._job(language)
        if job is None:
            return None
        job.go_on()
        return job.made

    def analyse(self, utterances: Sequence[Utterance]) -> tuple[Findings, ...]:
        """What the skills find in each utterance, in order."""
        return tuple(self._one(utterance) for utterance in utterances)

    def _job(self, language: str) -> Job[Intents] | None:
        name = embed.for_language(language)
        if name is None or Skill.INTENT not in self.asked.skills:
            return None
        if language not in self._labels:
            self._labels[language] = self._analyst.labels(self.asked.intents, name, language)
        return self._labels[language]

    def _one(self, utterance: Utterance) -> Findings:
        skills = self.asked.skills
        name = embed.for_language(utterance.language) if skills & EMBEDDED and utterance.text.strip() else None
        vector = self._analyst.embedder(name).embed([utterance.text]) if name else None
        found = _Felt(self, utterance, name, vector) if name and vector is not None else None
        words = safety.by_words(utterance) if Skill.SAFETY in skills else ()
        return Findings(
            keywords=self._phrases.find(utterance) if self._phrases and Skill.KEYWORDS in skills else (),
            terms=terms([utterance], TERMS_PER_UTTERANCE) if Skill.TERMS in skills else (),
            intent=found.intent() if found and Skill.INTENT in skills else None,
            emotion=found.emotion() if found and Skill.EMOTION in skills else None,
            safety=safety.together(words, found.dangers()) if found and Skill.SAFETY in skills else words,
            entities=entities(utterance) if Skill.ENTITIES in skills else (),
            notes=notes.notes(utterance, found.shares("notes")) if found and Skill.NOTES in skills else (),
            models=(name,) if name else (),
            skipped=() if name or not utterance.text.strip() else tuple(sorted(skills & EMBEDDED)),
        )


class _Felt:
    """One utterance with its vector."""

    def __init__(self, seeker: Seeker, utterance: Utterance, name: str, vector: Vectors) -> None:
        self._seeker = seeker
        self._utterance = utterance
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
        known = self._seeker.intents(self._utterance.language)
        return known.find([self._utterance.text], self._seeker.asked.intent_threshold)[0] if known else None
