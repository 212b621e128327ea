"""How attacks are written and sent."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from tests.api.wire import form, part, request, speech

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
