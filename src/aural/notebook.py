"""Captions in a file: text, SubRip or WebVTT."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

from aural.api import formats
from aural.errors import SettingsError
from aural.types import Segment

SAVED = (".txt", ".srt", ".vtt")


class Notebook:
    """The captions in a file, each of them as soon as it is finished."""

    def __init__(self, path: Path) -> None:
        """Raises SettingsError for a kind that is not offered, OSError for a file that cannot be written. What an older
        file holds stays until `begin`."""
        if path.suffix not in SAVED:
            raise SettingsError(f"expected a file that ends in {', '.join(SAVED)} to save to, got {path.name!r}")
        self._form = path.suffix
        self._file = path.open("a", encoding="utf-8")
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def begin(self) -> None:
        self._file.truncate(0)
        self._put(formats.as_vtt(()) if self._form == ".vtt" else "")

    def add(self, cue: Segment) -> None:
        self._count += 1
        match self._form:
            case ".srt":
                self._put(("\n" if self._count > 1 else "") + formats.srt_cue(self._count, cue))
            case ".vtt":
                self._put("\n" + formats.vtt_cue(cue))
            case _:
                self._put(cue.text + "\n")

    def _put(self, text: str) -> None:
        self._file.write(text)
        self._file.flush()
