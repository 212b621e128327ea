"""What a reader must know to repeat a run: versions, hardware, revision, and what the endpoint says of itself."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import subprocess
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from aural.bench.http import Address, Ask, Connection, Reply, RequestFailed
from aural.errors import BenchError

PACKAGES = ("aural", "jiwer", "whisper-normalizer", "numpy", "httptools", "uvloop", "boto3", "websockets")
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
QUICK_S = 5.0
OK, NOT_READY = 200, 503
READY_S, POLL_S = 120.0, 0.5


def client() -> dict[str, Any]:
    return {
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "revision": revision(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    found = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or platform.machine())


def revision() -> str:
    """The git revision of the source that runs, with `+` when it was changed; empty outside a repository."""
    where = Path(__file__).parent
    try:
        command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
        done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=QUICK_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def is_local(url: str) -> bool:
    return url.startswith("http") and Address.of(url).host in LOOPBACK


async def endpoint(url: str) -> dict[str, Any]:
    """The endpoint's own /health, where it has one."""
    if not url.startswith("http"):
        return {}
    try:
        reply = await _get(url, "/health")
        answer = json.loads(reply.body) if reply.status == OK else {}
    except (RequestFailed, ValueError):
        return {}
    return answer if isinstance(answer, dict) else {}


async def wait_until_ready(url: str, limit_s: float = READY_S) -> None:
    """As long as the endpoint's /ping says that it is not ready yet; an endpoint without one is taken to be ready."""
    until = time.monotonic() + limit_s
    with suppress(RequestFailed):
        while url.startswith("http") and (await _get(url, "/ping")).status == NOT_READY:
            if time.monotonic() > until:
                raise BenchError(f"expected {url} to be ready within {limit_s:g} s")
            await asyncio.sleep(POLL_S)


async def _get(url: str, path: str) -> Reply:
    connection = Connection(Address.of(url), timeout_s=QUICK_S)
    try:
        return await connection.ask(Ask(path, method="GET"))
    finally:
        connection.close()
