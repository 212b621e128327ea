"""Who takes part: how each server starts, and how each is spoken to. All get the same PCM in the same frames."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from aural.bench.clips import Item
from aural.bench.stream import Shown, paced
from aural.engines.catalog import find
from aural.errors import SessionLost
from aural.streaming import events
from aural.streaming.session import Wish
from aural.streaming.session import connect as connect_aural

ENDPOINTING_MS = 500
"""The silence that aural waits for before it ends an utterance, OpenAI's default."""
LINGER_S = 20.0
"""How long a rival may still send after the last sound."""
MOST_BYTES = 16 * 2**20


class Refused(Exception):
    """The server takes no more streams."""


@dataclass(frozen=True, slots=True)
class Server:
    """A command and where it listens."""

    command: list[str]
    ready: str
    """A path that answers 200, or "" when being connected to is all that can be asked."""
    env: dict[str, str] = field(default_factory=dict)


class Arm(Protocol):
    name: str
    endpointing_s: float | None
    """The silence waited for before a final, where the server says; None where it has no finals."""

    def server(self, port: int) -> Server: ...

    async def hear(self, port: int, item: Item, began: float) -> list[Shown]:
        """Speak an item at real speed, from `began` of perf_counter on; what could be shown, and when. Raises Refused
        and OSError."""
        ...


