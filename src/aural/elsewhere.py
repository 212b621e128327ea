"""`aural transcribe --url`: files through a server elsewhere. Nothing of a server is imported here."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from aural.errors import BadRequest, SettingsError
from aural.insight import digest

if TYPE_CHECKING:  # it brings numpy
    from aural.types import Task


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asks for."""

    form: str
    language: str | None
    task: Task
    prompt: str
    words: bool
    model: str | None
    insights: str | None = None
    redact: str | None = None
    channels: str = "mixed"


async def ask_server(files: Sequence[Path], wish: Wish, url: str, api_key: str) -> None:
    """Print the answer of a server to each file."""
    form = "json" if wish.form == "text" and wish.insights else wish.form
    fields = {
        "response_format": form,
        "model": wish.model,
        "language": wish.language,
        "prompt": wish.prompt,
        "insights": wish.insights,
        "redact": wish.redact,
        "channels": wish.channels if wish.channels != "mixed" else None,
    }
    if wish.words:
        fields["timestamp_granularities[]"] = "word"
    route = "translations" if wish.task == "translate" else "transcriptions"
    with progress_bars() as progress:
        for file in files:
            bar = progress.add_task(file.name, total=None)
            given = {name: value for name, value in fields.items() if value}
            answer = await asyncio.to_thread(_post, f"{url.rstrip('/')}/v1/audio/{route}", file, given, api_key)
            print(answer.strip() if form == wish.form else read_out(json.loads(answer)))
            progress.remove_task(bar)


def read_out(body: dict[str, Any]) -> str:
    """Text, then what was found, for people."""
    return "\n".join([body["text"], "", *digest.of_file(body["insights"])])


def progress_bars() -> Progress:
    """On standard error, so that the text can be piped; gone when it is done."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _post(url: str, file: Path, fields: dict[str, str], api_key: str) -> str:
    """One multipart request; raises the server's error."""
    address = urlsplit(url)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise SettingsError(f"expected an address such as http://127.0.0.1:8080, got {url!r}")
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    boundary = uuid4().hex
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    connection = kind(address.hostname, address.port, timeout=3600)
    connection.request("POST", address.path, _multipart(boundary, file, fields), headers)
    response = connection.getresponse()
    body = response.read().decode()
    if response.status != 200:
        raise BadRequest(f"{url} answered {response.status}: {_message(body)}")
    return body


def _multipart(boundary: str, file: Path, fields: dict[str, str]) -> bytes:
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="audio"\r\n\r\n'
    return b"".join([*parts, head.encode(), file.read_bytes(), f"\r\n--{boundary}--\r\n".encode()])


def _message(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return body[:200]
