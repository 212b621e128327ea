"""Stand-ins for vLLM, running: beside the server, or started by it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import START_S, wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Upstream:
    """A stand-in that somebody else started."""

    url: str
    process: subprocess.Popen[bytes]

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=120) as response:
            return json.loads(response.read() or b"{}")

    @property
    def asked(self) -> list[dict[str, Any]]:
        return self.get("/asked")["asked"]

    @property
    def most_running(self) -> int:
        return self.get("/asked")["most_running"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def upstream(*flags: str, port: int = 0, **environment: str) -> Iterator[Upstream]:
    port = port or free_port()
    model = ("mistralai/Voxtral-Mini-3B-2507", "--served-model-name", "voxtral")
    command = [sys.executable, "-m", "tests.standin.vllm", "serve", *model, "--port", str(port), *flags]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environment)
    running = Upstream(f"http://127.0.0.1:{port}", process)
    try:
        wait_until(lambda: _answers(running), START_S)
        yield running
    finally:
        process.kill()
        process.wait()


def _answers(running: Upstream) -> bool:
    assert running.process.poll() is None, "the stand-in ended"
    try:
        running.get("/health")
    except OSError:
        return False
    return True


def installed(folder: Path) -> dict[str, str]:
    """An environment in which `vllm` is the stand-in."""
    script = folder / "vllm"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tests.standin.vllm "$@"\n')
    script.chmod(0o755)
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": paths}
