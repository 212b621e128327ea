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
from aural.errors import EngineFailed, LoadFailed, Overloaded
from aural.metrics import Metrics
from aural.serving import vllm
from aural.serving.door import Limits
from aural.serving.policy import Policy
from aural.serving.scheduler import Scheduler
from aural.serving.supervisor import State
from aural.serving.vllm import Vllm
from aural.types import SAMPLE_RATE
from tests.serving.loop import heard, in_loop, said, until

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


def in_turn(*answers: Answer) -> Answer:
    """Each once, and the last again and again."""
    left = list(answers)

    async def answer(request: httpx.Request) -> httpx.Response:
        return await (left.pop(0) if len(left) > 1 else left[0])(request)

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


def long(request: httpx.Request) -> bool:
    return len(request.content) > 20 * SAMPLE_RATE * 2


# What is served


@in_loop
async def test_it_is_ready_when_it_hears_the_longest_clip(upstream: Upstream) -> None:
    async def cramped(request: httpx.Request) -> httpx.Response:
        whole = says(400, message="maximum context length is 64 tokens") if long(request) else says(text="hello")
        return await whole(request)

    upstream.routes[HEAR] = cramped
    with pytest.raises(LoadFailed, match=r"clip of 30 s, which takes a max_model_len of 1054.*64 tokens"):
        async with beside():
            pass
    [longest] = [request for request in upstream.asked if request.url.path == HEAR and long(request)]
    assert b'name="max_completion_tokens"\r\n\r\n16\r\n' in longest.content


MINI, SMALL, REALTIME = (
    f"mistralai/Voxtral-{name}" for name in ("Mini-3B-2507", "Small-24B-2507", "Mini-4B-Realtime-2602")
)


@pytest.mark.parametrize(
    "served",
    [
        {"id": MINI, "root": MINI},
        {"id": "voxtral-mini-3b", "root": "/weights"},
        {"id": "speech", "root": "/hub/models--mistralai--Voxtral-Mini-3B-2507/snapshots/0"},
    ],
)
@in_loop
async def test_the_model_is_found_among_those_that_are_served(upstream: Upstream, served: dict[str, str]) -> None:
    upstream.served = [{"id": SMALL, "root": SMALL}, served]
    async with beside() as scheduler:
        assert await heard(scheduler, "hello") == "hello"
    assert f'name="model"\r\n\r\n{served["id"]}\r\n'.encode() in upstream.asked[-1].content


@in_loop
async def test_another_model_than_the_one_asked_for_is_refused(upstream: Upstream) -> None:
    upstream.served = [{"id": "voxtral", "root": SMALL}]
    with pytest.raises(LoadFailed, match=f"expected http://vllm to serve {MINI}, got {SMALL}"):
        async with beside():
            pass


@in_loop
async def test_the_only_model_is_taken_when_its_name_says_nothing(upstream: Upstream) -> None:
    upstream.served = [{"id": "speech", "root": "/weights/tiny"}]
    async with beside() as scheduler:
        assert await heard(scheduler, "hello") == "hello"


@in_loop
async def test_a_name_of_the_callers_own_stands_for_what_is_served(upstream: Upstream) -> None:
    upstream.served = [{"id": "live", "root": REALTIME}]
    async with beside(source="voxtral-mini-3b") as scheduler:
        can = scheduler.capabilities
        assert ("zh" in can.languages, can.understanding) == (True, False)


@in_loop
async def test_what_a_script_tells_is_told_though_nobody_may_ask_for_it(upstream: Upstream) -> None:
    async with beside() as scheduler:
        upstream.routes[HEAR] = says(text="我不知道这里发生了什么")
        transcript = await scheduler.submit(said("hello"))
        assert (transcript.language, "zh" in scheduler.capabilities.languages) == ("zh", False)


# Chats


@in_loop
async def test_a_chat_that_stalls_has_the_engine_looked_after(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stalled(request: httpx.Request) -> httpx.Response:
        return await (says(text="hello") if only(scheduler).restarts else never)(request)

    async with beside() as scheduler:
        monkeypatch.setattr(vllm, "ANSWER_S", 0.01)
        monkeypatch.setattr(vllm, "STALL_S", 0.01)
        upstream.routes[CHAT], upstream.routes[HEAR] = never, stalled
        with pytest.raises(Unreachable, match="took too long"):
            await chat(only(scheduler))
        await until(lambda: only(scheduler).restarts == 1 and scheduler.state is State.READY)
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


# Health


async def silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("")


async def dropped(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("")


async def refused(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("")


@in_loop
async def test_health_that_fails_now_and_then_costs_nothing(upstream: Upstream) -> None:
    async with beside() as scheduler:
        upstream.routes[HEALTH] = in_turn(silent, silent, says(), silent, says(500), says())
        before = upstream.count(HEALTH)
        await until(lambda: upstream.count(HEALTH) > before + 6)
        assert (scheduler.state, only(scheduler).restarts) == (State.READY, 0)


@pytest.mark.parametrize("answer", [says(503), refused, silent])
@in_loop
async def test_one_that_is_gone_is_waited_for(upstream: Upstream, answer: Answer) -> None:
    async with beside() as scheduler:
        upstream.routes[HEALTH] = answer
        await until(lambda: scheduler.state is State.RESTARTING)
        upstream.routes[HEALTH] = says()
        await until(lambda: scheduler.state is State.READY)
        assert await heard(scheduler, "hello") == "hello"


@in_loop
async def test_a_clip_that_fails_while_health_is_slow_costs_only_itself(upstream: Upstream) -> None:
    async with beside() as scheduler:
        upstream.routes[HEALTH] = in_turn(silent, says())
        upstream.routes[HEAR] = in_turn(says(500, message="no"), says(text="hello"))
        with pytest.raises(EngineFailed):
            await heard(scheduler, "hello")
        assert await heard(scheduler, "hello") == "hello"
        assert only(scheduler).restarts == 0


@in_loop
async def test_a_clip_that_breaks_off_while_health_is_slow_is_heard_later(upstream: Upstream) -> None:
    async with beside() as scheduler:
        upstream.routes[HEALTH] = in_turn(silent, silent, says())
        upstream.routes[HEAR] = in_turn(dropped, says(text="hello"))
        assert await heard(scheduler, "hello") == "hello"
        assert (scheduler.state, only(scheduler).restarts) == (State.READY, 0)


# An upstream that is busy

BUSY = says(503, message="The server is overloaded.")


@in_loop
async def test_a_clip_is_tried_again_after_a_pause(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "BUSY_S", 0.0)
    async with beside() as scheduler:
        upstream.routes[HEAR] = in_turn(BUSY, says(text="hello"))
        assert await heard(scheduler, "hello") == "hello"
        upstream.routes[HEAR] = BUSY
        with pytest.raises(Overloaded, match="The server is overloaded"):
            await heard(scheduler, "hello")
        assert (scheduler.state, only(scheduler).vacancies) == (State.READY, 2)


@in_loop
async def test_whatever_breaks_the_watch_starts_it_anew(upstream: Upstream) -> None:
    async def strange(request: httpx.Request) -> httpx.Response:
        raise ValueError("no answer that anybody foresaw")

    async with beside() as scheduler:
        upstream.routes[HEALTH] = in_turn(strange, says())
        await until(lambda: only(scheduler).restarts == 1 and only(scheduler).state is State.READY)
        assert await heard(scheduler, "hello") == "hello"
