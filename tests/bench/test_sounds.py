import base64
from collections.abc import Sequence

import numpy as np
import pytest

from aural.bench import clips, sounds
from aural.bench.clips import Utterance
from aural.bench.sounds import QUIET_SAMPLES, Sound


def speech(samples: int) -> Sound:
    return Sound(np.random.default_rng(samples).integers(-9_000, 9_000, samples).astype(np.int16))


@pytest.mark.parametrize("sizes", [(), (1,), (2,), (3,), (1, 1, 1, 1), (5, 3, 700), (4, QUIET_SAMPLES + 7, 8)])
def test_pieces_are_together_the_encoding_of_the_whole(sizes: Sequence[int]) -> None:
    """Every second piece is silence."""
    parts: list[Sound] = []
    for place, size in enumerate(sizes):
        parts += sounds.silence(size) if place % 2 else [speech(size)]
    wav = b"".join(sounds.wav(parts))
    assert len(wav) == 44 + 2 * sum(sizes)
    assert b"".join(sounds.wav_hex(parts)) == wav.hex().encode()
    assert b"".join(sounds.wav_base64(parts)) == base64.b64encode(wav)


def test_a_recording_is_encoded_once() -> None:
    a, b = (Utterance(name, name, speech(size).pcm) for name, size in (("a", 16_001), ("b", 9_998)))
    bodies = [sounds.wav_base64(clips.join(group, 48_000).sounds) for group in ([a, b], [b, a])]
    assert b"".join(bodies[0]) != b"".join(bodies[1])
    large = [{id(part) for part in body if len(part) > 12_000 and isinstance(part, bytes)} for body in bodies]
    assert len(large[0]) == 2
    assert large[0] == large[1]
