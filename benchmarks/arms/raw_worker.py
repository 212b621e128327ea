"""One process of the raw engine: hears batches from memory until it is told to stop."""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import engine
from benchmarks.engine import Samples


def read_audio(index: Path) -> list[list[Samples]]:
    """Windows by item."""
    samples = np.fromfile(index.with_suffix(".f32"), np.float32)
    lengths = json.loads(index.read_text())
    windows = iter(np.split(samples, np.cumsum([length for item in lengths for length in item])[:-1]))
    return [[next(windows) for _ in item] for item in lengths]


def batches(job: dict[str, Any], items: list[list[Samples]]) -> Iterator[list[int]]:
    """Items whose windows fill one batch, in the order of the job, round and round unless each is asked once."""
    order: list[int] = job["order"]
    batch: list[int] = []
    for turn in range(len(order)) if job["once"] else count():
        batch.append(order[turn % len(order)])
        if sum(len(items[item]) for item in batch) >= job["batch"]:
            yield batch
            batch = []
    if batch:
        yield batch


def told_to_stop() -> bool:
    return bool(select.select([sys.stdin], [], [], 0)[0])


def say(message: str) -> None:
    print(message, flush=True)


def main(windows: str, folder: str, model: str, threads: str, audio: str) -> None:
    items = read_audio(Path(audio))
    model_engine = engine.load(windows, Path(folder), model, int(threads))
    say("ready")
    for line in sys.stdin:
        job = json.loads(line)
        for batch in batches(job, items):
            start = time.monotonic()
            texts = engine.in_batches(model_engine, [items[item] for item in batch], job["batch"])
            heard = list(zip(batch, texts, strict=True))
            say(json.dumps({"start": start, "end": time.monotonic(), "heard": heard}))
            if not job["once"] and told_to_stop():
                sys.stdin.readline()
                break
        say("done")


if __name__ == "__main__":
    main(*sys.argv[1:])
