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
from collections.abc import Callable, Sequence
from enum import StrEnum

from aural.engines.base import Capabilities, ModelSpec
from aural.errors import LoadFailed
from aural.serving import messages
from aural.serving.messages import Hear, Heard, Load, LoadRefused, Ready
from aural.serving.rehearsal import rehearsal
from aural.types import SAMPLE_RATE, Clip

log = logging.getLogger("aural.supervisor")

STALL_S = 30.0
"""A batch may take this long, or STALL_FACTOR times what it should, before its worker counts as hung."""
STALL_FACTOR = 30.0
CANARY_EVERY_S = 30.0
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 5.0)

ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""glibc keeps what the model frees instead of returning it page by page, and asks for huge pages: the encoder's
buffers come back at every call, and faulting them in anew took 40 % of its time."""


class WorkerGone(Exception):
    """The worker died, or was ended because it hung."""


class State(StrEnum):
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


class Replica:
    """Owns one worker. `hear` is for one batch at a time; `on_change` is called when it becomes ready or is lost."""

    def __init__(self, spec: ModelSpec, max_batch: int, on_change: Callable[[], None]) -> None:
        self.spec = spec
        self.state = State.STARTING
        self.capabilities: Capabilities | None = None
        self.rtfx = 0.0
        self.load_s = self.warm_up_s = 0.0
        self.restarts = 0
        self.error: str | None = None
        self.busy = False
        self._max_batch = max_batch
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._heard_at = 0.0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_free(self) -> bool:
        return self.state is State.READY and not self.busy

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

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
        self.busy = True
        try:
            audio_s = sum(len(clip) for clip in clips) / SAMPLE_RATE
            limit_s = max(STALL_S, STALL_FACTOR * audio_s / max(self.rtfx, 0.01))
            reply = await asyncio.wait_for(self._ask(Hear(tuple(clips))), limit_s)
            assert isinstance(reply, Heard)
            self._heard_at = time.monotonic()
            self.rtfx += 0.1 * (audio_s / max(reply.engine_s, 1e-6) - self.rtfx)
            return reply
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError) as error:
            self._kill()  # a reply that nobody waits for must not be taken for the next one's
            self.state = State.RESTARTING
            if isinstance(error, asyncio.CancelledError):
                raise
            raise WorkerGone from error
        finally:
            self.busy = False

    async def _supervise(self) -> None:
        """Start the worker, wait until it dies, start another."""
        failures = 0
        while True:
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1
            try:
                await self._launch()
                failures = 0
                await self._watch()
            except LoadFailed as error:
                self.error = str(error)
                log.error("model cannot be loaded", extra={"model": self.spec.name, "error": str(error)})
                if self.capabilities is None:  # it never worked, so trying again will not help
                    return self._set(State.FAILED)
            except (OSError, EOFError) as error:
                self.error = f"the worker died while loading: {error!r}"
            await self._end()
            self.restarts += 1
            self._set(State.RESTARTING)
            log.warning("worker lost, restarting", extra={"model": self.spec.name, "restarts": self.restarts})

    async def _launch(self) -> None:
        """Start the process, give it its model, wait until it is warm."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "aural.serving.worker", str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                env=os.environ | worker_environment(self.spec),
            )
        self._streams = await asyncio.open_connection(sock=ours)
        match await self._ask(Load(self.spec, self._max_batch)):
            case LoadRefused(message):
                raise LoadFailed(message)
            case Ready(capabilities, rtfx, load_s, warm_up_s):
                self.capabilities, self.rtfx, self.load_s, self.warm_up_s = capabilities, rtfx, load_s, warm_up_s
        self.error = None
        self._heard_at = time.monotonic()
        self._set(State.READY)

    async def _watch(self) -> None:
        """Returns when the worker is gone. A worker that has been quiet is asked to hear a canary."""
        assert self._process is not None
        gone = asyncio.ensure_future(self._process.wait())
        try:
            while not gone.done():
                await asyncio.wait([gone], timeout=CANARY_EVERY_S)
                if self.is_free and time.monotonic() - self._heard_at > CANARY_EVERY_S:
                    with contextlib.suppress(WorkerGone):
                        await self.hear([Clip(rehearsal())])
                        self._on_change()
        finally:
            gone.cancel()

    async def _ask(self, message: messages.ToWorker) -> object:
        if self._streams is None:
            raise EOFError
        reader, writer = self._streams
        writer.writelines(messages.pack(message))
        await writer.drain()
        return await messages.read(reader)

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    async def _end(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None
        self._kill()
        if self._process:
            await self._process.wait()
            self._process = None

    def _set(self, state: State) -> None:
        self.state = state
        self._on_change()


def worker_environment(spec: ModelSpec) -> dict[str, str]:
    """Environment that a worker needs from its first instruction on."""
    allocator = ALLOCATOR if spec.device == "cpu" else {}
    return {**allocator, "OMP_NUM_THREADS": str(spec.threads), "TOKENIZERS_PARALLELISM": "false"}
