"""The execution role: what the endpoint itself may do, and no more."""

from __future__ import annotations

import json
from typing import Any

from aural.deploy.endpoint import REPOSITORY, Place, role_name, tags
from aural.deploy.resources import Call, Resource
from aural.deploy.spec import Deployment

POLICY = "aural"
PULL = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
LOGS = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
NETWORK = [
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
]


def role(deployment: Deployment, place: Place) -> list[Resource]:
    """None when the file names a role."""
    if deployment.role or deployment.existing:
        return []
    name = role_name(deployment)
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    create = {
        "RoleName": name,
        "AssumeRolePolicyDocument": _document([trust]),
        "Description": f"What the SageMaker endpoint {deployment.name} may do",
        "Tags": tags(deployment),
    }
    naming = {"RoleName": name, "PolicyName": POLICY}
    put = Call("iam", "put_role_policy", {**naming, "PolicyDocument": _document(statements(deployment, place))})
    return [
        Resource(
            "role",
            name,
            Call("iam", "create_role", create),
            Call("iam", "get_role", {"RoleName": name}),
            Call("iam", "delete_role", {"RoleName": name}),
            lambda answer: answer["Role"],
        ),
        Resource(
            "role policy",
            name,
            put,
            Call("iam", "get_role_policy", naming),
            Call("iam", "delete_role_policy", naming),
            lambda answer: answer,
            put,
            compare=("PolicyDocument",),
        ),
    ]


def statements(deployment: Deployment, place: Place) -> list[dict[str, Any]]:
    """Pull the image, read the model, write logs, metrics and asynchronous results."""
    logs = f"arn:{place.partition}:logs:{place.region}:{place.account}:log-group:/aws/sagemaker/*"
    allowed = [
        _allow(["ecr:GetAuthorizationToken"], "*"),
        _allow(PULL, *_repositories(deployment, place)),
        _allow(LOGS, logs),
        _allow(["cloudwatch:PutMetricData"], "*"),
    ]
    readable = _readable(deployment, place)
    if readable:
        allowed += [
            _allow(["s3:GetObject"], *(f"arn:{place.partition}:s3:::{path}*" for path in readable)),
            _allow(
                ["s3:ListBucket"],
                *sorted({f"arn:{place.partition}:s3:::{path.partition('/')[0]}" for path in readable}),
            ),
        ]
    written = _written(deployment)
    if written:
        allowed.append(_allow(["s3:PutObject"], *(f"arn:{place.partition}:s3:::{path}*" for path in written)))
        allowed += [_allow(["sns:Publish"], topic) for topic in _topics(deployment)]
    if deployment.kms_key:
        allowed.append(_allow(["kms:Decrypt", "kms:GenerateDataKey", "kms:CreateGrant"], _key_arn(deployment, place)))
    if deployment.network.subnets:
        allowed.append(_allow(NETWORK, "*"))
    return allowed


def _repositories(deployment: Deployment, place: Place) -> list[str]:
    """Our repository, and those of images that the file or the hub names."""
    arns = set()
    for model in deployment.models:
        image = place.hub[model.jumpstart].image if model.jumpstart else model.image
        host, _, path = image.partition("/")
        parts = host.split(".")
        if model.is_ours:
            arns.add(f"arn:{place.partition}:ecr:{place.region}:{place.account}:repository/{REPOSITORY}")
        elif "dkr" in parts:
            arns.add(
                f"arn:{place.partition}:ecr:{parts[3]}:{parts[0]}:repository/{path.partition(':')[0].partition('@')[0]}"
            )
    return sorted(arns) or [f"arn:{place.partition}:ecr:{place.region}:{place.account}:repository/{REPOSITORY}"]


def _readable(deployment: Deployment, place: Place) -> list[str]:
    """BUCKET/KEY prefixes of model data, and of asynchronous input, which lies beside the output."""
    sources = [place.hub[model.jumpstart].data for model in deployment.models if model.jumpstart]
    sources += [place.uploads.get(model.name, model.data) for model in deployment.models if model.data]
    paths = [source.removeprefix("s3://") for source in sources if source.startswith("s3://")]
    if deployment.asynchronous:
        paths.append(deployment.asynchronous.output.removeprefix("s3://").partition("/")[0] + "/")
    return sorted(set(paths))


def _written(deployment: Deployment) -> list[str]:
    wish = deployment.asynchronous
    return [path.removeprefix("s3://") for path in (wish.output, wish.failures) if path] if wish else []


def _topics(deployment: Deployment) -> list[str]:
    wish = deployment.asynchronous
    return [arn for arn in (wish.success_topic, wish.error_topic) if arn] if wish else []


def _key_arn(deployment: Deployment, place: Place) -> str:
    key = deployment.kms_key
    return key if key.startswith("arn:") else f"arn:{place.partition}:kms:{place.region}:{place.account}:key/{key}"


def _allow(actions: list[str], *resources: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": list(resources)}


def _document(allowed: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": allowed})