@dataclass(frozen=True, slots=True)
class Aural:
    """`aural serve` as a user starts it; drafts on."""

    model: str
    flags: tuple[str, ...] = ()
    name: str = "aural"
    endpointing_s: float | None = ENDPOINTING_MS / 1000
    aural: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What a session asks for beyond captions."""
    listener: Callable[[events.Event], None] | None = None
    """Is told every event as it comes."""

    def server(self, port: int) -> Server:
        command = [sys.executable, "-m", "aural", "serve", "--model", self.model, "--port", str(port), *self.flags]
        return Server(command, "/ping")

    async def hear(self, port: int, item: Item, began: float) -> list[Shown]:
        shown: list[Shown] = []
        committed: dict[str, str] = {}

        def show(name: str, draft: str = "", kind: Any = "text") -> None:
            shown.append(Shown(time.perf_counter() - began, name, committed.get(name, ""), draft, kind))

        wish = Wish(language="en", silence_ms=ENDPOINTING_MS, aural=self.aural)
        async with connect_aural(f"http://127.0.0.1:{port}", wish) as session:
            sending = asyncio.create_task(_send(session.send, item, began, session.finish))
            async for event in session:
                if self.listener:
                    self.listener(event)
                match event:
                    case events.Grown(name, text):
                        committed[name] = committed.get(name, "") + text
                        show(name)
                    case events.Drafted(name, draft):
                        show(name, draft)
                    case events.Done(name, text):
                        committed[name] = text
                        show(name, kind="final")
                    case events.Failed(name):
                        show(name, kind="failed")
                    case events.Lost(message):
                        raise SessionLost(message)
            await sending
        return shown


async def _send(
    send: Callable[[bytes], Any], item: Item, began: float, finish: Callable[[], Any], recode: Any = bytes
) -> None:
    async for frame, _ in paced(item.pcm, began):
        await send(recode(frame))
    await finish()


class Rival:
    """A server whose captions are one growing text."""

    name: str
    endpointing_s: float | None = None

    async def hear(self, port: int, item: Item, began: float) -> list[Shown]:
        shown: list[Shown] = []
        async with connect(self.address(port), max_size=MOST_BYTES, open_timeout=30, proxy=None) as socket:
            await self.greet(socket)
            sending = asyncio.create_task(
                _send(socket.send, item, began, lambda: socket.send(self.farewell()), self.recode)
            )
            try:
                async with asyncio.timeout(item.duration_s + LINGER_S):
                    async for committed, draft in self.texts(socket):
                        if not shown or (committed, draft) != (shown[-1].committed, shown[-1].draft):
                            shown.append(Shown(time.perf_counter() - began, "all", committed, draft))
            except (TimeoutError, ConnectionClosed):
                pass
            finally:
                sending.cancel()
        if shown:
            last = shown[-1]
            shown.append(Shown(last.at_s, last.item, last.text, "", "final"))
        return shown

    def address(self, port: int) -> str:
        raise NotImplementedError

    async def greet(self, socket: ClientConnection) -> None:
        """Whatever comes before the sound."""

    def recode(self, frame: bytes) -> bytes:
        return frame

    def farewell(self) -> bytes:
        raise NotImplementedError

    def texts(self, socket: ClientConnection) -> AsyncIterator[tuple[str, str]]:
        """Committed text and draft, whenever they change, until the server is done."""
        raise NotImplementedError


class WhisperLiveKit(Rival):
    """WhisperLiveKit with faster-whisper and LocalAgreement, which is what runs these weights."""

    def __init__(self, model: str, python: Path) -> None:
        self.name = "whisperlivekit"
        self._folder = find(model).fetch()
        self._python = python

    def server(self, port: int) -> Server:
        flags = ["--backend", "faster-whisper", "--backend-policy", "localagreement", "--pcm-input", "--lan", "en"]
        command = [str(self._python), "-m", "whisperlivekit.basic_server", "--port", str(port)]
        # A warm-up file of its own would be downloaded.
        return Server([*command, *flags, "--model_dir", str(self._folder), "--warmup-file", ""], "/health")

    def address(self, port: int) -> str:
        return f"ws://127.0.0.1:{port}/asr"

    def farewell(self) -> bytes:
        return b""

    async def texts(self, socket: ClientConnection) -> AsyncIterator[tuple[str, str]]:
        async for message in socket:
            told = json.loads(message)
            if told.get("type") == "ready_to_stop":
                return
            if "lines" in told:
                lines = " ".join(line["text"].strip() for line in told["lines"] if line.get("text"))
                yield lines, " " + str(told.get("buffer_transcription") or "").strip()


class WhisperLive(Rival):
    """WhisperLive with faster-whisper: one model for all clients, batched, as its README advises for many."""

    def __init__(self, model: str, python: Path, vad: bool) -> None:
        self.name = "whisperlive"
        self._folder = find(model).fetch()
        self._python = python
        self._vad = vad

    def server(self, port: int) -> Server:
        run = (
            "from whisper_live.server import TranscriptionServer as S; "
            f"S().run('127.0.0.1', port={port}, backend='faster_whisper', max_clients=64, max_connection_time=3600, "
            f"faster_whisper_custom_model_path={str(self._folder)!r}, single_model=True, batch_enabled=True)"
        )
        return Server([str(self._python), "-c", run], "")

    def address(self, port: int) -> str:
        return f"ws://127.0.0.1:{port}"

    async def greet(self, socket: ClientConnection) -> None:
        wish = {"uid": str(uuid4()), "language": "en", "task": "transcribe", "model": "tiny.en", "use_vad": self._vad}
        await socket.send(json.dumps(wish | {"max_clients": 64, "max_connection_time": 3600}))
        while "SERVER_READY" not in (told := str(await socket.recv())):
            if "WAIT" in told:
                raise Refused(told)

    def recode(self, frame: bytes) -> bytes:
        return (np.frombuffer(frame, np.int16).astype(np.float32) / 32_768).tobytes()

    def farewell(self) -> bytes:
        return b"END_OF_AUDIO"

    async def texts(self, socket: ClientConnection) -> AsyncIterator[tuple[str, str]]:
        done: dict[str, str] = {}
        async for message in socket:
            told = json.loads(message)
            if told.get("message") == "DISCONNECT":
                return
            if "segments" not in told:
                continue
            done |= {one["start"]: one["text"].strip() for one in told["segments"] if one.get("completed")}
            open_ = [one["text"].strip() for one in told["segments"] if not one.get("completed")]
            ordered = [text for _, text in sorted(done.items(), key=lambda pair: float(pair[0]))]
            yield " ".join(ordered), " " + " ".join(open_)
