"""The door to a model elsewhere: lost replicas, refusals, counts. The cluster is played by a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aural.engines.fake import FakeEngine, speak
from aural.errors import Draining, EngineFailed, LoadFailed, NotReady, Overloaded, ServerLost
from aural.metrics import Metrics
from aural.scale import door as door_module
from aural.scale.door import ATTEMPTS, RemoteDoor
from aural.scale.wire import Census, Description, Outcome, ReplicaLost
from aural.serving.door import Limits
from aural.serving.policy import Priority
from aural.serving.supervisor import State
from aural.types import Clip, Segment, Transcript
from tests.serving.loop import in_loop, until


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(door_module, "PAUSE_S", 0.0)
    monkeypatch.setattr(door_module, "LOOK_EVERY_S", 0.01)


class Scripted:
    """Answers by a script; afterwards each clip with its length."""

    def __init__(self, *script: Outcome | ReplicaLost) -> None:
        self.script = list(script)
        self.asked: list[tuple[Priority, int]] = []
        self.counts = Census(2, 1)
        self.refusal: Exception | None = None
        self.held: asyncio.Event | None = None

    async def hear(self, clip: Clip, priority: Priority, ahead_samples: int) -> Outcome:
        self.asked.append((priority, ahead_samples))
        if self.held:
            await self.held.wait()
        answer = self.script.pop(0) if self.script else Transcript((Segment(f"{len(clip)}", 0, len(clip)),))
        if isinstance(answer, ReplicaLost):
            raise answer
        return answer

    async def describe(self) -> Description:
        if self.refusal:
            raise self.refusal
        return Description(FakeEngine.capabilities, 50.0)

    async def census(self) -> Census:
        return self.counts


@asynccontextmanager
async def opened(remote: Scripted, limits: Limits | None = None) -> AsyncIterator[RemoteDoor]:
    door = RemoteDoor("model", remote, limits or Limits(60, 3600), Metrics())
    try:
        await door.start()
        yield door
    finally:
        await door.stop()


def clip(text: str = "a") -> Clip:
    return Clip(speak(text))


@in_loop
async def test_a_clip_is_heard_with_its_priority_and_place():
    remote = Scripted()
    async with opened(remote) as door:
        heard = await door.submit(clip(), priority=Priority.FINAL, ahead_samples=7)
        assert heard.segments[0].text == "320"
        assert remote.asked == [(Priority.FINAL, 7)]
        assert door.queue_audio_s == 0.0


@in_loop
async def test_a_lost_replica_is_made_good_by_another():
    remote = Scripted(ReplicaLost("gone"), NotReady("model", "restarting"))
    async with opened(remote) as door:
        assert (await door.submit(clip())).segments
        assert len(remote.asked) == 3


@in_loop
async def test_losing_every_replica_is_an_error_with_a_type():
    async with opened(Scripted(*[ReplicaLost("gone")] * ATTEMPTS)) as door:
        with pytest.raises(ServerLost):
            await door.submit(clip())


@pytest.mark.parametrize("error", [Overloaded("full", 3.0), EngineFailed("broken")], ids=["refused", "failed"])
def test_what_a_replica_answers_is_not_asked_again(error: Exception):
    @in_loop
    async def scenario() -> None:
        remote = Scripted(error)
        async with opened(remote) as door:
            with pytest.raises(type(error)):
                await door.submit(clip())
            assert len(remote.asked) == 1

    scenario()


@in_loop
async def test_state_and_speed_follow_the_count():
    remote = Scripted()
    async with opened(remote) as door:
        assert (door.state, door.rtfx) == (State.READY, 100.0)
        remote.counts = Census(6, 3)
        await until(lambda: door.rtfx == 100.0 and remote.counts.replicas == 6)
        remote.counts = Census(0, 1)
        await until(lambda: door.state is State.RESTARTING)
        with pytest.raises(NotReady):
            door.admit()
        remote.counts = Census(1, 1)
        await until(lambda: door.rtfx == 50.0)
        door.admit()


@in_loop
async def test_audio_in_flight_is_bounded():
    remote = Scripted()
    async with opened(remote, Limits(60, 1.0)) as door:
        with door.admitted(16_000), pytest.raises(Overloaded, match="has 1 s of audio to hear"):
            door.admit(1.0)


@in_loop
async def test_what_nobody_waits_for_is_taken_back():
    remote = Scripted()
    remote.held = asyncio.Event()
    async with opened(remote) as door:
        task = door.submit(clip())
        await until(lambda: bool(remote.asked))
        assert door.queue_audio_s > 0
        task.cancel()
        await until(lambda: door.queue_audio_s == 0.0)


@in_loop
async def test_stopping_refuses_the_rest():
    remote = Scripted()
    remote.held = asyncio.Event()
    async with opened(remote) as door:
        task = door.submit(clip())
        await until(lambda: bool(remote.asked))
    assert task.cancelled()
    with pytest.raises(Draining):
        door.submit(clip())
    assert door.state is State.STOPPED


@in_loop
async def test_a_model_that_cannot_be_deployed_says_why():
    remote = Scripted()
    remote.refusal = LoadFailed("no weights")
    door = RemoteDoor("model", remote, Limits(60, 3600), Metrics())
    with pytest.raises(LoadFailed, match="no weights"):
        await door.start()
    assert door.state is State.FAILED
    with pytest.raises(NotReady):
        _ = door.capabilities
