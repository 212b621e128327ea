"""Workers that die, hang, fail or never start: whatever happens, every job is answered."""

from __future__ import annotations

import asyncio
import os
import signal

import psutil
import pytest

from aural.errors import Draining, EngineFailed, LoadFailed, NotReady, WorkerLost
from aural.metrics import Metrics
from aural.serving import supervisor
from aural.serving.scheduler import Scheduler
from aural.serving.supervisor import State
from tests.serving.loop import fake_scheduler, heard, in_loop, kinds, outcomes, running, said, until


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(supervisor, "BACKOFF_S", (0.0, 0.01, 0.01))


def kill(scheduler: Scheduler, replica: int = 0) -> int:
    pid = scheduler.replicas[replica].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    return pid


# Workers that die


@in_loop
async def test_a_poison_clip_does_not_take_its_neighbours_down():
    async with running(fake_scheduler()) as scheduler:
        results = await outcomes(scheduler, "one", "die", "two", "three")
        assert kinds(results) == ["one", WorkerLost, "two", "three"]
        assert await heard(scheduler, "and on") == "and on"
        assert scheduler.replicas[0].restarts == 2


@in_loop
async def test_a_poison_clip_among_two_workers():
    async with running(fake_scheduler(replicas=2)) as scheduler:
        texts = ["die", *(f"word {number}" for number in range(30))]
        assert kinds(await outcomes(scheduler, *texts)) == [WorkerLost, *texts[1:]]
        await until(lambda: all(replica.state is State.READY for replica in scheduler.replicas))


@in_loop
async def test_a_worker_killed_while_it_hears():
    metrics = Metrics()
    async with running(fake_scheduler(metrics=metrics)) as scheduler:
        answers = asyncio.gather(heard(scheduler, "sleep300 one"), heard(scheduler, "two"))
        await until(lambda: scheduler.replicas[0].busy)
        kill(scheduler)
        assert await answers == ["sleep300 one", "two"]
        assert scheduler.replicas[0].restarts == 1
        assert metrics.registry.get_sample_value("aural_worker_restarts_total", {"model": "fake"}) == 1


@in_loop
async def test_a_worker_killed_while_it_idles():
    async with running(fake_scheduler()) as scheduler:
        dead = kill(scheduler)
        await until(lambda: scheduler.replicas[0].pid not in (dead, None) and scheduler.state is State.READY)
        assert await heard(scheduler, "again") == "again"
        assert scheduler.replicas[0].restarts == 1


@in_loop
async def test_a_job_given_to_a_worker_that_nobody_knows_is_dead():
    async with running(fake_scheduler()) as scheduler:
        kill(scheduler)  # the job is sent before the loop can hear of it
        assert await heard(scheduler, "still") == "still"


@in_loop
async def test_both_workers_killed_again_and_again():
    texts = [f"sleep5 word {number}" for number in range(80)]
    async with running(fake_scheduler(replicas=2, max_batch=4)) as scheduler:
        jobs = [scheduler.submit(said(text)) for text in texts]
        for share in (0.1, 0.3, 0.5):
            await until(lambda share=share: sum(job.done() for job in jobs) >= share * len(jobs))
            for number, replica in enumerate(scheduler.replicas):
                if replica.pid:
                    kill(scheduler, number)
        results = await asyncio.gather(*jobs, return_exceptions=True)
        for text, result in zip(texts, results, strict=True):
            assert isinstance(result, WorkerLost) or result.segments[0].text == text
        await until(lambda: all(replica.is_free for replica in scheduler.replicas))


@in_loop
async def test_restarts_leave_nothing_behind():
    async with running(fake_scheduler()) as scheduler:
        [replica] = scheduler.replicas

        def open_things() -> tuple[int, int, int]:
            process = psutil.Process()
            return process.num_fds(), len(process.children()), len(asyncio.all_tasks())

        async def lose_one(restarts: int) -> None:
            kill(scheduler)
            await until(lambda: replica.restarts == restarts and replica.is_free)
            assert await heard(scheduler, "well") == "well"

        await lose_one(1)
        before = open_things()
        for restarts in range(2, 7):
            await lose_one(restarts)
        assert open_things() == before


