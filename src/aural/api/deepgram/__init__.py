"""Deepgram's API: live captions at WS /v1/listen over a live session, files at POST /v1/listen."""

from aural.api.deepgram import file, socket

routes = [*file.routes, *socket.routes]

__all__ = ["routes"]
