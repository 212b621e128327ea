"""The soak in its short form. Its lags are no test: they depend on what else the machine does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks.soak import soak
from tests.conftest import SHARED

MOST_GROWTH = 1.3


@pytest.mark.slow
def test_a_stream_faster_than_life_beside_another_loses_nothing(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"NOT RUN: expected the speech set at {SHARED}, found none")
    verdict = asyncio.run(soak("whisper-tiny.en", 240.0, 8.0, 1, tmp_path / "server.log"))
    assert verdict.ledgers_closed
    assert not verdict.failed
    assert verdict.memory_late_mb <= MOST_GROWTH * verdict.memory_early_mb
