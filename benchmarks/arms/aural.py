"""aural, as a user starts it: `aural` with its default fitted encoder windows, `aural-full` with 30 s as the others."""

from __future__ import annotations

from benchmarks.arms.base import ServerArm, Setup, get, wav
from benchmarks.processes import command_has
from benchmarks.records import Variant

COUNTERS = {
    "redone_clips": "aural_redone_clips_total",
    "batches": "aural_batch_clips_count",
    "batched_clips": "aural_batch_clips_sum",
}
"""Name here, and name in the server's metrics."""


def _command(setup: Setup, variant: Variant, port: int) -> list[str]:
    return ["-m", "aural", "serve", "--model", setup.model, "--host", "127.0.0.1", "--port", str(port)]


def _counted(port: int) -> dict[str, float]:
    lines = (get(port, "/metrics") or b"").decode().splitlines()
    return {
        name: sum(float(line.split()[-1]) for line in lines if line.startswith(counter))
        for name, counter in COUNTERS.items()
    }


def _arm(name: str, env: dict[str, str]) -> ServerArm:
    return ServerArm(
        name=name,
        command=_command,
        health="/ping",
        path="/invocations?language=en",
        content_type="audio/wav",
        body=wav,
        env=lambda _: env,
        extra=_counted,
        is_engine=lambda pid: command_has(pid, "aural.serving.worker"),
    )


FITTED = _arm("aural", {})
FULL = _arm("aural-full", {"AURAL_FITTED_WINDOWS": "off"})
