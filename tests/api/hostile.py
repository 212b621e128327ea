"""Requests that no friend would send, in a hundred kinds, each with the statuses that are right for it.

`attacks(seed)` takes the kinds in turn, without end, each time with other random values. The server under attack is to
take 1 MiB, 60 s of audio and 2 s to send a request, and its first model is the fake engine.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from random import Random
from typing import Any, Literal

import numpy as np

from tests.api.wire import form, part, request, speech
from tests.audio.build import FLOAT, encoded, silent_video, tone
from tests.audio.build import wav as riff

Behaviour = Literal["send", "abort", "drip"]
Maker = Callable[[Random], bytes]

MIB = 2**20
TRANSCRIPTIONS = "/v1/audio/transcriptions"
HELLO = speech("hello")
HELLO_BASE64 = base64.b64encode(HELLO).decode()
EDGE = "edge"
MULTIPART = f"multipart/form-data; boundary={EDGE}"
END = f"--{EDGE}--\r\n".encode()
CODECS = {"flac": "flac", "ogg": "libopus", "mp3": "libmp3lame", "ipod": "aac", "webm": "libopus", "wav": "pcm_s24le"}
"""By FFmpeg's name of the container."""
BOMBS = ("flac", "ogg", "mp3", "webm")
ODD_TEXT = ["\0", "a\0b", "\x7f\x1b[2J", "🦞" * 99, "\u202etxt", "é", "x" * 60_000, "../../etc/passwd", "%00", "$(id)"]
MAGIC = [
    b"PK\x03\x04",
    b"\x1f\x8b\x08",
    b"%PDF-1.7",
    b"\x89PNG\r\n\x1a\n",
    b"GIF89a",
    b"\xff\xd8\xff",
    b"7z\xbc\xaf\x27\x1c",
]


@dataclass(frozen=True)
class Attack:
    kind: str
    data: bytes
    allowed: frozenset[int]
    behaviour: Behaviour = "send"
    """`send` waits for the answer, `abort` hangs up before it, `drip` adds a byte now and then while it waits."""


KINDS: dict[str, tuple[Maker, frozenset[int], Behaviour]] = {}


def kind(*allowed: int, behaviour: Behaviour = "send") -> Callable[[Maker], Maker]:
    """Register a maker of requests with the statuses that they may get."""

    def register(make: Maker) -> Maker:
        KINDS[make.__name__] = make, frozenset(allowed), behaviour
        return make

    return register


def attacks(seed: int) -> Iterator[Attack]:
    random = Random(seed)
    for make, containers in ((sound, CODECS), (bomb, BOMBS)):
        for container in containers:
            make(container)  # now, because an attack under way does not wait
    video()
    for name, (make, allowed, behaviour) in cycle(list(KINDS.items())):
        yield Attack(name, make(random), allowed, behaviour)


# How things are sent.


def post(body: bytes, content_type: str = "audio/wav", path: str = "/invocations", **headers: str) -> bytes:
    return request(path, body, Content_Type=content_type, **headers)


def post_json(document: Any) -> bytes:
    return post(json.dumps(document).encode(), "application/json")


def post_form(*parts: bytes, end: bytes = END, content_type: str = MULTIPART) -> bytes:
    return post(b"".join(parts) + end, content_type, TRANSCRIPTIONS)


def field(name: str, value: str | bytes) -> bytes:
    return part(EDGE, f'name="{name}"', value.encode() if isinstance(value, str) else value)


def file(audio: bytes = HELLO, name: str = "file") -> bytes:
    return part(EDGE, f'name="{name}"; filename="a.wav"', audio)


def upload(random: Random, audio: bytes) -> bytes:
    """The audio by any of the ways in."""
    coded = base64.b64encode(audio).decode()
    body, multipart = form(audio, model="fake")
    return random.choice(
        [
            post(audio, random.choice(["audio/wav", "audio/mpeg", "video/mp4", "application/octet-stream"])),
            post(body, multipart, random.choice(["/invocations", TRANSCRIPTIONS])),
            post_json({"audio": coded}),
            post_json({"transcription": {"audio": {"data": coded}}}),
            post_json({"audio_input": audio.hex()}),
        ]
    )


