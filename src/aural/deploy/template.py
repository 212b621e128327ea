"""A deploy.toml with comments, to start from."""

from __future__ import annotations

from aural import __version__
from aural.deploy import instances
from aural.deploy.scaling import propose_target
from aural.errors import SettingsError

GUESSED_TARGET = 4.0


def write(
    *, model: str, instance: str, name: str, region: str, capacity_rps: float | None, latency_s: float | None
) -> str:
    """The file's text. Raises SettingsError for half a measurement."""
    if (capacity_rps is None) != (latency_s is None):
        raise SettingsError("expected both --capacity-rps and --latency-s, or neither")
    if capacity_rps is None or latency_s is None:
        target, origin = GUESSED_TARGET, "a guess: measure with `aural bench` and set it"
    else:
        target = propose_target(capacity_rps, latency_s, "concurrency")
        origin = f"70 % of {capacity_rps:g} requests/s x {latency_s:g} s, as measured"
    return TEMPLATE.format(
        version=__version__,
        model=model,
        image=_image(model, instance),
        instance=instance,
        name=name,
        region=region,
        target=target,
        origin=origin,
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
count = 1
# price_per_hour = 0.0        # overrides the price that is known

[scaling]
min = 1                        # 0 sleeps: the first call then fails, and waking takes minutes
max = 4
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
