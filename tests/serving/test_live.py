"""Live sessions over models that hear as they are told: what waits, what is refused, what a fault costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace

import pytest

from aural.audio.decode import decode
from aural.engines.base import Capabilities
from aural.errors import AuralError, BadRequest, EngineFailed, NotReady, Overloaded, UnsupportedParameter, WorkerLost
from aural.live import events
from aural.live.events import Event
from aural.live.session import SESSION_FINISHED
from aural.live.settings import Format, LiveSettings, Manual
from aural.serving import ear, inbox
from aural.serving import stream as module
from aural.serving.inbox import Inbox
from aural.serving.live import Live
from aural.serving.stream import Stream
from aural.types import SAMPLE_RATE, Clip, Options, Transcript
from tests.conftest import Recording
from tests.serving.live_door import ToldDoor, live, words
from tests.serving.loop import in_loop, until

FORM = Format("pcm_s16le", SAMPLE_RATE)
MANUAL = LiveSettings(format=FORM, turns=Manual())
SECOND = bytes(2 * SAMPLE_RATE)


@pytest.fixture(scope="module")
def speech(clips: dict[str, Recording]) -> bytes:
    samples = decode(clips["libri-367-130732-0001"].bytes, limit_s=60).samples
    return (samples * 32767).astype("<i2").tobytes()


async def rest(stream: Stream) -> list[Event]:
    return [event async for event in stream]


def kinds(some: list[Event]) -> list[str]:
    return [type(event).__name__ for event in some]


async def waits(coroutine: Awaitable[None]) -> asyncio.Task[None]:
    """The task of what must not go on yet."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not task.done()
    return task


