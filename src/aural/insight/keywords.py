"""Phrases of the caller's list: literally by Aho-Corasick, nearly by edit distance and, in Chinese, by sound."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from aural.insight.types import Keyword, Span, Utterance
from aural.insight.words import Token, background, folded, is_spaceless, tokens

FUZZY_SCORE = 0.86
"""Least similarity of a near hit: "cancelling my contract" is one of "cancel my contract"."""
SHORT = 9
"""Letters: a shorter phrase may be one letter off, and only where that makes a word that nobody knows: "invoise" is an
"invoice", but "contact" is no "contract"."""
SHORTEST_FUZZY = 5
"""Characters: shorter phrases are too near to too many words."""
SHORTEST_ENDING = 3
"""Letters: shorter phrases get no endings."""
SHORTEST_SOUND = 3
"""Characters of Chinese: what sounds like so many in a row is them."""
SOUND_SCORE = 0.9
LONGEST_FUZZY = 64
"""Characters: a longer phrase is looked for to the letter."""
LONGER = 1.2
"""How much longer than the longest phrase a near hit may be."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """An entry of a list: what to report, and what may be said for it."""

    text: str
    variants: tuple[str, ...] = ()
    category: str = ""
    fuzzy: bool = True


@dataclass(frozen=True, slots=True)
class _Hit:
    phrase: Phrase
    begin: int
    end: int
    score: float


class Phrases:
    """A list, compiled: finding ten thousand phrases in an utterance takes microseconds, near hits of a hundred a
    millisecond."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        import ahocorasick

        entries = dict.fromkeys(phrases)
        by_form: dict[str, list[Phrase]] = {}
        for phrase in entries:
            for form in dict.fromkeys(_literal_forms(phrase)):
                by_form.setdefault(form, []).append(phrase)
        self._automaton = ahocorasick.Automaton()
        for form, owners in by_form.items():
            self._automaton.add_word(form, (len(form), owners))
        if by_form:
            self._automaton.make_automaton()
        near = dict.fromkeys((phrase, _bare(form)) for phrase in entries if phrase.fuzzy for form in _ways(phrase))
        self._near_spelt = [(phrase, bare) for phrase, bare in near if len(bare) <= LONGEST_FUZZY]
        self._by_sound = [(phrase, [*map(_syllables, bare)]) for phrase, bare in self._near_spelt if _has_sound(bare)]
        self._longest = LONGER * max((len(bare) for _, bare in self._near_spelt), default=0)

    def find(self, utterance: Utterance, *, fuzzy: bool = True) -> tuple[Keyword, ...]:
        """The phrases in an utterance, in order of time. Where two overlap, the better and longer one stands."""
        text = folded(utterance.text)
        hits = list(self._literal(text))
        if fuzzy and self._near_spelt:
            words = tokens(text)
            hits += [*self._near(text, words), *self._sounding(words)]
        hits.sort(key=lambda hit: (-hit.score, hit.begin - hit.end, hit.begin))
        kept: list[_Hit] = []
        for hit in hits:
            if all(hit.end <= other.begin or hit.begin >= other.end or _is_other(hit, other) for other in kept):
                kept.append(hit)
        return tuple(_keyword(utterance, hit) for hit in sorted(kept, key=lambda hit: hit.begin))

    def _literal(self, text: str) -> Iterator[_Hit]:
        if not len(self._automaton):
            return
        spaced = _single_spaced(text)
        for last, (length, owners) in self._automaton.iter(spaced):
            begin, end = last + 1 - length, last + 1
            if _is_whole(spaced, begin, end):
                for phrase in owners:
                    yield _Hit(phrase, begin, end, 1.0)

    def _near(self, text: str, words: Sequence[Token]) -> Iterator[_Hit]:
        """What is spelt nearly so."""
        from rapidfuzz import fuzz, process

        grams = list(_grams(words, self._longest))
        heard = [gram for gram, _, _ in grams]
        for phrase, bare in self._near_spelt:
            least = _least(bare)
            for _, score, index in process.extract(bare, heard, scorer=fuzz.ratio, score_cutoff=least, limit=None):
                gram, begin, end = grams[index]
                if score == 100 or not _is_short(bare) or _is_slip(bare, gram, text[begin:end]):
                    yield _Hit(phrase, begin, end, round(min(score / 100, 0.99), 3))

    def _sounding(self, words: Sequence[Token]) -> Iterator[_Hit]:
        """What sounds so, in Chinese: a recogniser writes one character for another of the same sound."""
        for run in _spaceless_runs(words):
            heard = [_syllables(word.text) for word in run]
            for phrase, sound in self._by_sound:
                for first in range(len(heard) - len(sound) + 1):
                    if all(one & other for one, other in zip(sound, heard[first:], strict=False)):
                        yield _Hit(phrase, run[first].begin, run[first + len(sound) - 1].end, SOUND_SCORE)


