"""What tests share: clips with known text, and real servers to talk to."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False  # some hundred processes are started, and each would compile what it imports

settings.register_profile("ci", derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_collection_finish() -> None:
    """What is imported by now stays: no collection needs to look through it again."""
    gc.collect()
    gc.freeze()


DATA = Path(__file__).parent / "data"
SHARED = Path(__file__).parents[2] / "shared" / "audio"
START_S = 240


@dataclass(frozen=True)
class Recording:
    """A clip of the manifest."""

    path: Path
    text: str
    language: str
    duration_s: float

    @property
    def bytes(self) -> bytes:
        return self.path.read_bytes()


def recordings(folder: Path) -> list[Recording]:
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]
    return [Recording(folder / row["file"], row["text"], row["language"], row["duration_s"]) for row in rows]


@pytest.fixture(scope="session")
def clips() -> dict[str, Recording]:
    """The clips that lie in the repository, by file name without its ending."""
    return {recording.path.stem: recording for recording in recordings(DATA)}


@pytest.fixture(scope="session")
def shared_clips() -> list[Recording]:
    """The large set beside the repository; tests that need it say so when it is missing."""
    if not SHARED.is_dir():
        pytest.skip(f"NOT RUN: expected the speech set at {SHARED}, found none")
    return recordings(SHARED)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def word_errors(expected: Sequence[str], got: Sequence[str]) -> float:
    """Word error rate of texts against others, all of them together: int8 sums differ a little from batch to batch."""
    import jiwer

    clean = [[" ".join(words(text)) for text in texts] for texts in (expected, got)]
    return jiwer.wer(*clean)


@dataclass
class Server:
    """A running `aural serve`."""

    url: str
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> tuple[int, bytes]:
        return self.send("GET", path)

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        status, answer = self.send("POST", path, body, **headers)
        return status, json.loads(answer)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, body, named, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def health(self) -> dict[str, Any]:
        return json.loads(self.get("/health")[1])

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.get("/metrics")[1].decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[ {{]", line))


@contextmanager
def serving(
    *flags: str, ready: bool = True, port: int = 0, program: Sequence[str] = ("-m", "aural"), **environment: str
) -> Iterator[Server]:
    """Start a server on a free port of the loopback address, or on this one; stop it with SIGTERM. `program` is what
    Python runs."""
    port = port or free_port()
    command = [sys.executable, *program, "serve", "--port", str(port), "--log-format", "text", *flags]
    process = subprocess.Popen(command, env=os.environ | environment)
    server = Server(f"http://127.0.0.1:{port}", process)
    try:
        if ready:
            wait_until(lambda: _pings(server) and _is_whole(server), START_S)
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"did not come true within {limit_s} s"
        time.sleep(0.05)


def _pings(server: Server) -> bool:
    assert server.process.poll() is None, "the server ended"
    try:
        return server.get("/ping")[0] == 200
    except urllib.error.URLError:
        return False


def _is_whole(server: Server) -> bool:
    """Whether every replica is ready: /ping is content with one. Where a key is wanted, nobody is asked."""
    models = server.health().get("models", [])
    return all(replica["state"] == "ready" for model in models for replica in model["replicas"])


@pytest.fixture(scope="session")
def whisper() -> Iterator[Server]:
    """A server with both packaged Whisper models, the English one first; one worker each, soon warm."""
    models = ("--model", "whisper-tiny.en", "--model", "whisper-base")
    with serving(*models, "--replicas", "1", "--max-batch", "4", "--max-streams", "64") as server:
        yield server


@pytest.fixture(scope="session")
def fake() -> Iterator[Server]:
    """A server with two workers of the engine that reads back what `speak` wrote."""
    with serving("--model", "fake", "--replicas", "2", "--max-streams", "64") as server:
        yield server
