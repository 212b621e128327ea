"""aural: a real-time speech-recognition server."""

__version__ = "0.1.0"
