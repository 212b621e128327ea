"""What the front process and a worker say to each other, and how it travels.

A frame is a pickle with its arrays beside it (PEP 574), so that samples are written from where they lie. The pipe is a
socket pair between a process and its own child; nothing from outside is ever unpickled.
"""

from __future__ import annotations

import pickle
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aural.engines.base import Capabilities, ModelSpec
from aural.types import Clip, Transcript

if TYPE_CHECKING:  # a worker starts without it
    import asyncio

_COUNT = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Load:
    """To a worker, first: the model to own, and how many clips a batch may have."""

    spec: ModelSpec
    max_batch: int


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker that has loaded its model and warmed it up."""

    capabilities: Capabilities
    rtfx: float
    """Audio seconds per second that it heard at warm-up, in a full batch."""
    load_s: float
    warm_up_s: float


@dataclass(frozen=True, slots=True)
class LoadRefused:
    """From a worker that cannot load its model."""

    message: str


@dataclass(frozen=True, slots=True)
class Hear:
    """To a worker: a batch."""

    clips: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class Mishap:
    """In place of a transcript: the engine raised on this clip."""

    message: str


@dataclass(frozen=True, slots=True)
class Heard:
    """From a worker: what it made of the batch, in order."""

    results: tuple[Transcript | Mishap, ...]
    engine_s: float


ToWorker = Load | Hear
FromWorker = Ready | LoadRefused | Heard


def pack(message: object) -> list[bytes | memoryview]:
    """The parts of a frame, to be written one after the other."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    parts: list[bytes | memoryview] = [body, *(buffer.raw() for buffer in buffers)]
    sizes = [len(part) for part in parts]
    return [_COUNT.pack(len(parts)), struct.pack(f"!{len(sizes)}Q", *sizes), *parts]


def unpack(parts: Sequence[bytes | bytearray]) -> object:
    return pickle.loads(parts[0], buffers=parts[1:])


async def read(reader: asyncio.StreamReader) -> object:
    """The next message; raises IncompleteReadError when the other side is gone."""
    [count] = _COUNT.unpack(await reader.readexactly(_COUNT.size))
    sizes = struct.unpack(f"!{count}Q", await reader.readexactly(8 * count))
    return unpack([await reader.readexactly(size) for size in sizes])


def receive(sock: socket.socket) -> object:
    """The next message, waiting for it; raises EOFError when the other side is gone."""
    [count] = _COUNT.unpack(_exactly(sock, _COUNT.size))
    sizes = struct.unpack(f"!{count}Q", _exactly(sock, 8 * count))
    return unpack([_exactly(sock, size) for size in sizes])


def send(sock: socket.socket, message: object) -> None:
    for part in pack(message):
        sock.sendall(part)


def _exactly(sock: socket.socket, size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = sock.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return data
