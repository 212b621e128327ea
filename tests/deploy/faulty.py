"""A server of one answer, whole or not."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Faulty(ThreadingHTTPServer):
    daemon_threads = True
    answer = b""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Callers who hang up are what it is for."""


class Handler(BaseHTTPRequestHandler):
    server: Faulty

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(self.server.answer)
        if not self.server.answer:
            self.server.over.wait()

    def do_GET(self) -> None:
        self.wfile.write(self.server.answer)

    def log_message(self, form: str, *values: object) -> None:
        """Silent."""


@contextlib.contextmanager
def faulty(answer: bytes) -> Iterator[Faulty]:
    """`answer` is all that comes over the wire before the connection closes; with none it stays open and silent."""
    with Faulty() as server:
        server.answer = answer
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.over.set()
            server.shutdown()
            thread.join()
