import math

import pytest

from aural.bench import scoring
from aural.bench.records import Answer
from aural.bench.scoring import Estimate
from benchmarks.bars import Row

TEXTS = ["Mr. Smith has twenty two cats", "the quick brown fox jumps", "nobody knows what came next"]


def test_words_are_compared_after_normalisation() -> None:
    assert scoring.word_errors(TEXTS[0], "mister smith has 22 cats!").errors == 0
    assert scoring.word_errors(TEXTS[1], "the quick fox jumps over") == scoring.Errors(2, 5)


def test_an_item_counts_once_however_often_it_was_asked() -> None:
    answers = [Answer(1, 0, 0, 1, "the quick brown fox"), Answer(1, 0, 1, 2, TEXTS[1]), Answer(2, 0, 2, 3, TEXTS[2])]
    scored = scoring.by_item(answers, TEXTS)
    assert scored[1].errors == 0.5
    assert scoring.corpus_rate(scored).value == pytest.approx(5.0)


def test_failed_requests_are_not_scored() -> None:
    assert scoring.by_item([Answer(0, 0, 0, 1, error="timeout")], TEXTS) == {}


def test_the_text_of_another_request_in_flight_is_found() -> None:
    swapped = [Answer(1, 0, 0.0, 2.0, TEXTS[2]), Answer(2, 1, 1.0, 3.0, TEXTS[2])]
    assert scoring.wrong_texts(swapped, TEXTS) == [swapped[0]]
    apart = [Answer(1, 0, 0.0, 1.0, TEXTS[2]), Answer(2, 1, 1.5, 3.0, TEXTS[2])]
    assert scoring.wrong_texts(apart, TEXTS) == []
    misheard = [Answer(1, 0, 0.0, 2.0, "a thick crown box"), Answer(2, 1, 1.0, 3.0, TEXTS[2])]
    assert scoring.wrong_texts(misheard, TEXTS) == []


def test_same_texts_letter_by_letter() -> None:
    ours = [Answer(0, 0, 0, 1, "a b"), Answer(1, 0, 0, 1, "a,  b")]
    theirs = [Answer(0, 0, 0, 1, "a b"), Answer(1, 0, 0, 1, "a b"), Answer(2, 0, 0, 1, "c")]
    assert scoring.same_text_share(ours, theirs) == 0.5
    assert math.isnan(scoring.same_text_share(ours, []))


def test_ratio_of_paired_rounds_keeps_what_they_share() -> None:
    slow_and_fast = [1.0, 2.0, 4.0, 8.0, 16.0]
    got = scoring.ratio_of_medians([3 * value for value in slow_and_fast], slow_and_fast)
    assert (got.value, got.low, got.high) == (3.0, 3.0, 3.0)


def test_difference_between_the_same_answers_is_nothing() -> None:
    scored = scoring.by_item([Answer(i, 0, 0, 1, "the quick what") for i in range(3)], TEXTS)
    assert scoring.rate_difference(scored, scored) == Estimate(0, 0, 0)


@pytest.mark.parametrize(
    ("got", "at_least", "verdict"),
    [
        (Estimate(1.2, 1.1, 1.3), True, "PASS"),
        (Estimate(1.2, 0.9, 1.3), True, "MISS (the median clears)"),
        (Estimate(0.9, 0.8, 1.3), True, "MISS"),
        (Estimate(0.9, 0.8, 0.95), False, "PASS"),
        (Estimate(0.9, 0.8, 1.3), False, "MISS (the median clears)"),
        (Estimate(math.nan, math.nan, math.nan), True, "not measured"),
    ],
)
def test_the_worse_end_of_the_interval_must_clear_the_bar(got: Estimate, at_least: bool, verdict: str) -> None:
    assert Row("id", "what", got, 1.0, at_least=at_least).verdict == verdict
