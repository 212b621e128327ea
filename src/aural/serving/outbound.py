"""Requests that this server makes: JSON to an address of its own configuration, with a hard limit of time and size."""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

MOST_BYTES = 4 * 2**20
"""Of an answer."""


class Unreachable(Exception):
    """No answer: refused, broken off, too slow, too long."""


class TooSlow(Unreachable):
    """No answer in time."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes
    retry_after_s: float | None = None
    """How long it wants to be left alone, where it says so."""


async def post(url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Reply:
    """The answer to a POST, all of it within `timeout_s`; redirects are not followed. Raises Unreachable, whose text
    has nothing of the headers in it."""
    import httpx

    try:
        async with asyncio.timeout(timeout_s):
            return await _posted(url, body, headers)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise TooSlow(f"no answer within {timeout_s:g} s") from error
    except httpx.ConnectError as error:
        raise Unreachable(f"no connection: {error}") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise Unreachable(type(error).__name__) from None  # it may quote a header, and so a key


async def _posted(url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
    import httpx

    given = {"Content-Type": "application/json", "Accept-Encoding": "identity", **headers}
    async with (
        httpx.AsyncClient(verify=_certificates(), timeout=None, trust_env=False) as client,
        client.stream("POST", url, content=body, headers=given) as response,
    ):
        got = bytearray()
        async for piece in response.aiter_raw():
            got += piece
            if len(got) > MOST_BYTES:
                raise Unreachable(f"expected an answer of at most {MOST_BYTES} bytes, got more")
        return Reply(response.status_code, bytes(got), _retry_after_s(response.headers.get("Retry-After")))


def _retry_after_s(value: str | None) -> float | None:
    """Seconds from now; the header has them, or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _until(value)
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _until(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return math.nan


@cache
def _certificates() -> ssl.SSLContext:
    """Read once: they are some hundred."""
    return ssl.create_default_context()


def dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
