"""Servers with tight limits, for what is refused, and a recording longer than one window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from aural.audio.decode import decode
from aural.types import SAMPLE_RATE
from tests.api.wire import wav
from tests.conftest import Recording, Server, serving

KEY = "sesame"


@pytest.fixture(scope="session")
def strict() -> Iterator[Server]:
    """1 MiB, a minute of audio, two seconds to send it; the fake engine first, then a real one."""
    limits = ("--max-body-mb", "1", "--max-audio-s", "60", "--body-timeout-s", "2")
    with serving("--model", "fake", "--model", "whisper-tiny.en", "--replicas", "1", *limits) as server:
        yield server


@pytest.fixture(scope="session")
def guarded() -> Iterator[Server]:
    """Wants a key and answers one request at a time."""
    with serving("--model", "fake", "--max-requests", "1", AURAL_API_KEY=KEY) as server:
        yield server


@pytest.fixture(scope="session")
def long_wav(clips: dict[str, Recording]) -> bytes:
    """40 s: two clips in turn with 9 s of silence between them."""
    names = ("libri-367-130732-0001", "LJ001-0002") * 2
    silence = np.zeros(9 * SAMPLE_RATE, np.float32)
    pieces = [piece for name in names for piece in (decode(clips[name].bytes, limit_s=60).samples, silence)]
    return wav(np.concatenate(pieces[:-1]))
