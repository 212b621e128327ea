"""A server of one's own, for as long as somebody listens: `aural live` without an address."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext

from rich.console import Console

from aural.errors import SessionLost, SettingsError

START_S = 600.0
"""How long it may take to load its model, a download included."""
POLL_S = 0.1
STOP_S = 40.0


@asynccontextmanager
async def own_server(flags: Sequence[str], api_key: str = "") -> AsyncIterator[str]:
    """The address of an `aural serve` of one's own, ready, ended with the block; the key goes where nobody sees it.
    Whoever works in the block is interrupted when it ends. Raises SettingsError, and then SessionLost."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["-m", "aural", "serve", "--host", "127.0.0.1", "--port", str(port), *flags]
    surroundings = os.environ | ({"AURAL_API_KEY": api_key} if api_key else {})
    child = await asyncio.create_subprocess_exec(sys.executable, *command, env=surroundings, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        with Console(stderr=True).status("loading the model") if sys.stderr.isatty() else nullcontext():
            await _until_ready(child, url)
        async with _while_it_lives(child):
            yield url
    finally:
        if child.returncode is None:
            child.terminate()
            await asyncio.wait_for(child.wait(), STOP_S)


@asynccontextmanager
async def _while_it_lives(child: asyncio.subprocess.Process) -> AsyncIterator[None]:
    worker = asyncio.current_task()
    assert worker is not None
    watching = asyncio.create_task(child.wait())
    watching.add_done_callback(lambda watch: watch.cancelled() or worker.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if not watching.done():
            raise
        worker.uncancel()
        raise SessionLost(f"the server has ended with {child.returncode}; its own message is above") from None
    finally:
        watching.cancel()


async def _until_ready(child: asyncio.subprocess.Process, url: str) -> None:
    deadline = time.monotonic() + START_S
    while not await asyncio.to_thread(_pings, url):
        if child.returncode is not None or time.monotonic() > deadline:
            raise SettingsError("the server did not start; its own message is above")
        await asyncio.sleep(POLL_S)


def _pings(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/ping", timeout=POLL_S * 10) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
