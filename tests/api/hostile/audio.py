"""Audio that is none, or too much, or broken; raw samples that are."""

from __future__ import annotations

import struct
from functools import cache
from random import Random

import numpy as np

from tests.api.hostile.base import BOMBS, CODECS, HELLO, MAGIC, MIB, kind, post, upload
from tests.audio.build import FLOAT, encoded, silent_video, tone
from tests.audio.build import wav as riff


@cache
def sound(container: str) -> bytes:
    """A second of a tone in a container."""
    codec = CODECS[container]
    rate = 48_000 if codec == "libopus" else 22_050
    return encoded(tone(1.0, rate), container, codec, rate)


@cache
def bomb(container: str) -> bytes:
    """Ten minutes of nothing in some kilobytes."""
    codec = CODECS[container]
    rate = 48_000 if codec == "libopus" else 8_000
    return encoded(np.zeros(600 * rate, np.int16), container, codec, rate)


@cache
def video() -> bytes:
    return silent_video()


@kind(415)
def empty(random: Random) -> bytes:
    return upload(random, b"")


@kind(415)
def zeros(random: Random) -> bytes:
    return upload(random, bytes(random.randrange(1, 9999)))


@kind(415)
def magic_of_something_else(random: Random) -> bytes:
    return upload(random, random.choice(MAGIC) + random.randbytes(random.randrange(2000)))


@kind(415)
def text(random: Random) -> bytes:
    words = ["<html>", '{"a": 1}', "#EXTM3U\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile /etc/passwd\n"]
    words += ["v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "hello " * 99, "[playlist]\nFile1=/etc/passwd\n", "\n\n\n", "RIFF"]
    return upload(random, random.choice(words).encode())


@kind(200, 413, 415)
def noise(random: Random) -> bytes:
    """Random bytes; now and then FFmpeg takes some for a frame of MP3."""
    return upload(random, bytes([0x80]) + random.randbytes(random.randrange(10, 5000)))


@kind(415)
def wav_without_samples(random: Random) -> bytes:
    return upload(random, random.choice([HELLO[:44], HELLO[:20], riff(b""), HELLO[:12]]))


@kind(200)
def wav_with_a_size_that_lies(random: Random) -> bytes:
    """Streamed WAV files look like this, so it is heard to its end."""
    return upload(random, riff(HELLO[44:], size=random.choice([0, 0xFFFFFFFF, 0x7FFFFFFF, len(HELLO) * 9])))


@kind(415)
def wav_of_no_numbers(random: Random) -> bytes:
    samples = np.zeros(1000, "<f4")
    samples[random.randrange(1000)] = random.choice([np.nan, np.inf, -np.inf])
    return upload(random, riff(samples.tobytes(), tag=FLOAT, bits=32))


@kind(415)
def wav_of_nonsense(random: Random) -> bytes:
    """No channel, no rate, no bits, or a format nobody has."""
    facts = {"channels": 1, "rate": 16_000, "bits": 16, "tag": 1}
    odd = random.choice([{"channels": 0}, {"rate": 0}, {"bits": 0}, {"tag": 0x7777}, {"tag": 0, "bits": 3}])
    return upload(random, riff(HELLO[44:], **(facts | odd)))


@kind(415)
def wav_of_a_million_chunks(random: Random) -> bytes:
    return upload(random, b"RIFF\xff\xff\xff\xffWAVE" + b"junk\0\0\0\0" * random.randrange(10_000, 50_000))


@kind(413)
def long_wav(random: Random) -> bytes:
    return post(riff(bytes(random.randrange(500_000, 900_000)), tag=7, bits=8, rate=8000))


@kind(413)
def bombs(random: Random) -> bytes:
    return upload(random, bomb(random.choice(BOMBS)))


@kind(413)
def flac_that_claims_a_year(random: Random) -> bytes:
    """The number of samples in STREAMINFO, 36 bits."""
    flac = bytearray(sound("flac"))
    flac[21] |= 0x0F
    flac[22:26] = struct.pack(">I", random.randrange(2**31, 2**32))
    return upload(random, bytes(flac))


@kind(415)
def header_of_a_container(random: Random) -> bytes:
    return upload(random, sound(random.choice(["flac", "ogg", "ipod", "webm"]))[: random.randrange(4, 30)])


@kind(200, 413, 415)
def truncated_container(random: Random) -> bytes:
    """What can be decoded is heard."""
    whole = sound(random.choice(list(CODECS)))
    return upload(random, whole[: random.randrange(30, len(whole))])


@kind(200, 413, 415)
def mutated_container(random: Random) -> bytes:
    mutant = bytearray(sound(random.choice(list(CODECS))))
    for _ in range(random.choice([1, 5, 50])):
        mutant[random.randrange(len(mutant))] = random.randrange(256)
    return upload(random, bytes(mutant))


@kind(200, 413, 415)
def mutated_header(random: Random) -> bytes:
    mutant = bytearray(sound(random.choice(list(CODECS))))
    mutant[random.randrange(200)] = random.choice([0, 0x7F, 0x80, 0xFF])
    return upload(random, bytes(mutant))


@kind(415)
def mp4_of_huge_boxes(random: Random) -> bytes:
    boxes = [b"ftyp", b"moov", b"mdat", b"free", b"trak"]
    body = b"".join(struct.pack(">I4s", random.randrange(2**31, 2**32), random.choice(boxes)) for _ in range(50))
    return upload(random, b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + body)


@kind(415)
def pictures_without_sound(random: Random) -> bytes:
    return upload(random, video())


@kind(400)
def pcm_undeclared(random: Random) -> bytes:
    odd = ["", ";rate", ";rate=", ";rate=fast", ";rate=-1", ";rate=16e3", f";rate={'9' * 6000}", ";rate=16000;rate2=1"]
    odd += [";rate=16000;encoding=opus", ";rate=16000;channels=two", ";channels=1", ";;;;", ";rate=16000;encoding="]
    return post(HELLO, "audio/pcm" + random.choice(odd))


@kind(415)
def pcm_out_of_range(random: Random) -> bytes:
    odd = ["rate=0", "rate=1", "rate=999999999", "rate=16000;channels=0", "rate=16000;channels=999999999"]
    return post(HELLO, "audio/pcm;" + random.choice(odd))


@kind(415)
def pcm_that_ends_within_a_sample(random: Random) -> bytes:
    return post(random.randbytes(7), random.choice(["audio/pcm;rate=8000", "audio/pcm;rate=8000;encoding=pcm_f32le"]))


@kind(415)
def pcm_of_no_numbers(random: Random) -> bytes:
    samples = np.full(100, random.choice([np.nan, np.inf]), "<f4")
    return post(samples.tobytes(), "audio/pcm;rate=16000;encoding=pcm_f32le")


@kind(413)
def pcm_too_long(random: Random) -> bytes:
    return post(
        bytes(random.randrange(500_000, MIB)), random.choice(["audio/basic", "audio/pcm;rate=8000;encoding=alaw"])
    )
