"""What is told to the cluster becomes an application; files for it fit Ray's and KubeRay's schemas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from aural.errors import SettingsError
from aural.scale.arguments import Arguments
from aural.scale.autoscale import IN_FLIGHT, ByAudio, wanted
from aural.settings import ModelSettings

CONFIG = 'max_wait_s = 7\nmulti_model = true\n[[models]]\nmodel = "fake"\n[[models]]\nname = "two"\nmodel = "fake"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "aural.toml").write_text(CONFIG)
    return tmp_path / "aural.toml"


def test_words_become_arguments(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AURAL_CONFIG", raising=False)
    told = Arguments.of({"max_replicas": "8", "gpus": "0.5"})
    assert (told.max_replicas, told.gpus, told.config) == (8, 0.5, "")
    monkeypatch.setenv("AURAL_CONFIG", "here.toml")
    assert Arguments.of({}).config == "here.toml"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"replicas": "2"}, "expected config, ingress, .*; got 'replicas'"),
        ({"max_replicas": "many"}, "expected a number for max_replicas, got 'many'"),
        ({"min_replicas": "3"}, "expected max_replicas of 3 or more, got 1"),
        ({"cpus": "-1"}, "expected cpus of 0 or more"),
        ({"target_audio_s": "0"}, "expected target_audio_s above 0"),
    ],
)
def test_wrong_words_are_refused(told: dict[str, str], message: str):
    with pytest.raises(SettingsError, match=message):
        Arguments.of(told)


def test_the_file_is_read_as_the_server_reads_it(config: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AURAL_API_KEY", "secret")
    settings = Arguments(config=str(config)).settings()
    assert [one.model for one in settings.models] == ["fake", "two=fake"]
    assert (settings.defaults.max_wait_s, settings.api_key, settings.multi_model) == (7.0, "secret", False)
    config.write_text("max_weight = 1")
    with pytest.raises(SettingsError, match="max_weight"):
        Arguments(config=str(config)).settings()


def test_gpus_are_what_the_model_says_or_all_get():
    assert Arguments(gpus=0.5).gpus_of(ModelSettings()) == 0.5
    assert Arguments(gpus=0.5).gpus_of(ModelSettings(device="cpu")) == 0.0
    assert Arguments().gpus_of(ModelSettings(device="cuda")) == 1.0
    assert Arguments(gpus=1.0).gpus_of(ModelSettings(device="cuda", memory_share=0.25)) == 0.25


def test_replicas_are_wanted_for_the_audio_in_flight():
    assert wanted({"a": 90.0, "b": 30.0}, queued=0, target_s=60.0) == 2.0
    assert wanted({"a": 0.0}, queued=12, target_s=60.0) == 2.0
    policy = ByAudio(60.0)
    context = SimpleNamespace(aggregated_metrics={}, total_queued_requests=0.0, target_num_replicas=3)
    assert policy(context) == (3, {})  # type: ignore[arg-type]
    context.aggregated_metrics = {IN_FLIGHT: {"a": 150.0}}
    assert policy(context) == (2.5, {})  # type: ignore[arg-type]


def test_serve_build_writes_a_file_that_ray_takes(config: Path, tmp_path: Path):
    config.write_text(CONFIG + '[[models]]\nmodel = "voxtral=http://127.0.0.1:9"\n')
    command = [Path(sys.executable).with_name("serve"), "build", "aural.scale:built", "-o", tmp_path / "serve.yaml"]
    surroundings = os.environ | {"AURAL_CONFIG": str(config), "AURAL_API_KEY": "secret"}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "serve.yaml").read_text()
    [application] = yaml.safe_load(text)["applications"]
    assert {one["name"] for one in application["deployments"]} == {
        "ingress",
        "fake",
        "two",
    }  # none for what runs elsewhere
    assert "secret" not in text
