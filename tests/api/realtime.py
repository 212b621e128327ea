"""A Realtime client of a few lines, for what a well-bred SDK would not send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import websockets
from websockets.asyncio.client import ClientConnection

from aural.types import Samples
from tests.conftest import Server

PATIENCE_S = 120.0
TRANSCRIPTION = "conversation.item.input_audio_transcription"
DELTA, COMPLETED = f"{TRANSCRIPTION}.delta", f"{TRANSCRIPTION}.completed"
RATE = 16_000
FRAME_BYTES = 6400
"""200 ms of PCM16 at 16 kHz."""


def pcm16(samples: Samples) -> bytes:
    return (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()


@dataclass
class Client:
    socket: ClientConnection
    events: list[dict[str, Any]] = field(default_factory=list)

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))

    async def ask(self, **given: Any) -> dict[str, Any]:
        """Update the session; returns the answer. Formats are PCM16 at 16 kHz unless told otherwise."""
        heard = {"format": {"type": "audio/pcm", "rate": RATE}} | given.pop("input", {})
        await self.tell("session.update", session={"type": "transcription", "audio": {"input": heard}, **given})
        return await self.next()

    async def play(self, audio: bytes) -> None:
        """As raw frames, as fast as the server takes them."""
        for start in range(0, len(audio), FRAME_BYTES):
            await self.socket.send(audio[start : start + FRAME_BYTES])

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_S):
            event = json.loads(await self.socket.recv())
        self.events.append(event)
        return event

    async def until(self, kind: str) -> dict[str, Any]:
        while (event := await self.next())["type"] != kind:
            pass
        return event

    async def rest(self) -> list[dict[str, Any]]:
        """Events until the server closes."""
        try:
            while True:
                await self.next()
        except websockets.ConnectionClosed:
            return self.events

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def text(self) -> str:
        return " ".join(event["transcript"] for event in self.of(COMPLETED) if event["transcript"])


@asynccontextmanager
async def client(
    server: Server, path: str = "/v1/realtime?intent=transcription", *, protocols: Iterable[str] = (), **headers: str
) -> AsyncIterator[Client]:
    """A connection whose first event has been read."""
    url = server.url.replace("http", "ws", 1) + path
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    wanted = [websockets.Subprotocol(name) for name in protocols] or None
    async with websockets.connect(
        url, additional_headers=named, subprotocols=wanted, proxy=None, open_timeout=PATIENCE_S
    ) as socket:
        one = Client(socket)
        await one.next()
        yield one
