"""One replica: a worker process, watched, restarted when it dies, and asked now and then whether it still hears."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from aural.engines.base import Capabilities, ModelSpec
from aural.errors import LoadFailed
from aural.serving import messages
from aural.serving.messages import Hear, Heard, Load, LoadRefused, Mishap, Ready
from aural.serving.rehearsal import rehearsal
from aural.types import SAMPLE_RATE, Clip

log = logging.getLogger("aural.supervisor")

STALL_S = 30.0
"""A batch may take this long, or STALL_FACTOR times what it should, before its worker counts as hung."""
STALL_FACTOR = 30.0
CANARY_EVERY_S = 30.0
LOAD_S = 900.0
"""Loading and warming up may take this long: a large model from a slow disk, on a slow CPU."""
RELOAD_S, RELOAD_FACTOR = 60.0, 10.0
"""Once more it may take this long, or so many times what it took before: meanwhile others wait."""
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Pauses before the first start and after so many failed ones; a model that never worked is given up after the last."""

ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""glibc keeps what the model frees instead of returning it page by page, and asks for huge pages: the encoder's
buffers come back at every call, and faulting them in anew took 40 % of its time."""


class WorkerGone(Exception):
    """The worker died, or was ended because it hung or its engine was broken."""


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A process and the pipe to it."""

    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, message: object) -> object:
        """Its reply; raises OSError or EOFError when it is gone."""
        return await self.exchange(messages.pack(message))

    async def exchange(self, parts: Sequence[bytes | memoryview]) -> object:
        """The reply to a message that is packed already; raises what `ask` raises."""
        self.writer.writelines(parts)
        await self.writer.drain()
        return await messages.read(self.reader)

    def kill(self) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGKILL)

    async def end(self) -> int:
        """Close the pipe and end the process; returns its exit status."""
        self.writer.close()
        self.kill()
        return await self.process.wait()


async def spawn(environment: Mapping[str, str], module: str = "aural.serving.worker") -> WorkerProcess:
    """Start a worker and return it with the pipe to it; it ends when the pipe does."""
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=environment,
            )
        except BaseException:
            writer.close()
            raise
    return WorkerProcess(process, reader, writer)


