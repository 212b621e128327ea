"""Options as custom attributes: `key=value` between commas, the form in which they pass through SageMaker beside a raw
body. Values are percent-encoded, so that they may hold commas and any letters; one that needs no encoding is itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

from aural.errors import BadRequest

OPTIONS = frozenset(
    {
        "model",
        "language",
        "task",
        "prompt",
        "hotwords",
        "temperature",
        "timestamps",
        "beam_size",
        "insights",
        "redact",
        "channels",
    }
)
ROUTE = "route"
KNOWN = OPTIONS | {ROUTE}
PLAIN = " /:;!()[]{}\"'@&=+$?<>"
"""Beside letters, digits and `_.-~`."""


def write(options: Mapping[str, Any]) -> str:
    """Options that are None are left out. Raises BadRequest for one that there is not."""
    unknown = sorted(options.keys() - OPTIONS)
    if unknown:
        raise BadRequest(f"expected options of {', '.join(sorted(OPTIONS))}; got {unknown[0]!r}", param=unknown[0])
    return ",".join(f"{key}={_written(value)}" for key, value in options.items() if value is not None)


def _written(value: Any) -> str:
    match value:
        case bool():
            text = str(value).lower()
        case Mapping():
            text = json.dumps(value)
        case list() | tuple():
            text = ",".join(map(str, value))
        case _:
            text = str(value)
    return quote(text, safe=PLAIN)


def read(header: str) -> dict[str, str]:
    """A header with no `=` is the caller's own, such as an id to find the request by. Raises BadRequest."""
    given: dict[str, str] = {}
    for item in header.split(",") if "=" in header else ():
        key, equals, value = (part.strip() for part in item.partition("="))
        if not equals or key not in KNOWN or key in given:
            expected = f"expected custom attributes key=value, each once, of {', '.join(sorted(KNOWN))}"
            raise BadRequest(f"{expected}; got {item.strip()!r}", param=key)
        given[key] = _decoded(key, value)
    return given


def _decoded(key: str, value: str) -> str:
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise BadRequest(f"expected {key} percent-encoded in UTF-8, got {value!r}", param=key) from error