def _is_other(hit: _Hit, other: _Hit) -> bool:
    """Whether both may stand on the same words: two entries that were both said to the letter."""
    return hit.score == other.score == 1.0 and hit.phrase != other.phrase


def _keyword(utterance: Utterance, hit: _Hit) -> Keyword:
    start, stop = utterance.times(hit.begin, hit.end)
    said = utterance.text[hit.begin : hit.end]
    return Keyword(hit.phrase.text, said, hit.score, Span(hit.begin, hit.end, start, stop), hit.phrase.category)


def _grams(words: Sequence[Token], longest: float) -> Iterator[tuple[str, int, int]]:
    """Runs of words without their spaces, of so many letters at most, with their places."""
    for first in range(len(words)):
        gram = ""
        for word in words[first:]:
            gram += word.text
            if len(gram) > longest:
                break
            yield gram, words[first].begin, word.end


def _spaceless_runs(words: Sequence[Token]) -> list[list[Token]]:
    """Characters with nothing between them."""
    runs: list[list[Token]] = []
    for word in words:
        if not is_spaceless(word.text):
            continue
        if not runs or runs[-1][-1].end != word.begin:
            runs.append([])
        runs[-1].append(word)
    return runs


def _ways(phrase: Phrase) -> Iterator[str]:
    """The phrase and its variants, folded."""
    return (form for way in (phrase.text, *phrase.variants) if (form := _form(way)))


def _literal_forms(phrase: Phrase) -> Iterator[str]:
    """What counts as the phrase: its ways and, where near hits are wanted, the regular endings of the last word."""
    for form in _ways(phrase):
        yield form
        if phrase.fuzzy and len(form) >= SHORTEST_ENDING and form.isascii() and form[-1].isalpha():
            yield from _inflected(form)


def _inflected(form: str) -> Iterator[str]:
    """English plurals and verb forms: refunds, invoiced, cancelling, replies."""
    yield from (form + ending for ending in ("s", "es", "ed", "ing"))
    yield from (form + form[-1] + ending for ending in ("ed", "ing"))
    if form.endswith("e"):
        yield from (form + "d", form[:-1] + "ing")
    if form.endswith("y"):
        yield from (form[:-1] + "ies", form[:-1] + "ied")


def _form(phrase: str) -> str:
    """A phrase as it stands in a folded text."""
    return " ".join(folded(phrase).split())


def _single_spaced(text: str) -> str:
    """Every kind of white space as a space, in the same places."""
    return "".join(" " if char.isspace() else char for char in text)


def _is_whole(text: str, begin: int, end: int) -> bool:
    """Whether a hit begins and ends where words do. Words of Chinese are not marked, so any place will do."""
    edges = [(text[at - 1], text[at]) for at in (begin, end) if 0 < at < len(text)]
    return not any(left.isalnum() and right.isalnum() and not is_spaceless(left + right) for left, right in edges)


def _bare(form: str) -> str:
    return form.replace(" ", "")


def _is_short(bare: str) -> bool:
    return len(bare) < SHORT and not is_spaceless(bare)


def _least(bare: str) -> float:
    """The least score, of 100, that a near hit of a phrase needs; short ones are looked at once more."""
    if len(bare) < SHORTEST_FUZZY and not is_spaceless(bare):
        return 100.0
    return 100 * (1 - 2 / (2 * len(bare) - 1)) if _is_short(bare) else 100 * FUZZY_SCORE


def _is_slip(bare: str, gram: str, said: str) -> bool:
    """Whether what was heard is one letter off and no word that is known."""
    from rapidfuzz.distance import OSA

    return OSA.distance(bare, gram) == 1 and any(word.text not in background() for word in tokens(said))


def _has_sound(bare: str) -> bool:
    return len(bare) >= SHORTEST_SOUND and all(is_spaceless(char) for char in bare)


@cache
def _syllables(character: str) -> frozenset[str]:
    """How a character may be read, without tones; one that has no reading stands for itself."""
    from pypinyin import Style, pinyin

    return frozenset(pinyin(character, style=Style.NORMAL, heteronym=True)[0])
