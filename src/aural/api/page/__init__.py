"""GET /: live captions in a browser. The page is files of this package: no build step, no request to anywhere else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from aural.api.status import index

FOLDER = Path(str(files(__package__)))
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


async def front(request: Request) -> Response:
    """The page for browsers; where things are, as JSON, for everybody else."""
    if "text/html" in request.headers.get("accept", ""):
        return _file("index.html")
    return await index(request)


async def part(request: Request) -> Response:
    return _file(request.path_params["name"])


def _file(name: str) -> Response:
    path = FOLDER / name
    if "/" in name or path.suffix not in TYPES or not path.is_file():
        raise HTTPException(404)
    return FileResponse(path, headers=HEADERS, media_type=TYPES[path.suffix])


routes = [Route("/", front), Route("/page/{name}", part)]
