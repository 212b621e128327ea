"""Orders of live clients: JSON, of so many values that no client holds up the captions of the others."""

from __future__ import annotations

from typing import Any

import orjson

from aural.errors import BadRequest

MOST_VALUES = 100_000
"""Ten thousand phrases with a category each are 20,000. All of them take a few hundredths of a second."""


def loads(frame: str | bytes) -> Any:
    """What the frame says. Raises BadRequest for one of too many values, JSONDecodeError for one that is no JSON.

    Values are counted by their commas, before they are made: audio in base64 has none, however long it is.
    """
    commas = frame.count(b",") if isinstance(frame, bytes) else frame.count(",")
    if commas >= MOST_VALUES:
        raise BadRequest(f"expected JSON of at most {MOST_VALUES} values, got {commas + 1} between commas")
    return orjson.loads(frame)
