"""Autoscaling: target tracking on what the endpoint is asked, and the way to zero and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aural.deploy import instances
from aural.deploy.endpoint import component_name
from aural.deploy.resources import Call, Resource, named
from aural.deploy.spec import Deployment, Scaling

SERVICE = "application-autoscaling"
SAFETY = 0.7
"""Share of the measured capacity at which a further instance is asked for."""
WAKE_COOLDOWN_S = 60


@dataclass(frozen=True, slots=True)
class Scaled:
    """What is scaled: a variant's instances or a component's copies."""

    label: str
    resource: str
    dimension: str
    gpus: int

    @property
    def naming(self) -> dict[str, str]:
        return {"ServiceNamespace": "sagemaker", "ResourceId": self.resource, "ScalableDimension": self.dimension}


def propose_target(rate_per_s: float, latency_s: float, on: str) -> float:
    """A target from one instance's measured capacity: with Little's law for requests at once, per minute for
    invocations. A busy GPU needs no measurement: 70 %."""
    match on:
        case "concurrency":
            return max(1.0, round(rate_per_s * latency_s * SAFETY, 1))
        case "invocations":
            return max(1.0, round(rate_per_s * 60 * SAFETY))
    return 100 * SAFETY


def scaled_things(deployment: Deployment) -> list[Scaled]:
    if deployment.uses_components:
        return [component(component_name(deployment, model)) for model in deployment.models]
    gpus = 1 if deployment.existing else instances.gpus_of(deployment.machine.type)
    resource = f"endpoint/{deployment.name}/variant/{deployment.variant}"
    return [Scaled(deployment.name, resource, "sagemaker:variant:DesiredInstanceCount", gpus)]


def component(name: str) -> Scaled:
    """Copies of an inference component."""
    return Scaled(name, f"inference-component/{name}", "sagemaker:inference-component:DesiredCopyCount", 0)


def resources(deployment: Deployment) -> list[Resource]:
    """Scalable targets, their policies, and the alarm that wakes what sleeps at zero."""
    if deployment.scaling is None:
        return []
    return [one for thing in scaled_things(deployment) for one in _for(deployment, deployment.scaling, thing)]


def possible(deployment: Deployment) -> list[Resource]:
    """All that any [scaling] could have made."""
    return [one for thing in scaled_things(deployment) for one in possible_for(deployment, thing)]


def possible_for(deployment: Deployment, thing: Scaled) -> list[Resource]:
    return _for(deployment, Scaling(min=0, max=1), thing)


def _for(deployment: Deployment, scaling: Scaling, thing: Scaled) -> list[Resource]:
    tracking = _policy(thing, "tracking", "TargetTrackingScaling", _tracking(deployment, scaling, thing))
    made = [_target(scaling, thing), tracking]
    if scaling.min > 0:
        return made
    wake = _policy(thing, "wake", "StepScaling", _step())
    return [*made, wake, _wake_alarm(deployment, thing, wake)]


def _target(scaling: Scaling, thing: Scaled) -> Resource:
    register = Call(
        SERVICE,
        "register_scalable_target",
        {**thing.naming, "MinCapacity": scaling.min, "MaxCapacity": scaling.max},
    )
    where = {"ServiceNamespace": "sagemaker", "ScalableDimension": thing.dimension}
    return Resource(
        "scalable target",
        thing.label,
        register,
        Call(SERVICE, "describe_scalable_targets", {**where, "ResourceIds": [thing.resource]}),
        Call(SERVICE, "deregister_scalable_target", thing.naming),
        named("ScalableTargets", "ResourceId", thing.resource),
        register,
        compare=("MinCapacity", "MaxCapacity"),
    )


def _policy(thing: Scaled, purpose: str, kind: str, body: dict[str, Any]) -> Resource:
    name = f"{thing.label}-{purpose}"
    put = Call(SERVICE, "put_scaling_policy", {"PolicyName": name, **thing.naming, "PolicyType": kind, **body})
    return Resource(
        "scaling policy",
        name,
        put,
        Call(SERVICE, "describe_scaling_policies", {**thing.naming, "PolicyNames": [name]}),
        Call(SERVICE, "delete_scaling_policy", {"PolicyName": name, **thing.naming}),
        named("ScalingPolicies", "PolicyName", name),
        put,
        compare=tuple(body),
    )


def _tracking(deployment: Deployment, scaling: Scaling, thing: Scaled) -> dict[str, Any]:
    return {
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": scaling.target * (max(1, thing.gpus) if scaling.on == "gpu" else 1),
            "ScaleOutCooldown": scaling.out_cooldown_s,
            "ScaleInCooldown": scaling.in_cooldown_s,
            **_metric(deployment, scaling),
        }
    }


def _metric(deployment: Deployment, scaling: Scaling) -> dict[str, Any]:
    """The high-resolution concurrency is sampled every 10 s and counts what waits in the container and streams for as
    long as they last: the load of speech, where the number of requests says little."""
    if deployment.asynchronous:
        return _custom("AWS/SageMaker", "ApproximateBacklogSizePerInstance", deployment, variant=False)
    if scaling.on == "gpu":
        return _custom("/aws/sagemaker/Endpoints", "GPUUtilization", deployment, variant=True)
    names = {
        ("concurrency", False): "SageMakerVariantConcurrentRequestsPerModelHighResolution",
        ("invocations", False): "SageMakerVariantInvocationsPerInstance",
        ("concurrency", True): "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
        ("invocations", True): "SageMakerInferenceComponentInvocationsPerCopy",
    }
    kind = names[scaling.on, deployment.uses_components]
    return {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}}


def _custom(namespace: str, metric: str, deployment: Deployment, *, variant: bool) -> dict[str, Any]:
    """GPUUtilization sums over the GPUs of an instance (0 to 100 times their number), and so does our target."""
    dimensions = [{"Name": "EndpointName", "Value": deployment.name}]
    if variant:
        dimensions.append({"Name": "VariantName", "Value": deployment.variant})
    return {
        "CustomizedMetricSpecification": {
            "Namespace": namespace,
            "MetricName": metric,
            "Dimensions": dimensions,
            "Statistic": "Average",
        }
    }


def _step() -> dict[str, Any]:
    return {
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "MetricAggregationType": "Maximum",
            "Cooldown": WAKE_COOLDOWN_S,
            "StepAdjustments": [{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        }
    }


def _wake_alarm(deployment: Deployment, thing: Scaled, wake: Resource) -> Resource:
    """Fires with the first call that found nobody: at or above 1, since 'above 1' would miss a single one."""
    name = f"{thing.label}-wake"
    metric, dimension = ("NoCapacityInvocationFailures", "InferenceComponentName")
    if deployment.asynchronous:
        metric, dimension = ("HasBacklogWithoutCapacity", "EndpointName")
    return alarm(
        name,
        {
            "Namespace": "AWS/SageMaker",
            "MetricName": metric,
            "Dimensions": [{"Name": dimension, "Value": thing.label}],
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1.0,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "missing",
            "AlarmActions": [f"${{{wake.key}.PolicyARN}}"],
        },
    )


def alarm(name: str, body: dict[str, Any]) -> Resource:
    put = Call("cloudwatch", "put_metric_alarm", {"AlarmName": name, **body})
    return Resource(
        "alarm",
        name,
        put,
        Call("cloudwatch", "describe_alarms", {"AlarmNames": [name]}),
        Call("cloudwatch", "delete_alarms", {"AlarmNames": [name]}),
        named("MetricAlarms", "AlarmName", name),
        put,
        compare=("Threshold", "EvaluationPeriods", "AlarmActions", "ExtendedStatistic", "MetricName"),
    )