class Replica:
    """Keeps one worker alive. `hear` is for one batch at a time; `on_change` is called when the state changed or the
    worker became free without a batch of the caller's."""

    def __init__(self, spec: ModelSpec, max_batch: int, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self.state = State.STARTING
        self.capabilities: Capabilities | None = None
        self.rtfx = 0.0
        self.load_s = self.warm_up_s = 0.0
        self.restarts = 0
        self.error: str | None = None
        """Why the last start failed; None when it did not."""
        self.busy = False
        self._max_batch = max_batch
        self._on_change = on_change
        self._worker: WorkerProcess | None = None
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_free(self) -> bool:
        return self.state is State.READY and not self.busy

    @property
    def vacancies(self) -> int:
        """Batches that it would take now."""
        return int(self.is_free)

    @property
    def load(self) -> float:
        """Share of its places that are taken, from 0 to 1."""
        return float(self.busy)

    def take(self) -> None:
        """Keep a place for a batch, until `hear` has heard it."""
        self.busy = True

    def drop(self, clip: Clip) -> None:
        """Nobody waits for this clip any more. A batch goes on: the others in it are waited for."""

    @property
    def pid(self) -> int | None:
        return self._worker.process.pid if self._worker else None

    @property
    def memory_bytes(self) -> int:
        """What its process holds; 0 on a GPU, whose memory it does not show."""
        return resident_bytes(self.pid) if self.pid and self.spec.device == "cpu" else 0

    @property
    def _patience_s(self) -> float:
        """How long the next start may take."""
        took_s = self.load_s + self.warm_up_s
        return min(LOAD_S, max(RELOAD_S, RELOAD_FACTOR * took_s)) if took_s else LOAD_S

    def start(self) -> None:
        self._task = asyncio.create_task(self._supervise(), name=f"replica {self.spec.name}")

    async def stop(self) -> None:
        self._set(State.STOPPED)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._end()

    async def hear(self, clips: Sequence[Clip]) -> Heard:
        """What the worker makes of a batch; raises WorkerGone."""
        worker = self._worker
        self.busy = True
        try:
            heard = await self._ask(worker, clips)
            if _is_broken(heard) and _is_broken(await self._ask(worker, [Clip(rehearsal())])):
                raise EOFError("the engine fails on everything")
        except asyncio.CancelledError:
            self._abandon(worker)
            raise
        except Exception as error:  # whatever broke the exchange, the next reply could be the wrong one
            self._abandon(worker)
            raise WorkerGone from error
        finally:
            self.busy = False
        self._heard_at = time.monotonic()
        return heard

    async def _ask(self, worker: WorkerProcess | None, clips: Sequence[Clip]) -> Heard:
        if worker is None:
            raise EOFError
        audio_s = sum(len(clip) for clip in clips) / SAMPLE_RATE
        async with asyncio.timeout(max(STALL_S, STALL_FACTOR * audio_s / self.rtfx)):
            heard = await worker.ask(Hear(tuple(clips)))
        assert isinstance(heard, Heard)
        if len(clips) == self._max_batch:  # a smaller one does not show what it could do
            self.rtfx += 0.1 * (audio_s / max(heard.engine_s, 1e-6) - self.rtfx)
        return heard

    def _abandon(self, worker: WorkerProcess | None) -> None:
        """End a worker whose reply nobody waits for any more, lest it be taken for the next one's."""
        if worker:
            worker.kill()
        if worker is self._worker and self.state is State.READY:
            self.state = State.RESTARTING

    async def _supervise(self) -> None:
        """Start the worker, wait until it dies, start another."""
        failures = 0
        while True:
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            try:
                await self._launch()
                failures = 0
                await self._watch()
            except LoadFailed as error:  # the worker said so itself: asking again soon will not help
                failures, self.error = len(BACKOFF_S), str(error)
            except (OSError, EOFError) as error:
                failures, self.error = failures + 1, f"{self.spec.name}: the worker died or hung while loading: {error}"
            except Exception as error:  # noqa: BLE001 - a worker that nobody watches would count as well for ever
                failures, self.error = failures + 1, f"{self.spec.name}: {type(error).__name__}: {error}"
            about = {"model": self.spec.name, "exit_status": await self._end(), "error": self.error}
            if self.capabilities is None and failures >= len(BACKOFF_S):
                log.error("model given up", extra=about)
                return self._set(State.FAILED)
            log.warning("worker lost, restarting", extra=about)
            self.restarts += 1
            self._set(State.RESTARTING)

    async def _launch(self) -> None:
        """Start the process, give it its model, wait until it is warm."""
        async with asyncio.timeout(self._patience_s):
            self._worker = await spawn(os.environ | worker_environment(self.spec))
            reply = await self._worker.ask(Load(self.spec, self._max_batch))
        match reply:
            case LoadRefused(message):
                raise LoadFailed(message)
            case Ready(capabilities, rtfx, load_s, warm_up_s):
                self.capabilities, self.rtfx, self.load_s, self.warm_up_s = capabilities, rtfx, load_s, warm_up_s
        self.error = None
        self._heard_at = time.monotonic()
        self._set(State.READY)

    async def _watch(self) -> None:
        """Returns when the worker is gone. A worker that has been quiet is asked to hear a canary."""
        assert self._worker is not None
        gone = asyncio.ensure_future(self._worker.process.wait())
        try:
            while not gone.done():
                await asyncio.wait([gone], timeout=CANARY_EVERY_S)
                if self.is_free and time.monotonic() - self._heard_at > CANARY_EVERY_S:
                    with contextlib.suppress(WorkerGone):
                        await self.hear([Clip(rehearsal())])
                        self._on_change()
        finally:
            gone.cancel()

    async def _end(self) -> int | None:
        status = await self._worker.end() if self._worker else None
        self._worker = None
        return status

    def _set(self, state: State) -> None:
        self.state = state
        self._on_change()


def _is_broken(heard: Heard) -> bool:
    """Whether the engine failed on every clip: theirs may be the fault, or its own."""
    return all(isinstance(result, Mishap) for result in heard.results)


def resident_bytes(pid: int) -> int:
    """Memory of a process; 0 when it is gone."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def worker_environment(spec: ModelSpec) -> dict[str, str]:
    """Environment that a worker needs from its first instruction on."""
    allocator = ALLOCATOR if spec.device == "cpu" else {}
    return {**allocator, "OMP_NUM_THREADS": str(spec.threads), "TOKENIZERS_PARALLELISM": "false"}
