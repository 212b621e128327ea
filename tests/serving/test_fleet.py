"""Models by name over real worker processes of the fake engine: found, chosen, loaded, let go, never lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import psutil
import pytest

from aural.assembly import build_fleet
from aural.engines.base import Capabilities
from aural.engines.fake import speak
from aural.errors import (
    AlreadyLoaded,
    Draining,
    LoadFailed,
    ModelInUse,
    NotReady,
    SettingsError,
    UnknownModel,
    UnsupportedParameter,
)
from aural.metrics import Metrics
from aural.serving.fleet import Fleet
from aural.serving.live import Live
from aural.serving.model import UNLOADED, Model, Prepared
from aural.serving.scheduler import Limits
from aural.settings import Settings
from aural.types import Options, Pcm, Timestamps
from tests.serving.fleets import MIB, fleet, heard, started
from tests.serving.loop import in_loop, until


def workers() -> set[psutil.Process]:
    """The children of this process that run; other tests have some, too."""
    return {one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE}


def worker(running: Fleet, name: str) -> psutil.Process:
    pid = running.get(name).scheduler.replicas[0].pid
    assert pid
    return psutil.Process(pid)


@in_loop
async def test_finds_models_by_name():
    async with started("one", "two") as two:
        assert two.names == ["one", "two"]
        assert two.get("two").scheduler.name == "two"
        ways = (None, "", "whisper-1", "gpt-4o-transcribe", "one")
        assert {two.get(name).scheduler.name for name in ways} == {"one"}
        with pytest.raises(UnknownModel, match="no model 'three' is served here; there is one, two"):
            two.get("three")


@in_loop
async def test_is_ready_when_every_model_is():
    two = fleet(("one", "fake"), ("two", "fake"))
    assert not two.is_ready
    await two.start()
    assert two.is_ready
    await two.get("two").scheduler.stop()
    assert not two.is_ready
    await two.stop()
    await two.stop()


@in_loop
async def test_does_not_start_when_one_model_cannot():
    two = fleet(("good", "fake"), ("bad", "whisper"))
    with pytest.raises(LoadFailed, match="bad: expected a folder of weights"):
        await two.start()
    await two.stop()


@in_loop
async def test_one_that_takes_what_is_left_starts_last():
    two = fleet(("left", "fake"), ("first", "fake"))
    order: list[str] = []
    for model in two.models:
        model.prepare = partial(_noted, order, model.name, model.prepare)
    two.model("left").starts_last = True
    await two.start()
    assert order == ["first", "left"]
    await two.stop()


def _noted(order: list[str], name: str, prepare: Callable[[], Prepared]) -> Prepared:
    order.append(name)
    return prepare()


@in_loop
async def test_cannot_be_started_again():
    one = fleet(("one", "fake"))
    await one.stop()
    with pytest.raises(Draining):
        await one.start()
    await one.stop()


def test_each_model_has_limits_of_its_own():
    own = {"name": "own", "model": "fake", "max_wait_s": 1.5, "max_queue_audio_s": 20, "max_streams": 3}
    fleet = build_fleet(Settings.of({"models": ["fake", own], "max_wait_s": 7.0, "max_streams": 9}), Metrics())
    limits = [model.prepare().transcriber.scheduler.limits for model in fleet.models]
    assert limits == [Limits(7.0, 8 * 3600.0, 9), Limits(1.5, 20, 3)]
    live = Live(fleet, Metrics())
    assert [live.capacity(model.prepare().transcriber.scheduler) for model in fleet.models] == [9, 3]
    with pytest.raises(SettingsError, match="expected max_wait_s above 0, got 0"):
        Settings.of({"models": [own | {"max_wait_s": 0}]})


# Loaded and let go


@in_loop
async def test_what_is_unloaded_ends_its_processes_and_is_not_found_any_more():
    async with started("one", "two") as two:
        process = worker(two, "one")
        await two.unload("one")
        assert not process.is_running()
        assert two.names == ["two"]
        assert await heard(two, "two", "still here") == "still here"
        with pytest.raises(UnknownModel):
            await heard(two, "one", "hello")
        with pytest.raises(UnknownModel):
            await two.unload("one")


@in_loop
async def test_unloading_waits_for_who_is_being_answered():
    async with started("one") as one:
        answer = asyncio.create_task(heard(one, "one", "sleep200 said"))
        await until(lambda: one.model("one").tenure.users)
        await one.unload("one")
        assert answer.done()
        assert await answer == "sleep200 said"


@in_loop
async def test_what_takes_longer_than_the_unloading_waits_is_answered_and_the_model_stays():
    async with started("one", patience_s=0.05) as one:
        async with one.use("one") as transcriber:
            with pytest.raises(ModelInUse, match=r"one was still in use after 0\.05 s"):
                await one.unload("one")
            transcript = await transcriber.transcribe(Pcm(speak("whole")), Options())
            assert transcript.segments[0].text.strip() == "whole"
            assert await heard(one, "one", "newcomer") == "newcomer"
        await one.unload("one")
        assert one.names == []


@in_loop
async def test_who_asks_for_what_is_about_to_be_unloaded_is_told_when_it_is():
    async with started("one") as one:
        async with one.use("one"):
            tasks = [asyncio.create_task(work) for work in (one.unload("one"), one.unload("one"))]
            await until(lambda: not one.model("one").is_open)
            asked = asyncio.create_task(heard(one, "one", "hello"))
            await asyncio.sleep(0)
            assert not asked.done()
        results = await asyncio.gather(*tasks, asked, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), UnknownModel, UnknownModel]


@in_loop
async def test_what_is_loaded_is_found():
    async with started("one") as one:
        with pytest.raises(AlreadyLoaded, match="one is loaded already"):
            await one.load("one", {})
        await one.load("new", {})
        assert one.names == ["one", "new"]
        assert await heard(one, "new", "hello") == "hello"


@in_loop
async def test_what_cannot_be_loaded_is_not_kept():
    async with started("one") as one:
        with pytest.raises(LoadFailed, match="bad: expected a folder of weights"):
            await one.load("bad", {"family": "whisper"})
        assert one.names == ["one"]
        assert one.is_ready


@in_loop
async def test_a_model_that_was_let_go_outlives_a_table_that_cannot_be_loaded():
    async with started("one") as one:
        await one.model("one").end()
        with pytest.raises(LoadFailed):
            await one.load("one", {"family": "whisper"})
        assert await heard(one, "one", "hello") == "hello"
        await one.model("one").end()
        one._build = lambda table: Model(table["name"], partial(int, "no number"))
        for name in ("one", "two"):
            with pytest.raises(ValueError, match="no number"):
                await one.load(name, {"family": "fake"})
        assert one.names == ["one"]


@in_loop
async def test_an_idle_model_is_let_go_and_loaded_again_on_demand():
    async with started("one", idle_s=0.05, sweep_s=0.01) as one:
        process = worker(one, "one")
        await until(lambda: one.model("one").state == UNLOADED)
        await until(lambda: not process.is_running())
        assert one.is_ready
        with pytest.raises(NotReady, match="one is unloaded"):
            one.get("one")
        answers = await asyncio.gather(*(heard(one, "one", f"number {number}") for number in range(5)))
        assert answers == [f"number {number}" for number in range(5)]


@in_loop
async def test_who_waits_too_long_for_a_model_is_told(tmp_path):
    async with started("one", orders=tmp_path, patience_s=0.05) as one:
        (tmp_path / "load").write_text("sleep60000")
        await one.model("one").end()
        with pytest.raises(NotReady, match="one is starting"):
            await heard(one, "one", "hello")


@in_loop
async def test_loaded_and_let_go_under_traffic():
    """Every request is answered with its own text, or told that the model is not served."""
    before = workers()
    async with started("stays", "comes and goes") as two:
        told: list[str] = []

        async def ask(number: int) -> None:
            name = ("stays", "comes and goes")[number % 2]
            try:
                assert await heard(two, name, f"number {number}") == f"number {number}"
                told.append(name)
            except UnknownModel:
                told.append("")

        async def traffic() -> None:
            for number in range(10**6):
                await ask(number)

        callers = [asyncio.create_task(traffic()) for _ in range(4)]
        for _ in range(4):
            await two.unload("comes and goes")
            await two.load("comes and goes", {})
            count = told.count("comes and goes")
            await until(lambda count=count: told.count("comes and goes") > count)
        for caller in callers:
            caller.cancel()
        results = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in results), results
        assert "stays" in told
        assert len(workers() - before) == 2


# Chosen


@in_loop
async def test_auto_takes_the_narrowest_that_fits():
    async with started("every", "english", "german") as three:
        plain = three.get("every").scheduler.capabilities
        kinds = {"every": ("de", "en", "fr"), "english": ("en",), "german": ("de",)}
        for name, languages in kinds.items():
            words = (Timestamps.NONE, Timestamps.WORD) if name == "every" else (Timestamps.NONE,)
            can = Capabilities(languages, plain.longest_clip, timestamps=words, understanding=name == "german")
            three.model(name).capabilities = can

        async def chosen(understanding: bool = False, **options: Any) -> str:
            async with three.use("auto", Options(**options), understanding=understanding) as transcriber:
                return transcriber.scheduler.name

        assert await chosen() == "every"
        assert await chosen(language="en") == "english"
        assert await chosen(language="de") == "german"
        assert await chosen(language="de", timestamps=Timestamps.WORD) == "every"
        assert await chosen(understanding=True) == "german"
        with pytest.raises(UnsupportedParameter, match="language='fi'"):
            await chosen(language="fi")
        await three.get("english").scheduler.stop()
        assert await chosen(language="en") == "every"


@in_loop
async def test_auto_loads_what_was_never_loaded_before_it_refuses():
    async with started("spanish", need_mb=400, budget_bytes=900 * MIB) as two:
        plain = two.get("spanish").scheduler.capabilities
        two.model("spanish").capabilities = replace(plain, languages=("es",))
        two._models["late"] = two._build({"name": "late"})
        assert await heard(two, "auto", "hello") == "hello"
        assert two.model("late").state == UNLOADED
        async with two.use("auto", Options(language="en")) as transcriber:
            assert transcriber.scheduler.name == "late"
        with pytest.raises(UnsupportedParameter, match="language='fi'"):
            async with two.use("auto", Options(language="fi")):
                pass
