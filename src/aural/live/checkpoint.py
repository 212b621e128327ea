"""Where a session stopped, as a token that any server can go on from: no server keeps anything for it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass

from aural.errors import BadRequest

MOST_SAMPLES = 1 << 48
MOST_AHEAD = 1_000
"""Characters: more is not said in the seconds that a cut looks back on."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All audio before `at` is heard or suppressed, and nothing after it."""

    at: int
    """Samples at 16 kHz, in the clock of the first session."""
    name: str
    count: int
    """Utterances so far."""
    last: str | None = None
    """The last of them."""
    language: str | None = None
    """What was detected."""
    ahead: str = ""
    """What is said right after `at` and was told already, where there was no pause to stop in."""
    session: str | None = None
    """What the caller knows the session by, whichever server hears it."""

    @property
    def token(self) -> str:
        return urlsafe_b64encode(json.dumps(asdict(self), separators=(",", ":")).encode()).decode()

    @classmethod
    def of(cls, token: str) -> Checkpoint:
        """Raises BadRequest for what no server gave out."""
        try:
            found = cls(**json.loads(urlsafe_b64decode(token.encode())))
        except (ValueError, TypeError, RecursionError) as error:
            raise BadRequest(f"expected a resume token of this server, got {token[:60]!r}", param="resume") from error
        if not found.is_sound():
            raise BadRequest(f"expected a resume token of this server, got {token[:60]!r}", param="resume")
        return found

    def is_sound(self) -> bool:
        """Whether the values are of their kinds: a token has been in a client's hands."""
        numbers = all(type(value) is int and 0 <= value < MOST_SAMPLES for value in (self.at, self.count))
        words = all(value is None or isinstance(value, str) for value in (self.last, self.language, self.session))
        is_short = isinstance(self.ahead, str) and len(self.ahead) <= MOST_AHEAD
        return numbers and words and isinstance(self.name, str) and is_short
