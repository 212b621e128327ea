"""A deploy.toml with comments, to start from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from aural import __version__
from aural.deploy import instances
from aural.deploy.scaling import propose_target
from aural.errors import SettingsError

MODEL, INSTANCE = "whisper-large-v3-turbo", "ml.g6e.xlarge"
GUESSED_TARGET = 4.0
GROWTH = 4
"""Of the instances, at most."""


@dataclass(frozen=True, slots=True)
class Start:
    """What is served on what, how many of it, and the target at which there are more; `origin` says whence that is."""

    model: str
    instance: str
    count: int
    target: float
    origin: str


def guessed(model: str, instance: str) -> Start:
    return Start(model, instance, 1, GUESSED_TARGET, "a guess: measure with `aural bench` and set it")


def measured(model: str, instance: str, capacity_rps: float, latency_s: float) -> Start:
    target = propose_target(capacity_rps, latency_s, "concurrency")
    return Start(model, instance, 1, target, f"70 % of {capacity_rps:g} requests/s x {latency_s:g} s, as measured")


def advised(file: Path) -> Start:
    """What `aural recommend --json` said. Raises SettingsError."""
    try:
        best = json.loads(file.read_text(encoding="utf-8"))["best"]
        one = best["evidence"]
        return Start(one["model"], one["instance"], int(best["count"]), float(best["target"]), "as recommended")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{file}: expected what `aural recommend --json` prints; {error!r}") from error


def write(start: Start, *, name: str, region: str) -> str:
    """The file's text."""
    return TEMPLATE.format(
        version=__version__,
        model=start.model,
        image=_image(start.model, start.instance),
        instance=start.instance,
        name=name,
        region=region,
        count=start.count,
        most=start.count * GROWTH,
        target=start.target,
        origin=start.origin,
    )


def _image(model: str, instance: str) -> str:
    if "voxtral" in model.lower():
        return "vllm"
    return "cuda" if instances.gpus_of(instance) else "cpu"


TEMPLATE = """\
# aural {version}: one endpoint on Amazon SageMaker, or on this machine with --local.
#   aural deploy plan     what would be made, and what it costs; --dry-run needs no credentials
#   aural deploy apply    make it so; run it again after each change

name = "{name}"                 # of the endpoint; all that is made bears it
region = "{region}"
# role = "arn:aws:iam::…"     # else one is made that may do what the endpoint needs and no more
# bucket = "…"                # for model data that are uploaded; else aural-ACCOUNT-REGION
# kms_key = "…"

[[models]]                     # several become inference components of one endpoint
name = "speech"
image = "{image}"                 # cpu, cuda, vllm: built from containers/; or the whole address of an image
serve = "{model}"
local = "whisper-base"         # what this machine serves in its place with --local
# data = "./weights/"         # a folder or .tar.gz (uploaded), s3://bucket/prefix/ or s3://….tar.gz → /opt/ml/model
# jumpstart = "huggingface-asr-whisper-large-v3-turbo"   # instead of image, serve and data
# environment = {{ AURAL_BEAM_SIZE = "1" }}

[instance]
type = "{instance}"
count = {count}
# price_per_hour = 0.0        # overrides the price that is known

[scaling]
min = {count}                        # 0 sleeps: the first call then fails, and waking takes minutes
max = {most}
on = "concurrency"             # or "invocations" (a minute), or "gpu" (% of one GPU)
target = {target}                   # {origin}

[alarms]                       # they also send a bad release back
# email = "you@example.com"
latency_ms = 10000
errors_percent = 5

[release]
strategy = "canary"            # or "linear", "all_at_once"; components change copy by copy and want "all_at_once"
percent = 10
wait_s = 300

# [async]                      # long files, by S3
# output = "s3://bucket/results/"

# [network]
# subnets = ["subnet-…"]
# security_groups = ["sg-…"]
# isolated = true              # then weights must be in 'data' or in the image

[tags]
project = "{name}"
"""
