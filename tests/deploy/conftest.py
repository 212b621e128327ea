"""An empty AWS account, and the article's three deployments with what they need there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aural import __version__
from aural.deploy.apply import carry_out
from aural.deploy.plan import make_plan
from aural.deploy.spec import Deployment, load
from tests.deploy.aws import Aws, Clock, aws_account
from tests.deploy.local import ECHO, HURRY, Local, puppet, standin

ROOT = Path(__file__).parents[2]
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
ARTICLE = ("whisper-jumpstart", "voxtral-byoc", "parakeet-byoc")
INSTANCES = ("ml.c6i.xlarge", "ml.g6e.xlarge", "ml.g6e.12xlarge")
HUB = {
    "huggingface-asr-whisper-large-v3-turbo": {
        "HostingEcrUri": "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:2.1.0-gpu",
        "HostingPrepackedArtifactUri": "s3://jumpstart-cache-prod-us-east-1/whisper-large-v3-turbo/",
        "InferenceEnvironmentVariables": [{"Name": "SAGEMAKER_PROGRAM", "Default": "inference.py"}],
        "SupportedInferenceInstanceTypes": ["ml.g5.2xlarge"],
    }
}
"""Written by hand after the hub's schema: the hub itself needs AWS."""


@pytest.fixture
def aws() -> Iterator[Aws]:
    """With our images pushed, the article's weights uploaded, and quotas."""
    with aws_account() as account:
        account.hub.update(HUB)
        account.default_quotas.update({f"{kind} for endpoint usage": 20.0 for kind in INSTANCES})
        account.ask("ecr", "create_repository", repositoryName="aural")
        for flavour in ("cpu", "cuda", "vllm"):
            push(account, flavour, flavour)
        account.ask("s3", "create_bucket", Bucket="my-models")
        for key in ("voxtral-mini-3b-2507/config.json", "parakeet-tdt-0.6b-v2/config.json"):
            account.ask("s3", "put_object", Bucket="my-models", Key=key, Body=b"{}")
        yield account


def push(account: Aws, flavour: str, content: str) -> None:
    account.ask(
        "ecr",
        "put_image",
        repositoryName="aural",
        imageTag=f"{__version__}-{flavour}",
        imageManifest=json.dumps({"mediaType": MANIFEST, "content": content}),
    )


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """The stand-in, with an endpoint whose container says back what it hears."""
    with standin(tmp_path_factory.mktemp("echo"), command=ECHO) as running:
        carry_out(running.cloud, make_plan(puppet(name="echo"), running.cloud), lambda _: None, HURRY)
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def example(name: str) -> Deployment:
    return load(ROOT / "examples" / "article" / f"{name}.toml")
