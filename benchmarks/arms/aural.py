"""aural, as a user starts it: `aural` with its default fitted encoder windows, `aural-full` with 30 s as the others."""

from __future__ import annotations

from benchmarks.arms.base import ServerArm, Setup, wav
from benchmarks.records import Variant


def _command(setup: Setup, variant: Variant, port: int) -> list[str]:
    return ["-m", "aural", "serve", "--model", setup.model, "--host", "127.0.0.1", "--port", str(port)]


def _arm(name: str, env: dict[str, str]) -> ServerArm:
    return ServerArm(
        name=name,
        command=_command,
        health="/ping",
        path="/invocations",
        content_type="audio/wav",
        body=wav,
        env=lambda _: env,
    )


FITTED = _arm("aural", {})
FULL = _arm("aural-full", {"AURAL_FITTED_WINDOWS": "off"})
