"""One measurement: so many streams at once on one server, and what came of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from aural.bench.clips import Item
from aural.bench.stream import Measures, Shown, align, measure
from aural.errors import AuralError
from benchmarks.processes import Sampler, command_has, stop
from benchmarks.streams.arms import Arm, Refused

READY_WITHIN_S = 180.0
STAGGER_S = 2.0
"""Streams start spread over so long: in step they would flatter a server that batches."""
HEAD_START_S = 0.3


@dataclass(frozen=True, slots=True)
class Cell:
    """Streams at once on one server. Latencies in seconds, one value per utterance or word, over all streams."""

    arm: str
    streams: int
    kind: str = "speech"
    endpointing_s: float | None = None
    first_partial_s: list[float] = field(default_factory=list)
    partial_lag_s: list[float] = field(default_factory=list)
    emission_s: list[float] = field(default_factory=list)
    finalization_s: list[float] = field(default_factory=list)
    words: int = 0
    errors: float = 0.0
    words_shown: int = 0
    words_retracted: int = 0
    committed_retracted: int = 0
    refused: int = 0
    failed: int = 0
    """Streams that ended otherwise than they should, or left an utterance without a final."""
    audio_s: float = 0.0
    cpu_s: float = 0.0
    client_cpu_s: float = 0.0
    other_cores: float = 0.0
    peak_rss_mb: float = 0.0
    note: str = ""

    def compute_s(self) -> list[float]:
        """Finalization without the silence that the server is told to wait for."""
        return [one - (self.endpointing_s or 0.0) for one in self.finalization_s]

    @property
    def wer(self) -> float:
        return self.errors / self.words if self.words else float("nan")

    @property
    def cores(self) -> float:
        """Cores used, on average."""
        return self.cpu_s / self.audio_s * self.streams if self.audio_s else float("nan")


def percentile(values: Sequence[float], q: float) -> float:
    return float(np.percentile(values, q)) if values else float("nan")


@asynccontextmanager
async def running(arm: Arm, log: Path) -> AsyncIterator[tuple[int, int]]:
    """The arm's server, ready: its port and process. Raises RuntimeError when it does not start."""
    port = _free_port()
    server = arm.server(port)
    with log.open("ab") as out:
        child = await asyncio.to_thread(
            subprocess.Popen, server.command, stdout=out, stderr=out, env=_environment(server.env)
        )
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not await _answers(port, server.ready):
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{arm.name} did not start; its log is {log}")
            await asyncio.sleep(0.2)
        yield port, child.pid
    finally:
        await asyncio.to_thread(stop, child.pid)
        await asyncio.to_thread(child.wait)


async def run(arm: Arm, port: int, pid: int, items: Sequence[Item], kind: str = "speech") -> Cell:
    """All items at once, each a stream of its own."""
    rng = random.Random(len(items))
    opened, client_cpu = time.monotonic(), time.process_time()
    with Sampler([pid], lambda one: command_has(one, "python")) as sampler:
        base = time.perf_counter() + HEAD_START_S
        begins = [base + rng.uniform(0, STAGGER_S if len(items) > 1 else 0) for _ in items]
        told = await asyncio.gather(
            *(_hear(arm, port, item, at) for item, at in zip(items, begins, strict=True)), return_exceptions=True
        )
        sampler.take()
        closed, client_cpu = time.monotonic(), time.process_time() - client_cpu
        usage = sampler.usage(opened, closed, client_cpu)
    cell = _cell(arm, items, told, kind)
    return Cell(
        **{
            **_fields(cell),
            "cpu_s": usage.cpu_s,
            "client_cpu_s": client_cpu,
            "other_cores": usage.other_cores,
            "peak_rss_mb": usage.peak_rss_bytes / 2**20,
        }
    )


async def _hear(arm: Arm, port: int, item: Item, began: float) -> list[Shown]:
    await asyncio.sleep(max(0.0, began - time.perf_counter()))
    return await arm.hear(port, item, began)


def _cell(arm: Arm, items: Sequence[Item], told: Sequence[list[Shown] | BaseException], kind: str) -> Cell:
    measured: list[Measures] = []
    refused, notes = 0, []
    for item, shown in zip(items, told, strict=True):
        if isinstance(shown, BaseException):
            refused += isinstance(shown, Refused) or (isinstance(shown, AuralError) and shown.code == "overloaded")
            notes.append(f"{type(shown).__name__}: {shown}")
        else:
            measured.append(measure(align(item), item.text, shown))
    return Cell(
        arm=arm.name,
        streams=len(items),
        kind=kind,
        endpointing_s=arm.endpointing_s,
        first_partial_s=[v for one in measured for v in one.first_partial_s],
        partial_lag_s=[v for one in measured for v in one.partial_lag_s],
        emission_s=[v for one in measured for v in one.emission_s],
        finalization_s=[v for one in measured for v in one.finalization_s] if arm.endpointing_s is not None else [],
        words=sum(one.words for one in measured),
        errors=sum(one.errors for one in measured),
        words_shown=sum(one.words_shown for one in measured),
        words_retracted=sum(one.words_retracted for one in measured),
        committed_retracted=sum(one.committed_retracted for one in measured),
        refused=refused,
        failed=len(notes) - refused + sum(one.unfinished > 0 for one in measured),
        audio_s=sum(item.duration_s for item in items),
        note="; ".join(sorted(set(notes))),
    )


async def file_errors(port: int, items: Sequence[Item]) -> tuple[float, int]:
    """Word errors, and words, of the same audio sent as files."""
    from aural.bench.scoring import word_errors

    errors, words = 0.0, 0
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=300, trust_env=False) as http:
        for item in items:
            form = {"response_format": "json", "language": "en"}
            files = {"file": ("speech.wav", item.wav)}
            answer = await http.post("/v1/audio/transcriptions", data=form, files=files)
            scored = word_errors(item.text, answer.raise_for_status().json()["text"])
            errors, words = errors + scored.errors, words + scored.words
    return errors, words


def write(cell: Cell, out: Path) -> None:
    with (out / "cells.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(_rounded(asdict(cell))) + "\n")


def read(out: Path) -> list[Cell]:
    lines = (out / "cells.jsonl").read_text(encoding="utf-8").splitlines()
    return [Cell(**json.loads(line)) for line in lines]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return {name: _rounded(one) for name, one in value.items()} if isinstance(value, dict) else value


def _fields(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in Cell.__dataclass_fields__}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(extra: dict[str, str]) -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **extra}


async def _answers(port: int, path: str) -> bool:
    try:
        if path:
            async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
                return (await http.get(f"http://127.0.0.1:{port}{path}")).status_code == 200
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, httpx.HTTPError):
        return False
    writer.close()
    return True
