"""What an arm is, and the arms that are servers: a command, an address and a way to write the request."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from aural.bench.clips import Workload
from benchmarks import load, processes
from benchmarks.load import Job
from benchmarks.records import Cell, Purpose, Variant

ROOT = Path(__file__).resolve().parents[2]
READY_WITHIN_S = 120.0
ANY = frozenset({1, 5, 10, 20, 64})
"""Numbers of callers."""
POLL_S = 0.02

TUNED_ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "67108864",
}


class ArmUnavailable(Exception):
    """The arm cannot run here; the message says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is the same for every arm."""

    model: str
    """aural's name of the model."""
    folder: Path
    """CTranslate2 weights."""
    scratch: Path


@dataclass(frozen=True, slots=True)
class Load:
    """How hard an arm is driven in one cell."""

    callers: int
    order: tuple[int, ...]
    seconds: float = 0.0
    at_least: int = 0
    once: bool = False
    purpose: Purpose = "measure"
    round: int = 0


class Running(Protocol):
    """An arm that is ready for one workload."""

    def measure(self, load: Load) -> Cell: ...


class Arm(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def variants(self) -> Sequence[Variant]:
        """Settings to choose from before the measured rounds."""
        ...

    @property
    def serial(self) -> bool: ...

    @property
    def callers(self) -> frozenset[int]:
        """The loads that make sense."""
        ...

    @property
    def every_round(self) -> frozenset[int]:
        """Those that a bar rests on; the others draw a curve."""
        ...

    def start(self, setup: Setup, workload: Workload, variant: Variant) -> AbstractContextManager[Running]:
        """Start processes, wait until they are ready, and end them on leaving. Raises ArmUnavailable."""
        ...


@dataclass(frozen=True, slots=True)
class ServerArm:
    """A server in processes of its own, asked over HTTP."""

    name: str
    command: Callable[[Setup, Variant, int], list[str]]
    """Arguments for this Python, given the port."""
    health: str
    path: str
    content_type: str
    body: Callable[[bytes], bytes]
    """The request for a WAV file."""
    variants: Sequence[Variant] = field(default_factory=lambda: [{}])
    env: Callable[[Variant], Mapping[str, str]] = lambda _: {}
    callers: frozenset[int] = ANY
    every_round: frozenset[int] = ANY
    serial: bool = False
    """Whether it hears one request at a time: then few callers tell its settings apart, and to wait for those who
    still queue at the end of a cell would only take long."""
    extra: Callable[[int], dict[str, float]] = lambda _: {}
    """Figures that the server itself has counted, asked for at its port."""
    is_engine: Callable[[int], bool] = processes.holds_library
    """Whether a process of the server is one that does the hearing."""

    @contextmanager
    def start(self, setup: Setup, workload: Workload, variant: Variant) -> Iterator[Running]:
        port = free_port()
        bodies = write_bodies(setup.scratch, self.body, workload)
        log = setup.scratch / f"{self.name}.log"
        began = time.monotonic()
        with spawned(self.command(setup, variant, port), self.env(variant), log) as child:
            wait_until_ready(child, port, self.health, log)
            yield _Server(self, variant, workload.name, bodies, port, child.pid, time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class _Server:
    arm: ServerArm
    variant: Variant
    workload: str
    bodies: list[str]
    port: int
    pid: int
    ready_s: float

    def measure(self, load: Load) -> Cell:
        arm = self.arm
        before = arm.extra(self.port)
        job = Job(
            port=self.port,
            path=arm.path,
            content_type=arm.content_type,
            bodies=self.bodies,
            order=list(load.order),
            callers=load.callers,
            seconds=load.seconds,
            at_least=load.at_least,
            once=load.once,
            drain=not arm.serial or load.once,
        )
        with processes.Sampler([self.pid], arm.is_engine) as sampler:
            outcome = ask(job, sampler)
            sampler.take()
            usage = sampler.usage(outcome.opened, outcome.closed, outcome.client_cpu_s)
        after = arm.extra(self.port)
        return Cell(
            arm=arm.name,
            variant=self.variant,
            workload=self.workload,
            callers=load.callers,
            purpose=load.purpose,
            round=load.round,
            opened=outcome.opened,
            closed=outcome.closed,
            answers=tuple(outcome.answers),
            usage=usage,
            ready_s=self.ready_s,
            extra={name: value - before[name] for name, value in after.items()},
        )


def ask(job: Job, sampler: processes.Sampler) -> load.Outcome:
    """Run one job in a client process."""
    client = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    sampler.helper(client.pid)
    try:
        answer, _ = client.communicate(json.dumps(asdict(job)) + "\n")
    finally:
        client.kill()
        client.wait()
    return load.from_json(answer)


@contextmanager
def spawned(arguments: list[str], env: Mapping[str, str], log: Path, **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    """This Python with arguments, in a session of its own so that Ctrl-C reaches only the benchmark."""
    with log.open("a", encoding="utf-8") as out:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment(env),
            stderr=out,
            text=True,
            start_new_session=True,
            **({"stdout": out} | pipes),
        )
    try:
        yield child
    finally:
        processes.stop(child.pid)
        child.wait()


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_", "AURAL_"))}
    return {**plain, "PYTHONPATH": path.rstrip(os.pathsep), **extra}


def threads_of_libraries(count: int) -> dict[str, str]:
    """As faster-whisper advises. numpy's matrix product in the log-mel features otherwise takes all cores, which costs
    four times the CPU and rounds otherwise, and that changes some texts."""
    return {"OMP_NUM_THREADS": str(count)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(child: subprocess.Popen[str], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        if child.poll() is not None:
            raise ArmUnavailable(f"ended with {child.returncode} before it was ready; its last words: {_tail(log)}")
        if get(port, path) is not None:
            return
        time.sleep(POLL_S)
    raise ArmUnavailable(f"was not ready within {READY_WITHIN_S:.0f} s; its last words: {_tail(log)}")


def get(port: int, path: str) -> bytes | None:
    """The body of a 200 answer, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return body if response.status == 200 else None


def write_bodies(scratch: Path, body: Callable[[bytes], bytes], workload: Workload) -> list[str]:
    """Request bodies as files, written before any clock starts."""
    folder = scratch / f"{body.__name__}-{workload.name}"
    files = [folder / f"{i}" for i in range(len(workload.items))]
    if not folder.exists():
        folder.mkdir(parents=True)
        for file, item in zip(files, workload.items, strict=True):
            file.write_bytes(body(item.wav))
    return [str(file) for file in files]


def wav(data: bytes) -> bytes:
    """The raw body: the file itself."""
    return data


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "none"
