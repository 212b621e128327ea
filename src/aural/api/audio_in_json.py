"""Audio as JSON carries it: base64, hex, or the URL of an allowed host. Never a path: the server reads no files."""

from __future__ import annotations

import binascii
from base64 import b64decode

from aural.api.fetch import Link
from aural.errors import BadRequest


def source_of(value: object) -> bytes | Link:
    """Base64 in a string, in a data URL or in `{"data": …}`; a URL in a string or in `{"path": …}`. Raises BadRequest;
    whether a URL is allowed is the fetcher's to say."""
    if isinstance(value, dict):
        if set(value) == {"path"}:
            return Link(_string(value["path"]))
        if set(value) != {"data"}:
            raise BadRequest(f"expected audio as {{'data': BASE64}}, got keys {', '.join(value)}", param="audio")
        value = value["data"]
    text = _string(value)
    if text.startswith(("http://", "https://")):
        return Link(text)
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(f"expected audio in base64 (no paths): {error}", param="audio") from error


def from_hex(value: object) -> bytes:
    if not isinstance(value, str):
        raise BadRequest(
            f"expected audio_input as a string of hex digits, got {type(value).__name__}", param="audio_input"
        )
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise BadRequest(f"expected audio_input as hex digits: {error}", param="audio_input") from error


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise BadRequest(f"expected audio as a base64 string, got {type(value).__name__}", param="audio")
    return value
