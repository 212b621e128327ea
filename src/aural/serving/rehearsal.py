"""A few seconds of real speech to warm engines up with, and to ask a quiet worker whether it still hears."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from aural.types import Samples


@cache
def rehearsal() -> Samples:
    """'Produced the block books, which were the immediate predecessors of the true printed book', 5.1 s, float32.

    LJ Speech LJ001-0004, public domain; 16-bit PCM at 16 kHz without a header."""
    data = Path(__file__).with_name("rehearsal.s16le").read_bytes()
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32768)