def chunked(*chunks: bytes, path: str = "/invocations", content_type: str = "audio/wav") -> bytes:
    head = request(path, Content_Type=content_type, Transfer_Encoding="chunked")
    return head.replace(b"Content-Length: 0\r\n", b"") + b"".join(chunks)


# Audio that is none, or too much, or broken.


@cache
def sound(container: str) -> bytes:
    """A second of a tone in a container."""
    codecs = {
        "flac": "flac",
        "ogg": "libopus",
        "mp3": "libmp3lame",
        "ipod": "aac",
        "webm": "libopus",
        "wav": "pcm_s24le",
    }
    rate = 48_000 if codecs[container] == "libopus" else 22_050
    return encoded(tone(1.0, rate), container, codecs[container], rate)


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


# Raw samples.


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


# JSON.


@kind(400)
def json_that_is_none(random: Random) -> bytes:
    odd = [b"", b"{", b"}", b"{'audio': 1}", b'{"audio": NaN}', b'{"audio": "a",}', b"\xff\xfe{\0}\0", b"\xef\xbb\xbf"]
    odd += [
        b'{"audio": "\\ud800"}',
        b'{"audio": "\xc3("}',
        b"undefined",
        b'{"a": 1e999}',
        b'{"audio": "a"} {}',
        b'{"\0": 1',
    ]
    return post(random.choice(odd), "application/json")


@kind(400)
def json_in_depth(random: Random) -> bytes:
    depth = random.randrange(2000, 100_000)
    return post(random.choice([b"[" * depth, b'{"audio":' * depth, b"[" * depth + b"]" * depth]), "application/json")


@kind(400)
def json_of_another_shape(random: Random) -> bytes:
    odd = [None, 1, "audio", [], {}, [{"audio": HELLO_BASE64}], {"inputs": HELLO_BASE64}, {"transcription": None}]
    odd += [{"transcription": {}}, {"transcription": []}, {"Audio": HELLO_BASE64}, {"": ""}, {"a" * 50_000: 1}]
    return post_json(random.choice(odd))


@kind(400)
def json_audio_of_another_type(random: Random) -> bytes:
    odd = [None, True, 1, 1.5, [], {}, [HELLO_BASE64], {"path": "/etc/passwd"}, {"url": "http://127.0.0.1/"}]
    odd += [{"data": None}, {"data": {"data": HELLO_BASE64}}, {"data": HELLO_BASE64, "path": "a"}, {"data": [1, 2]}]
    audio = random.choice(odd)
    documents = [{"audio": audio}, {"audio_input": audio}, {"transcription": {"audio": audio}}]
    return post_json(random.choice(documents))


@kind(400)
def json_of_paths_and_addresses(random: Random) -> bytes:
    odd = ["/etc/passwd", "file:///etc/passwd", "http://169.254.169.254/latest/", "s3://bucket/key", "..\\..\\a.wav"]
    return post_json({"audio": random.choice(odd)})


@kind(400)
def base64_broken(random: Random) -> bytes:
    odd = [
        HELLO_BASE64[:-3],
        HELLO_BASE64 + "=",
        "====",
        "a",
        HELLO_BASE64.replace("A", "-"),
        "é" * 8,
        HELLO_BASE64 + "\n",
    ]
    odd += ["data:audio/wav;base64,%%%%", "\0\0\0\0", "🦞🦞"]
    return post_json({"audio": {"data": random.choice(odd)}})


@kind(400)
def hex_broken(random: Random) -> bytes:
    odd = [HELLO.hex()[:-1], "0x" + HELLO.hex(), "zz", "é", "0", "\0\0", HELLO_BASE64, "1 2"]
    return post_json({"audio_input": random.choice(odd)})