@in_loop
async def test_jobs_whose_callers_left_are_not_retried():
    async with running(fake_scheduler()) as scheduler:
        left, stayed = scheduler.submit(said("sleep300 left")), scheduler.submit(said("stayed"))
        await until(lambda: scheduler.replicas[0].busy)
        left.cancel()
        kill(scheduler)
        assert (await stayed).segments[0].text == "stayed"
        assert scheduler.queue_audio_s == 0


# Workers that cannot start


@in_loop
async def test_a_worker_that_dies_while_it_loads_is_started_again(tmp_path):
    (tmp_path / "load").write_text("die die")
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        assert scheduler.replicas[0].restarts == 2
        assert scheduler.replicas[0].error is None
        assert await heard(scheduler, "third time") == "third time"


@in_loop
async def test_a_worker_that_dies_while_it_warms_up_is_started_again(tmp_path):
    (tmp_path / "hear").write_text("die ok die")
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        assert scheduler.replicas[0].restarts == 2


@in_loop
async def test_a_model_that_only_dies_is_given_up(tmp_path):
    (tmp_path / "load").write_text("die " * 9)
    scheduler = fake_scheduler(orders=tmp_path)
    with pytest.raises(LoadFailed, match="fake: the worker died or hung while loading"):
        await scheduler.start()
    assert scheduler.state is State.FAILED
    assert len((tmp_path / "load").read_text().split()) == 9 - len(supervisor.BACKOFF_S)
    await scheduler.stop()


@pytest.mark.parametrize("moment", ["load", "hear"])
@in_loop
async def test_a_model_that_refuses_to_load_is_not_asked_again(tmp_path, moment):
    (tmp_path / moment).write_text("fail")
    scheduler = fake_scheduler(orders=tmp_path)
    with pytest.raises(LoadFailed, match="RuntimeError: told to fail"):
        await scheduler.start()
    assert scheduler.replicas[0].restarts == 0
    with pytest.raises(NotReady, match="failed"):
        scheduler.admit()
    await scheduler.stop()


@in_loop
async def test_one_working_replica_is_enough(tmp_path):
    (tmp_path / "load").write_text("fail")
    async with running(fake_scheduler(orders=tmp_path, replicas=2)) as scheduler:
        assert await heard(scheduler, "enough") == "enough"
        await until(lambda: {replica.state for replica in scheduler.replicas} == {State.READY, State.FAILED})


@in_loop
async def test_a_worker_that_hangs_while_it_loads_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "LOAD_S", 0.5)
    (tmp_path / "load").write_text("sleep600000")
    scheduler = fake_scheduler(orders=tmp_path)
    starting = asyncio.create_task(scheduler.start())
    await until(lambda: scheduler.replicas[0].restarts)
    monkeypatch.setattr(supervisor, "LOAD_S", 60.0)
    await until(lambda: scheduler.state is State.READY)
    await starting
    assert await heard(scheduler, "now") == "now"
    await scheduler.stop()


@in_loop
async def test_a_worker_that_hangs_while_it_loads_again_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "RELOAD_S", 1.0)
    monkeypatch.setattr(supervisor, "RELOAD_FACTOR", 0.0)
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        (tmp_path / "load").write_text("sleep600000")
        kill(scheduler)
        assert kinds(await outcomes(scheduler, "one")) == [NotReady]
        await until(lambda: scheduler.state is State.READY)
        assert await heard(scheduler, "back") == "back"


@in_loop
async def test_who_waits_is_told_when_no_worker_comes_back(tmp_path):
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        (tmp_path / "load").write_text("fail fail")
        waiting = [scheduler.submit(said("sleep300 in flight")), *(scheduler.submit(said("x")) for _ in range(9))]
        await until(lambda: scheduler.replicas[0].busy)
        kill(scheduler)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(one) for one in results} == {NotReady}
        await until(lambda: scheduler.state is State.READY)  # it goes on trying
        assert await heard(scheduler, "back") == "back"


