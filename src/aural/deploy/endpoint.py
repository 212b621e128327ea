"""Models, endpoint configuration, endpoint and inference components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from aural import __version__
from aural.deploy import instances, patience
from aural.deploy.regions import partition_of, suffix_of
from aural.deploy.resources import Call, Resource, digest, whole
from aural.deploy.spec import Deployment, Model

CUDA_12_AMI = "al2-ami-sagemaker-inference-gpu-3-1"
CUDA_13_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
"""Driver 580. AWS's own bidirectional example asks for it, and newer CUDA images die on older ones without a log."""
REPOSITORY = "aural"
OWNER_TAG = "aural:deployment"


@dataclass(frozen=True, slots=True)
class HubModel:
    """What the JumpStart hub says of a model."""

    image: str
    data: str
    environment: Mapping[str, str]
    instance_types: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deployment goes, and what had to be asked or made there before it could be written down."""

    account: str
    region: str
    local: bool = False
    hub: Mapping[str, HubModel] = field(default_factory=dict)
    uploads: Mapping[str, str] = field(default_factory=dict)
    """s3://… of models whose data come from a local folder, by model name."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Of our images that were pushed, by flavour: sha256:…"""

    @property
    def registry(self) -> str:
        return f"{self.account}.dkr.ecr.{self.region}.{suffix_of(self.region)}"

    @property
    def partition(self) -> str:
        return partition_of(self.region)


def image_of(model: Model, place: Place) -> str:
    """Ours by digest where it is known: what is pushed again under its tag is another image, and is rolled out."""
    if model.jumpstart:
        return place.hub[model.jumpstart].image
    if not model.is_ours:
        return model.image
    digest = place.digests.get(model.image)
    return f"{place.registry}/{REPOSITORY}@{digest}" if digest else tagged_image(model.image, place)


def tagged_image(flavour: str, place: Place) -> str:
    return f"{place.registry}/{REPOSITORY}:{__version__}-{flavour}"


def role_arn(deployment: Deployment, place: Place) -> str:
    return deployment.role or f"arn:{place.partition}:iam::{place.account}:role/{role_name(deployment)}"


def role_name(deployment: Deployment) -> str:
    """With the region: roles are the account's, in all regions at once."""
    return f"{deployment.name}-{deployment.region}-aural"


def tags(deployment: Deployment) -> list[dict[str, str]]:
    pairs = {OWNER_TAG: deployment.name, **deployment.tags}
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def model(deployment: Deployment, one: Model, place: Place) -> Resource:
    content: dict[str, Any] = {
        "ExecutionRoleArn": role_arn(deployment, place),
        "PrimaryContainer": {
            "Image": image_of(one, place),
            "Environment": _environment(deployment, one, place),
            **_model_data(one, place),
        },
        "EnableNetworkIsolation": deployment.network.isolated,
        "Tags": tags(deployment),
    }
    content |= _vpc(deployment)
    name = f"{deployment.name[:30]}-{one.name[:20]}-{digest(content)}"
    return Resource(
        "model",
        name,
        Call("sagemaker", "create_model", {"ModelName": name, **content}),
        Call("sagemaker", "describe_model", {"ModelName": name}),
        Call("sagemaker", "delete_model", {"ModelName": name}),
        whole,
    )


def _vpc(deployment: Deployment) -> dict[str, Any]:
    network = deployment.network
    if not network.subnets:
        return {}
    return {"VpcConfig": {"Subnets": list(network.subnets), "SecurityGroupIds": list(network.security_groups)}}


def _environment(deployment: Deployment, one: Model, place: Place) -> dict[str, str]:
    if one.jumpstart:
        return {**place.hub[one.jumpstart].environment, **one.environment}
    ours = {"AURAL_EMF": deployment.name} if one.is_ours else {}
    serve = (one.local if place.local else "") or one.serve
    return {**ours, **({"AURAL_MODEL": serve} if serve else {}), **one.environment}


def _model_data(one: Model, place: Place) -> dict[str, Any]:
    """A prefix is laid out as files, a .tar.gz is unpacked by SageMaker; both under /opt/ml/model."""
    if place.local and one.local:
        return {}
    address = place.hub[one.jumpstart].data if one.jumpstart else place.uploads.get(one.name, one.data)
    if not address:
        return {}
    if not address.endswith("/"):
        return {"ModelDataUrl": address}
    source = {"S3Uri": address, "S3DataType": "S3Prefix", "CompressionType": "None"}
    return {"ModelDataSource": {"S3DataSource": source}}