@kind(400)
def json_option_out_of_range(random: Random) -> bytes:
    odd = {
        "language": ["klingon", "xx", 7, [], {"code": "en"}, "fr", *ODD_TEXT],
        "task": ["sing", 1, True, [], "TRANSCRIBE", "translate"],
        "temperature": [-1, 2, "hot", True, [], {}, 10**30],
        "beam_size": [0, -5, 1.5, 10**30, "many", None, True, []],
        "timestamps": ["phoneme", 2, [], {}, "word"],
        "prompt": [1, [], {}],
        "diarize": [True],
        "x" * 9999: [1],
        "\0": [1],
    }
    name = random.choice(list(odd))
    return post_json({"audio": HELLO_BASE64, name: random.choice(odd[name])})


@kind(404)
def json_model_of_nobody(random: Random) -> bytes:
    return post_json({"audio": HELLO_BASE64, "model": random.choice(["gpt-4o", "fake ", "FAKE", *ODD_TEXT])})


@kind(400)
def json_under_another_name(random: Random) -> bytes:
    return post(random.choice([HELLO, b"\0" * 99, random.randbytes(999)]), "application/json; charset=utf-16")


# Around the body.


@kind(400)
def query_of_nonsense(random: Random) -> bytes:
    odd = ["diarize=1", "language=en&language=en", "%00=1", "beam_size=99", "temperature=nan", "task=", "a" * 9000]
    odd += ["temperature=inf", "beam_size=1e400", "timestamps=maybe", "language=%ff%fe", "=", "language=%F0%9F%A6%9E"]
    odd[odd.index("task=")] = "task=sing"
    odd[odd.index("=")] = "=1"
    return post(HELLO, path=f"/invocations?{random.choice(odd)}")


@kind(400, 404)
def attributes_of_nonsense(random: Random) -> bytes:
    odd = ["route=/etc/passwd", "route=", "route=/v1/audio/transcriptions/../models", "model=nobody", "language=xx"]
    odd += ["route=http://127.0.0.1/", "beam_size=a", f"model={'m' * 9000}", "temperature=9"]
    return post(HELLO, X_Amzn_SageMaker_Custom_Attributes=random.choice(odd))


@kind(415)
def types_that_are_no_audio(random: Random) -> bytes:
    odd = ["text/plain", "image/png", "application/xml", "application/x-www-form-urlencoded", "a", "/", "*/*", "audio"]
    odd += ["application/json5", "multipart/mixed; boundary=a", "model/gltf", "x" * 9000, "application", ";", "é"]
    return post(HELLO, random.choice(odd))


@kind(415)
def compressed(random: Random) -> bytes:
    encoding = random.choice(["gzip", "br", "deflate", "zstd", "compress", "x", "gzip, br", "aws-chunked"])
    body, multipart = form(HELLO)
    return random.choice(
        [
            post(HELLO, Content_Encoding=encoding),
            post(body, multipart, TRANSCRIPTIONS, Content_Encoding=encoding),
            post(b"\x1f\x8b" + bytes(99), "application/json", Content_Encoding=encoding),
        ]
    )


@kind(404)
def paths_to_nowhere(random: Random) -> bytes:
    odd = ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/%00", "/" + "a" * 9000, "/invocations/%0d%0aX:y", "//"]
    odd += [
        "/v1/audio",
        "/.env",
        "/v1/models/%F0%9F%A6%9E",
        "/%ff%fe",
        "/endpoints//invocations",
        "/invocations//",
        "/;a",
    ]
    return request(random.choice(odd), method=random.choice(["GET", "POST"])).replace(
        b"POST /v1/models", b"GET /v1/models"
    )


