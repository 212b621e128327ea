"""`aural models pull`: the weights of a model, for machines without a net."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console

from aural.engines.catalog import find
from aural.engines.weights import digest, verify
from aural.errors import SettingsError


def pull(name: str, to: str) -> None:
    """Fetch a model, put its files into a folder or under an `s3://` address if one is given, and print a line for each
    as sha256sum does. Raises SettingsError, LoadFailed."""
    card = find(name)
    folder = card.pull()
    if folder is None:
        raise SettingsError(f"expected a model with weights, got {name}, which needs none")
    if card.sha256:
        verify(folder / "model.bin", card.sha256)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    where = _placed(files, to) if to else str(folder)
    for path in files:
        print(f"{digest(path)}  {path.name}")
    is_bucket = where.startswith("s3://")
    use = f'deploy it with data = "{where}"' if is_bucket else f"serve it with --model {card.name}={where}"
    Console(stderr=True).print(f"{name} is in {where}; {use}", soft_wrap=True, markup=False)


def _placed(files: list[Path], to: str) -> str:
    """Copies the files; returns where they are."""
    if to.startswith("s3://"):
        return _uploaded(files, to)
    if "://" in to:
        raise SettingsError(f"expected a folder or s3://BUCKET/PREFIX, got {to!r}")
    folder = Path(to).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for source, fresh in _fresh(files, folder):
        shutil.copy(source, fresh)
        fresh.rename(folder / source.name)
    return str(folder)


def _fresh(files: list[Path], folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each file and the name that it has while it is being copied, so that a copy cut short is not taken for one."""
    return ((path, folder / f".{path.name}.part") for path in files)


def _uploaded(files: list[Path], to: str) -> str:
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise SettingsError("expected boto3 for s3:// (pip install 'aural[deploy]'), found none") from error
    address = urlsplit(to)
    prefix = address.path.strip("/")
    try:
        client = boto3.client("s3")
        for path in files:
            client.upload_file(str(path), address.netloc, f"{prefix}/{path.name}".lstrip("/"))
    except (Boto3Error, BotoCoreError, ClientError, OSError) as error:
        raise SettingsError(f"{to} could not be written: {error}") from error
    return f"s3://{address.netloc}/{prefix}/"
