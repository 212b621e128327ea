"""AWS for tests: moto, with what moto cannot do in its place: endpoint updates, inference components, states that take
time, and failures on demand."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from moto import mock_aws
from moto.applicationautoscaling.models import ScalableDimensionValueSet
from moto.core.botocore_stubber import MockRawResponse
from moto.sagemaker.models import FakeEndpointConfig, sagemaker_backends

from aural.deploy.cloud import Cloud
from aural.deploy.patience import Patience

REGION = "us-east-1"
ACCOUNT = "123456789012"
COMPONENT_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:inference-component/"
Answer = dict[str, Any]


@dataclass(slots=True)
class Aws(Cloud):
    """`fail` makes a call fail; `script` says what an endpoint or component tells of itself, one look after another."""

    faults: dict[str, list[tuple[str, str, int]]] = field(default_factory=dict)
    scripts: dict[str, list[Answer]] = field(default_factory=dict)
    components: dict[str, Answer] = field(default_factory=dict)
    hub: dict[str, Answer] = field(default_factory=dict)
    quotas: dict[str, float] = field(default_factory=dict)
    default_quotas: dict[str, float] = field(default_factory=dict)
    busy: Counter[str] = field(default_factory=Counter)
    bare: set[str] = field(default_factory=set)
    """Configurations for inference components, whose variants name no model."""
    calls: Counter[str] = field(default_factory=Counter)

    def client(self, service: str) -> Any:
        """Clients outlive accounts, since making one takes longer than a test."""
        if service not in CLIENTS:
            client = CLIENTS[service] = Cloud.client(self, service)
            client.meta.events.register("before-call", lambda **event: STAGE[-1]._before(**event))
            client.meta.events.register_first("before-send", lambda **event: STAGE[-1]._before_send(**event))
            client.meta.events.register("after-call", lambda **event: STAGE[-1]._after(**event))
        return CLIENTS[service]

    def fail(self, operation: str, code: str, message: str = "no", *, status: int = 400, times: int = 1) -> None:
        self.faults.setdefault(operation, []).extend([(code, message, status)] * times)

    def throttle(self, operation: str, times: int = 1) -> None:
        """As botocore sees it, which repeats such a call by itself; not for the calls that moto does not know."""
        self.busy[operation] += times

    def script(self, operation: str, *states: Answer) -> None:
        self.scripts[operation] = list(states)

    def _before(self, model: Any, params: Any, **rest: Any) -> Any:
        self.calls[model.name] += 1
        if self.faults.get(model.name):
            code, message, status = self.faults[model.name].pop(0)
            return _reply({"Error": {"Code": code, "Message": message}}, status)
        if model.name in OWN:
            body = params["body"]
            return OWN[model.name](self, json.loads(body) if isinstance(body, bytes | str) and body else {})
        if model.name == "CreateEndpointConfig":
            params["body"] = self._with_model_names(params["body"])
        return None

    def _before_send(self, event_name: str, request: Any, **rest: Any) -> Any:
        operation = event_name.rpartition(".")[2]
        if not self.busy[operation]:
            return None
        self.busy[operation] -= 1
        return AWSResponse(request.url, 400, {}, MockRawResponse(THROTTLED))

    def _with_model_names(self, body: bytes) -> bytes:
        """moto wants one in each variant; with inference components there is none, so it gets any."""
        asked = json.loads(body)
        some = next(iter(sagemaker_backends[ACCOUNT][REGION]._models))
        if not any("ModelName" in variant for variant in asked["ProductionVariants"]):
            self.bare.add(asked["EndpointConfigName"])
        asked["ProductionVariants"] = [{"ModelName": some} | variant for variant in asked["ProductionVariants"]]
        return json.dumps(asked).encode()

    def _after(self, model: Any, parsed: Answer, **rest: Any) -> None:
        if model.name == "DescribeEndpointConfig" and parsed.get("EndpointConfigName") in self.bare:
            for variant in parsed["ProductionVariants"]:
                del variant["ModelName"]
        if self.scripts.get(model.name) and "Error" not in parsed:
            states = self.scripts[model.name]
            parsed.update(states.pop(0))


THROTTLED = b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
DIMENSIONS = Enum(
    "Dimensions",
    {one.name: one.value for one in ScalableDimensionValueSet}
    | {"COMPONENT_COPIES": "sagemaker:inference-component:DesiredCopyCount"},
)
"""moto does not know inference components here either."""
STAGE: list[Aws] = []
"""The account of the running test is the last."""
CLIENTS: dict[str, Any] = {}


def _reply(parsed: Answer, status: int = 200) -> tuple[AWSResponse, Answer]:
    metadata = {"HTTPStatusCode": status, "HTTPHeaders": {}, "RetryAttempts": 0}
    return AWSResponse("", status, {}, None), parsed | {"ResponseMetadata": metadata}


def _missing(name: str) -> tuple[AWSResponse, Answer]:
    message = f"Could not find inference component '{name}'."
    return _reply({"Error": {"Code": "ValidationException", "Message": message}}, 400)


def _update_endpoint(aws: Aws, asked: Answer) -> Any:
    endpoint = sagemaker_backends[ACCOUNT][REGION].endpoints[asked["EndpointName"]]
    endpoint.endpoint_config_name = asked["EndpointConfigName"]
    return _reply({"EndpointArn": endpoint.arn})


def _create_component(aws: Aws, asked: Answer) -> Any:
    copies = asked["RuntimeConfig"]["CopyCount"]
    state = {"DesiredCopyCount": copies, "CurrentCopyCount": copies}
    name = asked["InferenceComponentName"]
    aws.components[name] = asked | {
        "InferenceComponentArn": f"{COMPONENT_ARN}{name}",
        "RuntimeConfig": state,
        "InferenceComponentStatus": "InService",
    }
    return _reply({"InferenceComponentArn": "arn"})


def _component(aws: Aws, asked: Answer) -> Any:
    name = asked["InferenceComponentName"]
    return _reply(dict(aws.components[name])) if name in aws.components else _missing(name)


def _update_component(aws: Aws, asked: Answer) -> Any:
    aws.components[asked["InferenceComponentName"]]["Specification"] = asked["Specification"]
    if "RuntimeConfig" in asked:
        _scale_component(aws, asked | {"DesiredRuntimeConfig": asked["RuntimeConfig"]})
    return _reply({})


def _scale_component(aws: Aws, asked: Answer) -> Any:
    copies = asked["DesiredRuntimeConfig"]["CopyCount"]
    state = {"DesiredCopyCount": copies, "CurrentCopyCount": copies}
    aws.components[asked["InferenceComponentName"]]["RuntimeConfig"] = state
    return _reply({})


def _delete_component(aws: Aws, asked: Answer) -> Any:
    name = asked["InferenceComponentName"]
    return _reply({}) if aws.components.pop(name, None) else _missing(name)


def _list_components(aws: Aws, asked: Answer) -> Any:
    return _reply({"InferenceComponents": list(aws.components.values())})


def _tags(aws: Aws, asked: Answer) -> Any:
    """None leaves it to moto."""
    _, ours, name = asked["ResourceArn"].partition(COMPONENT_ARN)
    return _reply({"Tags": aws.components[name].get("Tags", [])}) if ours else None


def _hub_content(aws: Aws, asked: Answer) -> Any:
    document = aws.hub.get(asked["HubContentName"])
    if document is None:
        return _reply({"Error": {"Code": "ResourceNotFound", "Message": "no such content"}}, 400)
    return _reply({"HubContentDocument": json.dumps(document)})


def _quotas(aws: Aws, asked: Answer) -> Any:
    """Only those that were ever changed, as AWS does."""
    return _reply({"Quotas": [{"QuotaName": name, "Value": value} for name, value in aws.quotas.items()]})


def _default_quotas(aws: Aws, asked: Answer) -> Any:
    return _reply({"Quotas": [{"QuotaName": name, "Value": value} for name, value in aws.default_quotas.items()]})


OWN = {
    "UpdateEndpoint": _update_endpoint,
    "CreateInferenceComponent": _create_component,
    "DescribeInferenceComponent": _component,
    "UpdateInferenceComponent": _update_component,
    "UpdateInferenceComponentRuntimeConfig": _scale_component,
    "DeleteInferenceComponent": _delete_component,
    "ListInferenceComponents": _list_components,
    "ListTags": _tags,
    "DescribeHubContent": _hub_content,
    "ListServiceQuotas": _quotas,
    "ListAWSDefaultServiceQuotas": _default_quotas,
}


@contextmanager
def aws_account() -> Iterator[Aws]:
    """An empty account, whose time passes at once."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeEndpointConfig, "validate_instance_type", lambda self, kind: None)
        for module in ("models", "responses"):
            patch.setattr(f"moto.applicationautoscaling.{module}.ScalableDimensionValueSet", DIMENSIONS)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        aws = Aws(REGION, attempts=2)
        STAGE.append(aws)
        yield aws
        STAGE.pop()