@kind(405)
def methods_that_do_not_fit(random: Random) -> bytes:
    path = random.choice(["/invocations", TRANSCRIPTIONS, "/endpoints/a/invocations"])
    return request(path, method=random.choice(["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "TRACE"]))


@kind(400)
def lines_that_are_not_http(random: Random) -> bytes:
    odd = [
        b"FOO /ping HTTP/1.1\r\n\r\n",
        b"GET /ping HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]
    odd += [
        b"GET  HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\0" * 99,
        b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    ]
    odd += [
        b"get /ping HTTP/1.1\r\n\r\n",
        b"GET ping HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-aural\r\n",
    ]
    return random.choice(odd)


@kind(400)
def headers_that_are_none(random: Random) -> bytes:
    odd = [b"no colon", b": no name", b"A B: c", b"A: \0", b"Content-Length: -1", b"Content-Length: 0x10", b"A\0: b"]
    odd += [
        b"Content-Length: 5\r\nContent-Length: 6",
        b"Content-Length: " + b"9" * 30,
        b"Content-Length: 1,1",
        b"\xff: a",
    ]
    odd += [b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked, gzip"]
    return b"POST /invocations HTTP/1.1\r\nHost: a\r\n" + random.choice(odd) + b"\r\n\r\nhello"


@kind(431)
def headers_without_end(random: Random) -> bytes:
    odd = [b"A: " + b"a" * 400_000, b"A: a\r\n" * 70_000, b"A" * 400_000]
    return b"POST /invocations HTTP/1.1\r\n" + random.choice(odd)


@kind(400)
def chunks_that_are_none(random: Random) -> bytes:
    odd = [
        b"zz\r\nab\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n",
        b"5\r\nhello, world\r\n0\r\n\r\n",
        b"\r\n\r\n",
        b"f" * 17 + b"\r\n",
    ]
    return chunked(random.choice(odd))


@kind(431)
def chunks_with_extensions_without_end(random: Random) -> bytes:
    return chunked(b"5;" + b"a=b;" * 100_000)


@kind(413)
def declared_too_large(random: Random) -> bytes:
    size = str(random.choice([MIB + 1, 10**9, 2**31, 2**32, 2**63 - 1, 10**18]))
    body, multipart = form(HELLO)
    return random.choice(
        [
            post(HELLO, Content_Length=size),
            post(body, multipart, TRANSCRIPTIONS, Content_Length=size),
            post(b"", "application/json", Content_Length=size, Expect="100-continue"),
        ]
    )


@kind(413)
def grown_too_large(random: Random) -> bytes:
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n"
    return chunked(*[piece] * random.randrange(17, 40), content_type=random.choice(["audio/wav", "application/json"]))


@kind(403, 404, 405)
def upgrades(random: Random) -> bytes:
    protocol = random.choice(["websocket", "h2c", "TLS/1.0"])
    path = random.choice(["/invocations", TRANSCRIPTIONS])
    upgrade = {"Upgrade": protocol, "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    return request(path, method="GET", **upgrade, Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZQ==")


# Multipart.


@kind(400)
def form_of_another_type(random: Random) -> bytes:
    odd = [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=edge",
        "application/json",
    ]
    odd += ["", "text/plain", f"multipart/form-data; boundary={'b' * 300}", "multipart/form-data; boundary=other"]
    odd += [f"{MULTIPART}; charset={name}" for name in ("utf-7", "utf-16", "unicode_escape", "rot13", "\xff", "hex")]
    return post_form(file(), content_type=random.choice(odd))


@kind(400)
def form_without_a_file(random: Random) -> bytes:
    parts = random.choice([(), (field("model", "fake"),), (field("file", "hello"),), (file(name="audio"),)])
    return post_form(*parts)


@kind(400)
def form_cut_short(random: Random) -> bytes:
    whole = file() + field("model", "fake") + field("language", "en")
    return post_form(whole[: random.randrange(len(whole) - 20)], end=b"")


@kind(400)
def form_broken(random: Random) -> bytes:
    odd = [
        b"",
        b"hello",
        END,
        f"--{EDGE}\n\nhello\n--{EDGE}--\n".encode(),
        f"--{EDGE}\r\n\r\nno headers\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition: form-data\r\n\r\nno name\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition: attachment; filename=a\r\n\r\nno name\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition form-data\r\n\r\nno colon\r\n".encode(),
        f"--{EDGE}\r\nContent-Disposition: form-data; name=file; filename*=utf-8''%ff\r\n\r\nhello\r\n".encode(),
        f"--{EDGE}\r\n".encode() + b"X: " + b"a" * 9000 + b"\r\n\r\nhello\r\n",
        f"--{EDGE}\r\n".encode() + b"X: a\r\n" * 99 + b"\r\nhello\r\n",
        f'--{EDGE}\r\nContent-Disposition: form-data; name="model"\0\r\n\r\nhello\r\n'.encode(),
    ]
    return post_form(random.choice(odd))


@kind(400)
def form_of_too_many(random: Random) -> bytes:
    many = [field("model", "fake")] * 101
    return post_form(*random.choice([(file(), file()), (file(), *many), (file(),) * 50, (file(), *many[:2])]))


@kind(400)
def field_out_of_range(random: Random) -> bytes:
    odd = {
        "language": ["klingon", "fr", "en en", "/", *ODD_TEXT],
        "response_format": ["xml", "diarized_json", "JSON", "", *ODD_TEXT],
        "temperature": ["nan", "inf", "-1", "1e400", "hot", "", "0x1"],
        "beam_size": ["0", "1.5", "-1", "9" * 5000, "one"],
        "stream": ["maybe", "2", "\0"],
        "timestamp_granularities[]": ["word", "phoneme"],
        "chunking_strategy": ["server_vad", "{}"],
        "chunking_strategy[type]": ["server_vad"],
        "include[]": ["logprobs"],
        "known_speaker_names[]": ["Ada"],
        "languages[]": ["en"],
        "prompt": ["x" * 70_000, "hello"],
        "file": ["hello"],
        "no_such_field": ["1"],
    }
    name = random.choice(list(odd))
    return post_form(file(), field(name, random.choice(odd[name])))


@kind(400)
def field_of_an_odd_name(random: Random) -> bytes:
    names = ["", "[]", "a" * 3000, "a" * 9000, "model[0]", "__proto__", "модель", "\0", "a; b", "name=", "🦞", "Model"]
    return post_form(file(), field(random.choice(names), "fake"))


@kind(404)
def model_of_nobody(random: Random) -> bytes:
    return post_form(file(), field("model", random.choice(["gpt-4o-transcribe", "FAKE", *ODD_TEXT])))


@kind(404)
def field_in_no_encoding(random: Random) -> bytes:
    return post_form(file(), field("model", b"\xff\xfe\x80" + random.randbytes(20).replace(b"\r", b"")))


@kind(415)
def file_in_base64(random: Random) -> bytes:
    """RFC 7578 deprecates Content-Transfer-Encoding, and nobody sends it."""
    head = 'name="file"; filename="a.wav"\r\nContent-Transfer-Encoding: base64'
    return post_form(part(EDGE, head, HELLO_BASE64.encode()))


# Slow, and gone.


@kind(408, behaviour="drip")
def slow_body(random: Random) -> bytes:
    begun = file()[:150]
    return random.choice(
        [
            post(begun, MULTIPART, TRANSCRIPTIONS, Content_Length="100000"),
            post(b"RIFF", Content_Length="100000"),
            post(b"{", "application/json", Content_Length="100000"),
        ]
    )


@kind(408, behaviour="drip")
def slow_head(random: Random) -> bytes:
    return random.choice([b"GET /", b"POST /invocations HTTP/1.1\r\nX-Slow: ", b"\r\nPOST /"])


@kind(408)
def silence(random: Random) -> bytes:
    return random.choice([b"", b"P", b"\r\n", b"POST /invocations HTTP/1.1\r\nHost: a\r\n"])


@kind(408)
def body_that_never_comes(random: Random) -> bytes:
    return post(b"", Content_Length=str(random.randrange(1, MIB)))


@kind(behaviour="abort")
def gone_within_the_body(random: Random) -> bytes:
    whole = upload(random, HELLO)
    return whole[: random.randrange(len(whole) - len(HELLO), len(whole))]


@kind(behaviour="abort")
def gone_before_the_answer(random: Random) -> bytes:
    return upload(random, random.choice([HELLO, sound("ogg"), bomb("mp3")]))


@kind(behaviour="abort")
def gone_at_once(random: Random) -> bytes:
    return random.choice([b"", b"POST", b"POST /invocations HTTP/1.1\r\nHost"])
