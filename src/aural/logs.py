"""Logs: JSON lines for machines, plain lines for people."""

from __future__ import annotations

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
REFUSED_HANDSHAKE = "ASGI callable returned without completing handshake."
"""What uvicorn logs as an error when a WebSocket is refused with an HTTP response, as it may be."""


def configure(level: str, form: str) -> None:
    """Send every log line to standard error, in the given form (`json` or `text`)."""
    handler = logging.StreamHandler(sys.stderr)
    names = {"asctime": "time", "levelname": "level", "name": "logger"}
    fields = "%(asctime)s %(levelname)s %(name)s %(message)s"
    handler.setFormatter(JsonFormatter(fields, rename_fields=names) if form == "json" else _Text(fields))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it warns of what the answer says
    logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request to vLLM
    uvicorn = logging.getLogger("uvicorn.error")
    uvicorn.setLevel(max(logging.WARNING, logging.getLevelName(level.upper())))
    uvicorn.addFilter(lambda record: record.getMessage() != REFUSED_HANDSHAKE)


class _Text(logging.Formatter):
    """The message, then its extra fields as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{key}={value}" for key, value in vars(record).items() if key not in _STANDARD)
        return f"{super().format(record)} {extra}".rstrip()
