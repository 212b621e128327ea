"""Measures of live streams, from scripted histories with known answers."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from aural.bench import stats, stream
from aural.bench.clips import Item, Utterance, join
from aural.bench.sounds import RATE
from aural.bench.stream import Said, Shown, measure
from tests.bench.virtual import now, run

SAID = [
    Said("the", 1.0, 1.2, 0),
    Said("quick", 1.2, 1.6, 0),
    Said("fox", 1.6, 2.0, 0),
    Said("it", 5.0, 5.2, 1),
    Said("jumps", 5.2, 5.6, 1),
]
TEXT = "The quick fox. It jumps!"
SHOWN = [
    Shown(1.5, "a", "", "a"),
    Shown(2.0, "a", "", "the quick"),
    Shown(2.5, "a", "The quick", " box"),
    Shown(3.0, "a", "The quick fox.", kind="final"),
    Shown(5.9, "b", "", "it jumps"),
    Shown(6.2, "b", "It jumps!", kind="final"),
]


def test_latencies_start_at_the_sound() -> None:
    got = measure(SAID, TEXT, SHOWN)
    assert got.first_partial_s == pytest.approx([0.5, 0.9])
    assert got.partial_lag_s == pytest.approx([2.0 - 1.2, 2.0 - 1.6, 3.0 - 2.0, 5.9 - 5.2, 5.9 - 5.6])
    assert got.emission_s == got.partial_lag_s
    assert got.finalization_s == pytest.approx([1.0, 6.2 - 5.6])
    assert got.gaps_s == pytest.approx([0.5, 0.5, 0.5, 0.3])


def test_words_that_are_taken_back_count_as_retracted() -> None:
    got = measure(SAID, TEXT, SHOWN)
    assert (got.words_shown, got.words_retracted, got.committed_retracted) == (7, 2, 0)
    assert got.retracted == pytest.approx(2 / 7)


def test_a_word_that_comes_and_goes_is_emitted_when_it_stays() -> None:
    shown = [
        Shown(2.1, "a", "", "the quick fox"),
        Shown(2.6, "a", "", "the thick fox"),
        Shown(3.1, "a", "the quick fox", kind="final"),
    ]
    got = measure(SAID[:3], "the quick fox", shown)
    assert got.partial_lag_s == pytest.approx([0.9, 0.5, 0.1])
    assert got.emission_s == pytest.approx([0.9, 1.5, 0.1])


def test_a_word_is_shown_wherever_it_stands() -> None:
    shown = [
        Shown(2.1, "a", "", "the very quick fox"),
        Shown(3.1, "a", "the quick fox", kind="final"),
    ]
    got = measure(SAID[:3], "the quick fox", shown)
    assert got.partial_lag_s == pytest.approx([0.9, 0.5, 0.1])
    assert got.emission_s == got.partial_lag_s


def test_a_word_more_takes_none_back() -> None:
    shown = [Shown(2.1, "a", "", "the quick fox"), Shown(3.1, "a", "", "the very quick fox")]
    got = measure(SAID[:3], "the quick fox", [*shown, Shown(3.6, "a", "the very quick fox", kind="final")])
    assert (got.words_shown, got.words_retracted) == (4, 0)
    assert got.emission_s == pytest.approx([0.9, 0.5, 0.1])


def test_a_broken_promise_is_told() -> None:
    shown = [Shown(2.1, "a", "the thick"), Shown(3.1, "a", "the quick fox", kind="final")]
    assert measure(SAID[:3], "the quick fox", shown).committed_retracted == 1
    shown = [Shown(2.1, "a", "the quick"), Shown(3.1, "a", "the very quick", kind="final")]
    assert measure(SAID[:3], "the quick fox", shown).committed_retracted == 1


def test_a_final_before_the_end_of_the_speech_counts() -> None:
    shown = [Shown(1.9, "a", "the quick fox", kind="final"), Shown(6.2, "b", "it jumps", kind="final")]
    assert measure(SAID, TEXT, shown).finalization_s == pytest.approx([-0.1, 6.2 - 5.6])


def test_utterances_that_the_endpoint_joins_are_still_two() -> None:
    shown = [Shown(2.5, "a", "", "the quick fox"), Shown(6.5, "a", "the quick fox it jumps", kind="final")]
    got = measure(SAID, TEXT, shown)
    assert got.first_partial_s == pytest.approx([1.5, 1.5])
    assert got.finalization_s == pytest.approx([6.5 - 5.6])


def test_a_last_word_that_was_misunderstood_does_not_make_the_final_late() -> None:
    shown = [Shown(3.0, "a", "the quick box", kind="final"), Shown(5.3, "b", "it", kind="final")]
    shown.append(Shown(6.2, "c", "jumps", kind="final"))
    assert measure(SAID, TEXT, shown).finalization_s == pytest.approx([3.0 - 2.0, 6.2 - 5.6])


def test_errors_and_what_was_never_finished() -> None:
    got = measure(SAID, TEXT, [Shown(2.5, "a", "", "the thick fox")])
    assert (got.errors, got.words, got.unfinished) == (3, 5, 1)
    assert got.finalization_s == []
    assert measure(SAID, TEXT, []).errors == 5


def test_characters_where_there_are_no_spaces() -> None:
    assert stream.words_of("你好，世界。", "zh") == list("你好世界")
    assert stream.words_of("It's 3 o'clock!") == ["it's", "3", "o'clock"]


def speech(seconds: float) -> np.ndarray:
    return (8_000 * np.sin(np.arange(int(seconds * RATE)) / 5)).astype(np.int16)


def test_words_lie_where_somebody_speaks() -> None:
    """Half a second of silence, one of voice, one of silence, one of voice: the word in the middle begins after it."""
    silence = np.zeros(RATE // 2, np.int16)
    pcm = np.concatenate([silence, speech(1.0), silence, silence, speech(1.0)])
    item = join([Utterance("a", "aaaa bbbb", pcm), Utterance("b", "cc", speech(0.5))], 6 * RATE)
    first, second, third = stream.align(item)
    assert (first.start_s, first.end_s) == pytest.approx((0.5, 1.5), abs=0.05)
    assert second.end_s == pytest.approx(3.5, abs=0.05)
    assert third.start_s == pytest.approx(item.spans[1][0], abs=0.05)
    assert [word.utterance for word in (first, second, third)] == [0, 0, 1]


def test_silence_has_no_place_for_words() -> None:
    item = Item("a", "word", (), 0.0)
    assert stream.align(item) == []


def test_frames_come_at_real_speed_and_catch_up() -> None:
    async def main() -> list[tuple[float, float]]:
        seen = []
        async for frame, late in stream.paced(speech(1.0), now(), frame_s=0.1, clock=now):
            seen.append((now(), late))
            assert len(frame) == 2 * RATE // 10
            if len(seen) == 3:
                await asyncio.sleep(0.25)  # a sender that was held up
        return seen

    seen = run(main())
    assert [at for at, _ in seen] == pytest.approx([0.1, 0.2, 0.3, 0.55, 0.55, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert [late for _, late in seen] == pytest.approx([0, 0, 0, 0.15, 0.05, 0, 0, 0, 0, 0])


def test_words_of_one_stream_carry_no_interval_and_no_tail() -> None:
    """A stream that stalled is late in all its words: they are no two hundred witnesses."""
    alone = stats.quantile_of_groups([[0.1] * 3_000], 50)
    assert (alone.value, np.isnan(alone.low)) == (0.1, True)
    assert np.isnan(stats.quantile_of_groups([[0.1] * 3_000], 95).value)
    groups = [[0.1] * 100] * 8 + [[2.0] * 100] * 2
    got = stats.quantile_of_groups(groups, 95)
    assert (got.value, got.low, got.high) == (2.0, 0.1, 2.0)
    assert np.isnan(stats.quantile_of_groups(groups, 99).value)
