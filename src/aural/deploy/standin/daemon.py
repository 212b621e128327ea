"""The stand-in as a process of its own, which outlives the command that started it and ends with its last endpoint."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

from aural.deploy.standin.container import free_port
from aural.deploy.standin.wire import HOST
from aural.errors import DeployError

START_S = 120.0
STOP_S = 60.0
POLL_S = 0.1
PING_S = 30.0
LOG = "standin.log"
ENDPOINT_VARIABLE, TRUST_VARIABLE = "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME_HTTP2", "SSL_CERT_FILE"


@dataclass(frozen=True, slots=True)
class Daemon:
    pid: int
    url: str

    def endpoints(self) -> list[str] | None:
        """None when it does not answer."""
        said = self._ping()
        return said["endpoints"] if said else None

    def for_aws_client(self) -> dict[str, str]:
        """What AWS's own HTTP/2 client must find in its environment."""
        front = (self._ping() or {}).get("bidirectional", {})
        return {ENDPOINT_VARIABLE: front["url"], TRUST_VARIABLE: front["authority"]} if front else {}

    def _ping(self) -> dict[str, Any] | None:
        with suppress(OSError, ValueError), urllib.request.urlopen(f"{self.url}/ping", timeout=PING_S) as answer:
            said: dict[str, Any] = json.load(answer)
            return said
        return None


def folder() -> Path:
    """AURAL_STANDIN, else the user's state folder."""
    return Path(os.environ.get("AURAL_STANDIN") or user_state_path("aural") / "standin")


def find() -> str:
    """The address of the one that runs. Raises DeployError."""
    daemon = _running()
    if daemon is None:
        raise DeployError("expected the stand-in to run; start it with `aural deploy apply --local`")
    return daemon.url


def for_aws_client() -> dict[str, str]:
    """Variables with which AWS's own HTTP/2 client reaches the one that runs; none without one."""
    daemon = _running()
    return daemon.for_aws_client() if daemon else {}


def start() -> str:
    """The address of the one that runs, started if need be. Raises DeployError."""
    daemon = _running()
    if daemon is not None:
        return daemon.url
    root, port = folder(), free_port()
    root.mkdir(parents=True, exist_ok=True)
    daemon = Daemon(_spawn(root, port), f"http://{HOST}:{port}")
    deadline = time.monotonic() + START_S
    while daemon.endpoints() is None:
        if os.waitpid(daemon.pid, os.WNOHANG)[0] or time.monotonic() > deadline:
            raise DeployError(f"the stand-in did not start; see {root / LOG}")
        time.sleep(POLL_S)
    _state().write_text(json.dumps({"pid": daemon.pid, "url": daemon.url}))
    return daemon.url


def _spawn(root: Path, port: int) -> int:
    """A process in a session of its own: Ctrl-C here is not meant for it."""
    log = (os.POSIX_SPAWN_OPEN, 1, str(root / LOG), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    files = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), log, (os.POSIX_SPAWN_DUP2, 1, 2)]
    command = [sys.executable, "-m", "aural.deploy.standin", str(root), str(port)]
    return os.posix_spawn(sys.executable, command, os.environ, file_actions=files, setsid=True)


def stop_if_empty() -> bool:
    """End it when no endpoint is left; whether it was ended."""
    daemon = _running()
    if daemon is None or daemon.endpoints():
        return False
    with suppress(ProcessLookupError):
        os.kill(daemon.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while daemon.endpoints() is not None and time.monotonic() < deadline:
        time.sleep(POLL_S)
    _state().unlink(missing_ok=True)
    return True


def _running() -> Daemon | None:
    try:
        daemon = Daemon(**json.loads(_state().read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return daemon if daemon.endpoints() is not None else None


def _state() -> Path:
    return folder() / "standin.json"
