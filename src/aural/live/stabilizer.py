"""Text that only grows, from hypotheses that change their mind.

A word is committed when two hypotheses in a row agree on it and on all before it: LocalAgreement-2 (Liu et al. 2020;
Macháček et al. 2023, "Turning Whisper into Real-Time Transcription System"). The last hearing commits the rest.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from aural.engines.guard import SPACELESS_SCRIPTS
from aural.types import Transcript, Word

_TOKEN = re.compile(f"\\s*(?:[{SPACELESS_SCRIPTS}]|[^\\s{SPACELESS_SCRIPTS}]+)")
"""A word with the space before it, or a character of a script that puts no spaces between words."""
_MARKS = re.compile(r"[^\w']+")
_TRAILING_MARKS = re.compile(r"[^\w']+$")
LONGEST_ALIGNED = 200
"""Tokens that alignment looks at. A piece of speech has far fewer."""


@dataclass(frozen=True, slots=True)
class Token:
    """A word as it is written, with its leading space and the marks after it."""

    text: str
    word: Word | None = None

    @property
    def key(self) -> str:
        """What two hypotheses must agree on."""
        return _MARKS.sub("", self.text).casefold()


@dataclass(frozen=True, slots=True)
class Heard:
    """What one hypothesis changed."""

    growth: tuple[Token, ...]
    draft: tuple[Token, ...]


def tokens(transcript: Transcript) -> list[Token]:
    """The words of a transcript, marks that stand alone joined to the word before."""
    found: list[Token] = []
    for token in _raw_tokens(transcript):
        if token.key or not found:
            found.append(token)
        else:
            found[-1] = replace(found[-1], text=found[-1].text + token.text)
    return found


def _raw_tokens(transcript: Transcript) -> list[Token]:
    words = [word for segment in transcript.segments for word in segment.words]
    if words:
        return [Token(word.text, word) for word in words if word.text.strip()]
    return [token for segment in transcript.segments for token in spelled(segment.text)]


def spelled(text: str) -> list[Token]:
    """The words of a plain text."""
    return [Token(word) for word in _TOKEN.findall(text)]


def written(some: Sequence[Token]) -> str:
    return "".join(token.text for token in some)


class Stabilizer:
    """One piece of speech, heard again and again as it grows."""

    def __init__(self, taken: Sequence[Token] = (), owed: str = "") -> None:
        """`taken` are words that were committed before the piece began and may be its first ones."""
        self._committed = list(taken)
        self._within = [0] * len(taken)
        """Each of them was said before this sample, for certain."""
        self._claimed = len(taken)
        """How many of them no hypothesis has borne out yet."""
        self._owed = owed
        """Marks of the last committed word, which the next hypothesis may still change."""
        self._tail: list[Token] = []
        self._heard_to = 0

    @property
    def text(self) -> str:
        """What is committed."""
        return written(self._committed)

    def count_to(self, end: int) -> int:
        """How many words were committed that were said before a sample, for certain."""
        return bisect_right(self._within, end)

    def hear(self, heard: Sequence[Token], end: int) -> Heard:
        """Another hypothesis of the speech so far, up to the sample `end`."""
        tail = self._tail_of(heard)
        agreed = _common(self._tail, tail)
        growth = self._commit(tail[:agreed])
        self._tail, self._heard_to = tail[agreed:], end
        return Heard(growth, self._draft())

    def settle(self, heard: Sequence[Token]) -> tuple[Token, ...]:
        """The last hypothesis, of the whole speech; returns the rest of the text."""
        self._tail = self._tail_of(heard, is_last=True)
        rest = self._draft()
        self._committed, self._tail, self._owed = [*self._committed, *self._tail], [], ""
        return rest

    def split(self, heard: Sequence[Token], cut: int) -> tuple[tuple[Token, ...], Stabilizer]:
        """The last hypothesis of a piece that was cut at a sample while its speaker went on: the rest of its text, and
        the stabilizer of the next piece, in which the words that were committed beyond the cut are committed already.
        Those are words that the hypothesis lacks; never ones that were said before the cut."""
        theirs, ours = [token.key for token in heard], [token.key for token in self._committed]
        covered = nearest_prefix(theirs, ours) if len(theirs) < len(ours) else len(ours)
        covered = max(covered, self.count_to(cut))
        if covered < len(ours):
            return (), Stabilizer(self._committed[covered:], self._owed)
        return self.settle(heard), Stabilizer()

    def _tail_of(self, heard: Sequence[Token], *, is_last: bool = False) -> list[Token]:
        """What a hypothesis has after the committed words."""
        if self._claimed:
            self._weigh_claim(heard, is_last=is_last)
        reached, _ = self._reached(heard)
        if reached and self._committed and heard[reached - 1].key == self._committed[-1].key:
            self._owed = _marks(heard[reached - 1].text)
        return list(heard[reached:])

    def _weigh_claim(self, heard: Sequence[Token], *, is_last: bool) -> None:
        """Words that were taken over and are not among the first ones here lie before the cut: they count for
        nothing."""
        count, distance = len(self._committed), self._reached(heard)[1]
        if 2 * distance <= count + 1:
            self._claimed = 0
        elif is_last or len(heard) >= count:
            del self._committed[: self._claimed], self._within[: self._claimed]
            self._claimed, self._owed = 0, self._owed if self._committed else ""

    def _draft(self) -> tuple[Token, ...]:
        return (Token(self._owed), *self._tail) if self._owed else tuple(self._tail)

    def _commit(self, agreed: list[Token]) -> tuple[Token, ...]:
        """The agreed words, less the marks after the last one: they depend on what comes next."""
        if not agreed:
            return ()
        self._committed += agreed
        self._within += [self._heard_to] * len(agreed)
        owed, self._owed = self._owed, _marks(agreed[-1].text)
        shown = [*agreed[:-1], replace(agreed[-1], text=_TRAILING_MARKS.sub("", agreed[-1].text))]
        return (Token(owed), *shown) if owed else tuple(shown)

    def _reached(self, heard: Sequence[Token]) -> tuple[int, int]:
        """How many words of a hypothesis are committed already, and how many of the committed ones it hears otherwise.
        It may spell them otherwise, or have more or fewer of them: then the prefix is taken that is nearest to them."""
        ours = [token.key for token in self._committed]
        theirs = [token.key for token in heard]
        if theirs[: len(ours)] == ours:
            return len(ours), 0
        shift = max(0, len(ours) - LONGEST_ALIGNED)
        reached, distance = nearest(ours[shift:], theirs[shift : shift + 2 * LONGEST_ALIGNED])
        return shift + reached, distance


def nearest_prefix(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """The length of the prefix of `theirs` with the least edit distance to `ours`; of equal ones, one that ends with
    the same word, then the length nearest to that of `ours`."""
    return nearest(ours, theirs)[0]


def nearest(ours: Sequence[str], theirs: Sequence[str]) -> tuple[int, int]:
    """As `nearest_prefix`, and the edit distance."""
    row = list(range(len(theirs) + 1))
    for i, mine in enumerate(ours, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(theirs, 1):
            diagonal, row[j] = row[j], min(diagonal + (mine != other), row[j] + 1, row[j - 1] + 1)

    def demerit(length: int) -> tuple[int, bool, int]:
        ends_alike = bool(length and ours) and theirs[length - 1] == ours[-1]
        return row[length], not ends_alike, abs(length - len(ours))

    best = min(range(len(row)), key=demerit)
    return best, row[best]


def _common(before: Sequence[Token], now: Sequence[Token]) -> int:
    count = 0
    for mine, other in zip(before, now, strict=False):
        if mine.key != other.key:
            break
        count += 1
    return count


def _marks(text: str) -> str:
    found = _TRAILING_MARKS.search(text)
    return found.group() if found and found.start() else ""