def deaf(sessions: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ear does not listen."""
    monkeypatch.setattr(sessions, "wake", lambda: None)


# What waits


@in_loop
async def test_audio_waits_while_too_much_is_unheard(monkeypatch):
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as stream:
        deaf(sessions, monkeypatch)
        task = await waits(stream.append(SECOND * 30))
        assert len(stream.inbox) == inbox.MOST_S + 1
        monkeypatch.undo()
        sessions.wake()
        await task


@in_loop
@pytest.mark.parametrize("order", [Stream.commit, Stream.clear, lambda stream: stream.configure(MANUAL)])
async def test_orders_wait_while_too_many_are_unheard(monkeypatch, order: Callable[[Stream], Awaitable[None]]):
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as stream:
        deaf(sessions, monkeypatch)
        for _ in range(inbox.MOST_ITEMS + 1):
            await stream.commit()
        task = await waits(order(stream))
        stream.inbox.clear()
        stream.heard([])
        await task


@in_loop
async def test_whoever_does_not_read_events_sends_nothing_more():
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as stream:
        for _ in range(module.MOST_EVENTS + 1):
            await stream.commit()
        await until(lambda: len(stream._events) > module.MOST_EVENTS)
        task = await waits(stream.append(SECOND))
        async with aclosing(aiter(stream)) as told:
            assert kinds([await anext(told)]) == ["Failed"]
        await task


@in_loop
async def test_a_session_that_is_left_lets_go_of_who_waits(monkeypatch):
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as stream:
        deaf(sessions, monkeypatch)
        task = await waits(stream.append(SECOND * 30))
    await task
    assert not len(stream.inbox)


@in_loop
async def test_nothing_leaves_nothing_behind(monkeypatch):
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as stream:
        deaf(sessions, monkeypatch)
        for _ in range(10):
            await stream.append(b"")
        assert not len(stream.inbox)
        assert not stream.has_audio


@in_loop
async def test_a_long_message_is_heard_a_little_at_a_time(monkeypatch):
    longest, heard = [], ear.listen

    def listen(work):
        longest.append(max(sum(len(item) for item in items if isinstance(item, bytes)) for _, items in work))
        return heard(work)

    monkeypatch.setattr(ear, "listen", listen)
    sessions = await live(ToldDoor("one"))
    asked = replace(MANUAL, format=Format("mulaw", 8_000))
    async with sessions.open(asked) as stream:
        await stream.append(b"\xff" * 8_000 * 100)
        await stream.finish()
        last = (await rest(stream))[-1]
    assert isinstance(last, events.Ended)
    assert last.totals.received == pytest.approx(100 * SAMPLE_RATE, abs=64)
    assert max(longest) <= (inbox.MOST_AT_ONCE_S + 1) * 8_000


def test_what_came_is_taken_in_order_and_by_parts():
    box = Inbox()
    box.put(b"a", 1.5)
    box.put(ear.Commit("c"))
    box.put(b"b", 1.5)
    box.put(b"d", 0.01)
    assert box.is_due(is_alert=False)
    assert box.take() == [b"a", ear.Commit("c"), b"b"]
    assert not box.is_due(is_alert=False)
    assert box.is_due(is_alert=True)
    assert box.take() == [b"d"]
    assert not box.is_due(is_alert=True)


def test_audio_that_came_in_a_row_is_heard_as_one():
    box = Inbox()
    for item in (b"a", b"b", ear.Commit("c"), b"d", b"e"):
        box.put(item, 0.0 if isinstance(item, ear.Commit) else 0.1)
    assert box.take() == [b"ab", ear.Commit("c"), b"de"]
    assert not box


def test_an_order_is_due_whatever_comes_after_it():
    box = Inbox()
    box.put(ear.Commit())
    box.put(b"b", 0.001)
    assert box.is_due(is_alert=False)


# What is refused


@in_loop
async def test_a_finished_session_takes_nothing_more():
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as stream:
        await stream.append(SECOND)
        await stream.finish()
        await stream.finish()
        for late in (stream.append(SECOND), stream.commit(), stream.clear(), stream.configure(MANUAL)):
            with pytest.raises(BadRequest, match="was finished") as refusal:
                await late
            assert refusal.value.code == SESSION_FINISHED
        told = await rest(stream)
    assert told[-1] == events.Ended(events.Ledger(SAMPLE_RATE, suppressed=SAMPLE_RATE))


@in_loop
@pytest.mark.parametrize(
    "form",
    [Format("pcm_s16le", 24_000), Format("mulaw", 8_000), Format("pcm_s16le", 48_000), Format("pcm_f32le", 44_100)],
)
async def test_a_commit_of_100_ms_is_taken_at_every_rate(form: Format):
    sessions = await live(ToldDoor("one"))
    bytes_each = {"pcm_s16le": 2, "mulaw": 1, "pcm_f32le": 4}[form.encoding]
    tenth = (b"\xff" if form.encoding == "mulaw" else b"\0") * (form.rate // 10 * bytes_each)
    async with sessions.open(replace(MANUAL, format=form)) as stream:
        for _ in range(2):
            await stream.append(tenth)
            await stream.commit()
        await stream.append(tenth[: -10 * bytes_each * form.rate // 1000])
        await stream.commit("short")
        await stream.finish()
        told = await rest(stream)
    assert kinds(told).count("Closed") == 2
    assert [event.reference for event in told if isinstance(event, events.Failed)] == ["short"]


@in_loop
async def test_the_model_may_change_before_the_first_audio_and_not_after():
    english = ToldDoor("english")
    english.capabilities = Capabilities(("en",), 30 * SAMPLE_RATE)
    many = ToldDoor("many")
    sessions = await live(many, english)
    async with sessions.open(replace(MANUAL, model="many")) as stream:
        await stream.configure(replace(MANUAL, model="english"))
        await stream.append(SECOND)
        with pytest.raises(BadRequest, match="english hears this session, and many was asked for") as refusal:
            await stream.configure(replace(MANUAL, model="many"))
        assert refusal.value.param == "model"
        with pytest.raises(UnsupportedParameter, match="english cannot honour language='de'"):
            await stream.configure(replace(MANUAL, model="auto", options=Options(language="de")))
        await stream.configure(replace(MANUAL, model="auto", options=Options(language="en")))
        await stream.configure(replace(MANUAL, model="english"))


@in_loop
async def test_models_on_the_same_processors_share_what_the_machine_hears():
    doors = [ToldDoor("a"), ToldDoor("b"), ToldDoor("card", device="cuda"), ToldDoor("told", streams=1)]
    sessions = await live(*doors)
    async with AsyncExitStack() as stack:
        for name in ("a", "b", "a", "b"):
            await stack.enter_async_context(sessions.open(replace(MANUAL, model=name)))
        for name in ("a", "b"):
            with pytest.raises(Overloaded, match="4 live sessions are open"):
                await stack.enter_async_context(sessions.open(replace(MANUAL, model=name)))
        await stack.enter_async_context(sessions.open(replace(MANUAL, model="card")))
        await stack.enter_async_context(sessions.open(replace(MANUAL, model="told")))
        with pytest.raises(Overloaded, match="1 live sessions are open"):
            await stack.enter_async_context(sessions.open(replace(MANUAL, model="told")))


# Faults


def failing(*outcomes: AuralError) -> Callable[[Clip], Transcript | AuralError]:
    """Finals come out so, and then as words."""
    left = iter(outcomes)
    return lambda clip: words(clip) if clip.is_draft else next(left, words(clip))


async def spoken(door: ToldDoor, speech: bytes) -> list[Event]:
    sessions = await live(door)
    async with sessions.open(replace(MANUAL, partials=False)) as stream:
        await stream.append(speech)
        await stream.commit()
        await stream.finish()
        return await rest(stream)


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(module, "AGAIN_AFTER_S", (0.01, 0.01))


PASSING = [(Overloaded("full", 0.01), Overloaded("full", 0.01)), (EngineFailed("once"),)]


@in_loop
@pytest.mark.parametrize("outcomes", PASSING, ids=["overloaded", "failed"])
async def test_a_final_whose_failure_passes_is_heard(speech, outcomes: tuple[AuralError, ...]):
    told = await spoken(ToldDoor("one", failing(*outcomes)), speech)
    assert "Final" in kinds(told)
    assert "Failed" not in kinds(told)


LASTING = [[NotReady("one", "restarting")] * 3, [EngineFailed("always")] * 2, [WorkerLost("one")]]


@in_loop
@pytest.mark.parametrize("outcomes", LASTING, ids=["not ready", "failed", "worker lost"])
async def test_a_final_whose_failure_lasts_has_failed(monkeypatch, speech, outcomes: list[AuralError]):
    for error in outcomes:
        monkeypatch.setattr(error, "retry_after_s", 0.01, raising=False)
    door = ToldDoor("one", failing(*outcomes))
    told = await spoken(door, speech)
    [failed] = [event for event in told if isinstance(event, events.Failed)]
    assert failed.error is outcomes[-1]
    first = door.asked[0]
    assert sum(clip is first for clip in door.asked) == len(outcomes)


@in_loop
async def test_an_early_final_that_fails_is_not_asked_for_again_and_again(speech):
    door = ToldDoor("one", lambda clip: words(clip) if clip.is_draft else WorkerLost("one"))
    sessions = await live(door)
    async with sessions.open(MANUAL) as stream:
        await stream.append(speech + bytes(SAMPLE_RATE * 2 // 4))
        await until(lambda: not len(stream.inbox) and not all(clip.is_draft for clip in door.asked))
        for _ in range(100):
            await asyncio.sleep(0)
    finals = [(clip.start, len(clip)) for clip in door.asked if not clip.is_draft]
    assert len(set(finals)) == len(finals)


@in_loop
async def test_a_hypothesis_that_nobody_wants_any_more_is_called_off(speech):
    door = ToldDoor("one", lambda clip: None if clip.is_draft else words(clip))
    sessions = await live(door)
    async with sessions.open(MANUAL) as stream:
        await stream.append(speech)
        await until(lambda: door.futures)
        await stream.commit()
        await stream.finish()
        assert "Final" in kinds(await rest(stream))
    assert door.futures[0].cancelled()


@in_loop
async def test_a_fault_in_one_session_ends_it_and_no_other(monkeypatch, speech):
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as broken, sessions.open(MANUAL) as fine:
        monkeypatch.setattr(broken.line.decoder, "feed", lambda data: 1 / 0)
        for stream in (broken, fine):
            await stream.append(speech)
            await stream.commit()
            await stream.finish()
        last = (await rest(broken))[-2:]
        assert kinds(last) == ["Failed", "Ended"]
        assert "ZeroDivisionError" in str(last[0].error)
        assert "Final" in kinds(await rest(fine))


@in_loop
async def test_a_session_that_is_to_leave_and_is_sent_nothing_more_ends_all_the_same(monkeypatch, speech):
    monkeypatch.setattr(module, "LEAVE_WITHIN_S", 0.05)
    sessions = await live(ToldDoor("one"))
    async with sessions.open(MANUAL) as stream:
        await stream.append(speech[: 3 * SAMPLE_RATE])
        stream.leave()
        told = await rest(stream)
    assert kinds(told)[-2:] == ["Notice", "Ended"]
    assert told[-1].totals.is_closed


@in_loop
async def test_whoever_hangs_up_leaves_nothing_behind(speech):
    door = ToldDoor("one", lambda clip: None)
    sessions = await live(door)
    async with sessions.open(MANUAL) as stream:
        await stream.append(speech)
        await until(lambda: door.futures)
    await until(door.futures[-1].cancelled)
    [model] = sessions.fleet.models
    assert model.tenure
    assert not model.tenure.users
    await stream.append(speech)
    assert not len(stream.inbox)