def config(deployment: Deployment, models: list[Resource], place: Place) -> Resource:
    content: dict[str, Any] = {"ProductionVariants": [_variant(deployment, models)], "Tags": tags(deployment)}
    if deployment.uses_components:
        content["ExecutionRoleArn"] = role_arn(deployment, place)
        content["EnableNetworkIsolation"] = deployment.network.isolated
        content |= _vpc(deployment)
    if deployment.kms_key:
        content["KmsKeyId"] = deployment.kms_key
    if deployment.asynchronous:
        content["AsyncInferenceConfig"] = _async_config(deployment)
    name = f"{deployment.name}-{digest(content)}"
    return Resource(
        "endpoint config",
        name,
        Call("sagemaker", "create_endpoint_config", {"EndpointConfigName": name, **content}),
        Call("sagemaker", "describe_endpoint_config", {"EndpointConfigName": name}),
        Call("sagemaker", "delete_endpoint_config", {"EndpointConfigName": name}),
        whole,
    )


def _variant(deployment: Deployment, models: list[Resource]) -> dict[str, Any]:
    machine = deployment.machine
    variant: dict[str, Any] = {
        "VariantName": deployment.variant,
        "InstanceType": machine.type,
        "InitialInstanceCount": first_instances(deployment),
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
    }
    ami = machine.ami or _default_ami(deployment)
    if ami:
        variant["InferenceAmiVersion"] = ami
    if machine.volume_gb:
        variant["VolumeSizeInGB"] = machine.volume_gb
    if deployment.uses_components:
        return variant | {"ManagedInstanceScaling": _managed(deployment)}
    return variant | {"ModelName": models[0].name, "InitialVariantWeight": 1.0, **_patience(deployment)}


def first_instances(deployment: Deployment) -> int:
    return max(deployment.machine.count, deployment.scaling.min if deployment.scaling else 1)


def most_instances(deployment: Deployment) -> int:
    """With components: as many as all copies at their most can need."""
    scaling, first = deployment.scaling, first_instances(deployment)
    most = scaling.max if scaling else 1
    if not deployment.uses_components:
        return max(first, most)
    needed = sum(max(model.copies, most) * max(1, model.accelerators) for model in deployment.models)
    return max(first, ceil(needed / max(1, instances.gpus_of(deployment.machine.type))))


def _default_ami(deployment: Deployment) -> str:
    needs_cuda = any(model.image in ("cuda", "vllm") for model in deployment.models)
    return CUDA_13_AMI if needs_cuda and instances.gpus_of(deployment.machine.type) else ""


def _patience(deployment: Deployment) -> dict[str, int]:
    return {
        "ContainerStartupHealthCheckTimeoutInSeconds": deployment.machine.startup_s,
        "ModelDataDownloadTimeoutInSeconds": deployment.machine.download_s,
    }


def _managed(deployment: Deployment) -> dict[str, Any]:
    """Instances follow the copies of the components."""
    least = 0 if deployment.scaling and deployment.scaling.min == 0 else 1
    return {"Status": "ENABLED", "MinInstanceCount": least, "MaxInstanceCount": most_instances(deployment)}


def _async_config(deployment: Deployment) -> dict[str, Any]:
    wish = deployment.asynchronous
    assert wish is not None
    output: dict[str, Any] = {"S3OutputPath": wish.output}
    if deployment.kms_key:
        output["KmsKeyId"] = deployment.kms_key
    if wish.failures:
        output["S3FailurePath"] = wish.failures
    topics = {"SuccessTopic": wish.success_topic, "ErrorTopic": wish.error_topic}
    if any(topics.values()):
        output["NotificationConfig"] = {name: arn for name, arn in topics.items() if arn}
    return {"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": wish.concurrency}}


