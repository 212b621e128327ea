"""Environments for the rivals. Both import torch, of which PyPI has CUDA builds only; Debian has one for the CPU
(`apt-get install python3-torch python3-torchaudio python3-venv`), so they are made from Debian's interpreter and see
its packages. What they need beside it is installed as they pin it; what only other backends need is left out.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.streams.arms import Arm, WhisperLive, WhisperLiveKit

PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class Rival:
    name: str
    package: str
    needs: str
    imports: str


WHISPERLIVEKIT = Rival(
    "whisperlivekit",
    "whisperlivekit==0.2.26",
    "numpy<2 fastapi>=0.141.1 starlette>=1.3.1 uvicorn websockets faster-whisper>=1.2 tqdm tiktoken python-multipart "
    "huggingface-hub>=0.25 soundfile librosa",
    "whisperlivekit",
)
WHISPERLIVE = Rival(
    "whisperlive",
    "whisper-live==0.10.0",
    "numpy<2 faster-whisper==1.2.0 websockets websocket-client scipy fastapi uvicorn python-multipart onnxruntime "
    "soundfile kaldialign numba tiktoken prometheus-client",
    "whisper_live.server",
)


def prepare(folder: Path, model: str, python: str) -> tuple[list[Arm], dict[str, str]]:
    """The rivals that run here, and why the others do not."""
    arms: list[Arm] = []
    missing = {"whisperlive": "runs without its voice activity detection, which it would download"}
    for rival in (WHISPERLIVEKIT, WHISPERLIVE):
        try:
            own = _environment(rival, folder / rival.name, python)
        except (subprocess.CalledProcessError, OSError) as error:
            missing[rival.name] = f"could not be installed: {_reason(error)}"
            continue
        arms.append(WhisperLiveKit(model, own) if rival is WHISPERLIVEKIT else WhisperLive(model, own, vad=False))
    return arms, missing


def _environment(rival: Rival, folder: Path, python: str) -> Path:
    """Its interpreter. Raises CalledProcessError with what went wrong."""
    own = folder / "bin" / "python"
    if not _works(own, rival.imports):
        shutil.rmtree(folder, ignore_errors=True)
        _do(python, "-m", "venv", "--system-site-packages", str(folder))
        _do(str(own), "-m", "pip", "install", "--quiet", "--no-deps", rival.package)
        _do(str(own), "-m", "pip", "install", "--quiet", *rival.needs.split())
        _do(str(own), "-c", f"import {rival.imports}")
    return own


def _works(own: Path, module: str) -> bool:
    return own.exists() and not subprocess.run([str(own), "-c", f"import {module}"], capture_output=True).returncode


def _do(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _reason(error: Exception) -> str:
    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
    return (said or str(error)).strip().splitlines()[-1]
