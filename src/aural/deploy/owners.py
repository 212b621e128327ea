"""Whose a thing at AWS is. A name alone would be a guess, and others have names too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aural.deploy.cloud import Cloud
from aural.deploy.endpoint import OWNER_TAG
from aural.deploy.resources import Resource

TAGGED = frozenset({"endpoint", "inference component", "role", "topic"})
ARNS = {"endpoint": "EndpointArn", "inference component": "InferenceComponentArn"}


def is_ours(cloud: Cloud, resource: Resource, there: Mapping[str, Any], name: str) -> bool:
    """Whether what is there bears the tag of the deployment `name`. What cannot bear one (alarms, dashboards, scaling)
    belongs to the endpoint whose name it bears. Raises DeployError."""
    match resource.kind:
        case "endpoint" | "inference component":
            return bears_tag(cloud, there[ARNS[resource.kind]], name)
        case "role":
            return _names(there.get("Tags", []), name)
        case "topic":
            arn = there["Attributes"]["TopicArn"]
            return _names(cloud.ask("sns", "list_tags_for_resource", ResourceArn=arn)["Tags"], name)
    return True


def bears_tag(cloud: Cloud, arn: str, name: str) -> bool:
    """Of SageMaker's own things. Raises DeployError."""
    return _names(cloud.ask("sagemaker", "list_tags", ResourceArn=arn)["Tags"], name)


def _names(tags: Iterable[Mapping[str, Any]], name: str) -> bool:
    return any(tag["Key"] == OWNER_TAG and tag["Value"] == name for tag in tags)
