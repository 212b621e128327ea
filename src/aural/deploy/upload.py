"""Model data from a local file or folder to S3, once per content."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig

from aural.deploy.cloud import Cloud, Missing
from aural.deploy.resources import Call, Resource, whole
from aural.deploy.spec import Deployment, Model
from aural.errors import DeployError, SettingsError

LARGEST_BYTES = 1 << 40
"""The stand-in takes files whole."""
UPLOADED = re.compile(r"[^/]+/[^/]+/[0-9a-f]{12}/.+")
"""Keys of ours: DEPLOYMENT/MODEL/DIGEST/…; the bucket may have others."""
DEFAULT_LOCATION = "us-east-1"
"""The one region that S3 does not want to be told."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A local file or folder and where it goes: an archive as an object, a folder as a prefix."""

    model: str
    source: Path
    bucket: str
    key: str
    kms_key: str = ""

    @property
    def address(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def files(self) -> list[tuple[Path, str]]:
        """Local path and key of each file."""
        if self.source.is_file():
            return [(self.source, self.key)]
        return [(path, self.key + str(path.relative_to(self.source))) for path in _files(self.source)]


def bucket_of(deployment: Deployment, account: str) -> str:
    return deployment.bucket or f"aural-{account}-{deployment.region}"


def plan_uploads(deployment: Deployment, account: str, *, local: bool) -> list[Upload]:
    """One per model with local data. Raises SettingsError for data that are not there."""
    bucket = bucket_of(deployment, account)
    models = [model for model in deployment.models if model.is_uploaded and not (local and model.local)]
    return [_plan(deployment, model, bucket) for model in models]


def _plan(deployment: Deployment, model: Model, bucket: str) -> Upload:
    source = deployment.folder / model.data
    if source.is_file() and not source.name.endswith(".tar.gz"):
        raise SettingsError(f"models.{model.name}.data: expected a folder or a .tar.gz, got {source}")
    if not source.exists() or (source.is_dir() and not _files(source)):
        raise SettingsError(f"models.{model.name}.data: expected a folder with files or a .tar.gz at {source}")
    prefix = f"{deployment.name}/{model.name}/{_digest(source)}/"
    return Upload(model.name, source, bucket, prefix + source.name if source.is_file() else prefix, deployment.kms_key)


def send(cloud: Cloud, upload: Upload) -> int:
    """Upload what is not there yet; the number of files that were sent. Raises DeployError."""
    _ensure_bucket(cloud, upload.bucket)
    return sum(_send(cloud, upload, path, key) for path, key in upload.files())


def _send(cloud: Cloud, upload: Upload, path: Path, key: str) -> bool:
    try:
        there = cloud.ask("s3", "head_object", Bucket=upload.bucket, Key=key)
        if there["ContentLength"] == path.stat().st_size:
            return False
    except Missing:
        pass
    more: dict[str, Any] = {"Config": TransferConfig(multipart_threshold=LARGEST_BYTES)} if cloud.is_local else {}
    if upload.kms_key and not cloud.is_local:
        more["ExtraArgs"] = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": upload.kms_key}
    cloud.ask("s3", "upload_file", Filename=str(path), Bucket=upload.bucket, Key=key, **more)
    return True


def stored(cloud: Cloud, deployment: Deployment, account: str) -> list[Resource]:
    """Every file that was ever uploaded for this deployment and is still there. Raises DeployError."""
    bucket = bucket_of(deployment, account)
    try:
        found = cloud.pages("s3", "list_objects_v2", "Contents", Bucket=bucket, Prefix=f"{deployment.name}/")
    except Missing:
        return []
    except DeployError:
        if any(model.is_uploaded for model in deployment.models):
            raise
        return []  # who never uploads need not be allowed to look
    return [_file(bucket, one["Key"]) for one in found if UPLOADED.fullmatch(one["Key"])]


def _file(bucket: str, key: str) -> Resource:
    naming = {"Bucket": bucket, "Key": key}
    put, read, delete = (Call("s3", f"{verb}_object", naming) for verb in ("put", "head", "delete"))
    return Resource("file", f"s3://{bucket}/{key}", put, read, delete, whole)


def _ensure_bucket(cloud: Cloud, bucket: str) -> None:
    try:
        cloud.ask("s3", "head_bucket", Bucket=bucket)
    except Missing:
        where = {} if cloud.region == DEFAULT_LOCATION else {"LocationConstraint": cloud.region}
        cloud.ask("s3", "create_bucket", Bucket=bucket, **({"CreateBucketConfiguration": where} if where else {}))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(source: Path) -> str:
    """Of names and contents, so that changed weights make a new model."""
    whole = hashlib.sha256()
    for path in [source] if source.is_file() else _files(source):
        whole.update(str(path.relative_to(source.parent)).encode())
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()[:12]
