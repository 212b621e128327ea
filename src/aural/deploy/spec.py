"""deploy.toml: what shall stand. One file, the same for SageMaker and for the laptop."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from aural.deploy.tables import read
from aural.errors import SettingsError

LONGEST_NAME = 40
"""SageMaker's names have 63 characters; ours get a suffix such as `-model-0123abcd` or `-concurrency`."""
NAME = re.compile(r"[a-zA-Z0-9](-?[a-zA-Z0-9])*")
FLAVOURS = ("cpu", "cuda", "vllm")
"""Images of ours, one per Dockerfile in containers/."""
HIGHEST_STEP_PERCENT = 50
"""Of a canary or linear release; SageMaker takes no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model of the endpoint and the container that serves it."""

    name: str
    image: str = ""
    """`cpu`, `cuda`, `vllm` (built here, pushed to your ECR), or the whole address of an image."""
    jumpstart: str = ""
    """Instead of an image: a model of the JumpStart hub."""
    jumpstart_version: str = ""
    serve: str = ""
    """Name under which aural serves it (AURAL_MODEL)."""
    local: str = ""
    """What the laptop serves in its place."""
    data: str = ""
    """s3://…/ (a prefix), s3://….tar.gz, or a local file or folder, which is uploaded. Comes as /opt/ml/model."""
    environment: Mapping[str, str] = field(default_factory=dict)
    copies: int = 1
    accelerators: int = 0
    cpus: float = 0.0
    memory_mb: int = 1024

    def __post_init__(self) -> None:
        _check_name(self.name, "models.name")
        if bool(self.image) == bool(self.jumpstart):
            raise SettingsError(f"models.{self.name}: expected either 'image' or 'jumpstart'")
        if self.jumpstart and (self.data or self.serve):
            raise SettingsError(f"models.{self.name}: expected no 'data' or 'serve' with 'jumpstart', whose they are")
        if self.jumpstart_version and not self.jumpstart:
            raise SettingsError(f"models.{self.name}: expected 'jumpstart' with 'jumpstart_version', got an image")
        if self.data.startswith("s3://") and not self.data.endswith(("/", ".tar.gz")):
            raise SettingsError(f"models.{self.name}.data: expected a prefix that ends in / or a .tar.gz: {self.data}")
        _positive(f"models.{self.name}", copies=self.copies, memory_mb=self.memory_mb)

    @property
    def is_ours(self) -> bool:
        return self.image in FLAVOURS

    @property
    def is_uploaded(self) -> bool:
        return bool(self.data) and not self.data.startswith("s3://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    type: str
    count: int = 1
    volume_gb: int = 0
    ami: str = ""
    """InferenceAmiVersion; chosen for images of ours with CUDA, as the default AMI's driver is too old for them."""
    startup_s: int = 900
    download_s: int = 1800
    price_per_hour: float = 0.0
    """Overrides the price that is known here."""

    def __post_init__(self) -> None:
        _positive("instance", count=self.count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    min: int = 1
    max: int = 1
    on: Literal["concurrency", "invocations", "gpu"] = "concurrency"
    target: float = 4.0
    """Per instance or copy: requests at once, requests a minute, or the mean load of a GPU in percent; with [async],
    calls that wait."""
    out_cooldown_s: int = 60
    in_cooldown_s: int = 300

    def __post_init__(self) -> None:
        if not 0 <= self.min <= self.max or self.max < 1:
            raise SettingsError(f"scaling: expected 0 <= min <= max and max >= 1, got {self.min} and {self.max}")
        if not self.target > 0:
            raise SettingsError(f"scaling.target: expected above 0, got {self.target}")
        if self.on == "gpu" and self.target > 100:
            raise SettingsError(f"scaling.target: expected percent of one GPU, up to 100, got {self.target}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asynchronous:
    output: str
    """s3://… where results go."""
    failures: str = ""
    concurrency: int = 4
    success_topic: str = ""
    error_topic: str = ""

    def __post_init__(self) -> None:
        if not self.output.startswith("s3://"):
            raise SettingsError(f"async.output: expected s3://…, got {self.output!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    email: str = ""
    topic: str = ""
    """ARN of an SNS topic of yours; with `email`, one is made."""
    latency_ms: float = 10_000.0
    """p95 of the model's time."""
    errors_percent: float = 5.0

    def __post_init__(self) -> None:
        if self.email and self.topic:
            raise SettingsError("alarms: expected 'email' or 'topic', got both; subscribe the address to the topic")


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    strategy: Literal["all_at_once", "canary", "linear"] = "all_at_once"
    percent: int = 10
    wait_s: int = 300

    def __post_init__(self) -> None:
        if not 1 <= self.percent <= HIGHEST_STEP_PERCENT:
            raise SettingsError(f"release.percent: expected 1 to {HIGHEST_STEP_PERCENT}, got {self.percent}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    subnets: tuple[str, ...] = ()
    security_groups: tuple[str, ...] = ()
    isolated: bool = False

    def __post_init__(self) -> None:
        if bool(self.subnets) != bool(self.security_groups):
            raise SettingsError("network: expected both 'subnets' and 'security_groups', or neither")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The whole file. Everything that is made bears `name`."""

    name: str
    region: str
    models: tuple[Model, ...] = ()
    instance: Instance | None = None
    existing: bool = False
    """The endpoint is there already and not ours: only scaling, alarms and dashboard are."""
    variant: str = "AllTraffic"
    role: str = ""
    bucket: str = ""
    kms_key: str = ""
    components: bool = False
    """Inference components; taken by itself with several models, and to scale to zero."""
    scaling: Scaling | None = None
    asynchronous: Asynchronous | None = field(default=None, metadata={"key": "async"})
    alarms: Alarms | None = None
    release: Release = Release()
    network: Network = Network()
    tags: Mapping[str, str] = field(default_factory=dict)
    folder: Path = field(default=Path(), metadata={"key": None})
    """Where the file lies; local paths in it start there."""

    def __post_init__(self) -> None:
        _check_name(self.name, "name")
        if self.existing:
            self._check_existing()
        else:
            self._check_own()

    def _check_existing(self) -> None:
        extra = sorted(_given(self) - OF_EXISTING)
        if extra:
            raise SettingsError(f"existing: expected no {extra[0]!r} with an endpoint of others, which has its own")
        if self.scaling and (self.scaling.min == 0 or self.scaling.on == "gpu"):
            raise SettingsError("existing: expected scaling.min of 1 or more, and not on 'gpu': its GPUs are unknown")

    def _check_own(self) -> None:
        if not self.models or self.instance is None:
            raise SettingsError("the file: expected at least one [[models]] and an [instance]")
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise SettingsError(f"models: expected different names, got {', '.join(names)}")
        if self.uses_components:
            self._check_components()
        for model in self.models if not self.uses_components else ():
            extra = sorted(_given(model) & OF_COMPONENTS)
            if extra:
                raise SettingsError(f"models.{model.name}: expected no {extra[0]!r} without inference components")
        if self.asynchronous:
            self._check_asynchronous()

    def _check_components(self) -> None:
        if self.asynchronous:
            raise SettingsError("async: expected one model without inference components")
        if self.scaling and self.scaling.on == "gpu":
            raise SettingsError("scaling.on: expected 'concurrency' or 'invocations' for inference components")
        if self.release.strategy != "all_at_once":
            raise SettingsError(
                "release.strategy: expected 'all_at_once' for inference components, which change copy by copy; "
                f"got {self.release.strategy!r}"
            )

    def _check_asynchronous(self) -> None:
        if self.scaling and self.scaling.on != "concurrency":
            raise SettingsError(
                "scaling.on: expected none for an asynchronous endpoint, whose target is the calls that wait for each "
                f"instance; got {self.scaling.on!r}"
            )
        if self.alarms and _given(self.alarms) & {"latency_ms", "errors_percent"}:
            raise SettingsError("alarms: expected no limits for an asynchronous endpoint; any failure raises its alarm")

    @property
    def uses_components(self) -> bool:
        """Several models on an instance, or none of it: multi-model endpoints on GPUs exist for Triton alone."""
        to_zero = self.scaling is not None and self.scaling.min == 0 and self.asynchronous is None
        return self.components or len(self.models) > 1 or to_zero

    @property
    def machine(self) -> Instance:
        assert self.instance is not None, "an existing endpoint has its own"
        return self.instance


OF_EXISTING = frozenset({"name", "region", "existing", "variant", "scaling", "alarms", "folder"})
OF_COMPONENTS = frozenset({"copies", "accelerators", "cpus", "memory_mb"})


def _given(table: Any) -> set[str]:
    """The fields that differ from their defaults."""
    return {one.name for one in fields(table) if getattr(table, one.name) != _default(one)}


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def load(path: Path) -> Deployment:
    """Read a deploy.toml. Raises SettingsError."""
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from error
    return parse(table, path.parent)


def parse(table: dict[str, Any], folder: Path) -> Deployment:
    return replace(read(Deployment, table), folder=folder)


def _check_name(name: str, where: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST_NAME:
        raise SettingsError(f"{where}: expected up to {LONGEST_NAME} letters, digits and inner dashes, got {name!r}")


def _positive(where: str, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise SettingsError(f"{where}.{name}: expected 1 or more, got {value}")
