"""One cluster for all tests that need one: starting it takes half a minute."""

from __future__ import annotations

import json
import os
import secrets
import select
import socket
import subprocess
import sys
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import aural
from tests.conftest import Server, wait_until

CONFIG = """
max_wait_s = 60
max_streams = 50
log_level = "warning"
[[models]]
name = "steady"
model = "fake"
replicas = 2
[[models]]
model = "whisper-tiny.en"
replicas = 2
[[models]]
name = "elastic"
model = "fake"
"""
START_S = 180
ROOT = Path(__file__).parents[2]


class Cluster(Server):
    """A server that is a cluster."""

    process: subprocess.Popen[bytes]
    metrics_port: int = 0

    def tell(self, order: str) -> dict[str, int]:
        """Give an order; returns the running replicas of each deployment."""
        assert self.process.stdin is not None
        self.process.stdin.write(order.encode() + b"\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, int]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], START_S)
        line = self.process.stdout.readline() if ready else b""
        assert line, "the cluster ended, or did not start"
        return json.loads(line)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "aural.toml").write_text(CONFIG)
    port, metrics_port = free_port(), free_port()
    (folder / "serve.yaml").write_text(yaml.safe_dump(serve_file(folder / "aural.toml", port)))
    command = [sys.executable, "-m", "tests.scale.cluster", str(folder / "serve.yaml"), str(metrics_port)]
    surroundings = os.environ | {
        "PYTHONPATH": f"{Path(aural.__file__).parents[1]}{os.pathsep}{ROOT}",
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "aural.scale.proxy:middlewares",
        "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "0.5",
        "RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING": "0",  # so that callers reach the ingress of either machine
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),  # of this cluster alone
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's switch for staying on the loopback address
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "1",
    }
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=surroundings, cwd=folder
        ) as process,
    ):
        server = Cluster(f"http://127.0.0.1:{port}", process)
        server.metrics_port = metrics_port
        try:
            server.hear()
            wait_until(lambda: _pings(server), START_S)
            yield server
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def serve_file(config: Path, port: int) -> dict[str, object]:
    """One ingress and one replica of each steady model on each machine; `elastic` goes from one to three."""
    one_each = [{"name": name, "max_replicas_per_node": 1} for name in ("ingress", "steady", "whisper-tiny.en")]
    arguments = {
        "config": str(config),
        "ingress": 2,
        "max_replicas": 3,
        "target_audio_s": 4,
        "upscale_delay_s": 1,
        "downscale_delay_s": 3,
    }
    application = {
        "name": "aural",
        "route_prefix": "/",
        "import_path": "aural.scale:app",
        "args": arguments,
        "deployments": one_each,
    }
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": "127.0.0.1", "port": port},
        "applications": [application],
    }


def _pings(server: Cluster) -> bool:
    assert server.process.poll() is None, "the cluster ended"
    try:
        return server.get("/ping")[0] == 200
    except (urllib.error.URLError, ConnectionError):
        return False
