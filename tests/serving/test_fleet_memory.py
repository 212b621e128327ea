"""Models within the memory that there is: who makes room for whom."""

from __future__ import annotations

import asyncio

import pytest

from aural.assembly import build_fleet
from aural.errors import NoRoom
from aural.metrics import Metrics
from aural.serving.model import UNLOADED
from aural.serving.supervisor import State
from aural.settings import Settings
from tests.serving.fleets import MIB, fleet, heard, started
from tests.serving.loop import in_loop, until


@in_loop
async def test_the_model_unused_longest_makes_room():
    async with started("one", "two", need_mb=400, budget_bytes=900 * MIB) as three:
        for name in ("one", "two"):
            three.model(name).tenure.memory_bytes = 400 * MIB
        await heard(three, "two", "hello")
        await heard(three, "one", "hello")
        await three.load("new", {})
        assert [model.state for model in three.models] == ["ready", UNLOADED, "ready"]


@in_loop
async def test_who_asks_in_turn_for_more_than_fits_is_answered_all_the_same():
    async with started("one", "two", need_mb=400, budget_bytes=450 * MIB) as two:
        assert [model.state for model in two.models].count(UNLOADED) == 1
        texts = [f"number {number}" for number in range(6)]
        answers = await asyncio.gather(*(heard(two, ("one", "two")[i % 2], text) for i, text in enumerate(texts)))
        assert answers == texts


@in_loop
async def test_what_would_free_nothing_is_not_let_go():
    async with started("elsewhere", "one", need_mb=400, budget_bytes=900 * MIB) as two:
        two.model("elsewhere").tenure.memory_bytes = 0
        two.model("one").tenure.memory_bytes = 800 * MIB
        await heard(two, "one", "hello")
        await two.load("new", {})
        assert [model.state for model in two.models] == ["ready", UNLOADED, "ready"]


@in_loop
async def test_what_a_model_takes_is_measured_again():
    async with started("one", budget_bytes=900 * MIB, sweep_s=0.01) as one:
        tenure = one.model("one").tenure
        tenure.memory_bytes = 1
        await until(lambda: tenure.memory_bytes > MIB)


@in_loop
async def test_the_estimate_is_the_least_until_all_of_it_is_warm():
    async with started("one") as one:
        model = one.model("one")
        model.tenure.memory_bytes = 900 * MIB
        [replica] = model.tenure.transcriber.scheduler.replicas
        replica.state = State.STARTING
        model.measure()
        assert model.memory_bytes == 900 * MIB
        replica.state = State.READY
        model.measure()
        assert 0 < model.memory_bytes < 900 * MIB


@in_loop
async def test_what_is_being_unloaded_counts_until_its_processes_have_ended():
    async with started("one", need_mb=400, budget_bytes=900 * MIB) as one:
        tenure = one.model("one").tenure
        tenure.memory_bytes = 800 * MIB
        stop, may_end = tenure.transcriber.scheduler.stop, asyncio.Event()

        async def slow() -> None:
            await may_end.wait()
            await stop()

        tenure.transcriber.scheduler.stop = slow
        leaving, asked = one.model("one"), asyncio.Event()
        unloading = asyncio.create_task(one.unload("one"))
        await until(lambda: not one.names)
        ended, leaving.ended = leaving.ended, lambda: asked.set() or ended()
        other = asyncio.create_task(one.load("other", {}, evict=False))
        await until(lambda: asked.is_set() or other.done())
        assert not other.done()
        again = asyncio.create_task(one.load("one", {}, evict=False))
        await until(lambda: "one" in one.names)
        assert one.model("one").ending is leaving.ending
        may_end.set()
        await asyncio.gather(unloading, other, again)
        assert [model.state for model in one.models] == ["ready", "ready"]


@in_loop
async def test_what_fits_nowhere_is_refused():
    async with started("one", budget_bytes=300 * MIB) as one:
        one.model("one").prepare = lambda: None
        two = fleet(("big", "fake"), need_mb=301, budget_bytes=300 * MIB)
        with pytest.raises(NoRoom, match="big takes 301 MiB of memory, and 300 MiB are left"):
            await two.load("big", {})
        await two.stop()


@in_loop
async def test_a_multi_model_endpoint_has_a_budget_without_being_told(tmp_path):
    with (tmp_path / "model.bin").open("wb") as weights:
        weights.truncate(2**42)
    fleet = build_fleet(Settings.of({"multi_model": True}), Metrics())
    with pytest.raises(NoRoom, match="big takes"):
        await fleet.load("big", {"model": str(tmp_path)}, evict=False)
    await fleet.stop()


@in_loop
async def test_a_model_in_use_is_not_let_go():
    async with started("one", need_mb=400, budget_bytes=500 * MIB, patience_s=0.05) as one:
        one.model("one").tenure.memory_bytes = 400 * MIB
        async with one.use("one"):
            with pytest.raises(NoRoom):
                await one.load("new", {})
        assert await heard(one, "one", "still here") == "still here"
        with pytest.raises(NoRoom):
            await one.load("new", {}, evict=False)
