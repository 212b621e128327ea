"""The busy share: a mean over time that forgets."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.metrics import Metrics
from aural.serving.load import MEMORY_S, BusyShare
from tests.serving.loop import fake_scheduler, heard, in_loop, running


def test_it_tends_to_what_is():
    busy = BusyShare()
    busy.set(1.0, 100.0)
    assert busy.at(100.0) == 0.0
    assert busy.at(100.0 + MEMORY_S) == pytest.approx(0.632, abs=0.001)
    assert busy.at(100.0 + 20 * MEMORY_S) == pytest.approx(1.0)


def test_half_the_time_is_half():
    busy = BusyShare()
    for tick in range(1000):
        busy.set(float(tick % 2), tick * 0.1)
    assert busy.at(100.0) == pytest.approx(0.5, abs=0.01)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 1000)), max_size=30))
def test_it_is_a_share(steps):
    busy, now = BusyShare(), 0.0
    for share, after_s in steps:
        busy.set(share, now := now + after_s)
        assert 0.0 <= busy.at(now + 1) <= 1.0


@in_loop
async def test_a_scheduler_shows_it_and_logs_each_batch(caplog):
    metrics = Metrics()
    with caplog.at_level(logging.DEBUG, "aural.scheduler"):
        async with running(fake_scheduler(metrics=metrics)) as scheduler:
            assert scheduler.busy_share == 0.0
            await heard(scheduler, "sleep50 and so on")
            assert 0.0 < scheduler.busy_share < 0.5
            assert 0.0 < (metrics.registry.get_sample_value("aural_busy_share", {"model": "fake"}) or 0.0) < 0.5
    [batch] = [record for record in caplog.records if record.message == "batch"]
    assert batch.clips_s == [0.34]
    assert batch.engine_s >= 0.05
