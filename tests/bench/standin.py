"""An endpoint that answers as it was told: in so long, so many at a time, with failures and cut texts. It knows what is
said by finding the recordings in the audio that it is sent."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np

from aural.bench.clips import Utterance
from aural.bench.sounds import RATE

FINGERPRINT = 2_000
"""Samples by which a recording is found again."""


@dataclass
class Script:
    utterances: Sequence[Utterance]
    service_s: float = 0.0
    at_once: int = 64
    window_s: float = 1e9
    """Audio beyond it is not heard, and nothing is said of that."""
    failing: dict[int, int] = field(default_factory=dict)
    """Status of the answer by number of the request, counted from 0."""
    hang_up: set[int] = field(default_factory=set)
    requests: int = 0
    connections: int = 0
    received_bytes: int = 0
    paths: set[str] = field(default_factory=set)
    hold: threading.Event | None = None
    """While it is not set, nobody is answered."""


def heard(script: Script, wav: bytes) -> str:
    with wave.open(BytesIO(wav)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    text = pcm.tobytes()
    found = []
    for utterance in script.utterances:
        loud = int(np.argmax(np.abs(utterance.pcm.astype(np.int32))))
        first = max(0, min(loud - FINGERPRINT // 2, len(utterance.pcm) - FINGERPRINT))
        at = text.find(utterance.pcm[first : first + FINGERPRINT].tobytes())
        if at >= 0 and (at / 2 - first + len(utterance.pcm)) / RATE <= script.window_s:
            found.append((at, utterance.text))
    return " ".join(text for _, text in sorted(found))


def answer(script: Script, body: bytes) -> dict[str, Any]:
    """In the shape in which it was asked; only Voxtral's, Parakeet's, Whisper's, multipart and raw are known."""
    if not body.startswith(b"{"):
        return {"text": heard(script, body[body.index(b"RIFF") :])}
    asked = json.loads(body)
    if "audio_input" in asked:
        return {"text": [heard(script, bytes.fromhex(asked["audio_input"]))]}
    if "transcription" in asked:
        text = heard(script, base64.b64decode(asked["transcription"]["audio"]["data"]))
        return {"transcription": {"text": text}}
    return {"text": heard(script, base64.b64decode(asked["audio"]["data"]))}


class _Server:
    def __init__(self, script: Script, paths: set[str]) -> None:
        self._script = script
        self._paths = paths
        self._free = asyncio.Semaphore(script.at_once)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._script.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                length = int(head.lower().partition(b"content-length: ")[2].split()[0])
                status, reply = await self._reply(path, await reader.readexactly(length))
                if not status:
                    break
                text = json.dumps(reply).encode()
                writer.write(
                    f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(text)}\r\n\r\n".encode()
                    + text
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _reply(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        script = self._script
        if path not in self._paths:
            return 404, {"error": f"no {path}"}
        number, script.requests = script.requests, script.requests + 1
        script.received_bytes += len(body)
        script.paths.add(path)
        if number in script.hang_up:
            return 0, {}
        if status := script.failing.get(number):
            return status, {"error": "as told"}
        while script.hold is not None and not script.hold.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.01)
        async with self._free:
            await asyncio.sleep(script.service_s)
        try:
            return 200, answer(script, body)
        except (ValueError, KeyError, TypeError) as error:
            return 400, {"error": repr(error)}


@contextmanager
def standing_in(script: Script, *paths: str) -> Iterator[str]:
    """The address of an endpoint that knows `paths`."""
    started = threading.Event()
    where: list[Any] = []

    async def serve() -> None:
        stop = asyncio.Event()
        server = await asyncio.start_server(_Server(script, set(paths)).talk, "127.0.0.1", 0)
        where.extend([server.sockets[0].getsockname()[1], asyncio.get_running_loop(), stop])
        started.set()
        async with server:
            await stop.wait()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    started.wait()
    port, loop, stop = where
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
