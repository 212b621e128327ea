"""The design of the article: Flask, base64 in JSON, one request at a time. See article_server.py."""

from __future__ import annotations

import base64
import json

from benchmarks.arms.base import ServerArm, Setup, get, threads_of_libraries
from benchmarks.records import Variant


def _command(setup: Setup, variant: Variant, port: int) -> list[str]:
    return [
        "-m",
        "benchmarks.arms.article_server",
        str(setup.folder),
        str(variant["threads"]),
        str(port),
        variant["search"],
    ]


def base64_json(data: bytes) -> bytes:
    return json.dumps({"audio": {"data": base64.b64encode(data).decode()}}).encode()


def _counted(port: int) -> dict[str, float]:
    return {name: float(value) for name, value in json.loads(get(port, "/counted") or b"{}").items()}


ARM = ServerArm(
    name="article",
    command=_command,
    health="/ping",
    path="/invocations",
    content_type="application/json",
    body=base64_json,
    variants=[{"threads": 1, "search": "greedy"}, {"threads": 2, "search": "greedy"}],
    env=lambda variant: threads_of_libraries(variant["threads"]),
    extra=_counted,
    callers=frozenset({1, 5, 10, 20}),
    every_round=frozenset({1, 20}),
    serial=True,
)
