"""`aural deploy …` as one types it, on an account of AWS's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.cli import main
from tests.deploy.aws import Aws, remains
from tests.deploy.conftest import ROOT

Run = Callable[..., str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    copy = tmp_path / "deploy.toml"
    copy.write_text((ROOT / "examples" / "article" / "voxtral-byoc.toml").read_text())
    return copy


@pytest.fixture
def run(aws: Aws, file: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("aural.deploy.cloud.Cloud", lambda region, url="": aws)

    def invoke(command: str, *flags: str, status: int = 0, answer: str = "") -> str:
        done = CliRunner().invoke(main, ["deploy", command, str(file), *flags], input=answer)
        assert done.exit_code == status, done.output
        return done.output

    return invoke


def test_a_life_at_the_command_line(aws: Aws, file: Path, run: Run) -> None:
    assert "create    endpoint voxtral-mini" in run("plan")
    assert "go on?" in run("apply", status=1, answer="n\n")
    assert remains(aws) == []
    assert "voxtral-mini is in service" in run("apply", "--yes")
    file.write_text(file.read_text().replace("target = 16.0", "target = 8.0"))
    assert "TargetValue: 16.0 → 8.0" in run("plan")
    file.write_text(file.read_text().replace('image = "vllm"', 'image = "vllm"\nenvironment = { A = "1" }'))
    assert "change endpoint voxtral-mini" in run("update", "--yes", "--canary", "5")
    file.write_text(file.read_text().replace("[alarms]\nlatency_ms = 20000", ""))
    assert "delete    alarm voxtral-mini-latency" in run("plan")
    assert '"cloudwatch.delete_alarms"' in run("plan", "--requests")
    run("scale", "--count", "2")
    status = json.loads(run("status", "--json"))
    assert status["parts"] == ["AllTraffic: 2 of 2 instances"]
    assert f"→ {status['previous']}" in run("rollback", "--yes")
    assert "deleted endpoint voxtral-mini" in run("destroy", "--yes")
    assert remains(aws) == []


def test_one_way_of_release_at_a_time(run: Run) -> None:
    assert "got both" in run("update", "--canary", "5", "--linear", "5", status=2)


def test_one_target_of_a_trial(run: Run) -> None:
    assert "got both" in run("test", "--local", "--url", "http://127.0.0.1:1", status=2)


def test_update_wants_an_endpoint(run: Run) -> None:
    assert "Could not find endpoint" in run("update", "--yes", status=1)
    assert "Could not find endpoint" in run("status", status=1)


def test_problems_are_told_and_nothing_is_made(aws: Aws, file: Path, run: Run) -> None:
    aws.quotas["ml.g6e.xlarge for endpoint usage"] = 0.0
    assert "problem: quota" in run("plan", status=1)
    assert "nothing was made" in run("apply", "--yes", status=1)
    assert remains(aws) == []


def test_how_to_push_an_image(run: Run) -> None:
    said = run("image")
    assert "docker build --platform linux/amd64 -f containers/vllm.Dockerfile" in said
    assert "docker push 123456789012.dkr.ecr.us-east-1.amazonaws.com/aural:" in said


def test_a_log_that_is_not_there_yet(run: Run) -> None:
    assert "log group" in run("logs", status=1)
