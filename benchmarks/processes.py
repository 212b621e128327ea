"""What a tree of processes and the rest of the machine do, sampled while a cell runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil

from benchmarks.records import Usage

INTERVAL_S = 0.1
ENGINE_LIBRARY = "ctranslate2"
STOP_WITHIN_S = 10.0


@dataclass(slots=True)
class Samples:
    """Readings over time; CPU seconds only grow."""

    at: list[float] = field(default_factory=list)
    cpu_s: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """Per process of the arm: moment and CPU seconds so far."""
    rss_bytes: list[int] = field(default_factory=list)
    machine_s: list[float] = field(default_factory=list)
    """Busy CPU seconds of all cores."""
    own_s: list[float] = field(default_factory=list)
    """CPU seconds of this process and of the load it started."""


class Sampler:
    """Watches the trees under `roots` from a thread until it is left."""

    def __init__(self, roots: Collection[int], is_engine: Callable[[int], bool]) -> None:
        self._is_engine = is_engine
        self._roots = [psutil.Process(pid) for pid in roots]
        self._helpers: list[psutil.Process] = []
        self._helper_cpu_s: dict[int, float] = {}
        self._samples = Samples()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def helper(self, pid: int) -> None:
        """A process of the benchmark itself, neither the arm's nor a stranger's."""
        self._helpers.append(psutil.Process(pid))

    def usage(self, opened: float, closed: float, client_cpu_s: float = 0.0) -> Usage:
        """What was used between two moments of the monotonic clock. Call it before the arm ends."""
        samples = self._samples
        engines = [pid for pid in samples.cpu_s if self._is_engine(pid)]
        cpu_s = {pid: _between(readings, opened, closed) for pid, readings in samples.cpu_s.items()}
        machine, own = (
            _between(list(zip(samples.at, values, strict=True)), opened, closed)
            for values in (samples.machine_s, samples.own_s)
        )
        others = (machine - own - sum(cpu_s.values())) / max(closed - opened, 1e-9)
        return Usage(
            cpu_s=sum(cpu_s.values()),
            engine_cpu_s=sum(cpu_s[pid] for pid in engines),
            engine_processes=len(engines),
            peak_rss_bytes=max(samples.rss_bytes, default=0),
            client_cpu_s=client_cpu_s,
            other_cores=max(others, 0.0),
        )

    def _watch(self) -> None:
        while not self._stop.wait(INTERVAL_S):
            self.take()

    def take(self) -> None:
        samples, rss_bytes = self._samples, 0
        for process in tree(self._roots):
            try:
                with process.oneshot():
                    cpu_s = _busy(process)
                    rss_bytes += process.memory_info().rss
            except psutil.Error:
                continue
            samples.cpu_s.setdefault(process.pid, []).append((time.monotonic(), cpu_s))
        for helper in self._helpers:
            try:
                self._helper_cpu_s[helper.pid] = _busy(helper)
            except psutil.Error:
                continue
        samples.at.append(time.monotonic())
        samples.rss_bytes.append(rss_bytes)
        machine = psutil.cpu_times()
        samples.machine_s.append(sum(machine) - machine.idle - getattr(machine, "iowait", 0.0))
        samples.own_s.append(time.process_time() + sum(self._helper_cpu_s.values()))


def tree(roots: Collection[psutil.Process]) -> list[psutil.Process]:
    found = []
    for root in roots:
        try:
            found += [root, *root.children(recursive=True)]
        except psutil.Error:
            continue
    return found


def holds_library(pid: int) -> bool:
    """Whether a process has the model's library in memory."""
    return ENGINE_LIBRARY in _proc(pid, "maps")


def command_has(pid: int, word: str) -> bool:
    return word in _proc(pid, "cmdline")


def stop(pid: int) -> None:
    """End a process and everything below it: kindly first, then by force."""
    try:
        root = psutil.Process(pid)
        processes = tree([root])
        root.terminate()
    except psutil.Error:
        return
    _, alive = psutil.wait_procs(processes, timeout=STOP_WITHIN_S)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=STOP_WITHIN_S)


def _proc(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _between(readings: list[tuple[float, float]], opened: float, closed: float) -> float:
    """Growth of a counter from one moment to another, between its readings by straight lines."""
    if not readings:
        return 0.0
    at, value = zip(*readings, strict=True)
    first, last = np.interp([opened, closed], at, value)
    return float(last - first)
