"""Servers with tight limits, for what is refused, and a recording longer than one window."""

from __future__ import annotations

import urllib.error
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE, Samples
from tests.api.wire import Reply, exchange, form, request, speech, wav
from tests.conftest import START_S, Recording, Server, serving, wait_until

KEY = "sesame"


@dataclass(frozen=True)
class Waking:
    """A server with tight limits, and what it answered while its slower model was loading."""

    server: Server
    ping: int
    health: int
    slow_model: Reply
    fast_model: Reply


@pytest.fixture(scope="session")
def waking() -> Iterator[Waking]:
    """1 MiB, a minute of audio, two seconds to send it; the fake engine first, then a real one."""
    limits = ("--max-batch", "2", "--max-body-mb", "1", "--max-audio-s", "60", "--body-timeout-s", "2")
    with serving("--model", "fake", "--model", "whisper-tiny.en", "--replicas", "1", *limits, ready=False) as server:
        wait_until(lambda: _state(server, "fake") == "ready", START_S)
        slow, fast = (
            exchange(server.url, request("/v1/audio/transcriptions", body, Content_Type=kind))
            for body, kind in (form(speech("hello"), model=model) for model in ("whisper-tiny.en", "fake"))
        )
        before = Waking(server, server.get("/ping")[0], server.get("/health")[0], slow, fast)
        wait_until(lambda: server.get("/ping")[0] == 200, START_S)
        yield before


def _state(server: Server, model: str) -> str:
    with suppress(urllib.error.URLError):
        return next(one["state"] for one in server.health()["models"] if one["name"] == model)
    return "not listening"


@pytest.fixture(scope="session")
def strict(waking: Waking) -> Server:
    return waking.server


@pytest.fixture(scope="session")
def guarded() -> Iterator[Server]:
    """Wants a key and answers one request at a time."""
    with serving("--model", "fake", "--max-requests", "1", AURAL_API_KEY=KEY) as server:
        yield server


@pytest.fixture(scope="session")
def lobster(clips: dict[str, Recording]) -> Samples:
    """A question and its answer, 4 s, with the silence that ends a turn."""
    speech = decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples
    return np.pad(speech, (0, SAMPLE_RATE))


@pytest.fixture(scope="session")
def spoken(lobster: Samples) -> Samples:
    """The same with half a second more: the silence that ends an utterance of Deepgram's."""
    return np.pad(lobster, (0, SAMPLE_RATE // 2))


@pytest.fixture(scope="session")
def long_wav(clips: dict[str, Recording]) -> bytes:
    """40 s: two clips in turn with 9 s of silence between them."""
    names = ("libri-367-130732-0001", "LJ001-0002") * 2
    silence = np.zeros(9 * SAMPLE_RATE, np.float32)
    pieces = [piece for name in names for piece in (decode(clips[name].bytes, limit_s=60).samples, silence)]
    return wav(np.concatenate(pieces[:-1]))
