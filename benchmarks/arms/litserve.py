"""LitServe with its own batching and two workers around the same engine. See litserve_server.py."""

from __future__ import annotations

from itertools import product
from typing import Literal

from benchmarks.arms.base import TUNED_ALLOCATOR, ServerArm, Setup, threads_of_libraries, wav
from benchmarks.records import Variant

GRID: list[Variant] = [{"batch": batch, "timeout": timeout} for batch, timeout in product((4, 8), (0.01, 0.05))]


def _arm(name: str, windows: Literal["full", "fitted"]) -> ServerArm:
    def command(setup: Setup, variant: Variant, port: int) -> list[str]:
        settings = [windows, str(setup.folder), setup.model, str(variant["batch"]), str(variant["timeout"]), str(port)]
        return ["-m", "benchmarks.arms.litserve_server", *settings]

    return ServerArm(
        name=name,
        command=command,
        health="/health",
        path="/predict",
        content_type="audio/wav",
        body=wav,
        variants=GRID,
        env=lambda _: TUNED_ALLOCATOR | threads_of_libraries(1),
        every_round=frozenset({20}),
    )


FULL = _arm("litserve", "full")
FITTED = _arm("litserve-fitted", "fitted")
