"""The files of a NeMo export in onnx-asr's layout: which there are, which are wanted, what config.json says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aural.errors import LoadFailed

SUFFIXES: Final = {"float32": "", "int8": ".int8", "float16": ".fp16"}
"""Compute type → what the file names have before `.onnx`."""
TENSORRT: Final = "tensorrt"
"""A compute type of its own: TensorRT makes float16 of what it gets."""
_STEMS: Final = {"encoder": "encoder-model", "decoder_joint": "decoder_joint-model"}


@dataclass(frozen=True, slots=True)
class Config:
    """What config.json says, with the defaults of onnx-asr; `languages` is our own addition."""

    bands: int = 80
    """Of the log-mel features."""
    subsampling: int = 8
    """Feature frames per encoder frame."""
    max_tokens_per_frame: int = 10
    languages: tuple[str, ...] = ()
    """ISO 639-1 codes; empty leaves it to the vocabulary."""


def read_config(path: Path) -> Config:
    """Raises LoadFailed."""
    if not path.is_file():
        return Config()
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        return Config(
            int(given.get("features_size", 80)),
            int(given.get("subsampling_factor", 8)),
            int(given.get("max_tokens_per_step", 10)),
            tuple(map(str, given.get("languages", ()))),
        )
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise LoadFailed(f"{path}: expected a JSON object with the model's sizes: {error}") from error


def is_export(folder: Path) -> bool:
    """Whether a folder has a vocabulary and all networks of a model; a download that was broken off may not."""
    return (folder / "vocab.txt").is_file() and any(_found(folder, suffix) for suffix in SUFFIXES.values())


def weights_files(folder: Path, compute_type: str, device: str) -> dict[str, Path]:
    """`model`, or `encoder` and `decoder_joint`, of the compute type asked for; `auto` takes the best there is for the
    device. Raises LoadFailed."""
    wanted = _wanted(compute_type, device)
    for one in wanted:
        files = _found(folder, SUFFIXES.get(one, f".{one}"))
        if files:
            return files
    raise LoadFailed(
        f"expected model.onnx, or encoder-model.onnx and decoder_joint-model.onnx, in {folder}, "
        f"as {' or '.join(wanted)}; found none"
    )


def hub_files(compute_type: str, device: str) -> list[list[str]]:
    """Patterns of the files to download for a compute type, the best first; a repository may lack them."""
    suffixes = [SUFFIXES.get(one, f".{one}") for one in _wanted(compute_type, device)]
    return [["config.json", "vocab.txt", f"*model{one}.onnx", f"*model{one}.onnx.data"] for one in suffixes]


def weights_bytes(folder: Path, compute_type: str, device: str) -> int:
    """The size of those files, their external data with them: a folder may hold the same weights in several types."""
    files = weights_files(folder, compute_type, device).values()
    named = [path for file in files for path in (file, file.with_name(f"{file.name}.data"))]
    return sum(path.stat().st_size for path in named if path.is_file())


def _wanted(compute_type: str, device: str) -> tuple[str, ...]:
    """Compute types of the files to look for, the best first."""
    if compute_type == TENSORRT:
        return ("float32", "float16")
    if compute_type == "auto":
        return ("int8", "float32", "float16") if device == "cpu" else ("float16", "float32", "int8")
    return (compute_type,)


def _found(folder: Path, suffix: str) -> dict[str, Path]:
    pair = {key: folder / f"{stem}{suffix}.onnx" for key, stem in _STEMS.items()}
    if all(path.is_file() for path in pair.values()):
        return pair
    single = folder / f"model{suffix}.onnx"
    return {"model": single} if single.is_file() else {}
