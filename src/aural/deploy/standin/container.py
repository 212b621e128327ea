"""A container as a plain process: SageMaker's arguments, environment, file tree, pings and end."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import sys
import tarfile
from asyncio.subprocess import Process
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from shutil import copy2, copytree, which
from typing import IO

from aural.deploy.standin.wire import HOST, exchange

PING_EVERY_S = 2.0
PING_LIMIT_S = 2.0
BAD_PINGS = 5
"""In a row before a container is replaced. SageMaker does not say its number."""
STOP_S = 30.0
START_PING_S = 0.25
PORTS = range(20_000, 32_000)
PORT_ATTEMPTS = 100
INHERITED = ("PATH", "HOME", "PYTHONPATH", "LANG", "LD_LIBRARY_PATH", "AURAL_CACHE", "XDG_CACHE_HOME", "TMPDIR")
"""What a process needs on this machine; the rest of the environment is SageMaker's."""
COMMAND = (sys.executable, "-m", "aural.container", "serve")


class StartFailed(Exception):
    """FailureReason."""


@dataclass(slots=True)
class Container:
    """One instance. `folder` becomes its file system."""

    folder: Path
    environment: Mapping[str, str]
    model: Path | None
    startup_s: float
    command: tuple[str, ...] = COMMAND
    port: int = 0
    in_flight: int = 0
    process: Process | None = None
    _log: IO[bytes] | None = field(default=None, repr=False)

    @property
    def log_path(self) -> Path:
        return self.folder / "log"

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self) -> None:
        """Start and wait until /ping is 200. Raises StartFailed."""
        model = await asyncio.to_thread(self._lay_out)
        self.port = free_port()
        self._log = self.log_path.open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *_leash(), *self.command, env=self._variables(model), cwd=self.folder, stdout=self._log, stderr=self._log
        )
        try:
            await asyncio.wait_for(self._until_ready(), self.startup_s)
        except TimeoutError as error:
            await self.stop()
            raise StartFailed(
                f"The container did not pass the ping health check within {self.startup_s:g} s."
            ) from error
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL 30 s later."""
        process, self.process = self.process, None
        if process is not None and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), STOP_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._log is not None:
            self._log.close()

    async def ping(self) -> bool:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(PING_LIMIT_S), exchange(self.port, "GET", "/ping") as reply:
                return reply.status == 200
        return False

    async def watch(self) -> None:
        """Returns when the container is to be replaced: it ended, or its pings fail."""
        bad = 0
        while self.is_alive and bad < BAD_PINGS:
            await asyncio.sleep(PING_EVERY_S)
            bad = 0 if await self.ping() else bad + 1

    async def _until_ready(self) -> None:
        while not await self.ping():
            if not self.is_alive:
                code = self.process.returncode if self.process else None
                raise StartFailed(f"The container ended with exit status {code} before it answered /ping.")
            await asyncio.sleep(START_PING_S)

    def _lay_out(self) -> Path:
        """opt/ml/model with the model's files, read-only for the process's good manners."""
        model = self.folder / "opt" / "ml" / "model"
        model.mkdir(parents=True, exist_ok=True)
        (self.folder / "tmp").mkdir(exist_ok=True)
        if self.model is not None and self.model.is_file():
            with tarfile.open(self.model) as archive:
                archive.extractall(model, filter="data")
        elif self.model is not None:
            copytree(self.model, model, dirs_exist_ok=True, copy_function=_link)
        return model

    def _variables(self, model: Path) -> dict[str, str]:
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        ours = {
            "AURAL_HOST": HOST,
            "AURAL_MODEL_FOLDER": str(model),
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "TMPDIR": str(self.folder / "tmp"),
        }
        return inherited | dict(self.environment) | ours


@cache
def _leash() -> tuple[str, ...]:
    """A container must not outlive a stand-in that is killed; without util-linux it may."""
    setpriv = which("setpriv")
    return (setpriv, "--pdeathsig", "TERM") if setpriv else ()


def _link(source: str, target: str) -> str:
    """Weights are large; a hard link is as good as a copy where the file system has them."""
    try:
        os.link(source, target)
    except OSError:
        copy2(source, target)
    return target


def free_port() -> int:
    """A port that nobody listens on, below those that the kernel hands out for connections, which could take it before
    its server does. Raises OSError when there is none."""
    for port in random.sample(PORTS, PORT_ATTEMPTS):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise OSError(f"expected a free port from {PORTS.start} to {PORTS.stop}, found none")