@dataclass(slots=True)
class Clock:
    """Time that passes only while somebody waits."""

    now_s: float = 0.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def patience(self, limit_s: float = 3600.0) -> Patience:
        return Patience(15.0, limit_s, self.sleep, lambda: self.now_s)


def remains(aws: Aws) -> list[str]:
    """Everything in the account that could cost something or stand in the way."""
    ask = aws.ask
    scaling = {"ServiceNamespace": "sagemaker"}
    return [
        *(one["EndpointName"] for one in ask("sagemaker", "list_endpoints")["Endpoints"]),
        *(one["EndpointConfigName"] for one in ask("sagemaker", "list_endpoint_configs")["EndpointConfigs"]),
        *(one["ModelName"] for one in ask("sagemaker", "list_models")["Models"]),
        *aws.components,
        *(
            one["ResourceId"]
            for one in ask("application-autoscaling", "describe_scalable_targets", **scaling)["ScalableTargets"]
        ),
        *(
            one["PolicyName"]
            for one in ask("application-autoscaling", "describe_scaling_policies", **scaling)["ScalingPolicies"]
        ),
        *(one["AlarmName"] for one in ask("cloudwatch", "describe_alarms")["MetricAlarms"]),
        *(one["DashboardName"] for one in ask("cloudwatch", "list_dashboards")["DashboardEntries"]),
        *(one["TopicArn"] for one in ask("sns", "list_topics")["Topics"]),
        *(one["RoleName"] for one in ask("iam", "list_roles")["Roles"]),
    ]
