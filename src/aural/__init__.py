"""aural: a real-time speech-recognition server."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`aural.Client` and `aural.AsyncClient`, imported when they are first used."""
    if name in ("Client", "AsyncClient"):
        from aural import client

        return getattr(client, name)
    raise AttributeError(f"module 'aural' has no attribute {name!r}")
