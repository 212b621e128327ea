"""The entry point of our containers: `python -m aural.container serve`, as SageMaker starts them.

SageMaker mounts the model read-only at /opt/ml/model, asks for port 8080 or for SAGEMAKER_BIND_TO_PORT, and stops with
SIGTERM, 30 s before SIGKILL. This process becomes the server itself: it is PID 1 and gets the signals.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

MODEL_FOLDER = "/opt/ml/model"
CACHES = {
    "HF_HOME": "huggingface",
    "AURAL_CACHE": "aural",
    "XDG_CACHE_HOME": "cache",
    "XDG_CONFIG_HOME": "config",
    "NUMBA_CACHE_DIR": "numba",
    "CUDA_CACHE_PATH": "cuda",
    "TRITON_CACHE_DIR": "triton",
    "TORCHINDUCTOR_CACHE_DIR": "inductor",
    "FLASHINFER_WORKSPACE_BASE": "flashinfer",
    "VLLM_CACHE_ROOT": "vllm",
    "VLLM_CONFIG_ROOT": "vllm-config",
}
"""What is known to write into the home folder, and where it may: the root file system may be read-only."""
DEFAULT_NAME = "model"


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """The variables that a container's own do not set: address, caches, and which model lies in the folder."""
    scratch = given.get("TMPDIR", "/tmp")
    settings = {"AURAL_HOST": "0.0.0.0"}
    settings |= {name: str(Path(scratch, folder)) for name, folder in CACHES.items()}
    return settings | dict(given) | _model(given)


def _model(given: Mapping[str, str]) -> dict[str, str]:
    """AURAL_MODEL names the model in the folder; a name with `=` says already where it lies."""
    folder = Path(given.get("AURAL_MODEL_FOLDER", MODEL_FOLDER))
    name = given.get("AURAL_MODEL", "")
    multi_model = given.get("SAGEMAKER_MULTI_MODEL", "").lower() == "true"
    if multi_model or "=" in name or " " in name or not folder.is_dir() or not any(folder.iterdir()):
        return {}
    return {"AURAL_MODEL": f"{name or DEFAULT_NAME}={folder}"}


def main(arguments: list[str]) -> None:
    if arguments != ["serve"]:
        sys.exit(f"expected 'serve', as SageMaker gives it; got {' '.join(arguments) or 'nothing'}")
    os.environ.update(environment(os.environ))
    from aural.cli import main as aural

    aural(["serve"], prog_name="aural")


if __name__ == "__main__":
    main(sys.argv[1:])
