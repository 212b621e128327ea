"""The limit: the engine in bare processes, all audio decoded in memory before the clock starts, and no server.

`raw` is fed as fast as it goes; `raw-alone` hears one clip after another, the least time that one call can take.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Literal

import numpy as np

from aural.bench.clips import Workload
from aural.bench.records import Answer
from benchmarks import engine, processes
from benchmarks.arms.base import (
    READY_WITHIN_S,
    TUNED_ALLOCATOR,
    ArmUnavailable,
    Load,
    Running,
    Setup,
    spawned,
    threads_of_libraries,
)
from benchmarks.records import Cell, Variant

SHAPES = ((2, 1), (1, 1), (1, 2))
"""Processes × threads in each."""
BATCHES = (8, 4, 1)
ALLOCATORS = ("tuned", "default")
BATCHES_IN_WINDOW = 2
"""Of each process, at least."""

Child = subprocess.Popen[str]


def _grid(shapes: Sequence[tuple[int, int]], batches: Sequence[int]) -> list[Variant]:
    return [
        {"processes": shape[0], "threads": shape[1], "batch": batch, "allocator": allocator}
        for allocator, shape, batch in product(ALLOCATORS, shapes, batches)
    ]


@dataclass(frozen=True, slots=True)
class RawArm:
    name: str
    windows: Literal["full", "fitted"]
    variants: Sequence[Variant]
    callers: frozenset[int]
    serial: bool = False

    @property
    def every_round(self) -> frozenset[int]:
        return self.callers

    @contextmanager
    def start(self, setup: Setup, workload: Workload, variant: Variant) -> Iterator[Running]:
        try:
            audio = _write_audio(setup.scratch / f"pcm-{workload.name}", workload)
        except ImportError as error:
            raise ArmUnavailable(f"cannot cut long audio as aural does: {error}") from error
        began = time.monotonic()
        env = threads_of_libraries(variant["threads"]) | (TUNED_ALLOCATOR if variant["allocator"] == "tuned" else {})
        arguments = [self.windows, str(setup.folder), setup.model, str(variant["threads"]), str(audio)]
        with ExitStack() as stack:
            children = [
                stack.enter_context(
                    spawned(
                        ["-m", "benchmarks.arms.raw_worker", *arguments],
                        env,
                        setup.scratch / f"{self.name}.log",
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                    )
                )
                for _ in range(variant["processes"])
            ]
            pool = _Pool(self.name, variant, workload.name, children, audio.with_suffix(".f32").stat().st_size)
            pool.wait_until_ready()
            yield replace(pool, ready_s=time.monotonic() - began)


@dataclass(frozen=True, slots=True)
class _Pool:
    arm: str
    variant: Variant
    workload: str
    children: list[Child]
    audio_bytes: int
    """What each process holds of the workload, which is not the engine's memory."""
    ready_s: float = 0.0

    def wait_until_ready(self) -> None:
        for child in self.children:
            assert child.stdout is not None
            if child.stdout.readline() != "ready\n":
                raise ArmUnavailable(f"a worker ended before it was ready, see {self.arm}.log")

    def measure(self, load: Load) -> Cell:
        with processes.Sampler([child.pid for child in self.children], processes.holds_library) as sampler:
            answers, opened, closed = self._drive(load)
            sampler.take()
            usage = sampler.usage(opened, closed)
        own = usage.peak_rss_bytes - self.audio_bytes * len(self.children)
        return Cell(
            arm=self.arm,
            variant=self.variant,
            workload=self.workload,
            callers=load.callers,
            purpose=load.purpose,
            round=load.round,
            opened=opened,
            closed=closed,
            answers=tuple(answers),
            usage=replace(usage, peak_rss_bytes=own),
            ready_s=self.ready_s,
        )

    def _drive(self, load: Load) -> tuple[list[Answer], float, float]:
        """Keep all workers busy; the window opens when each has done one batch."""
        answers: list[Answer] = []
        opened = closed = 0.0
        at_least = max(load.at_least, BATCHES_IN_WINDOW * self.variant["batch"] * len(self.children))
        for index, child in enumerate(self.children):
            order = load.order[index :: len(self.children)]
            _tell(child, {"order": order, "batch": self.variant["batch"], "once": load.once})
        for index, batch in _replies(self.children):
            done = [Answer(item, index, batch["start"], batch["end"], text) for item, text in batch["heard"]]
            answers += done
            if not opened and len({answer.caller for answer in answers}) == len(self.children):
                opened = batch["end"]
            inside = sum(answer.end > opened for answer in answers) if opened else 0
            if opened and not closed and inside >= at_least and batch["end"] - opened >= load.seconds:
                closed = batch["end"]
                for child in () if load.once else self.children:
                    _tell(child, {"stop": True})
        if load.once:
            return answers, min(answer.start for answer in answers), max(answer.end for answer in answers)
        return answers, opened, closed


def _write_audio(stem: Path, workload: Workload) -> Path:
    """All windows as float32 in one file, and which of them make an item in another."""
    if not stem.with_suffix(".json").exists():
        items = [engine.cut(item.pcm) for item in workload.items]
        np.concatenate([window for item in items for window in item]).tofile(stem.with_suffix(".f32"))
        stem.with_suffix(".json").write_text(json.dumps([[len(window) for window in item] for item in items]))
    return stem.with_suffix(".json")


def _tell(child: Child, message: dict[str, Any]) -> None:
    assert child.stdin is not None
    child.stdin.write(json.dumps(message) + "\n")
    child.stdin.flush()


def _replies(children: list[Child]) -> Iterator[tuple[int, dict[str, Any]]]:
    """What the workers say, as they say it, until all are done."""
    said: SimpleQueue[tuple[int, str]] = SimpleQueue()

    def listen(index: int, child: Child) -> None:
        assert child.stdout is not None
        while (line := child.stdout.readline()) not in ("done\n", ""):
            said.put((index, line))
        said.put((index, ""))

    for index, child in enumerate(children):
        Thread(target=listen, args=(index, child), daemon=True).start()
    busy = len(children)
    while busy:
        try:
            index, line = said.get(timeout=READY_WITHIN_S)
        except Empty:
            raise ArmUnavailable("a worker said nothing for too long") from None
        if line:
            yield index, json.loads(line)
        else:
            busy -= 1


def _arms(windows: Literal["full", "fitted"], suffix: str) -> tuple[RawArm, RawArm]:
    alone = _grid([(1, 1), (1, 2)], [1])
    return (
        RawArm(f"raw{suffix}", windows, _grid(SHAPES, BATCHES), frozenset({20})),
        RawArm(f"raw{suffix}-alone", windows, alone, frozenset({1})),
    )


FULL, FULL_ALONE = _arms("full", "")
FITTED, FITTED_ALONE = _arms("fitted", "-fitted")
