"""Audio that a caller names instead of sending it: a URL, of a host that the operator has allowed by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aural.errors import BadAudio, BadRequest, BodyTooLarge

if TYPE_CHECKING:  # a server that never fetches starts without it
    import httpx

FETCH_S = 30.0
"""A fetch takes no longer."""


@dataclass(frozen=True, slots=True)
class Link:
    """Where audio lies. Nothing has been asked of that place yet."""

    url: str


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetches from these hosts alone, by https, or by http where an entry says so: `http://HOST:PORT`."""

    hosts: Sequence[str]
    max_bytes: int

    def check(self, url: str) -> None:
        """Raises BadRequest for all that is not the https URL of an allowed host; files of this server above all."""
        parts = urlsplit(url)
        allowed = {host if "://" in host else f"https://{host}" for host in self.hosts}
        if f"{parts.scheme}://{parts.netloc}" not in allowed:
            known = ", ".join(sorted(allowed)) or "none, see --fetch-from"
            message = f"expected audio as base64 (no paths), or a URL of an allowed host ({known}); got {url[:100]!r}"
            raise BadRequest(message, param="audio")

    async def fetch(self, link: Link) -> bytes:
        """The bytes there. Redirects are not followed: they would lead past the list. Raises BadRequest, BadAudio,
        BodyTooLarge."""
        import httpx

        self.check(link.url)
        try:
            async with (
                httpx.AsyncClient(timeout=FETCH_S, trust_env=False) as client,
                client.stream("GET", link.url) as response,
            ):
                if response.status_code != 200:
                    raise BadAudio(f"expected audio at {link.url}, got status {response.status_code}")
                return await self._read(response)
        except httpx.HTTPError as error:
            raise BadAudio(f"expected audio at {link.url}, got {type(error).__name__}: {error}") from error

    async def _read(self, response: httpx.Response) -> bytes:
        data = bytearray()
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > self.max_bytes:
                raise BodyTooLarge(self.max_bytes, "more")
        return bytes(data)
