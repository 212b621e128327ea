"""deploy.toml as it is written: by init, by `aural recommend`, for other models."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from aural.cli import main
from aural.deploy import template
from aural.deploy.plan import make_plan
from aural.deploy.spec import Deployment, Instance, Scaling, load, parse


def test_init_writes_a_file_that_plans(tmp_path: Path) -> None:
    file = tmp_path / "deploy.toml"
    arguments = ["deploy", "init", str(file), "--capacity-rps", "2", "--latency-s", "3", "--name", "mine"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert tomllib.loads(file.read_text())["scaling"]["target"] == 4.2
    assert "as measured" in file.read_text()
    assert make_plan(load(file), None).problems == ()
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 1
    assert "there is one" in again.output


@pytest.mark.parametrize("use", ["interactive", "captions", "analysis"])
def test_what_aural_recommend_writes_plans(tmp_path: Path, use: str) -> None:
    file = tmp_path / "deploy.toml"
    done = CliRunner().invoke(main, ["recommend", "--for", use, "--hours", "1000", "--deploy-file", str(file)])
    assert done.exit_code == 0, done.output
    assert make_plan(load(file), None).problems == ()
    again = CliRunner().invoke(main, ["recommend", "--for", use, "--hours", "1000", "--deploy-file", str(file)])
    assert again.exit_code == 2
    assert "there is one" in again.output


def test_init_takes_what_aural_recommend_says(tmp_path: Path) -> None:
    advice, file = tmp_path / "advice.json", tmp_path / "deploy.toml"
    advice.write_text(CliRunner().invoke(main, ["recommend", "--for", "captions", "--streams", "900", "--json"]).output)
    best = json.loads(advice.read_text())["best"]
    done = CliRunner().invoke(main, ["deploy", "init", str(file), "--from", str(advice)])
    assert done.exit_code == 0, done.output
    deployment = load(file)
    assert deployment.models[0].serve == best["evidence"]["model"]
    assert deployment.machine == Instance(type=best["evidence"]["instance"], count=best["count"])
    assert deployment.scaling == Scaling(min=best["count"], max=4 * best["count"], target=best["target"])
    assert make_plan(deployment, None).problems == ()


@pytest.mark.parametrize(
    ("flags", "content", "said"),
    [
        (["--model", "whisper-base"], "{}", "got both"),
        ([], "{}", "aural recommend --json"),
        ([], "no JSON", "aural recommend --json"),
    ],
)
def test_init_refuses_other_advice(tmp_path: Path, flags: list[str], content: str, said: str) -> None:
    (tmp_path / "advice.json").write_text(content)
    arguments = ["deploy", "init", str(tmp_path / "deploy.toml"), "--from", str(tmp_path / "advice.json"), *flags]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code != 0
    assert said in done.output
    assert not (tmp_path / "deploy.toml").exists()


@pytest.mark.parametrize(
    ("model", "instance", "image"),
    [
        ("whisper-base", "ml.c6i.xlarge", "cpu"),
        ("whisper-base", "ml.g5.xlarge", "cuda"),
        ("voxtral-mini", "ml.g5.12xlarge", "vllm"),
    ],
)
def test_templates_for_other_models(model: str, instance: str, image: str) -> None:
    text = template.write(template.guessed(model, instance), name="x", region="eu-west-1")
    deployment = parse(tomllib.loads(text), Path())
    assert isinstance(deployment, Deployment)
    assert deployment.models[0].image == image
    assert "a guess" in text
