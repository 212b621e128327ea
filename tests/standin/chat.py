"""A chat endpoint that answers as it is told: well, late, broken, byte by byte."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.standin.listening import Quiet, listening

GOOD = {
    "summary": "The internet is down. An engineer comes tomorrow.",
    "topics": ["internet"],
    "issues": ["no internet"],
    "outcomes": ["engineer booked"],
    "action_items": [],
    "sentiment": "NEGATIVE",
}
DRIP_S = 0.02


@dataclass(frozen=True)
class Said:
    """One answer."""

    body: bytes = b"no"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    drips: threading.Event | None = None
    """The body never ends: byte after byte, until the caller has gone, which sets this."""


Question = dict[str, Any]
Answer = Callable[[Question], Said]


def completion(content: str | None, *, reason: str = "stop", usage: object = None, **message: Any) -> Said:
    choice = {"message": {"content": content, **message}, "finish_reason": reason}
    return Said(json.dumps({"choices": [choice], "usage": usage}).encode())


def says(content: str | None, **more: Any) -> Answer:
    return lambda _: completion(content, **more)


def answers(table: Mapping[str, Any], **more: Any) -> Answer:
    return says(json.dumps(table), **more)


def fails(status: int, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: Said(status=status, headers=named)


def text_of(question: Question) -> str:
    """All that a question says."""
    contents = [message["content"] for message in question["messages"]]
    parts = [part for one in contents for part in ([{"text": one}] if isinstance(one, str) else one)]
    return "\n".join(part.get("text", "") for part in parts)


def hears(question: Question) -> bool:
    """Whether there is a recording in it."""
    content = question["messages"][-1]["content"]
    return not isinstance(content, str) and content[0]["type"] == "input_audio"


@contextmanager
def stand_in(*said: Answer) -> Iterator[tuple[str, list[Question]]]:
    """Its address, and the questions that came. Each is answered in turn, the last way again and again."""
    asked: list[Question] = []

    class Handler(Quiet, BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            one = said[min(len(asked), len(said)) - 1](asked[-1])
            with suppress(ConnectionError):  # it did not want to wait
                self.send_response(one.status)
                for name, value in one.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(2**30 if one.drips else len(one.body)))
                self.end_headers()
                self.wfile.write(one.body)
                if one.drips:
                    self._drip(one.drips)

        def _drip(self, gone: threading.Event) -> None:
            try:
                while not stopping.wait(DRIP_S):
                    self.wfile.write(b" ")
            except ConnectionError:
                gone.set()

    stopping = threading.Event()
    with listening(Handler) as origin:
        try:
            yield f"{origin}/v1", asked
        finally:
            stopping.set()
