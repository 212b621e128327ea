"""vLLM as a worker, in one process with a vLLM whose answers the test makes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from aural.engines.base import ModelSpec
from aural.engines.voxtral import Unreachable, Voxtral
from aural.errors import Overloaded
from aural.metrics import Metrics
from aural.serving import vllm
from aural.serving.door import Limits
from aural.serving.policy import Policy
from aural.serving.scheduler import Scheduler
from aural.serving.supervisor import State
from aural.serving.vllm import Vllm
from tests.serving.loop import heard, in_loop, until

Answer = Callable[[httpx.Request], Awaitable[httpx.Response]]
HEALTH, MODELS, HEAR, CHAT = "/health", "/v1/models", "/v1/audio/transcriptions", "/v1/chat/completions"


class Upstream:
    """A vLLM that is well, unless the test gives a route another answer."""

    def __init__(self) -> None:
        self.served = [{"id": "voxtral", "root": "mistralai/Voxtral-Mini-3B-2507"}]
        self.routes: dict[str, Answer] = {
            HEALTH: says(),
            MODELS: self._models,
            HEAR: says(text="hello"),
            CHAT: says(choices=[]),
        }
        self.asked: list[httpx.Request] = []

    async def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return await self.routes[request.url.path](request)

    async def _models(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": self.served})

    def count(self, path: str) -> int:
        return sum(request.url.path == path for request in self.asked)


def says(status: int = 200, **body: Any) -> Answer:
    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, json=body)

    return answer


async def never(request: httpx.Request) -> httpx.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Upstream:
    one = Upstream()

    def client(self: Voxtral) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, transport=httpx.MockTransport(one.answer))

    monkeypatch.setattr(Voxtral, "client", client)
    monkeypatch.setattr(vllm, "HEALTH_EVERY_S", 0.01)
    return one


@asynccontextmanager
async def beside(places: int = 2, **changes: Any) -> AsyncIterator[Scheduler]:
    """A scheduler whose vLLM runs elsewhere."""
    whole = {"source": "mistralai/Voxtral-Mini-3B-2507", "upstream": "http://vllm", "places": places} | changes
    spec = ModelSpec("voxtral-mini-3b", "voxtral", None, **whole)
    scheduler = Scheduler([spec], Policy(max_batch=1), Limits(60.0, 3600.0), Metrics(), kind=Vllm)
    try:
        await scheduler.start()
        yield scheduler
    finally:
        await scheduler.stop()


def only(scheduler: Scheduler) -> Vllm:
    [replica] = scheduler.replicas
    assert isinstance(replica, Vllm)
    return replica


async def chat(replica: Vllm) -> int:
    async with replica.converse({"messages": []}) as response:
        return response.status_code


# Chats


@in_loop
async def test_a_chat_that_stalls_has_the_engine_looked_after(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with beside() as scheduler:
        monkeypatch.setattr(vllm, "ANSWER_S", 0.01)
        monkeypatch.setattr(vllm, "STALL_S", 0.01)
        upstream.routes[CHAT] = upstream.routes[HEAR] = never
        with pytest.raises(Unreachable, match="took too long"):
            await chat(only(scheduler))
        await until(lambda: scheduler.state is State.RESTARTING)
        upstream.routes[HEAR] = says(text="hello")
        await until(lambda: scheduler.state is State.READY)
        assert only(scheduler).vacancies == 2


@in_loop
async def test_an_engine_that_hangs_under_chats_alone_is_found(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with beside() as scheduler:
        monkeypatch.setattr(vllm, "CANARY_EVERY_S", 0.0)
        monkeypatch.setattr(vllm, "STALL_S", 0.01)
        upstream.routes[CHAT] = upstream.routes[HEAR] = never
        asked = asyncio.create_task(chat(only(scheduler)))
        await until(lambda: scheduler.state is State.RESTARTING)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)


@in_loop
async def test_a_chat_passes_clips_that_wait(upstream: Upstream) -> None:
    async with beside(places=1) as scheduler:
        replica = only(scheduler)
        upstream.routes[HEAR] = never
        clips = [asyncio.ensure_future(heard(scheduler, "hello")) for _ in range(3)]
        await until(lambda: replica.busy)
        asked = asyncio.create_task(chat(replica))
        await until(lambda: replica._places.waiting)
        with pytest.raises(Overloaded):
            replica.admit()
        before = upstream.count(HEAR)
        clips[0].cancel()
        assert await asked == 200
        assert upstream.count(HEAR) == before
        await asyncio.gather(*(clip for clip in clips if clip.cancel()), return_exceptions=True)


@in_loop
async def test_a_chat_waits_no_longer_than_it_may(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "TURN_S", 0.0)
    async with beside(places=1) as scheduler:
        only(scheduler).take()
        with pytest.raises(Overloaded):
            await chat(only(scheduler))
