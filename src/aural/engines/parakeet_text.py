"""From the tokens of a hypothesis to text: words with times and probabilities, sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aural.engines.parakeet_decoder import Hypothesis
from aural.errors import LoadFailed
from aural.types import SAMPLE_RATE, Word

BLANK = "<blk>"
WORD_BEGINS = "\u2581"
"""SentencePiece's mark of a space."""
OPENING_MARKS = frozenset('"“„«‘([{¿¡#$€£&@+<')
"""A space before these stays; before other marks a tokenizer's space is dropped."""
SENTENCE_ENDS = re.compile(r"[.?!…]$")
PAUSE_SAMPLES = SAMPLE_RATE
"""A silence as long as this ends a sentence too, for models that write no full stops."""
_CONTROL = re.compile(r"<\|.*\|>|<unk>|<pad>")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The pieces of a model's vocabulary, by token."""

    pieces: tuple[str, ...]
    """With spaces where a word begins; control tokens are empty."""
    blank: int
    languages: frozenset[str]
    """Codes for which there is a control token."""

    def __len__(self) -> int:
        return len(self.pieces)


def read_vocabulary(path: Path) -> Vocabulary:
    """Lines of `PIECE TOKEN`; raises LoadFailed."""
    pieces: dict[int, str] = {}
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            piece, _, token = line.rpartition(" ")
            pieces[int(token)] = piece
    except (OSError, ValueError) as error:
        raise LoadFailed(f"{path}: expected lines of a piece, a space and its number: {error}") from error
    blank = next((token for token, piece in pieces.items() if piece == BLANK), None)
    if blank is None or sorted(pieces) != list(range(len(pieces))):
        raise LoadFailed(f"{path}: expected tokens numbered from 0, one of them {BLANK}; got {len(pieces)} of them")
    ordered = [pieces[token] for token in range(len(pieces))]
    return Vocabulary(
        tuple("" if _CONTROL.fullmatch(piece) else piece.replace(WORD_BEGINS, " ") for piece in ordered),
        blank,
        frozenset(found[1] for piece in ordered if (found := re.fullmatch(r"<\|([a-z]{2})\|>", piece))),
    )


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word, with the evidence of its tokens."""

    word: Word
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


def spell(heard: Hypothesis, vocabulary: Vocabulary, frame_samples: int, clip_samples: int) -> list[Spoken]:
    """The words of a hypothesis, in samples of the clip, none beginning before the one before it ends."""
    groups = list(_group([vocabulary.pieces[token] for token in heard.tokens.tolist()]))
    spoken: list[Spoken] = []
    starts = np.minimum(heard.starts * frame_samples, clip_samples).tolist()
    ends = np.minimum(heard.ends * frame_samples, clip_samples).tolist()
    for place, (text, members) in enumerate(groups):
        first, last = members[0], members[-1]
        following = starts[groups[place + 1][1][0]] if place + 1 < len(groups) else clip_samples
        logprobs = tuple(heard.logprobs[members].tolist())
        probability = float(np.exp(np.mean(logprobs)))
        word = Word(text, starts[first], min(ends[last], following), min(probability, 1.0))
        spoken.append(Spoken(word, tuple(heard.tokens[members].tolist()), logprobs))
    return spoken


def sentences(spoken: Sequence[Spoken]) -> Iterator[list[Spoken]]:
    """Words up to a full stop, a question or exclamation mark, or a pause."""
    sentence: list[Spoken] = []
    for one in spoken:
        if sentence and _ends(sentence[-1].word, one.word) and one.word.start > sentence[0].word.start:
            yield sentence
            sentence = []
        sentence.append(one)
    if sentence:
        yield sentence


def _ends(word: Word, following: Word) -> bool:
    return bool(SENTENCE_ENDS.search(word.text)) or following.start - word.end >= PAUSE_SAMPLES


def _group(pieces: Sequence[str]) -> Iterator[tuple[str, list[int]]]:
    """Words and the indices of their pieces. A word begins at a space, unless a mark that belongs to the word before
    follows it."""
    text, members, gap = "", list[int](), True
    for i, piece in enumerate(pieces):
        gap = gap or piece.startswith(" ")
        letters = piece.lstrip(" ")
        if letters and gap and text and not _clings(letters[0]):
            yield text, members
            text, members = "", []
        if letters:
            text = (text or " ") + letters
            members.append(i)
            gap = False
    if text:
        yield text, members


def _clings(character: str) -> bool:
    return not (character.isalnum() or character == "_" or character in OPENING_MARKS)
