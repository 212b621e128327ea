"""A container that does what it is told: its /invocations obeys the body. Run as a process by the stand-in."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HELD = threading.Event()
"""Never set: for what shall hang."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    well = True

    def do_GET(self) -> None:
        self.answer(200 if Handler.well else 503, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        word, _, rest = body.decode().partition(" ")
        match word:
            case "headers":
                self.answer(200, json.dumps({name.lower(): value for name, value in self.headers.items()}).encode())
            case "environment":
                self.answer(200, json.dumps(dict(os.environ) | {"argv": sys.argv[1:], "cwd": os.getcwd()}).encode())
            case "fail":
                self.answer(int(rest), b"the container says no")
            case "hang":
                HELD.wait()
            case "die":
                os._exit(3)
            case "sicken":
                Handler.well = False
                self.answer(200, b"")
            case "stream":
                self.stream(rest)
            case _:
                self.answer(200, body)

    def stream(self, how: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (b'{"n": 1}\n{"n"', b": 2}\n"):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()
        if how == "break":
            self.close_connection = True
            return
        if how == "hang":
            HELD.wait()
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header(
            "X-Amzn-SageMaker-Custom-Attributes", self.headers.get("X-Amzn-SageMaker-Custom-Attributes", "")
        )
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, form: str, *values: object) -> None:
        print("puppet:", form % values, flush=True)


def main() -> None:
    match os.environ.get("PUPPET"):
        case "stillborn":
            sys.exit("out of memory")
        case "sick":
            Handler.well = False
    deaf = os.environ.get("PUPPET") == "deaf"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if deaf else lambda *_: os._exit(0))
    ThreadingHTTPServer.daemon_threads = True
    with ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
