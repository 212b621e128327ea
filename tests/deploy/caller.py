"""What AWS's client puts on the wire, over h2 and a blocking socket: for Pythons on which it cannot be installed."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from botocore.eventstream import EventStreamBuffer
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from aural import eventstream

LIMIT_S = 60
END = eventstream.message({":chunk-signature": "none"}, b"")


def part(message: str | bytes, state: str = "COMPLETE") -> bytes:
    """One event as AWS's client sends it, inside the message that signs it."""
    text = isinstance(message, str)
    data = message.encode() if isinstance(message, str) else message
    inner = eventstream.payload_part(data, {"DataType": "UTF8" if text else "BINARY", "CompletionState": state})
    return eventstream.message({":date": "now", ":chunk-signature": "none"}, inner)


@dataclass
class Heard:
    """Of one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False

    def messages(self) -> list[Any]:
        buffer = EventStreamBuffer()
        buffer.add_data(self.body)
        return list(buffer)


class Caller:
    """One connection. Streams are opened on it, written to, and waited for."""

    def __init__(self, connection: ssl.SSLSocket, authority: str) -> None:
        self._socket, self._authority = connection, authority
        self.h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self.heard: dict[int, Heard] = {}
        self.h2.initiate_connection()
        self.flush()

    def open(self, name: str = "echo", **headers: str) -> int:
        stream = self.h2.get_next_available_stream_id()
        path = f"/endpoints/{name}/invocations-bidirectional-stream"
        fields = {":method": "POST", ":scheme": "https", ":authority": self._authority, ":path": path}
        named = {f"x-amzn-sagemaker-model-{key.replace('_', '-')}": value for key, value in headers.items()}
        self.h2.send_headers(stream, [*fields.items(), *named.items()])
        self.heard[stream] = Heard()
        self.flush()
        return stream

    def send(self, stream: int, data: bytes) -> None:
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if not room:
                self._read()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()

    def end(self, stream: int) -> None:
        self.h2.end_stream(stream)
        self.flush()

    def wait(self, stream: int, count: int) -> list[Any]:
        """The messages, once there are `count`."""
        while len(got := self.heard[stream].messages()) < count:
            self._read()
        return got

    def rest(self, stream: int) -> Heard:
        """All of it, once the other side has ended it."""
        while not self.heard[stream].ended:
            self._read()
        return self.heard[stream]

    def flush(self) -> None:
        self._socket.sendall(self.h2.data_to_send())

    def _read(self) -> None:
        data = self._socket.recv(65_536)
        assert data, "the connection has ended"
        for event in self.h2.receive_data(data):
            match event:
                case ResponseReceived():
                    self.heard[event.stream_id].headers = {str(name): str(value) for name, value in event.headers}
                case DataReceived():
                    self.heard[event.stream_id].body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    self.heard[event.stream_id].ended = True
        self.flush()


@contextlib.contextmanager
def calling(front: Any) -> Iterator[Caller]:
    """A connection that trusts the stand-in's authority and no other."""
    context = ssl.create_default_context(cafile=front.authority)
    context.set_alpn_protocols(["h2"])
    host, _, port = front.url.removeprefix("https://").partition(":")
    with (
        socket.create_connection(("127.0.0.1", int(port)), timeout=LIMIT_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        assert secured.selected_alpn_protocol() == "h2"
        yield Caller(secured, f"{host}:{port}")
