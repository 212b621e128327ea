"""A vLLM that stops hearing while it still says that it is well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aural.engines.base import ModelSpec
from aural.errors import WorkerLost
from aural.metrics import Metrics
from aural.serving import vllm
from aural.serving.door import Limits
from aural.serving.policy import Policy
from aural.serving.scheduler import Scheduler
from aural.serving.supervisor import State
from aural.serving.vllm import Vllm
from tests.serving.loop import heard, in_loop, until
from tests.standin.fixtures import upstream

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "STALL_S", 3.0)
    monkeypatch.setattr(vllm, "STALL_FACTOR", 0.0)


@asynccontextmanager
async def beside(url: str) -> AsyncIterator[Scheduler]:
    spec = ModelSpec("voxtral", "voxtral", None, source="voxtral", upstream=url, places=2)
    scheduler = Scheduler([spec], Policy(max_batch=1), Limits(60.0, 3600.0), Metrics(), kind=Vllm)
    try:
        await scheduler.start()
        yield scheduler
    finally:
        await scheduler.stop()


def test_one_clip_that_stalls_costs_only_itself() -> None:
    with upstream() as running:

        @in_loop
        async def scenario() -> None:
            async with beside(running.url) as scheduler:
                stalled = asyncio.ensure_future(heard(scheduler, "stall"))
                while not stalled.done():
                    assert await heard(scheduler, "hello") == "hello"
                with pytest.raises(WorkerLost):
                    await stalled
                assert await heard(scheduler, "still here") == "still here"

        scenario()


def test_one_that_hears_nothing_any_more_is_given_up_until_it_does(tmp_path: Path) -> None:
    with upstream(STANDIN_ORDERS=str(tmp_path)) as running:

        @in_loop
        async def scenario() -> None:
            async with beside(running.url) as scheduler:
                (tmp_path / "hear").write_text("stall " * 3)
                answer = asyncio.ensure_future(heard(scheduler, "hello"))
                await until(lambda: scheduler.state is State.RESTARTING)
                await until(lambda: scheduler.state is State.READY)
                await asyncio.wait([answer])
                if error := answer.exception():
                    assert isinstance(error, WorkerLost)
                assert await heard(scheduler, "still here") == "still here"

        scenario()
