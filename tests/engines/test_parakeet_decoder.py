"""Decoders of NeMo models, by networks that say what a script tells them."""

from __future__ import annotations

import numpy as np

from aural.engines.parakeet_decoder import Network, decode_ctc, decode_transducer


def spoken(script: dict[tuple[int, int], tuple[int, int]], most: int = 10) -> Network:
    """One that says by (frame, tokens so far) which token comes and how long it lasts; else a blank of 1."""

    def predict(tokens, state):
        return state[0][0].copy(), (state[0] + 1, state[1] + 1)

    def join(frames, counts):
        logits = np.full((len(frames), 4 + 5), -9.0, np.float32)
        for lane, place in enumerate(zip(frames[:, 0].astype(int), counts[:, 0].astype(int), strict=True)):
            token, duration = script.get(place, (3, 1))
            logits[lane, [token, 4 + duration]] = 0
        return logits

    start = lambda count: (np.zeros((1, count, 1), np.float32),) * 2  # noqa: E731
    return Network(predict, join, start, vocabulary=4, blank=3, max_tokens_per_frame=most)


def scripted(script: dict[tuple[int, int], tuple[int, int]], length: int, most: int = 10) -> list[tuple[int, int]]:
    """Tokens and frames that are decoded: the same alone, beside one that ends sooner, and beside many."""
    heard = []
    for lengths in ([length], [length, 1], [1, length, length], [length] * 40):
        encoded = np.arange(length, dtype=np.float32)[None, :, None].repeat(len(lengths), axis=0)
        one = decode_transducer(spoken(script, most), encoded, np.array(lengths))[lengths.index(length)]
        heard.append(list(zip(one.tokens.tolist(), one.starts.tolist(), strict=True)))
    assert heard[1:] == heard[:-1]
    return heard[0]


def test_a_duration_skips_frames():
    assert scripted({(0, 0): (1, 3), (1, 1): (2, 1), (3, 1): (0, 2)}, 6) == [(1, 0), (0, 3)]


def test_a_blank_skips_frames_too():
    assert scripted({(0, 0): (3, 4), (2, 0): (1, 1), (4, 0): (2, 1)}, 6) == [(2, 4)]


def test_a_blank_of_no_duration_goes_on_by_one():
    assert scripted({(0, 0): (3, 0), (1, 0): (1, 1)}, 3) == [(1, 1)]


def test_tokens_of_no_duration_share_a_frame_but_not_for_ever():
    endless = {(frame, count): (1, 0) for frame in range(3) for count in range(99)}
    assert scripted(endless, 3, most=2) == [(1, 0), (1, 0), (1, 1), (1, 1), (1, 2), (1, 2)]


def test_a_blank_between_starts_the_count_anew():
    script = {(0, 0): (1, 0), (0, 1): (3, 1), (1, 1): (1, 0), (1, 2): (1, 0), (1, 3): (1, 0)}
    assert scripted(script, 2, most=2) == [(1, 0), (1, 1), (1, 1)]


def test_a_duration_beyond_the_end_is_the_end():
    assert scripted({(1, 0): (2, 4)}, 3) == [(2, 1)]


def test_nothing_to_decode():
    [one] = decode_transducer(spoken({}), np.zeros((1, 4, 1), np.float32), np.array([0]))
    assert len(one.tokens) == len(one.starts) == 0
    [one] = decode_ctc(np.zeros((1, 4, 4), np.float32), np.array([0]), 3)
    assert len(one.tokens) == 0


def test_ctc_takes_runs_together():
    logprobs = np.log(np.eye(3, dtype=np.float32)[[0, 0, 2, 0, 1, 1]] * 0.8 + 0.1)[None]
    [one] = decode_ctc(logprobs, np.array([6]), blank=2)
    assert (one.tokens.tolist(), one.starts.tolist(), one.ends.tolist()) == ([0, 0, 1], [0, 3, 4], [2, 4, 6])
    np.testing.assert_allclose(one.logprobs, np.log(0.9), atol=1e-6)
