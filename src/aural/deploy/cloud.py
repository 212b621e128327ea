"""AWS, or the stand-in for it: boto3's clients, and its errors in words that say what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

from aural.deploy.resources import Call, Resource
from aural.errors import DeployError

LOCAL_ACCOUNT = "000000000000"
ATTEMPTS = 8
"""Of each call; botocore's standard mode waits longer each time and repeats throttling, 5xx and lost connections."""
LOCAL_CREDENTIALS = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
MISSING = re.compile(
    r"could not find|no scal\w+ \w+ found|does not exist|not found|no such|cannot (be found|find)", re.IGNORECASE
)
MISSING_CODES = frozenset(
    {
        "NoSuchEntity",
        "NotFound",
        "NotFoundException",
        "404",
        "NoSuchBucket",
        "NoSuchKey",
        "ResourceNotFound",
        "ResourceNotFoundException",
        "DashboardNotFoundError",
        "ObjectNotFoundException",
        "RepositoryNotFoundException",
        "ImageNotFoundException",
    }
)
DENIED_CODES = frozenset(
    {"403", "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AuthorizationError"}
)
THROTTLED_CODES = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})
LIMIT_CODES = frozenset(
    {"ResourceLimitExceeded", "LimitExceededException", "LimitExceeded", "ServiceQuotaExceededException"}
)


class Missing(DeployError):
    """What was read or deleted is not there."""


class Uncertain(DeployError):
    """The call may have done its work all the same: the connection broke, or AWS failed within."""


@dataclass(slots=True)
class Cloud:
    """Clients of one region, made when they are first needed. `url` is the stand-in's address, empty for AWS."""

    region: str
    url: str = ""
    attempts: int = ATTEMPTS
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def is_local(self) -> bool:
        return bool(self.url)

    def client(self, service: str) -> Any:
        """boto3's client. Raises DeployError without a region or with an unknown profile."""
        if service not in self._clients:
            with _translated(service, "client"):
                self._clients[service] = boto3.client(service, config=self._config(), **self._where())
        return self._clients[service]

    def call(self, call: Call) -> dict[str, Any]:
        """The answer. Raises Missing, DeployError."""
        operation = getattr(self.client(call.service), call.operation, None)
        if operation is None:
            raise DeployError(f"expected a boto3 whose {call.service} knows {call.operation}; update boto3")
        with _translated(call.service, call.operation):
            answer: dict[str, Any] = operation(**call.request)
            return answer

    def ask(self, service: str, operation: str, **request: Any) -> dict[str, Any]:
        return self.call(Call(service, operation, request))

    def pages(self, service: str, operation: str, key: str, **request: Any) -> list[dict[str, Any]]:
        """All items of a listing. Raises DeployError."""
        with _translated(service, operation):
            pages = self.client(service).get_paginator(operation).paginate(**request)
            return [item for page in pages for item in page.get(key, [])]

    def account(self) -> str:
        return LOCAL_ACCOUNT if self.is_local else str(self.ask("sts", "get_caller_identity")["Account"])

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _config(self) -> Config:
        return Config(
            retries={"mode": "standard", "total_max_attempts": self.attempts},
            request_checksum_calculation="when_required",
            s3={"addressing_style": "path"} if self.is_local else {},
        )

    def _where(self) -> Mapping[str, str]:
        local = {"endpoint_url": self.url, **LOCAL_CREDENTIALS} if self.is_local else {}
        return {"region_name": self.region, **local}


def look(cloud: Cloud, resource: Resource) -> dict[str, Any] | None:
    """What is there now. Raises DeployError."""
    try:
        return resource.found(cloud.call(resource.read))
    except Missing:
        return None


@contextmanager
def _translated(service: str, operation: str) -> Iterator[None]:
    """Turns boto3's errors into ours."""
    what = f"{service}:{operation}"
    try:
        yield
    except ClientError as error:
        raise explain(what, error) from error
    except NoCredentialsError as error:
        raise DeployError("expected AWS credentials (aws configure, or AWS_PROFILE); found none") from error
    except NoRegionError as error:
        raise DeployError("expected a region in the file; found none") from error
    except Boto3Error as error:
        cause = error.__context__
        raise explain(what, cause) if isinstance(cause, ClientError) else Uncertain(f"{what}: {error}") from error
    except BotoCoreError as error:
        raise Uncertain(f"{what}: {error}") from error


def explain(what: str, error: ClientError) -> DeployError:
    """What went wrong and what helps."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    said = str(error.response.get("Error", {}).get("Message", ""))
    if code in MISSING_CODES or (code.startswith("Validation") and MISSING.search(said)):
        return Missing(f"{what}: {said}")
    if code in DENIED_CODES:
        return DeployError(f"{what}: AWS denies it to these credentials; docs/sagemaker.md has the policy. {said}")
    if code in LIMIT_CODES:
        return DeployError(f"{what}: a quota of the account is reached; raise it in Service Quotas. {said}")
    if code in THROTTLED_CODES:
        return DeployError(f"{what}: AWS asked to slow down {ATTEMPTS} times over; try again later. {said}")
    failed_within = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500
    return (Uncertain if failed_within else DeployError)(f"{what}: {code}: {said}")
