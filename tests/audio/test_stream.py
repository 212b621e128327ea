"""A stream decodes to the same samples however its bytes are cut, and to those of the whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.audio.raw import decode_raw
from aural.audio.stream import StreamDecoder
from aural.errors import BadAudio

RATES = [8_000, 11_025, 16_000, 24_000, 44_100, 48_000]
FORMS = ["pcm_s16le", "mulaw", "alaw", "pcm_f32le"]


def noise(encoding: str, rate: int) -> bytes:
    rng = np.random.default_rng(rate)
    if encoding == "pcm_f32le":
        return rng.uniform(-0.5, 0.5, rate // 3).astype("<f4").tobytes()
    if encoding == "pcm_s16le":
        return rng.integers(-9000, 9000, rate // 3).astype("<i2").tobytes()
    return rng.integers(0, 256, rate // 3).astype(np.uint8).tobytes()


@given(st.sampled_from(FORMS), st.sampled_from(RATES), st.lists(st.integers(0, 3000), max_size=30))
@settings(deadline=None, max_examples=40)
def test_cuts_do_not_matter(encoding, rate, cuts):
    data = noise(encoding, rate)
    decoder, pieces, place = StreamDecoder(encoding, rate), [], 0
    for length in [*cuts, len(data)]:
        pieces.append(decoder.feed(data[place : place + length]))
        place += length
    heard = np.concatenate([*pieces, decoder.flush()])
    whole = decode_raw(data, encoding, rate, 1, limit_s=60).samples
    assert abs(len(heard) - len(whole)) <= 1
    both = min(len(heard), len(whole))
    assert np.array_equal(heard[:both], whole[:both])


def test_a_flush_begins_anew():
    decoder = StreamDecoder("pcm_s16le", 24_000)
    data = noise("pcm_s16le", 24_000)
    first = np.concatenate([decoder.feed(data + b"\1"), decoder.flush()])
    again = np.concatenate([decoder.feed(data), decoder.flush()])
    assert np.array_equal(first, again)


@pytest.mark.parametrize(("encoding", "rate", "channels"), [("mp3", 8000, 1), ("alaw", 4000, 1), ("alaw", 8000, 0)])
def test_forms_that_are_not_offered(encoding, rate, channels):
    with pytest.raises(BadAudio, match="expected"):
        StreamDecoder(encoding, rate, channels)


def test_what_is_no_number_is_refused_and_forgotten():
    decoder = StreamDecoder("pcm_f32le", 16_000)
    with pytest.raises(BadAudio, match="finite"):
        decoder.feed(np.array([0.1, np.nan], "<f4").tobytes())
    assert decoder.feed(np.array([0.1], "<f4").tobytes()).tolist() == pytest.approx([0.1])
