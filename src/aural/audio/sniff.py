"""What a body is when it is not audio, so that an error can say it and FFmpeg never guesses at it."""

from __future__ import annotations

from typing import Final

_MAGIC: Final = {
    b"PK\x03\x04": "a zip archive",
    b"PK\x05\x06": "an empty zip archive",
    b"\x1f\x8b": "gzip data",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"#EXTM3U": "a playlist",
    b"ffconcat": "a playlist",
    b"v=0": "a session description",
    b"<": "HTML or XML",
    b"{": "JSON",
    b"[": "JSON",
}
_TEXT_HEADED_AUDIO: Final = (b"NIST_1A", b"RIFF", b"#!AMR")
_HEAD_BYTES: Final = 512


def foreign(data: bytes | memoryview) -> str | None:
    """The kind of thing that `data` is when it is surely not audio: 'JSON', 'a zip archive'; else None."""
    head = bytes(data[:_HEAD_BYTES])
    if not head:
        return "an empty body"
    if head.startswith(_TEXT_HEADED_AUDIO):
        return None
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, kind in _MAGIC.items():
        if text.startswith(magic):
            return kind
    return "text" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    """Whether it reads as UTF-8 without control characters; a character may be cut in two at the end."""
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode()
    return all(char.isprintable() or char.isspace() for char in text)
