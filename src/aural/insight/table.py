"""Tables of the server's file, read key by key. What is wrong is told with its place, and what was expected."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aural.errors import SettingsError
from aural.types import samples

LEAST = 0.001
"""Of numbers that must be above 0."""
MOST = 1e9
"""More than anybody means; infinity and what is no number are outside, too."""


@dataclass(frozen=True, slots=True)
class Table:
    """Raises SettingsError from every method."""

    place: str
    """Where it stands in the file: `webhook`, `alert.churn.any[0]`."""
    values: Mapping[str, Any]

    @classmethod
    def of(cls, place: str, value: object, known: Collection[str]) -> Table:
        """A table that has no keys but the known ones."""
        table = cls(place, value if isinstance(value, dict) else {})
        if not isinstance(value, dict):
            raise table.wrong("a table", value)
        for key in value:
            if key not in known:
                raise table.wrong(f"keys of {', '.join(sorted(known))}", key)
        return table

    def wrong(self, expected: str, got: object, key: str = "") -> SettingsError:
        """About the table, or one of its keys."""
        place = f"{self.place}.{key}" if key else self.place
        return SettingsError(f"{place}: expected {expected}, got {str(got)[:80]!r}")

    def number(self, key: str, default: float, least: float = LEAST, most: float = MOST) -> float:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise self.wrong(f"a number from {least:g} to {most:g}", value, key)
        return float(value)

    def whole(self, key: str, default: int, least: int = 1, most: int = int(MOST)) -> int:
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(f"a whole number from {least} to {most}", value, key)
        return value

    def span(self, key: str, default_s: float, least_s: float = LEAST) -> int:
        """Seconds of the file as samples."""
        return samples(self.number(key, default_s, least_s))

    def switch(self, key: str, *, default: bool) -> bool:
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self.wrong("true or false", value, key)
        return value

    def text(self, key: str, default: str = "") -> str:
        """One that says something, if the key is there. What came is not told: it may be a secret."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self.wrong("a string", type(value).__name__, key)
        if key in self.values and not value.strip():
            raise self.wrong("a string that is not empty", "", key)
        return value.strip()

    def one_of(self, key: str, names: Collection[str]) -> str:
        value = self.text(key)
        if value not in names:
            raise self.wrong(f"one of {', '.join(names) or 'none'}", value, key)
        return value
