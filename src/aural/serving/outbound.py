"""Requests that this server makes: JSON to an address of its own configuration, with a hard limit of time and size."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

MOST_BYTES = 4 * 2**20
"""Of an answer that is read."""
MOST_AT_ONCE = 8

_THREADS = ThreadPoolExecutor(MOST_AT_ONCE, "outbound")


class Unreachable(Exception):
    """No answer: refused, broken off, too slow."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes


async def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Reply:
    """The answer to a POST; redirects are not followed. Raises Unreachable."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            return await loop.run_in_executor(_THREADS, _post, url, body, dict(headers), timeout_s)
    except TimeoutError as error:
        raise Unreachable(f"no answer within {timeout_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{type(error).__name__}: {error}") from error


def _post(url: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Reply:
    address = urlsplit(url)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=timeout_s)
    try:
        path = address.path + (f"?{address.query}" if address.query else "")
        connection.request("POST", path or "/", body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return Reply(response.status, response.read(MOST_BYTES))
    finally:
        connection.close()


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
