"""What can be asked of AWS before anything is made: quotas, images, model data."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from aural.deploy.cloud import Cloud, Missing
from aural.deploy.endpoint import REPOSITORY, Place, image_of
from aural.deploy.spec import Deployment, Model
from aural.errors import DeployError

Check = Callable[[], str]


def problems(cloud: Cloud, deployment: Deployment, place: Place) -> tuple[list[str], list[str]]:
    """What forbids it, and what could not be asked and is left to AWS to say later; one line each; none locally."""
    if cloud.is_local or deployment.existing:
        return [], []
    checks: list[Check] = [partial(_quota, cloud, deployment)]
    checks += [partial(_image, cloud, model, place) for model in deployment.models if model.is_ours]
    checks += [partial(_data, cloud, model) for model in deployment.models if model.data.startswith("s3://")]
    found: list[str] = []
    unasked: list[str] = []
    for check in checks:
        try:
            found.append(check())
        except DeployError as error:
            unasked.append(f"not checked: {error}")
    return [line for line in found if line], unasked


def _quota(cloud: Cloud, deployment: Deployment) -> str:
    machine = deployment.machine
    most = max(machine.count, deployment.scaling.max if deployment.scaling else 0)
    wanted = f"{machine.type} for endpoint usage"
    quotas = cloud.pages("service-quotas", "list_service_quotas", "Quotas", ServiceCode="sagemaker")
    value = next((quota["Value"] for quota in quotas if quota["QuotaName"] == wanted), None)
    if value is None or value >= most:
        return ""
    return f"quota '{wanted}': {value:g}, and up to {most} are asked for; raise it in Service Quotas"


def _image(cloud: Cloud, model: Model, place: Place) -> str:
    """Ours must have been pushed."""
    image = image_of(model, place)
    tag = image.rpartition(":")[2]
    try:
        cloud.ask("ecr", "describe_images", repositoryName=REPOSITORY, imageIds=[{"imageTag": tag}])
    except Missing:
        return f"image {image}: not in ECR. Build and push it:\n{push_commands(model.image, place)}"
    return ""


def push_commands(flavour: str, place: Place) -> str:
    """For a machine with Docker, in the folder of the sources."""
    image = image_of(Model(name="one", image=flavour), place)
    login = f"docker login --username AWS --password-stdin {place.registry}"
    return "\n".join(
        [
            f"  aws ecr create-repository --region {place.region} --repository-name {REPOSITORY}",
            f"  aws ecr get-login-password --region {place.region} | {login}",
            f"  docker build --platform linux/amd64 -f containers/{flavour}.Dockerfile -t {image} .",
            f"  docker push {image}",
        ]
    )


def _data(cloud: Cloud, model: Model) -> str:
    bucket, _, key = model.data.removeprefix("s3://").partition("/")
    try:
        found = cloud.ask("s3", "list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=1)
    except Missing:
        return f"models.{model.name}.data: no bucket {bucket}"
    return "" if found.get("KeyCount") else f"models.{model.name}.data: nothing at {model.data}"
