"""Phrases of the caller's list: literally by Aho-Corasick, nearly by edit distance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aural.insight.types import Keyword, Span, Utterance
from aural.insight.words import Token, folded, is_spaceless, tokens

FUZZY_SCORE = 0.86
"""Least similarity of a near hit: "cancelling my contract" is one of "cancel my contract"."""
FUZZY_SCORE_SHORT = 0.94
SHORT = 9
"""Letters: a shorter phrase must be nearer, lest "contact" be "contract"."""
SHORTEST_FUZZY = 5
"""Characters: shorter phrases are too near to too many words."""
SHORTEST_FUZZY_SPACELESS = 4


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

        self._spoken = [
            (phrase, form) for phrase in phrases for way in (phrase.text, *phrase.variants) if (form := _form(way))
        ]
        self._automaton = ahocorasick.Automaton()
        by_form: dict[str, list[Phrase]] = {}
        for phrase, form in self._spoken:
            by_form.setdefault(form, []).append(phrase)
        for form, owners in by_form.items():
            self._automaton.add_word(form, (len(form), owners))
        if by_form:
            self._automaton.make_automaton()
        self._fuzzy = [(phrase, form) for phrase, form in self._spoken if phrase.fuzzy and _is_long_enough(form)]
        self._longest = max((len(tokens(form)) for _, form in self._fuzzy), default=0) + 1

    def find(self, utterance: Utterance, *, fuzzy: bool = True) -> tuple[Keyword, ...]:
        """The phrases in an utterance, in order of time. Where two overlap, the better and longer one stands."""
        text = folded(utterance.text)
        hits = list(self._literal(text))
        if fuzzy and self._fuzzy:
            hits += self._near(text)
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

    def _near(self, text: str) -> Iterator[_Hit]:
        from rapidfuzz import fuzz, process

        grams = list(_grams(tokens(text), self._longest))
        if not grams:
            return
        heard = [gram for gram, _, _ in grams]
        for phrase, form in self._fuzzy:
            bare = form.replace(" ", "")
            least = 100 * (FUZZY_SCORE_SHORT if len(bare) < SHORT and not is_spaceless(bare) else FUZZY_SCORE)
            for _, score, index in process.extract(bare, heard, scorer=fuzz.ratio, score_cutoff=least, limit=None):
                _, begin, end = grams[index]
                if score < 100 or text[begin:end] != form:
                    yield _Hit(phrase, begin, end, round(min(score / 100, 0.99), 3))


def _is_other(hit: _Hit, other: _Hit) -> bool:
    """Whether both may stand on the same words: two entries that were both said to the letter."""
    return hit.score == other.score == 1.0 and hit.phrase is not other.phrase


def _keyword(utterance: Utterance, hit: _Hit) -> Keyword:
    start, stop = utterance.times(hit.begin, hit.end)
    said = utterance.text[hit.begin : hit.end]
    return Keyword(hit.phrase.text, said, hit.score, Span(hit.begin, hit.end, start, stop), hit.phrase.category)


def _grams(words: Sequence[Token], longest: int) -> Iterator[tuple[str, int, int]]:
    """Runs of words without their spaces, with their places."""
    for first in range(len(words)):
        gram = ""
        for word in words[first : first + longest]:
            gram += word.text
            yield gram, words[first].begin, word.end


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


def _is_long_enough(form: str) -> bool:
    return len(form.replace(" ", "")) >= (SHORTEST_FUZZY_SPACELESS if is_spaceless(form) else SHORTEST_FUZZY)