def endpoint(deployment: Deployment, wanted: Resource, alarm_names: list[str]) -> Resource:
    naming = {"EndpointName": deployment.name, "EndpointConfigName": wanted.name}
    return Resource(
        "endpoint",
        deployment.name,
        Call("sagemaker", "create_endpoint", {**naming, "Tags": tags(deployment)}),
        Call("sagemaker", "describe_endpoint", {"EndpointName": deployment.name}),
        Call("sagemaker", "delete_endpoint", {"EndpointName": deployment.name}),
        whole,
        Call("sagemaker", "update_endpoint", {**naming, **_release(deployment, alarm_names)}),
        compare=("EndpointConfigName",),
    )


def _release(deployment: Deployment, alarm_names: list[str]) -> dict[str, Any]:
    """Blue/green: a second fleet takes the traffic all at once, in a canary or in steps; an alarm sends it back.
    The number of instances stays what autoscaling made it; without autoscaling the file decides."""
    request: dict[str, Any] = {"RetainAllVariantProperties": True}
    if deployment.scaling is None:
        request["ExcludeRetainedVariantProperties"] = [{"VariantPropertyType": "DesiredInstanceCount"}]
    if deployment.uses_components:
        return request
    policy: dict[str, Any] = {
        "TrafficRoutingConfiguration": _routing(deployment),
        "TerminationWaitInSeconds": patience.TERMINATION_S,
        "MaximumExecutionTimeoutInSeconds": patience.update_s(deployment),
    }
    request["DeploymentConfig"] = {"BlueGreenUpdatePolicy": policy, **_rollback(alarm_names)}
    return request


def _routing(deployment: Deployment) -> dict[str, Any]:
    release = deployment.release
    routing: dict[str, Any] = {"Type": release.strategy.upper(), "WaitIntervalInSeconds": release.wait_s}
    step = {"Type": "CAPACITY_PERCENT", "Value": release.percent}
    if release.strategy == "all_at_once":
        return routing
    return routing | {"CanarySize" if release.strategy == "canary" else "LinearStepSize": step}


def _rollback(alarm_names: list[str]) -> dict[str, Any]:
    if not alarm_names:
        return {}
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in alarm_names]}}


def component_name(deployment: Deployment, one: Model) -> str:
    return f"{deployment.name[:30]}-{one.name[:30]}"


def component(deployment: Deployment, one: Model, made: Resource, alarm_names: list[str]) -> Resource:
    name = component_name(deployment, one)
    specification = {
        "ModelName": made.name,
        "StartupParameters": _patience(deployment),
        "ComputeResourceRequirements": _requirements(deployment, one),
    }
    scaling = deployment.scaling
    runtime = {"CopyCount": max(one.copies, scaling.min if scaling else 1)}
    copies = {} if scaling else {"RuntimeConfig": runtime}
    naming = {"InferenceComponentName": name}
    rolling = {
        "MaximumBatchSize": {"Type": "COPY_COUNT", "Value": 1},
        "WaitIntervalInSeconds": deployment.release.wait_s,
        "MaximumExecutionTimeoutInSeconds": patience.update_s(deployment),
    }
    return Resource(
        "inference component",
        name,
        Call(
            "sagemaker",
            "create_inference_component",
            {
                **naming,
                "EndpointName": deployment.name,
                "VariantName": deployment.variant,
                "Specification": specification,
                "RuntimeConfig": runtime,
                "Tags": tags(deployment),
            },
        ),
        Call("sagemaker", "describe_inference_component", naming),
        Call("sagemaker", "delete_inference_component", naming),
        _component_found,
        Call(
            "sagemaker",
            "update_inference_component",
            {
                **naming,
                "Specification": specification,
                **copies,
                "DeploymentConfig": {"RollingUpdatePolicy": rolling, **_rollback(alarm_names)},
            },
        ),
        compare=("Specification", *copies),
    )


def _component_found(answer: dict[str, Any]) -> dict[str, Any]:
    wanted = answer.get("RuntimeConfig", {}).get("DesiredCopyCount")
    return answer | {"RuntimeConfig": {"CopyCount": wanted}}


def _requirements(deployment: Deployment, one: Model) -> dict[str, Any]:
    """Accelerators are whole GPUs: two components never share one."""
    needs: dict[str, Any] = {"MinMemoryRequiredInMb": one.memory_mb}
    gpus = one.accelerators or min(1, instances.gpus_of(deployment.machine.type))
    if gpus:
        needs["NumberOfAcceleratorDevicesRequired"] = float(gpus)
    if one.cpus:
        needs["NumberOfCpuCoresRequired"] = one.cpus
    return needs
