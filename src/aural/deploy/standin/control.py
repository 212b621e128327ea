"""SageMaker's control plane: models, endpoint configurations, endpoints, inference components, tags."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore import xform_name

from aural.deploy import shapes
from aural.deploy.cloud import LOCAL_ACCOUNT
from aural.deploy.resources import Call
from aural.deploy.standin.container import COMMAND, Container, StartFailed
from aural.deploy.standin.fleet import Fleet
from aural.deploy.standin.store import Store

DEFAULT_STARTUP_S = 480.0
INSTANCES = "instances"
"""Folder of the containers' file systems and logs."""
RUNNABLE = re.compile(r"(^|/)aural:|^jumpstart/")
Request = dict[str, Any]
Answer = dict[str, Any]


class Refused(Exception):
    """An error as AWS answers it."""

    def __init__(self, message: str, code: str = "ValidationException", status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status


@dataclass(slots=True)
class Served:
    """An endpoint or component: what it was asked to be, and what serves it now."""

    name: str
    asked: Answer
    status: str
    created: float = field(default_factory=time.time)
    reason: str = ""
    fleet: Fleet | None = None
    wanted: int = 0
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Control:
    """Everything that stands on this machine. Not thread-safe: it lives on one event loop."""

    root: Path
    store: Store
    command: tuple[str, ...] = COMMAND
    models: dict[str, Answer] = field(default_factory=dict)
    configs: dict[str, Answer] = field(default_factory=dict)
    endpoints: dict[str, Served] = field(default_factory=dict)
    components: dict[str, Served] = field(default_factory=dict)
    tags: dict[str, list[Answer]] = field(default_factory=dict)

    def answer(self, operation: str, request: Request) -> Answer:
        """One call. Raises Refused."""
        method = OPERATIONS.get(operation)
        if method is None:
            raise Refused(f"{operation} is not known to the stand-in", "UnknownOperationException")
        problems = shapes.problems(Call("sagemaker", xform_name(operation), request))
        if problems:
            raise Refused("; ".join(problems))
        return method(self, request)

    async def close(self) -> None:
        everything = [*self.endpoints.values(), *self.components.values()]
        for one in everything:
            await _cancel(one.task)
        await asyncio.gather(*(one.fleet.stop() for one in everything if one.fleet))

    def create_model(self, asked: Request) -> Answer:
        return {"ModelArn": self._create(self.models, "model", asked["ModelName"], asked)}

    def describe_model(self, asked: Request) -> Answer:
        return dict(self._one(self.models, "model", asked["ModelName"]))

    def delete_model(self, asked: Request) -> Answer:
        self._one(self.models, "model", asked["ModelName"])
        del self.models[asked["ModelName"]]
        return {}

    def list_models(self, asked: Request) -> Answer:
        return {"Models": self._listed(self.models, "Model", "model", asked)}

    def create_endpoint_config(self, asked: Request) -> Answer:
        for variant in asked["ProductionVariants"]:
            if "ModelName" in variant:
                self._one(self.models, "model", variant["ModelName"])
        arn = self._create(self.configs, "endpoint-config", asked["EndpointConfigName"], asked)
        return {"EndpointConfigArn": arn}

    def describe_endpoint_config(self, asked: Request) -> Answer:
        return dict(self._one(self.configs, "endpoint configuration", asked["EndpointConfigName"]))

    def delete_endpoint_config(self, asked: Request) -> Answer:
        self._one(self.configs, "endpoint configuration", asked["EndpointConfigName"])
        del self.configs[asked["EndpointConfigName"]]
        return {}

    def list_endpoint_configs(self, asked: Request) -> Answer:
        return {"EndpointConfigs": self._listed(self.configs, "EndpointConfig", "endpoint-config", asked)}

    def create_endpoint(self, asked: Request) -> Answer:
        name = asked["EndpointName"]
        if name in self.endpoints:
            raise Refused(f"Cannot create already existing endpoint {name!r}.")
        config = self._one(self.configs, "endpoint configuration", asked["EndpointConfigName"])
        served = self.endpoints[name] = Served(name, dict(asked), "Creating")
        self._tag("endpoint", name, asked)
        served.task = self._background(served, self._bring_up(served, config))
        return {"EndpointArn": arn_of("endpoint", name)}

    def update_endpoint(self, asked: Request) -> Answer:
        served = self._settled(asked["EndpointName"])
        config = self._one(self.configs, "endpoint configuration", asked["EndpointConfigName"])
        served.status = "Updating"
        served.task = self._background(served, self._replace(served, asked, config))
        return {"EndpointArn": arn_of("endpoint", served.name)}

    def scale_endpoint(self, asked: Request) -> Answer:
        served = self._settled(asked["EndpointName"])
        served.status = "Updating"
        wanted = asked["DesiredWeightsAndCapacities"][0]["DesiredInstanceCount"]
        served.task = self._background(served, self._resize(served, wanted))
        return {"EndpointArn": arn_of("endpoint", served.name)}

    def describe_endpoint(self, asked: Request) -> Answer:
        served = self._one(self.endpoints, "endpoint", asked["EndpointName"])
        config = self.configs.get(served.asked["EndpointConfigName"], {})
        variant = next((one["VariantName"] for one in config.get("ProductionVariants", [])), "AllTraffic")
        running = len(served.fleet.containers) if served.fleet else 0
        counts = {"CurrentInstanceCount": running, "DesiredInstanceCount": served.wanted}
        return {
            "EndpointName": served.name,
            "EndpointArn": arn_of("endpoint", served.name),
            "EndpointConfigName": served.asked["EndpointConfigName"],
            "EndpointStatus": served.status,
            "ProductionVariants": [{"VariantName": variant, **counts}],
            "CreationTime": served.created,
            "LastModifiedTime": served.created,
            **({"FailureReason": served.reason} if served.reason else {}),
        }

    def delete_endpoint(self, asked: Request) -> Answer:
        served = self._one(self.endpoints, "endpoint", asked["EndpointName"])
        if any(one.asked["EndpointName"] == served.name for one in self.components.values()):
            raise Refused(f"Cannot delete endpoint {served.name!r} with inference components on it.")
        served.status = "Deleting"
        before, served.task = served.task, None
        served.task = self._background(served, self._take_down(self.endpoints, served, before))
        return {}

    def list_endpoints(self, asked: Request) -> Answer:
        return {"Endpoints": [self.describe_endpoint({"EndpointName": name}) for name in self.endpoints]}

    def create_inference_component(self, asked: Request) -> Answer:
        name = asked["InferenceComponentName"]
        if name in self.components:
            raise Refused(f"Cannot create already existing inference component {name!r}.")
        self._settled(asked["EndpointName"])
        self._one(self.models, "model", asked["Specification"]["ModelName"])
        served = self.components[name] = Served(name, dict(asked), "Creating")
        self._tag("inference-component", name, asked)
        served.task = self._background(served, self._bring_up_component(served, asked["RuntimeConfig"]["CopyCount"]))
        return {"InferenceComponentArn": arn_of("inference-component", name)}

    def describe_inference_component(self, asked: Request) -> Answer:
        served = self._one(self.components, "inference component", asked["InferenceComponentName"])
        copies = {
            "CurrentCopyCount": len(served.fleet.containers) if served.fleet else 0,
            "DesiredCopyCount": served.wanted,
        }
        return {
            "InferenceComponentName": served.name,
            "InferenceComponentArn": arn_of("inference-component", served.name),
            "EndpointName": served.asked["EndpointName"],
            "EndpointArn": arn_of("endpoint", served.asked["EndpointName"]),
            "Specification": served.asked["Specification"],
            "InferenceComponentStatus": served.status,
            "RuntimeConfig": copies,
            "CreationTime": served.created,
            "LastModifiedTime": served.created,
            **({"FailureReason": served.reason} if served.reason else {}),
        }

    def update_inference_component(self, asked: Request) -> Answer:
        served = self._one(self.components, "inference component", asked["InferenceComponentName"])
        served.status = "Updating"
        served.task = self._background(served, self._replace_component(served, asked))
        return {"InferenceComponentArn": arn_of("inference-component", served.name)}

    def scale_inference_component(self, asked: Request) -> Answer:
        served = self._one(self.components, "inference component", asked["InferenceComponentName"])
        served.status = "Updating"
        served.task = self._background(served, self._resize(served, asked["DesiredRuntimeConfig"]["CopyCount"]))
        return {"InferenceComponentArn": arn_of("inference-component", served.name)}

    def delete_inference_component(self, asked: Request) -> Answer:
        served = self._one(self.components, "inference component", asked["InferenceComponentName"])
        served.status = "Deleting"
        before, served.task = served.task, None
        served.task = self._background(served, self._take_down(self.components, served, before))
        return {}

    def list_inference_components(self, asked: Request) -> Answer:
        on = asked.get("EndpointNameEquals")
        names = [one.name for one in self.components.values() if on in (None, one.asked["EndpointName"])]
        described = [self.describe_inference_component({"InferenceComponentName": name}) for name in names]
        return {"InferenceComponents": described}

    def list_tags(self, asked: Request) -> Answer:
        return {"Tags": self.tags.get(asked["ResourceArn"], [])}

    async def _bring_up(self, served: Served, config: Answer) -> None:
        variant = config["ProductionVariants"][0]
        if "ModelName" not in variant:
            served.status = "InService"
            return
        served.fleet = self._fleet(served.name, variant["ModelName"], variant)
        await self._resize(served, variant["InitialInstanceCount"])

    async def _bring_up_component(self, served: Served, copies: int) -> None:
        specification = served.asked["Specification"]
        served.fleet = self._fleet(served.name, specification["ModelName"], specification.get("StartupParameters", {}))
        await self._resize(served, copies)

    async def _resize(self, served: Served, count: int) -> None:
        served.wanted = count
        try:
            if served.fleet is not None:
                await served.fleet.resize(count)
        except StartFailed as error:
            served.status, served.reason = "Failed", str(error)
        else:
            served.status, served.reason = "InService", ""

    async def _replace(self, served: Served, asked: Request, config: Answer) -> None:
        """Blue/green, all at once: the new fleet stands before the old one goes; if it does not, the old one stays."""
        variant, before = config["ProductionVariants"][0], served.wanted
        if not _retains_count(asked):
            served.wanted = variant["InitialInstanceCount"]
        if "ModelName" not in variant or await self._swap(served, variant["ModelName"], variant):
            served.asked["EndpointConfigName"] = asked["EndpointConfigName"]
        else:
            served.wanted = before
        served.status = "InService"

    async def _replace_component(self, served: Served, asked: Request) -> None:
        specification = asked["Specification"]
        before, served.wanted = served.wanted, asked.get("RuntimeConfig", {}).get("CopyCount", served.wanted)
        if await self._swap(served, specification["ModelName"], specification.get("StartupParameters", {})):
            served.asked |= {"Specification": specification}
        else:
            served.wanted = before
        served.status = "InService"

    async def _swap(self, served: Served, model: str, patience: Answer) -> bool:
        green = self._fleet(served.name, model, patience)
        try:
            await green.resize(max(1, served.wanted))
        except StartFailed as error:
            served.reason = str(error)
            return False
        blue, served.fleet, served.reason = served.fleet, green, ""
        if blue is not None:
            await blue.stop()
        return True

    async def _take_down(self, table: dict[str, Served], served: Served, before: asyncio.Task[None] | None) -> None:
        await _cancel(before)
        if served.fleet is not None:
            await served.fleet.stop()
        del table[served.name]

    def _fleet(self, name: str, model: str, patience: Answer) -> Fleet:
        asked = self._one(self.models, "model", model)
        limit_s = float(patience.get("ContainerStartupHealthCheckTimeoutInSeconds", DEFAULT_STARTUP_S))
        return Fleet(lambda number: self._container(name, asked["PrimaryContainer"], number, limit_s))

    def _container(self, name: str, asked: Answer, number: int, limit_s: float) -> Container:
        """Raises StartFailed for an image or model data that are not here."""
        if not RUNNABLE.search(asked["Image"]):
            raise StartFailed(f"The image {asked['Image']} cannot run here; set models.local in deploy.toml.")
        address = asked.get("ModelDataUrl") or asked.get("ModelDataSource", {}).get("S3DataSource", {}).get("S3Uri")
        model = self.store.path(address) if address else None
        if model is not None and not model.exists():
            raise StartFailed(f"Could not find model data at {address}.")
        folder = self.root / INSTANCES / f"{name}-{number}"
        folder.mkdir(parents=True)
        return Container(folder, asked.get("Environment", {}), model, limit_s, self.command)

    def _settled(self, name: str) -> Served:
        served = self._one(self.endpoints, "endpoint", name)
        if served.status != "InService":
            raise Refused(f"Cannot update in-progress endpoint {name!r}.")
        return served  # type: ignore[no-any-return]

    def _create(self, table: dict[str, Answer], kind: str, name: str, asked: Request) -> str:
        if name in table:
            raise Refused(f"Cannot create already existing {kind} {name!r}.")
        table[name] = dict(asked) | {"CreationTime": time.time()}
        return self._tag(kind, name, asked)

    def _tag(self, kind: str, name: str, asked: Request) -> str:
        arn = arn_of(kind, name)
        self.tags[arn] = list(asked.get("Tags", []))
        return arn

    def _one(self, table: dict[str, Any], kind: str, name: str) -> Any:
        if name not in table:
            raise Refused(f"Could not find {kind} {name!r}.")
        return table[name]

    def _listed(self, table: dict[str, Answer], noun: str, kind: str, asked: Request) -> list[Answer]:
        part = asked.get("NameContains", "")
        return [
            {f"{noun}Name": name, f"{noun}Arn": arn_of(kind, name), "CreationTime": one["CreationTime"]}
            for name, one in table.items()
            if part in name
        ]

    def _background(self, served: Served, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return asyncio.create_task(_guarded(served, work))


async def _guarded(served: Served, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - whatever it was, the endpoint must not stay Creating for ever
        served.status, served.reason = "Failed", f"{type(error).__name__}: {error}"


def _retains_count(asked: Request) -> bool:
    """Whether an update leaves the number of instances as it is, rather than as the configuration has it."""
    excluded = [one["VariantPropertyType"] for one in asked.get("ExcludeRetainedVariantProperties", ())]
    return asked.get("RetainAllVariantProperties", False) and "DesiredInstanceCount" not in excluded


async def _cancel(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def arn_of(kind: str, name: str) -> str:
    return f"arn:aws:sagemaker:local:{LOCAL_ACCOUNT}:{kind}/{name}"


OPERATIONS: dict[str, Callable[[Control, Request], Answer]] = {
    "CreateModel": Control.create_model,
    "DescribeModel": Control.describe_model,
    "DeleteModel": Control.delete_model,
    "ListModels": Control.list_models,
    "CreateEndpointConfig": Control.create_endpoint_config,
    "DescribeEndpointConfig": Control.describe_endpoint_config,
    "DeleteEndpointConfig": Control.delete_endpoint_config,
    "ListEndpointConfigs": Control.list_endpoint_configs,
    "CreateEndpoint": Control.create_endpoint,
    "DescribeEndpoint": Control.describe_endpoint,
    "UpdateEndpoint": Control.update_endpoint,
    "UpdateEndpointWeightsAndCapacities": Control.scale_endpoint,
    "DeleteEndpoint": Control.delete_endpoint,
    "ListEndpoints": Control.list_endpoints,
    "CreateInferenceComponent": Control.create_inference_component,
    "DescribeInferenceComponent": Control.describe_inference_component,
    "UpdateInferenceComponent": Control.update_inference_component,
    "UpdateInferenceComponentRuntimeConfig": Control.scale_inference_component,
    "DeleteInferenceComponent": Control.delete_inference_component,
    "ListInferenceComponents": Control.list_inference_components,
    "ListTags": Control.list_tags,
}
