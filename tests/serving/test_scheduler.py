"""The scheduler over real worker processes of the fake engine: whatever happens, every job is answered."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from aural.engines.fake import speak
from aural.errors import Draining, NotReady, Overloaded
from aural.metrics import Metrics
from aural.serving.supervisor import State
from aural.types import SAMPLE_RATE, Clip
from tests.serving.loop import fake_scheduler, heard, in_loop, outcomes, running, said, until

# What is heard, and by whom


@in_loop
async def test_each_gets_its_own_text():
    texts = [f"word {number}" for number in range(200)]
    async with running(fake_scheduler(replicas=2)) as scheduler:
        assert await outcomes(scheduler, *texts) == texts


@in_loop
async def test_jobs_of_one_turn_are_one_batch():
    metrics = Metrics()
    async with running(fake_scheduler(metrics=metrics)) as scheduler:
        await outcomes(scheduler, "one", "two", "three")
    assert metrics.registry.get_sample_value("aural_batch_clips_sum", {"model": "fake"}) == 3
    assert metrics.registry.get_sample_value("aural_batch_clips_count", {"model": "fake"}) == 1


@in_loop
async def test_a_window_closes_by_itself():
    async with running(fake_scheduler(window_s=0.05)) as scheduler:
        assert await heard(scheduler, "alone") == "alone"


@in_loop
async def test_a_full_batch_does_not_wait_for_its_window():
    async with running(fake_scheduler(max_batch=2, window_s=3600.0)) as scheduler:
        assert await outcomes(scheduler, "one", "two") == ["one", "two"]


@in_loop
async def test_a_short_job_passes_a_long_file():
    order: list[str] = []
    async with running(fake_scheduler(max_batch=1)) as scheduler:
        parts = [scheduler.submit(said("sleep50"), ahead_samples=part * 30 * SAMPLE_RATE) for part in range(8)]
        for number, part in enumerate(parts):
            part.add_done_callback(lambda _, number=number: order.append(f"part {number}"))
        await parts[0]
        short = scheduler.submit(said("short"))
        short.add_done_callback(lambda _: order.append("short"))
        await asyncio.gather(short, *parts)
    assert order.index("short") <= 2
    assert [one for one in order if one != "short"] == [f"part {number}" for number in range(8)]


# Callers who leave


@in_loop
async def test_a_cancelled_job_leaves_the_queue():
    metrics = Metrics()
    async with running(fake_scheduler(max_batch=1, metrics=metrics)) as scheduler:
        first = scheduler.submit(said("sleep200"))
        left, stayed = scheduler.submit(said("left")), scheduler.submit(said("stayed"))
        await until(lambda: scheduler.replicas[0].busy)
        left.cancel()
        await asyncio.gather(first, stayed)
    assert metrics.registry.get_sample_value("aural_batch_clips_count", {"model": "fake"}) == 2


@in_loop
async def test_a_job_cancelled_in_its_batch_changes_nothing_for_the_others():
    async with running(fake_scheduler()) as scheduler:
        left, stayed = scheduler.submit(said("sleep100")), scheduler.submit(said("stayed"))
        await until(lambda: scheduler.replicas[0].busy)
        left.cancel()
        assert (await stayed).segments[0].text == "stayed"


@in_loop
async def test_a_job_cancelled_in_the_turn_it_came():
    async with running(fake_scheduler()) as scheduler:
        scheduler.submit(said("gone")).cancel()
        assert await heard(scheduler, "here") == "here"


# Stopping


@in_loop
async def test_stopping_refuses_what_is_heard_and_what_waits():
    scheduler = fake_scheduler(max_batch=1)
    await scheduler.start()
    jobs = [scheduler.submit(said("sleep600000")), scheduler.submit(said("waits"))]
    await until(lambda: scheduler.replicas[0].busy)
    worker = psutil.Process(scheduler.replicas[0].pid)
    await scheduler.stop()
    assert {type(one) for one in await asyncio.gather(*jobs, return_exceptions=True)} == {Draining}
    assert not worker.is_running()
    assert scheduler.state is State.STOPPED
    await scheduler.stop()
    for refused in (scheduler.admit, lambda: scheduler.submit(said("late"))):
        with pytest.raises(Draining):
            refused()


@in_loop
async def test_stopping_twice_at_once():
    scheduler = fake_scheduler(replicas=2)
    await scheduler.start()
    await asyncio.gather(scheduler.stop(), scheduler.stop())
    assert [replica.pid for replica in scheduler.replicas] == [None, None]


@in_loop
async def test_stopping_what_was_never_started():
    await fake_scheduler().stop()


# The door


@in_loop
async def test_nobody_is_admitted_before_the_model_is_ready():
    scheduler = fake_scheduler()
    with pytest.raises(NotReady, match="starting"):
        scheduler.admit()
    with pytest.raises(NotReady):
        assert scheduler.capabilities
    await scheduler.stop()


@in_loop
async def test_a_request_that_would_wait_too_long_is_refused():
    async with running(fake_scheduler(max_batch=1, max_wait_s=10.0)) as scheduler:
        clip = Clip(speak("sleep300", pause_s=10.0))
        length_s = len(clip) / SAMPLE_RATE
        scheduler.replicas[0].rtfx = 4.0
        jobs = [scheduler.submit(clip) for _ in range(4)]
        scheduler.admit()  # nothing was given out yet
        await until(lambda: scheduler.replicas[0].busy)
        assert scheduler.wait_s == pytest.approx(4 * length_s / 4.0)
        with pytest.raises(Overloaded) as refusal:
            scheduler.admit()
        assert refusal.value.retry_after_s == pytest.approx(length_s - 5.0)
        for job in jobs:
            job.cancel()
        await until(lambda: scheduler.replicas[0].is_free)
        scheduler.admit()


@in_loop
async def test_the_later_clips_of_a_long_file_do_not_count_as_waiting():
    async with running(fake_scheduler(max_batch=1, max_wait_s=10.0)) as scheduler:
        jobs = [scheduler.submit(said("sleep300"))]
        jobs += [scheduler.submit(said("part"), ahead_samples=part * 3600 * SAMPLE_RATE) for part in range(1, 9)]
        await until(lambda: scheduler.replicas[0].busy)
        scheduler.replicas[0].rtfx = 1.0
        assert scheduler.wait_s == pytest.approx(len(speak("sleep300")) / SAMPLE_RATE)
        await asyncio.gather(*jobs)


@in_loop
async def test_audio_in_memory_is_bounded():
    async with running(fake_scheduler(max_queue_audio_s=60.0)) as scheduler:
        with scheduler.admitted(3600 * SAMPLE_RATE):  # whoever comes first may be longer
            with pytest.raises(Overloaded) as refusal:
                scheduler.admit()
            assert refusal.value.retry_after_s >= 1
        with scheduler.admitted(40 * SAMPLE_RATE):
            scheduler.admit(20.0)
            with pytest.raises(Overloaded), scheduler.admitted(21 * SAMPLE_RATE):
                pass
            scheduler.admit(20.0)
        with pytest.raises(KeyError), scheduler.admitted(3600 * SAMPLE_RATE):
            raise KeyError
        scheduler.admit(60.0)


@in_loop
async def test_only_full_batches_tell_how_fast_a_worker_is():
    async with running(fake_scheduler(max_batch=2)) as scheduler:
        [replica] = scheduler.replicas
        before = replica.rtfx
        await outcomes(scheduler, "sleep20")
        assert replica.rtfx == before
        await outcomes(scheduler, "sleep20", "sleep20")
        assert replica.rtfx < before
        assert scheduler.rtfx == replica.rtfx


@in_loop
async def test_gauges_show_what_is_here():
    metrics = Metrics()

    def gauge(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"model": "fake", **labels})

    async with running(fake_scheduler(max_batch=1, metrics=metrics)) as scheduler:
        jobs = [scheduler.submit(said(text)) for text in ("sleep200", "one", "two")]
        await until(lambda: scheduler.replicas[0].busy)
        assert gauge("aural_queue_clips") == 2
        assert gauge("aural_queue_audio_seconds") == pytest.approx(0.12)
        assert gauge("aural_replicas", state="ready") == 1
        assert gauge("aural_replicas", state="restarting") == 0
        assert gauge("aural_rtfx") == scheduler.rtfx
        await asyncio.gather(*jobs)
        assert gauge("aural_queue_clips") == 0
