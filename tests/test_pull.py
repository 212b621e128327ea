"""Weights for machines without a net."""

from __future__ import annotations

import hashlib
from pathlib import Path

import boto3
import huggingface_hub
import pytest
from click.testing import CliRunner
from moto import mock_aws

from aural import pull
from aural.cli import main
from aural.engines.catalog import SHA256
from tests.test_cli import aural, complaint, said


def test_into_a_folder_that_can_be_served(tmp_path: Path) -> None:
    there = tmp_path / "weights"
    lines = said(aural("models", "pull", "whisper-tiny.en", "--to", there)).splitlines()
    told = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert told["model.bin"] == SHA256["whisper-tiny.en"]
    assert sorted(told) == sorted(path.name for path in there.iterdir())
    for name, digest in told.items():
        assert hashlib.sha256((there / name).read_bytes()).hexdigest() == digest
    assert "as published" not in said(aural("doctor", "--model", f"mine={there}"))


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["fake"], "which needs none"),
        (["whisper-nine"], "whisper-nine"),
        (["whisper-tiny.en", "--to", "gs://x"], "s3://"),
    ],
)
def test_what_cannot_be_pulled(arguments: list[str], part: str) -> None:
    assert part in complaint(aural("models", "pull", *arguments))


def test_what_was_broken_off_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot(repository: str, allow_patterns: list[str]) -> str:
        (tmp_path / "consolidated.safetensors").write_bytes(b"weights")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda repository, name: str(tmp_path / name))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    for name in ("params.json", "tekken.json"):
        (tmp_path / name).write_text("{}")
    result = CliRunner().invoke(main, ["models", "pull", "voxtral-mini-3b"])
    assert result.exit_code == 0, result.output
    assert f"{hashlib.sha256(b'weights').hexdigest()}  consolidated.safetensors" in result.output


def test_a_bucket_is_for_deploying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.bin").write_bytes(b"weights")
    monkeypatch.setattr(pull, "_uploaded", lambda files, to: to)
    result = CliRunner().invoke(main, ["models", "pull", f"mine={tmp_path}", "--to", "s3://weights/mine/"])
    assert 'deploy it with data = "s3://weights/mine/"' in result.output


@pytest.mark.slow
def test_into_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="weights")
        result = CliRunner().invoke(main, ["models", "pull", "whisper-tiny.en", "--to", "s3://weights/tiny/"])
        assert result.exit_code == 0, result.output
        keys = {one["Key"] for one in client.list_objects_v2(Bucket="weights")["Contents"]}
        assert {"tiny/model.bin", "tiny/config.json"} <= keys
        result = CliRunner().invoke(main, ["models", "pull", "whisper-tiny.en", "--to", "s3://nowhere/tiny/"])
        assert result.exit_code == 1
        assert "could not be written" in result.output
