"""What can be asked of AWS before anything is made: quotas, images, model data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from aural.deploy.cloud import Cloud, Missing
from aural.deploy.endpoint import REPOSITORY, Place, most_instances, tagged_image
from aural.deploy.spec import Deployment, Model
from aural.errors import DeployError


@dataclass(frozen=True, slots=True)
class Finding:
    """`problem` forbids it, `note` is worth knowing; empty when all is well."""

    problem: str = ""
    note: str = ""


Check = Callable[[], Finding]


def problems(cloud: Cloud, deployment: Deployment, place: Place) -> tuple[list[str], list[str]]:
    """What forbids it, and what is worth knowing or could not be asked and is left to AWS to say later; one line each;
    none locally."""
    if cloud.is_local or deployment.existing:
        return [], []
    checks: list[Check] = [partial(_quota, cloud, deployment)]
    checks += [partial(_image, cloud, model, place) for model in deployment.models if model.is_ours]
    checks += [partial(_data, cloud, model) for model in deployment.models if model.data.startswith("s3://")]
    found = [_found(check) for check in checks]
    return [one.problem for one in found if one.problem], [one.note for one in found if one.note]


def _found(check: Check) -> Finding:
    try:
        return check()
    except DeployError as error:
        return Finding(note=f"not checked: {error}")


def _quota(cloud: Cloud, deployment: Deployment) -> Finding:
    name, most = f"{deployment.machine.type} for endpoint usage", most_instances(deployment)
    value = _quota_of(cloud, name)
    if value < most:
        return Finding(f"quota '{name}': {value:g}, and up to {most} are asked for; raise it in Service Quotas")
    if value < 2 * most and not deployment.uses_components:
        return Finding(note=f"quota '{name}': {value:g}, and an update at {most} runs {2 * most} for a while")
    return Finding()


def _quota_of(cloud: Cloud, name: str) -> float:
    """What the account has, or else what every account starts with. Raises DeployError when AWS lists neither."""
    for listing in ("list_service_quotas", "list_aws_default_service_quotas"):
        for quota in cloud.pages("service-quotas", listing, "Quotas", ServiceCode="sagemaker"):
            if quota["QuotaName"] == name:
                return float(quota["Value"])
    raise DeployError(f"quota '{name}': unknown to Service Quotas")


def _image(cloud: Cloud, model: Model, place: Place) -> Finding:
    """Ours must have been pushed."""
    try:
        digest_of(cloud, model.image, place)
    except Missing:
        image = tagged_image(model.image, place)
        return Finding(f"image {image}: not in ECR. Build and push it:\n{push_commands(model.image, place)}")
    return Finding()


def digests(cloud: Cloud, deployment: Deployment, place: Place) -> dict[str, str]:
    """Of our images, by flavour; without those that are not there or that one may not ask for."""
    found = {}
    for flavour in sorted({model.image for model in deployment.models if model.is_ours}):
        with suppress(DeployError):
            found[flavour] = digest_of(cloud, flavour, place)
    return found


def digest_of(cloud: Cloud, flavour: str, place: Place) -> str:
    """Raises Missing, DeployError."""
    tag = tagged_image(flavour, place).rpartition(":")[2]
    answer = cloud.ask("ecr", "describe_images", repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])
    return str(answer["imageDetails"][0]["imageDigest"])


def push_commands(flavour: str, place: Place) -> str:
    """For a machine with Docker, in the folder of the sources."""
    image, where = tagged_image(flavour, place), f"--region {place.region}"
    login = f"docker login --username AWS --password-stdin {place.registry}"
    return "\n".join(
        [
            f"  aws ecr describe-repositories {where} --repository-names {REPOSITORY} > /dev/null"
            f" || aws ecr create-repository {where} --repository-name {REPOSITORY}",
            f"  aws ecr get-login-password {where} | {login}",
            f"  docker build --platform linux/amd64 -f containers/{flavour}.Dockerfile -t {image} .",
            f"  docker push {image}",
        ]
    )


def _data(cloud: Cloud, model: Model) -> Finding:
    bucket, _, key = model.data.removeprefix("s3://").partition("/")
    try:
        found = cloud.ask("s3", "list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
    except Missing:
        return Finding(f"models.{model.name}.data: no bucket {bucket}")
    return Finding("" if found.get("KeyCount") else f"models.{model.name}.data: nothing at {model.data}")
