"""vLLM as a worker: a `vllm serve` that is started, watched and restarted here, or one that already runs elsewhere.

It batches by itself, continuously, so it is given each clip as soon as it has a place for it, and a short clip never
waits for a long one. It is asked over HTTP from the front process, which only waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from aural.engines.base import ModelSpec
from aural.engines.voxtral import Busy, Unreachable, Voxtral
from aural.errors import EngineFailed, LoadFailed, NotReady, Overloaded
from aural.serving.door import Door
from aural.serving.messages import Heard, Mishap
from aural.serving.places import Places
from aural.serving.rehearsal import rehearsal
from aural.serving.supervisor import LOAD_S, STALL_FACTOR, STALL_S, Replica, State, WorkerGone, resident_bytes
from aural.serving.vllm_link import Health, Link, launch
from aural.types import SAMPLE_RATE, Clip, Transcript

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("aural.vllm")

HEALTH_EVERY_S = 2.0
MISSES = 3
"""One that is silent so many times in a row is given up."""
BUSY_S = 1.0
"""A clip that vLLM is too busy for is tried once more after this pause."""
CANARY_EVERY_S = 60.0
GRACE_S, GRACE_ELSEWHERE_S = 30.0, 10.0
"""Clips wait so long for a vLLM that is gone, ours or one elsewhere; then they are refused until it is back."""
WRONG_ARGUMENTS = b"ended 2\n"
"""What the guardian says of a command whose arguments nobody understands: trying again would not help."""
ANSWER_S, TURN_S = 600.0, 30.0
"""A whole answer to a chat, and the first piece of a streamed one, takes no longer; nor does waiting for a place."""
TRANSCRIBE_RTFX = 1.0
"""Assumed before anything was heard."""


class Vllm(Replica):
    """A replica that hears many clips at once, one by one."""

    def __init__(self, spec: ModelSpec, max_batch: int, on_change: Any) -> None:
        super().__init__(spec, max_batch, on_change)
        self._link: Link | None = None
        self._asked: dict[int, asyncio.Task[Transcript]] = {}
        """What vLLM is hearing, by the identity of the clip."""
        self._places = Places(spec.places)
        self._doubt = asyncio.Event()
        self._stalled = False

    @property
    def vacancies(self) -> int:
        return self._places.free if self.state is State.READY else 0

    @property
    def is_free(self) -> bool:
        return self.vacancies > 0

    @property
    def load(self) -> float:
        return self._places.taken / self.spec.places

    @property
    def pid(self) -> int | None:
        return self._link.pid if self._link else None

    @property
    def memory_bytes(self) -> int:
        guardian = self._link.guardian if self._link else None
        return _group_bytes(guardian.pid) if guardian and self.spec.device == "cpu" else 0

    def take(self) -> None:
        self._places.take()
        self.busy = True

    def drop(self, clip: Clip) -> None:
        """vLLM stops hearing what nobody waits for: it notices that the connection is gone."""
        if task := self._asked.get(id(clip)):
            task.cancel()

    def _release(self) -> None:
        self._places.release()
        self.busy = self._places.taken > 0

    async def hear(self, clips: Sequence[Clip]) -> Heard:
        """One clip, for which a place was taken; raises WorkerGone."""
        [clip] = clips
        together, began = max(1, self._places.taken), time.monotonic()
        try:
            result = await self._asked_for(clip)
        finally:
            self._release()
        took_s = max(time.monotonic() - began, 1e-6)
        self._heard_at = time.monotonic()
        audio_s = len(clip) / SAMPLE_RATE
        self.rtfx += 0.1 * (together * audio_s / took_s - self.rtfx)  # Little's law
        return Heard((result,), took_s / together)

    async def _asked_for(self, clip: Clip) -> Transcript | Mishap:
        link = self._link
        if link is None:
            raise WorkerGone
        try:
            return await self._transcript(link, clip)
        except EngineFailed as error:
            if await link.health() is not Health.GONE:
                return Mishap(str(error))
            self._suspect(link)
            raise WorkerGone from error
        except Unreachable as error:
            if await link.health() is not Health.WELL:
                self._suspect(link)
            elif isinstance(error, Busy):
                raise Overloaded(f"{self.spec.name}: {error}", retry_after_s=1.0) from error
            raise WorkerGone from error
        except WorkerGone:
            raise
        except Exception as error:  # noqa: BLE001 - as in a worker: whatever it is, it belongs to this clip
            return Mishap(f"{type(error).__name__}: {error}")

    def _suspect(self, link: Link) -> None:
        """Give it nothing more until it has been looked after."""
        if link is self._link and self.state is State.READY:
            self._set(State.RESTARTING)
            self._doubt.set()

    async def _transcript(self, link: Link, clip: Clip) -> Transcript:
        """What vLLM hears, unless it takes far too long or is given up or dropped meanwhile; raises WorkerGone."""
        audio_s = len(clip) / SAMPLE_RATE
        task = asyncio.ensure_future(_heard(link, clip))
        self._asked[id(clip)] = task
        try:
            await asyncio.wait([task], timeout=max(STALL_S, STALL_FACTOR * audio_s / max(self.rtfx, TRANSCRIBE_RTFX)))
            if not task.done():
                self._stalled = True
                self._doubt.set()
            if not task.done() or task.cancelled():
                raise WorkerGone
            return task.result()
        finally:
            task.cancel()
            del self._asked[id(clip)]

    def admit(self) -> None:
        """Raises NotReady, and Overloaded when as many chats wait for a place as there are places."""
        self._ready()
        if self._places.waiting >= self._places.count:
            raise self._overloaded()

    def _ready(self) -> Link:
        if self._link is None or self.state is not State.READY:
            raise NotReady(self.spec.name, self.state.value)
        return self._link

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"{self.spec.name} is answering {self.spec.places} requests already", retry_after_s=1.0)

    @asynccontextmanager
    async def converse(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """vLLM's answer to a chat, whole unless it is to be streamed; raises Overloaded, NotReady, Unreachable. Times
        that run out while it is read count as vLLM's."""
        import httpx

        self.admit()
        await self._turn()
        try:
            response = await self._answered(body)
            async with contextlib.aclosing(response):
                yield response
            self._heard_at = time.monotonic()
        except TimeoutError as error:
            self._stalled = True
            self._doubt.set()
            raise Unreachable(f"{self.spec.name} took too long to answer") from error
        except httpx.TransportError as error:
            self._doubt.set()
            raise Unreachable(f"{self.spec.name} stopped answering: {type(error).__name__} {error}".rstrip()) from error
        finally:
            self._release()
            self._on_change()

    async def _turn(self) -> None:
        """A place for a chat; raises Overloaded."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._places.turn()
        except TimeoutError as error:
            raise self._overloaded() from error
        self.busy = True

    async def _answered(self, body: dict[str, Any]) -> httpx.Response:
        """A response that is read already unless it is an answer to be streamed; raises NotReady."""
        content = await asyncio.to_thread(orjson.dumps, {**body, "model": self._ready().voxtral.model})
        client, headers = self._ready().client, {"Content-Type": "application/json"}
        request = client.build_request("POST", "/v1/chat/completions", content=content, headers=headers)
        async with asyncio.timeout(ANSWER_S):
            response = await client.send(request, stream=True)
            if not (body.get("stream") and response.is_success):
                await response.aread()
        return response

    async def _launch(self) -> None:
        """Start vLLM unless it runs elsewhere, wait until it is ready, and let it hear the longest clip."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(LOAD_S):
                link = self._link = await self._connect()
                await self._until_well(link, began)
                await link.voxtral.find()
                loaded = time.monotonic()
                await link.voxtral.warm_up(link.client, rehearsal())
                warm = time.monotonic()
                await link.voxtral.hear(link.client, Clip(rehearsal()))
        except Unreachable as error:
            raise OSError(str(error)) from error
        except LoadFailed:
            raise
        except EngineFailed as error:
            raise LoadFailed(f"{self.spec.name}: {error}") from error
        self.capabilities = link.voxtral.capabilities
        self.load_s, self.warm_up_s = loaded - began, time.monotonic() - loaded
        self.rtfx = len(rehearsal()) / SAMPLE_RATE / max(time.monotonic() - warm, 1e-3)
        self.error = None
        self._heard_at = time.monotonic()
        self._doubt.clear()
        self._set(State.READY)

    async def _until_well(self, link: Link, began: float) -> None:
        while await link.health() is not Health.WELL:
            if link.guardian and link.reader and link.guardian.returncode is not None:
                if await link.reader.read() == WRONG_ARGUMENTS:
                    raise LoadFailed(f"{self.spec.name}: vLLM refuses its arguments; its own log says which")
                raise OSError("vllm serve ended while loading; its own log says why")
            grace_s = GRACE_S if link.guardian else GRACE_ELSEWHERE_S
            if self.capabilities and self.error is None and time.monotonic() - began > grace_s:
                self.error = f"{self.spec.name}: {link.voxtral.url} does not answer"
                self._on_change()
            await asyncio.sleep(0.2)

    async def _watch(self) -> None:
        """Returns when vLLM is gone, or its engine is, or it does not answer or hear any more."""
        link, misses = self._link, 0
        assert link is not None
        gone = asyncio.ensure_future(link.guardian.wait() if link.guardian else asyncio.Event().wait())
        try:
            while True:
                await self._doubt_or(gone)
                health = await link.health()
                misses = misses + 1 if health is Health.SILENT else 0
                if gone.done() or health is Health.GONE or misses == MISSES or not await self._hears(link):
                    return
                if health is Health.WELL and self.state is State.RESTARTING:
                    self._set(State.READY)
        finally:
            gone.cancel()

    async def _doubt_or(self, gone: asyncio.Future[Any]) -> None:
        """Returns when vLLM is gone or in doubt, or when it is time to ask."""
        doubt = asyncio.ensure_future(self._doubt.wait())
        try:
            await asyncio.wait([gone, doubt], timeout=HEALTH_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            doubt.cancel()
        self._doubt.clear()

    async def _hears(self, link: Link) -> bool:
        """Ask for a canary's transcript after a stall, and when nothing was heard for long. Clips that are being heard
        have deadlines of their own; each chat that is being answered may hold it up."""
        is_quiet = time.monotonic() - self._heard_at > CANARY_EVERY_S
        if not self._stalled and (self._asked or not self._places.free or not is_quiet):
            return True
        self._stalled = False
        chats = self._places.taken - len(self._asked)
        try:
            async with asyncio.timeout(STALL_S * (1 + chats)):
                await link.voxtral.hear(link.client, Clip(rehearsal()))
        except Busy:
            return True
        except (Unreachable, EngineFailed, TimeoutError):
            return False
        self._heard_at = time.monotonic()
        return True

    async def _end(self) -> Any:
        link, self._link = self._link, None
        for task in self._asked.values():
            task.cancel()
        return await link.end() if link else None

    async def _connect(self) -> Link:
        if self.spec.upstream:
            voxtral = Voxtral(self.spec.upstream, self.spec)
            return Link(voxtral, voxtral.client())
        return await launch(self.spec)


async def _heard(link: Link, clip: Clip) -> Transcript:
    """The transcript, at the second try when vLLM was busy."""
    try:
        return await link.voxtral.hear(link.client, clip)
    except Busy:
        await asyncio.sleep(BUSY_S)
        return await link.voxtral.hear(link.client, clip)


def answerer(scheduler: Door) -> Vllm:
    """The replica that can chat and is used least; raises NotReady."""
    ready = [one for one in scheduler.replicas if isinstance(one, Vllm) and one.state is State.READY]
    if not ready:
        raise NotReady(scheduler.name, scheduler.state.value)
    return min(ready, key=lambda one: one.load)


def _group_bytes(group: int) -> int:
    """Memory of the processes of a group."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int(stat.read_text().rpartition(")")[2].split()[2]) == group:
                total += resident_bytes(int(stat.parent.name))
    return total
