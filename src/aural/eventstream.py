"""AWS's event stream encoding (application/vnd.amazon.eventstream): sizes and their CRC-32, headers, payload, CRC-32 of
it all."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

MEDIA_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7
_FRAME_BYTES = 16
"""Two sizes and two checksums."""


def payload_part(payload: bytes, members: Mapping[str, str] | None = None) -> bytes:
    """One PayloadPart of a response stream; `members` are those that travel as headers."""
    named = {":message-type": "event", ":event-type": "PayloadPart", ":content-type": "application/octet-stream"}
    return message(named | dict(members or {}), payload)


def exception(name: str, payload: bytes) -> bytes:
    """The end of a stream that went wrong, as `name`, with its members as JSON."""
    kind = "application/json"
    return message({":message-type": "exception", ":exception-type": name, ":content-type": kind}, payload)


def error(code: str, text: str) -> bytes:
    """The end of a stream that went wrong in a way that its model does not name."""
    return message({":message-type": "error", ":error-code": code, ":error-message": text}, b"")


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", _FRAME_BYTES + len(head) + len(payload), len(head))
    whole = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return whole + struct.pack("!I", zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + struct.pack("!BH", _STRING, len(value.encode())) + value.encode()
