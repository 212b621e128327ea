"""HTTP by hand: audio files, multipart forms, and bytes on a socket that no well-bred client would send."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np

from aural.engines.fake import speak
from aural.types import SAMPLE_RATE, Samples

PATIENCE_S = 120.0
"""A reply that takes longer is a hang."""

Sender = Callable[[], AsyncIterator[bytes]]


def wav(samples: Samples, rate: int = SAMPLE_RATE) -> bytes:
    """A 16-bit WAV file of samples of shape (n,), or (n, channels)."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(samples.shape[1] if samples.ndim > 1 else 1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes((samples * 32767).astype("<i2").tobytes())
    return file.getvalue()


def speech(*texts: str, every_s: float = 0.0) -> bytes:
    """A WAV file in which the fake engine hears the texts, each with silence after it up to `every_s`."""
    spoken = [speak(text) for text in texts]
    padded = [np.pad(part, (0, max(0, round(every_s * SAMPLE_RATE) - len(part)))) for part in spoken]
    return wav(np.concatenate(padded))


def form(file: bytes | None = None, **fields: str | list[str]) -> tuple[bytes, str]:
    """A multipart body and its Content-Type; a list becomes repeated fields `name[]`."""
    boundary = uuid4().hex
    parts = [] if file is None else [part(boundary, 'name="file"; filename="audio"', file)]
    for name, value in fields.items():
        values, given = (value, f"{name}[]") if isinstance(value, list) else ([value], name)
        parts += [part(boundary, f'name="{given}"', one.encode()) for one in values]
    return b"".join([*parts, f"--{boundary}--\r\n".encode()]), f"multipart/form-data; boundary={boundary}"


def part(boundary: str, disposition: str, body: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + body + b"\r\n"


def request(path: str, body: bytes = b"", method: str = "POST", **headers: str) -> bytes:
    """A request as bytes; names of headers have underscores for dashes."""
    named = {"Host": "aural", "Content-Length": str(len(body))}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]


def exchange(url: str, data: bytes) -> Reply:
    """What the server answers to these bytes."""
    return asyncio.run(converse(url, data))


async def converse(url: str, data: bytes, *later: AsyncIterator[bytes]) -> Reply:
    """Send the bytes, then what comes later, and read one reply meanwhile."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port, limit=2**20)
    sending = asyncio.create_task(_send(writer, data, *later))
    try:
        return await asyncio.wait_for(_read(reader), PATIENCE_S)
    finally:
        sending.cancel()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(writer: asyncio.StreamWriter, data: bytes, *later: AsyncIterator[bytes]) -> None:
    with suppress(OSError):
        writer.write(data)
        await writer.drain()
        for pieces in later:
            async for piece in pieces:
                writer.write(piece)
                await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:-2])
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    else:
        body = await reader.read()
    return Reply(int(head[0].split()[1]), headers, body)
