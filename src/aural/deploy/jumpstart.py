"""JumpStart by boto3 alone: what the public hub says of a model."""

from __future__ import annotations

import json
from typing import Any

from aural.deploy.cloud import Cloud
from aural.deploy.endpoint import HubModel
from aural.errors import DeployError

HUB = "SageMakerPublicHub"


def look_up(cloud: Cloud, name: str, version: str = "") -> HubModel:
    """Image, data and environment of a model of the hub, its newest version when none is given. Raises DeployError."""
    wanted = {"HubContentVersion": version} if version else {}
    answer = cloud.ask(
        "sagemaker", "describe_hub_content", HubName=HUB, HubContentType="Model", HubContentName=name, **wanted
    )
    return parse(name, json.loads(answer["HubContentDocument"]))


def parse(name: str, document: dict[str, Any]) -> HubModel:
    image = document.get("HostingEcrUri")
    if not image:
        raise DeployError(f"{name}: expected a model that is hosted by its own image; the hub names none")
    data = document.get("HostingPrepackedArtifactUri") or document.get("HostingArtifactUri") or ""
    variables = document.get("InferenceEnvironmentVariables") or []
    return HubModel(
        image,
        data,
        {str(one["Name"]): str(one.get("Default", "")) for one in variables},
        tuple(document.get("SupportedInferenceInstanceTypes") or ()),
    )


def unknown(name: str) -> HubModel:
    """In its place where nobody is asked: a dry run, and the laptop."""
    return HubModel(f"jumpstart/{name}", "", {})
