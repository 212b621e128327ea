"""Bodies: refused before they are read where that can be known, and never read past the limit or the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from aural.errors import BadAudio, BadRequest, BodyTooLarge, RequestTimeout

MAX_FIELD_BYTES = 64 * 1024
LONGER_FIELDS = {"insights": 4 * 2**20}
"""Lists of thousands of phrases."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    max_bytes: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart form: its one file and the values of each field, `name[]` under `name`."""

    file: bytes | None
    fields: dict[str, list[str]] = field(default_factory=dict)


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body; raises BodyTooLarge, RequestTimeout, BadAudio for a compressed one."""
    async with _deadline(limits):
        chunks = [chunk async for chunk in _limited(request, limits)]
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def json_object(body: bytes) -> dict[str, Any]:
    """The object that a body is in JSON; raises BadRequest."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"expected JSON, got something else: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest(f"expected a JSON object, got {type(value).__name__}")
    return value


async def read_form(request: Request, limits: BodyLimits) -> Form:
    """The multipart form; raises what `read_body` raises, and BadRequest for a broken form or a field too long."""
    kind, parameters = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise BadRequest(f"expected Content-Type multipart/form-data, got {kind.decode('latin-1') or 'none'}")
    if parameters.get(b"charset", b"utf-8").lower() != b"utf-8":
        raise BadRequest("expected form fields in UTF-8, got another charset")
    longest = max(LONGER_FIELDS.values())
    parser = _Parser(request.headers, _limited(request, limits), max_files=1, max_fields=100, max_part_size=longest)
    parser.spool_max_size = limits.max_bytes  # in memory: the limit bounds it
    async with _deadline(limits):
        try:
            form = await parser.parse()
        except (MultiPartException, MultipartParseError, KeyError, ValueError) as error:
            raise BadRequest(f"expected multipart/form-data as RFC 7578 has it, got a broken one: {error}") from error
    if not parser.is_complete:
        raise BadRequest("expected multipart/form-data up to its closing boundary, got a body that ends before it")
    file: bytes | None = None
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name != "file":
                raise BadRequest(f"expected the audio in the field 'file', got a file in {name!r}", param=name)
            with value.file:
                file = value.file.read()
        else:
            fields.setdefault(name.removesuffix("[]"), []).append(value)
    return Form(file, fields)


class _Parser(MultiPartParser):
    """Starlette's, which takes a form cut short for a whole one, and does not say which field is too long."""

    is_complete = False

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part, name = self._current_part, self._current_part.field_name
        most = LONGER_FIELDS.get(name, MAX_FIELD_BYTES)
        if part.file is None and len(part.data) + end - start > most:
            raise BadRequest(f"expected {name[:40]!r} of at most {most // 1024} KiB, got more", param=name[:40])
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        self.is_complete = True


async def _limited(request: Request, limits: BodyLimits) -> AsyncGenerator[bytes, None]:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":
        raise BadAudio(f"expected a body without Content-Encoding, got {encoding}")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.max_bytes:
        raise BodyTooLarge(limits.max_bytes, f"Content-Length {declared}")
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limits.max_bytes:
            raise BodyTooLarge(limits.max_bytes, "more")
        if chunk:
            yield chunk


@asynccontextmanager
async def _deadline(limits: BodyLimits) -> AsyncIterator[None]:
    """Turns the timeout of a slow body into RequestTimeout."""
    try:
        async with asyncio.timeout(limits.timeout_s):
            yield
    except TimeoutError:
        raise RequestTimeout(limits.timeout_s) from None
