"""Deepgram's live API, WS /v1/listen, over a live session."""

from aural.api.deepgram.socket import routes

__all__ = ["routes"]
