"""A container decodes to the same samples however its bytes are cut, and to those of the whole file, as it comes."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.audio.unpack import unpack
from aural.errors import BadAudio
from aural.types import SAMPLE_RATE, Samples
from tests.audio.build import encoded, silent_video, tone, wav
from tests.conftest import Recording

STREAMED = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "frag_duration": "200000"}
FORMS = {
    "webm": ("webm", "libopus", 48_000, {}),
    "ogg": ("ogg", "libopus", 48_000, {}),
    "mp3": ("mp3", "libmp3lame", 44_100, {}),
    "flac": ("flac", "flac", 16_000, {}),
    "aac": ("adts", "aac", 44_100, {}),
    "mp4": ("mp4", "aac", 48_000, {"container_options": STREAMED}),
}


def made(name: str, duration_s: float = 6.0) -> bytes:
    container, codec, rate, options = FORMS[name]
    return encoded(tone(duration_s, rate, 2), container, codec, rate, **options)


class Arriving:
    """Bytes that come in pieces, and how many had come when each sound was told."""

    def __init__(self, data: bytes, lengths: Iterator[int]) -> None:
        self._data = data
        self._lengths = lengths
        self._here = 0
        self.taken = 0
        self.told: list[tuple[int, Samples]] = []

    def read(self, size: int) -> bytes:
        if self.taken == self._here:
            self._here = min(self._here + next(self._lengths), len(self._data))
        data = self._data[self.taken : min(self.taken + size, self._here)]
        self.taken += len(data)
        return data

    def tell(self, sound: Samples) -> None:
        self.told.append((self.taken, sound))

    def heard(self) -> Samples:
        unpack(self.read, self.tell)
        return np.concatenate([sound for _, sound in self.told])


def evenly(length: int) -> Iterator[int]:
    while True:
        yield length


@pytest.mark.parametrize("name", sorted(FORMS))
def test_cuts_do_not_matter(name: str) -> None:
    data, chance = made(name), random.Random(5)
    whole = decode(data, limit_s=60).samples
    for lengths in (evenly(len(data)), evenly(37), iter(lambda: chance.choice([1, 100, 5000]), None)):
        heard = Arriving(data, lengths).heard()
        assert len(heard) == pytest.approx(len(whole), abs=SAMPLE_RATE // 10)
        both = min(len(heard), len(whole))
        assert heard[:both] == pytest.approx(whole[:both], abs=1e-3)


@pytest.mark.parametrize("name", sorted(FORMS))
def test_sound_is_told_as_it_comes(name: str) -> None:
    """Never more than two seconds after the bytes that hold it."""
    data = made(name)
    one = Arriving(data, evenly(200))
    one.heard()
    place = 0
    for taken, sound in one.told:
        assert taken / len(data) * 6 <= place / SAMPLE_RATE + 2.0
        place += len(sound)


def test_files_of_every_kind(clips: dict[str, Recording]) -> None:
    for clip in clips.values():
        heard = Arriving(clip.bytes, evenly(4096)).heard()
        assert len(heard) == pytest.approx(len(decode(clip.bytes, limit_s=60).samples), abs=SAMPLE_RATE // 10)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wave_file_that_does_not_know_its_length(size: int) -> None:
    assert len(Arriving(wav(tone(1.0).tobytes(), size=size), evenly(1000)).heard()) == SAMPLE_RATE


def test_a_damaged_stream_yields_what_is_left_of_it() -> None:
    data = bytearray(made("mp3"))
    data[20_000:22_000] = random.Random(1).randbytes(2000)
    assert len(Arriving(bytes(data), evenly(1000)).heard()) > 5 * SAMPLE_RATE


def test_nothing_is_nothing() -> None:
    one = Arriving(b"", evenly(1))
    unpack(one.read, one.tell)
    assert one.told == []


@pytest.mark.parametrize(
    "data",
    [b"x", b"hello " * 100, b"\x1a\x45\xdf\xa3" * 20_000, random.Random(2).randbytes(100_000), silent_video()],
    ids=["a letter", "text", "headers", "noise", "pictures"],
)
def test_what_is_no_audio_is_refused(data: bytes) -> None:
    with pytest.raises(BadAudio, match="expected"):
        Arriving(data, evenly(1000)).heard()


def test_a_stream_without_sound_is_not_held_for_ever() -> None:
    """An element of Matroska that claims a gigabyte."""
    one = Arriving(made("webm")[:300] + b"\xa3\x08\x3f\xff\xff\xff" + bytes(16 * 2**20), evenly(65_536))
    with pytest.raises(BadAudio, match="got none"):
        one.heard()
    assert one.taken < 5 * 2**20
