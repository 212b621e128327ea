"""Text that only grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.errors import BadRequest
from aural.live.checkpoint import Checkpoint
from aural.live.context import without
from aural.live.sentence import ends_sentence
from aural.live.stabilizer import Stabilizer, nearest_prefix, tokens, written
from aural.types import Segment, Transcript


def heard(text: str) -> list:
    return tokens(Transcript((Segment(text, 0, 100),)))


def played(*hypotheses: str, final: str) -> tuple[list[str], str]:
    """What was committed after each hypothesis, and in the end."""
    one, grown, steps = Stabilizer(), "", []
    for end, text in enumerate(hypotheses):
        grown += written(one.hear(heard(text), end).growth)
        steps.append(grown)
    return steps, grown + written(one.settle(heard(final)))


@pytest.mark.parametrize(
    ("hypotheses", "steps", "final", "text"),
    [
        ([" I", " I am"], ["", " I"], " I am here.", " I am here."),
        ([" Hi you.", " Hi you, this"], ["", " Hi you"], " Hi, you, this is it.", " Hi you, this is it."),
        ([" to two", " to too"], ["", " to"], " to too", " to too"),
        ([" a b c", " a b c d", " x b c d e"], ["", " a b c", " a b c d"], " a b c d e f", " a b c d e f"),
        (["你好", "你好吗"], ["", "你好"], "你好吗？", "你好吗？"),
        ([" so so so", " so so so so"], ["", " so so so"], " so so so so", " so so so so"),
    ],
)  # fmt: skip
def test_what_two_hypotheses_agree_on_is_committed(hypotheses, steps, final, text):
    assert played(*hypotheses, final=final) == (steps, text)


words = st.lists(st.sampled_from(["a", "b", "c.", "dog,", "eel"]), max_size=8).map(
    lambda some: "".join(f" {w}" for w in some)
)


@given(st.lists(words, max_size=6), words)
def test_text_never_shrinks_and_is_the_sum_of_its_growth(hypotheses, final):
    steps, text = played(*hypotheses, final=final)
    for before, after in zip(steps, [*steps[1:], text], strict=False):
        assert after.startswith(before)


@given(words)
def test_agreed_hypotheses_end_in_the_final(text):
    assert played(text, text, final=text)[1] == text


def test_words_beyond_a_cut_belong_to_the_next_piece():
    one = Stabilizer()
    for text in (" one two three four", " one two three four"):
        one.hear(heard(text), 900)
    rest, following = one.split(heard(" one two"), 500)
    assert written(rest) == ""
    assert written(following.hear(heard(" three four five"), 1000).draft) == " five"


@pytest.mark.parametrize("final", ["", " one", " one two"])
def test_words_committed_before_a_cut_stay_with_their_piece(final):
    one = Stabilizer()
    for end, text in enumerate((" one two three", " one two three"), 1):
        one.hear(heard(text), 100 * end)
    rest, following = one.split(heard(final), 150)
    assert written(rest) == ""
    assert written(following.hear(heard(" four five six"), 400).draft) == " four five six"


@pytest.mark.parametrize(
    ("first", "draft"),
    [
        (" three four five", " five"),
        (" tree four five", " five"),
        (" three", ""),
        (" six seven eight", " six seven eight"),
    ],
)
def test_words_beyond_a_cut_are_taken_over_where_they_are_heard(first, draft):
    one = Stabilizer([*heard(" three four")])
    assert written(one.hear(heard(first), 300).draft) == draft


def test_nearest_prefix():
    assert nearest_prefix("abc", "abcde") == 3
    assert nearest_prefix("abc", "abxc de") == 4
    assert nearest_prefix("", "abc") == 0


def test_context_is_told_apart_or_said_to_be_unclear():
    again = Transcript((Segment(" Then said the man, where are you?", 0, 900, avg_logprob=-0.3),))
    own = without(again, heard(" then set the man"), 500, 900)
    assert own is not None
    assert (own.segments[0].text, own.segments[0].start) == (" where are you?", 500)
    assert without(again, heard(" nothing of the kind at all"), 500, 900) is None
    assert without(again, heard(" then said the man where are you"), 500, 900) is None


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("That is all.", True),
        ("Is it?", True),
        ("I went to the.", False),
        ("Well...", False),
        ("and", False),
        ("", False),
        ("好。", True),
    ],
)
def test_ends_of_sentences(text, ends):
    assert ends_sentence(text) is ends


def test_checkpoints_survive_the_journey():
    point = Checkpoint(12_345, "item_ab", 3, "item_ab_3", "de")
    assert Checkpoint.of(point.token) == point


@pytest.mark.parametrize("token", ["", "x", "e30=", "eyJhdCI6IC0xfQ==", "🦞", Checkpoint(-1, "a", 0).token])
def test_forged_checkpoints_are_refused(token):
    with pytest.raises(BadRequest, match="resume token"):
        Checkpoint.of(token)
