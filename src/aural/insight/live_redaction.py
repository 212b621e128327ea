"""Redaction of text that grows: a number that is still being read out is held back until it is known what it is.

What was told never changes: the deltas of an utterance still add up to its final text.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aural.insight.entities import MOST_WORDS, Found, find, groups, runs, words_between
from aural.insight.numbers import OPEN
from aural.insight.redaction import private, without
from aural.insight.tags import TAGS
from aural.insight.words import Placed, folded, placed
from aural.types import Word

CONTEXT_CHARACTERS = 1_000
"""Of what was told, that may decide what comes after it: several numbers long, and more than a word that says what a
number is stands before it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text to tell, with its words where there are any."""

    text: str
    words: tuple[Word, ...] = ()


class Growing:
    """One utterance, as it is committed bit by bit."""

    def __init__(self, categories: Iterable[str], told: str = "") -> None:
        """`told` is what was given out of the utterance before anybody asked to keep something back."""
        self.told = told
        """All that was given out."""
        self.categories = tuple(categories)
        self._heard = told
        """From a while before `_at` on: a text without end costs what a short one does."""
        self._words: list[Placed] = []
        self._at = len(told)
        """How much of what was heard has been told, or replaced."""

    def grow(self, text: str, words: tuple[Word, ...] = ()) -> Piece:
        """More committed text; returns what of it may be told now."""
        self._words += placed(words, text, len(self._heard))
        self._heard += text
        return self._release(_settled(self._heard))

    def draft(self, text: str) -> str:
        """What may be shown of the uncommitted rest, after all that was told."""
        whole = self._heard + text
        return self._between(whole, _settled(whole), ends=False)[0]

    def end(self) -> Piece:
        """The utterance is over: what was held back, without what is private."""
        return self._release(len(self._heard), ends=True)

    def _release(self, until: int, *, ends: bool = False) -> Piece:
        text, found, at = self._between(self._heard, until, ends=ends)
        words = without((one for one in self._words if self._at <= one[0] < at), found)
        self._at = at
        self.told += text
        self._forget()
        return Piece(text, words)

    def _forget(self) -> None:
        """What was told long ago decides nothing any more."""
        gone = self._at - CONTEXT_CHARACTERS
        if gone > CONTEXT_CHARACTERS:
            self._heard, self._at = self._heard[gone:], self._at - gone
            self._words = [(begin - gone, end - gone, word) for begin, end, word in self._words if begin >= gone]

    def _between(self, whole: str, until: int, *, ends: bool) -> tuple[str, list[Found], int]:
        """The text from what was told up to a place, what was taken out of it, and how far that reaches."""
        found = [one for one in private(whole, self.categories, edges=True) if one.end > self._at]
        if not ends:  # a number at the end is not told before it is over
            found = [one for one in found if one.begin < until]
        out, at = "", self._at
        for one in found:
            out += whole[at : max(one.begin, at)] + TAGS[one.category]
            at = one.end
        return out + whole[at:until], found, max(at, until)


def _settled(text: str) -> int:
    """Up to where nothing that is said later can make a number longer, or a group of one that would be told."""
    low, until, at = folded(text), len(text), len(text)
    parts = {run.begin for run in groups(text)}
    tagged = {found.begin for found in find(text)}
    for run in reversed(runs(text)):
        is_part = run.begin in parts and words_between(text, run.end, at) <= MOST_WORDS
        if OPEN.fullmatch(low, run.end, at) or (is_part and run.begin not in tagged):
            until = run.begin
        elif not is_part:
            break
        at = run.begin
    return until if until == len(text) else len(text[:until].rstrip())
