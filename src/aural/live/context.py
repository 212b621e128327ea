"""The final of a short piece, heard with what was said before it: words are better understood in their sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aural.live.stabilizer import Token, nearest, tokens, written
from aural.types import Segment, Transcript, Word

MOST_CHANGED = 0.5
"""When more of the words before are heard otherwise this time, nobody can say where the new ones begin."""


def without(heard: Transcript, before: Sequence[Token], start: int, end: int) -> Transcript | None:
    """What was heard after the words `before`, which was said in [start, end); None when that cannot be told."""
    found = tokens(heard)
    skipped, changed = nearest([token.key for token in before], [token.key for token in found])
    own = found[skipped:]
    if not own or changed > MOST_CHANGED * len(before):
        return None
    words = tuple(_within(token.word, start, end) for token in own if token.word)
    segment = Segment(
        text=written(own),
        start=start,
        end=end,
        avg_logprob=min(one.avg_logprob for one in heard.segments),
        compression_ratio=max(one.compression_ratio for one in heard.segments),
        no_speech_prob=max(one.no_speech_prob for one in heard.segments),
        words=words,
    )
    return replace(heard, segments=(segment,))


def _within(word: Word, start: int, end: int) -> Word:
    return replace(word, start=min(max(word.start, start), end), end=min(max(word.end, start), end))
