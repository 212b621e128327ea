"""Words and sentences out of tokens."""

from __future__ import annotations

import numpy as np
import pytest

from aural.engines.parakeet_decoder import Hypothesis
from aural.engines.parakeet_text import Vocabulary, sentences, spell


def said(*pieces: str, gap: int = 1) -> list[str]:
    """Words of a hypothesis whose tokens are these, `gap` frames apart."""
    count = len(pieces)
    starts = np.arange(count) * gap
    heard = Hypothesis(np.arange(count), starts, starts + 1, np.zeros(count, np.float32))
    vocabulary = Vocabulary(tuple(piece.replace("_", " ") for piece in pieces), count, frozenset())
    return ["".join(one.word.text for one in group) for group in sentences(spell(heard, vocabulary, 1280, 10**9))]


@pytest.mark.parametrize(
    ("pieces", "sentences"),
    [
        pytest.param(["_he", "llo", "_you"], [" hello you"], id="pieces"),
        pytest.param(["_hi", "_", ",", "_you"], [" hi, you"], id="a comma clings"),
        pytest.param(["_hola", ".", "_\u00bf", "que", "?"], [" hola.", " \u00bfque?"], id="an opening mark does not"),
        pytest.param(["_", "_a", "_"], [" a"], id="bare spaces"),
        pytest.param(["a", "b"], [" ab"], id="no space at all"),
        pytest.param(["_it", "'", "s", "_on", "."], [" it's on."], id="an apostrophe"),
        pytest.param(["", "_a"], [" a"], id="a control token"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_text(pieces, sentences):
    assert said(*pieces) == sentences


def test_a_pause_ends_a_sentence():
    assert said("_one", "_two", gap=20) == [" one", " two"]