# Workers that hang, and engines that break


@in_loop
async def test_a_pipe_that_breaks_in_an_unforeseen_way_costs_no_job():
    async with running(fake_scheduler()) as scheduler:
        scheduler.replicas[0]._worker.writer.transport.abort()
        await asyncio.sleep(0)  # what is written now raises RuntimeError: the handle is closed
        assert await outcomes(scheduler, "one", "two") == ["one", "two"]
        assert scheduler.replicas[0].restarts == 1


@in_loop
async def test_whatever_goes_wrong_those_who_wait_are_told(monkeypatch):
    async def hear(clips):
        raise KeyError("unforeseen")

    async with running(fake_scheduler()) as scheduler:
        monkeypatch.setattr(scheduler.replicas[0], "hear", hear)
        assert kinds(await outcomes(scheduler, "one", "two")) == [EngineFailed, EngineFailed]


@in_loop
async def test_a_worker_that_hangs_counts_as_dead(monkeypatch):
    async with running(fake_scheduler()) as scheduler:
        monkeypatch.setattr(supervisor, "STALL_S", 1.5)
        monkeypatch.setattr(supervisor, "STALL_FACTOR", 0.0)
        assert kinds(await outcomes(scheduler, "sleep600000", "spared")) == [WorkerLost, "spared"]


@in_loop
async def test_a_clip_that_the_engine_fails_on_fails_alone():
    async with running(fake_scheduler()) as scheduler:
        results = await outcomes(scheduler, "one", "fail", "two")
        assert kinds(results) == ["one", EngineFailed, "two"]
        assert "told to fail" in str(results[1])
        assert kinds(await outcomes(scheduler, "fail")) == [EngineFailed]
        assert scheduler.replicas[0].restarts == 0


@in_loop
async def test_an_engine_that_fails_on_everything_is_replaced(tmp_path):
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        (tmp_path / "hear").write_text("fail fail")  # the clip, and the canary after it
        assert await heard(scheduler, "good clip") == "good clip"
        assert scheduler.replicas[0].restarts == 1


@pytest.mark.parametrize("orders", ["die", "fail fail", "sleep600000"])
@in_loop
async def test_a_quiet_worker_is_asked_whether_it_still_hears(tmp_path, monkeypatch, orders):
    monkeypatch.setattr(supervisor, "CANARY_EVERY_S", 0.05)
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        monkeypatch.setattr(supervisor, "STALL_S", 1.5)
        monkeypatch.setattr(supervisor, "STALL_FACTOR", 0.0)
        (tmp_path / "hear").write_text(orders)
        await until(lambda: scheduler.replicas[0].restarts == 1)
        assert await heard(scheduler, "well again") == "well again"


@in_loop
async def test_jobs_that_come_while_a_canary_is_heard_are_heard_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "CANARY_EVERY_S", 0.05)
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        (tmp_path / "hear").write_text("sleep200")
        await until(lambda: scheduler.replicas[0].busy)
        assert await heard(scheduler, "after") == "after"


# Workers that are stopped meanwhile


@pytest.mark.parametrize("orders", ["sleep600000", "die " * 99])
@in_loop
async def test_stopping_while_it_starts(tmp_path, orders):
    (tmp_path / "load").write_text(orders)
    scheduler = fake_scheduler(orders=tmp_path)
    starting = asyncio.create_task(scheduler.start())
    await until(lambda: scheduler.replicas[0].pid)
    await scheduler.stop()
    with pytest.raises(Draining):
        await starting
    assert scheduler.replicas[0].pid is None


@in_loop
async def test_stopping_while_a_canary_is_heard(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "CANARY_EVERY_S", 0.05)
    async with running(fake_scheduler(orders=tmp_path)) as scheduler:
        (tmp_path / "hear").write_text("sleep600000")
        await until(lambda: scheduler.replicas[0].busy)
        await scheduler.stop()
        assert scheduler.state is State.STOPPED
