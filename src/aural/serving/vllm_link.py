"""One vLLM, ours under its guardian or one that runs elsewhere: how it is started, asked for its health and ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING

from aural.engines.base import ModelSpec
from aural.engines.voxtral import Voxtral
from aural.errors import LoadFailed

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("aural.vllm")

HEALTH_S = 5.0
"""An answer to /health takes no longer."""
END_S = 8.0


class Health(Enum):
    """What /health says."""

    WELL = "well"
    SILENT = "silent"
    """No answer in time, or none that makes sense: it may be busy."""
    GONE = "gone"
    """Nobody listens, or vLLM says that its engine is dead."""


@dataclass(slots=True)
class Link:
    """A vLLM that may not be ready yet, and, when it is ours, its guardian and the pipe to that."""

    voxtral: Voxtral
    client: httpx.AsyncClient
    guardian: asyncio.subprocess.Process | None = None
    reader: asyncio.StreamReader | None = None
    writer: asyncio.StreamWriter | None = None
    pid: int | None = None

    async def health(self) -> Health:
        import httpx

        try:
            async with asyncio.timeout(HEALTH_S):
                response = await self.client.get("/health")
        except httpx.ConnectError:
            return Health.GONE
        except (httpx.HTTPError, RuntimeError, TimeoutError):  # RuntimeError when the client was closed meanwhile
            return Health.SILENT
        if response.status_code == 503:
            return Health.GONE
        return Health.WELL if response.is_success or response.status_code == 404 else Health.SILENT

    async def end(self) -> str | None:
        """End what is ours; returns what the guardian said of it."""
        await self.client.aclose()
        if self.guardian is None or self.reader is None or self.writer is None:
            return None
        if self.writer.can_write_eof():
            self.writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await self.guardian.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.guardian.pid, signal.SIGKILL)
        await self.guardian.wait()
        last = (await self.reader.read()).decode(errors="replace").strip()
        self.writer.close()
        return last or None


async def launch(spec: ModelSpec) -> Link:
    """Start `vllm serve` on a free port of the loopback address. Raises LoadFailed when vLLM is not installed."""
    port = _free_port()
    voxtral = Voxtral(f"http://127.0.0.1:{port}", spec)
    where = ("--host", "127.0.0.1", "--port", str(port), "--served-model-name", spec.name)
    command = [*vllm_command(), "serve", spec.source, *where, *spec.arguments]
    log.info("starting vLLM", extra={"model": spec.name, "command": command})
    return await _guarded(voxtral, command, _environment(spec))


async def _guarded(voxtral: Voxtral, command: Sequence[str], environment: dict[str, str]) -> Link:
    """The command under its guardian."""
    ours, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            guardian = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "aural.serving.guardian", str(theirs.fileno()), *command),
                pass_fds=[theirs.fileno()],
                env=environment,
            )
            theirs.close()
            said = (await reader.readline()).decode().split()
        except BaseException:
            writer.close()
            raise
    pid = int(said[1]) if said[:1] == ["pid"] else None
    return Link(voxtral, voxtral.client(), guardian, reader, writer, pid)


def vllm_command() -> list[str]:
    """The command that is vLLM; raises LoadFailed when it is not installed."""
    found = shutil.which("vllm")
    if found:
        return [found]
    if find_spec("vllm"):
        return [sys.executable, "-m", "vllm.entrypoints.cli.main"]
    raise LoadFailed(
        "expected vLLM for Voxtral, found none: install it (pip install 'vllm[audio]'), or name one with --upstream"
    )


def _environment(spec: ModelSpec) -> dict[str, str]:
    """vLLM sees only its own cards, and phones nobody."""
    cards = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, spec.cards))} if spec.cards else {}
    return {**os.environ, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", **cards}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
