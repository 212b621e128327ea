"""Words a little wrong: what is mended, what is left alone, what letters tell."""

from __future__ import annotations

import numpy as np
import pytest

from aural.insight.heads import fit
from aural.insight.spelling import PIECES, Speller, pieces


@pytest.mark.parametrize(
    ("said", "mended"),
    [
        ("My acount, please", "My account, please"),
        ("the overdrft fee and the acccount", "the overdraft fee and the account"),
        ("what a good amount", "what a good amount"),  # a word of its own
        ("i saw Xanadu", "i saw Xanadu"),
        ("", ""),
    ],
)
def test_words_next_to_those_of_the_examples_are_mended(said: str, mended: str) -> None:
    assert Speller(["close my account", "no overdraft"]).mended(said) == mended


def test_pieces_are_of_length_1_and_none_of_no_words() -> None:
    some = pieces(["close my account", "", "我要退款"])
    assert some.shape == (3, PIECES)
    assert np.linalg.norm(some, axis=1) == pytest.approx([1, 0, 1], abs=1e-5)


@pytest.mark.parametrize("count", [4, 300])
def test_letters_tell_what_vectors_do_not(count: int) -> None:
    """With fewer examples than features, and with more."""
    texts = ["close my account", "where is the parcel"] * (count // 2)
    vectors = np.ones((count, 8), np.float32) / np.sqrt(np.float32(8))
    head = fit(vectors, ["close", "parcel"] * (count // 2), texts=texts, mean=np.zeros(8, np.float32))
    shares = head.probabilities(vectors[:2], ["the acount", "a parcels"])
    assert [head.labels[k] for k in shares.argmax(axis=1)] == ["close", "parcel"]
