"""Where the weights of a model come from, and whether they are the published ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

from platformdirs import user_cache_path

from aural.errors import LoadFailed

SIDE_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


def cache_folder() -> Path:
    """AURAL_CACHE, else the user's cache folder."""
    return Path(os.environ.get("AURAL_CACHE") or user_cache_path("aural"))


def verify(path: Path, sha256: str | None) -> None:
    """Raises LoadFailed unless the file is there and has the digest; None accepts any."""
    if not path.is_file():
        raise LoadFailed(f"expected weights at {path}, found none")
    if sha256 is None:
        return
    got = digest(path)
    if got != sha256:
        raise LoadFailed(f"{path}: expected sha256 {sha256}, got {got}; delete it and try again")


def size_bytes(folder: Path | None) -> int:
    """Bytes of the files of a model; 0 for none."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) if folder else 0


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_folder(package: str) -> Path | None:
    """The folder of an installed package, without importing it."""
    spec = find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else None


def assemble(name: str, parts: tuple[Path, ...], side_folder: Path) -> Path:
    """A folder in the cache with model.bin put together from its parts, once; safe when several processes try."""
    folder = cache_folder() / name
    if (folder / "model.bin").is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fresh = Path(scratch, name)
        fresh.mkdir()
        for side_file in SIDE_FILES:
            shutil.copy(side_folder / side_file, fresh)
        with (fresh / "model.bin").open("wb") as whole:
            for part in parts:
                with part.open("rb") as piece:
                    shutil.copyfileobj(piece, whole, 1 << 20)
        try:
            fresh.rename(folder)
        except OSError:
            if not (folder / "model.bin").is_file():  # else another process was faster
                raise
    return folder
