"""Weights are the published ones, or they are refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aural.engines import catalog
from aural.engines.base import ModelSpec, load
from aural.engines.weights import assemble, digest
from aural.errors import LoadFailed, SettingsError


@pytest.fixture(scope="module")
def tiny() -> Path:
    folder = catalog.find("whisper-tiny.en").fetch()
    assert folder is not None
    return folder


def spec(folder: Path, sha256: str | None = None) -> ModelSpec:
    return ModelSpec("some-model", "whisper", folder, sha256)


@pytest.mark.parametrize("name", ["whisper-tiny.en", "whisper-base"])
def test_packaged_weights_are_systrans(name: str) -> None:
    folder = catalog.find(name).fetch()
    assert folder is not None
    assert digest(folder / "model.bin") == catalog.SHA256[name]


def test_another_name_changes_nothing_but_the_name(tiny: Path) -> None:
    card = catalog.find("english=whisper-tiny.en")
    assert (card.name, card.is_here, card.fetch(), card.fits_windows) == ("english", True, tiny, True)
    assert card.sha256 == catalog.SHA256["whisper-tiny.en"]


def test_another_digest_is_refused_with_both_named(tiny: Path) -> None:
    with pytest.raises(LoadFailed) as caught:
        load(spec(tiny, sha256="0" * 64))
    assert "0" * 64 in str(caught.value)
    assert catalog.SHA256["whisper-tiny.en"] in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path, tiny: Path) -> None:
    with pytest.raises(LoadFailed, match=r"model\.bin"):
        load(spec(tmp_path))
    for name in ("model.bin", "config.json", "vocabulary.txt"):
        shutil.copy(tiny / name, tmp_path)
    with pytest.raises(LoadFailed, match=r"tokenizer\.json"):
        load(spec(tmp_path))


def test_a_broken_file_is_a_load_failure(tmp_path: Path, tiny: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.bin").write_bytes((tiny / "model.bin").read_bytes()[:100_000])
    with pytest.raises(LoadFailed, match="some-model"):
        load(spec(tmp_path))


def test_base_is_put_together_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURAL_CACHE", str(tmp_path))
    first = catalog.find("whisper-base").fetch()
    assert first == tmp_path / "whisper-base"
    made = (first / "model.bin").stat().st_mtime_ns
    assert catalog.find("whisper-base").fetch() == first
    assert (first / "model.bin").stat().st_mtime_ns == made
    assert [path.name for path in tmp_path.iterdir()] == ["whisper-base"]


def test_another_process_may_put_it_together_first(tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AURAL_CACHE", str(tmp_path))
    copy = shutil.copyfileobj

    def overtaken(*arguments: object) -> None:
        copy(*arguments)  # type: ignore[arg-type]
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "model.bin").write_bytes(b"theirs")

    monkeypatch.setattr(shutil, "copyfileobj", overtaken)
    assert assemble("model", (tiny / "config.json",), tiny) == tmp_path / "model"
    assert (tmp_path / "model" / "model.bin").read_bytes() == b"theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_names(tiny: Path) -> None:
    assert catalog.find("whisper-large-v3-turbo").repository == "mobiuslabsgmbh/faster-whisper-large-v3-turbo"
    assert catalog.find("somebody/some-whisper").repository == "somebody/some-whisper"
    assert catalog.find(str(tiny)).folder == tiny.resolve()
    assert catalog.find(f"speech={tiny}").name == "speech"
    with pytest.raises(SettingsError, match="whisper-huge"):
        catalog.find("whisper-huge")
