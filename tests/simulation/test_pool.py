"""The simulation against what is known: queueing theory, and that nothing is lost or heard twice."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aural.serving.policy import Policy
from aural.simulation.costs import Costs
from aural.simulation.pool import Clock, Job, Pod, Pool, lengths_of
from aural.simulation.traffic import Files, Record, Stream

FLAT = Costs(batch_s=0.0, clip_s=1.0, audio_s=0.0, padded_s=0.0, longest_s=0.0)
"""A second per clip, whatever its length."""
TINY = Costs(batch_s=0.0, clip_s=0.0, audio_s=0.0124, padded_s=0.0, longest_s=0.0104, spread=0.1)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_waits_as_theory_says(load: float):
    """M/D/1: the mean wait is load / (2 (1 - load)) service times (Pollaczek-Khinchine)."""
    clock, record = Clock(), Record()
    Files(Pool(clock, FLAT, pods=1, policy=Policy(max_batch=1)), record, [1.0]).open(load)
    clock.run(20_000)
    wait_s = sum(record.latency_s) / len(record.latency_s) - 1.0
    assert wait_s == pytest.approx(load / (2 * (1 - load)), rel=0.1)


def test_a_closed_loop_keeps_the_number_of_callers():
    """Little's law: requests per second times mean latency is the number of callers."""
    clock, record = Clock(), Record()
    Files(Pool(clock, TINY, pods=2, workers=2), record, [3.0, 15.0]).closed(20)
    clock.run(300)
    mean_s = sum(record.latency_s) / len(record.latency_s)
    assert len(record.at) / 300 * mean_s == pytest.approx(20, rel=0.03)


@given(
    st.lists(st.tuples(st.floats(0, 30), st.floats(0.1, 30)), max_size=60),
    st.integers(1, 4),
    st.integers(1, 8),
    st.floats(0, 0.5),
    st.none() | st.floats(0, 40),
)
@settings(max_examples=50)
def test_each_job_ends_exactly_once(arrivals, workers, most, window_s, dies_at):
    clock = Clock()
    pod = Pod(clock, TINY, Policy(max_batch=most, window_s=window_s), workers, random.Random(1))
    ends: list[int] = []
    heard: list[bool] = []

    def job(number: int, clip_s: float) -> Job:
        def done(ok: bool) -> None:
            ends.append(number)
            heard.append(ok)

        return Job(clip_s, done)

    def come(number: int, clip_s: float) -> None:
        if pod.alive:
            pod.take(job(number, clip_s))
        else:
            ends.append(number)

    for number, (at, clip_s) in enumerate(arrivals):
        clock.at(at, lambda number=number, clip_s=clip_s: come(number, clip_s))
    if dies_at is not None:
        clock.at(dies_at, pod.die)
    clock.run(1000)
    assert sorted(ends) == list(range(len(arrivals)))
    assert dies_at is not None or all(heard)


def test_the_same_seed_is_the_same_run():
    def run(seed: int) -> list[float]:
        clock, record = Clock(), Record()
        Files(Pool(clock, TINY, pods=3, seed=seed), record, [3.0, 15.0]).open(5.0)
        clock.run(60)
        return record.latency_s

    assert run(1) == run(1) != run(2)


def test_whoever_loses_a_pod_is_answered_by_another():
    clock, record = Clock(), Record()
    pool = Pool(clock, TINY, pods=3)
    callers = 12
    Files(pool, record, [15.0, 45.0]).closed(callers)
    clock.at(10, lambda: pool.lose(1 / 3))
    clock.run(60)
    assert len(pool.alive) == 2
    assert record.lost > 0
    assert len(record.since(50)) > callers


def test_live_sessions_move_when_their_pod_dies_and_lose_no_final():
    clock, finals, partials = Clock(), Record(), Record()
    pool = Pool(clock, TINY, pods=2, workers=2)
    for _ in range(10):
        Stream(pool, finals, partials).start()
    clock.at(30, lambda: pool.lose(0.5))
    clock.run(120)
    assert len(finals.since(100)) > 10
    assert len(partials.at) > len(finals.at)


def test_nobody_is_sent_where_no_pod_lives():
    clock, record = Clock(), Record()
    pool = Pool(clock, TINY, pods=1)
    pool.lose(1.0)
    Files(pool, record, [1.0]).closed(1)
    clock.at(5, lambda: pool.add(1))
    clock.run(10)
    assert record.refused > 0
    assert record.at


def test_long_files_are_cut():
    assert lengths_of(75.0) == [30.0, 30.0, 15.0]
    assert lengths_of(30.0) == [30.0]
