"""What is made at AWS, as data: each resource says how it is created, read, changed and deleted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Request = Mapping[str, Any]
Found = dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of boto3: `boto3.client(service).operation(**request)`. A string `${KEY.Field}` in the request stands
    for a field of what the resource KEY answered when it was made or read."""

    service: str
    operation: str
    request: Request


@dataclass(frozen=True, slots=True)
class Resource:
    """`found` turns the answer of `read` into the terms of `create`, or None when there is no such thing. Where it
    differs in one of the keys of `compare`, the first of which says what it rests on, `update` mends it; what is named
    after its content never differs."""

    kind: str
    name: str
    create: Call
    read: Call
    delete: Call | None
    """None for what goes with another."""
    found: Callable[[dict[str, Any]], Found]
    update: Call | None = None
    compare: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.kind}/{self.name}"

    @property
    def service(self) -> str:
        return self.create.service


def digest(request: Request) -> str:
    """Eight hex digits of the content, for the names of what cannot be changed."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:8]


def named(listing: str, key: str, name: str) -> Callable[[dict[str, Any]], Found]:
    """For reads that answer with a list."""
    return lambda answer: next((one for one in answer.get(listing) or [] if one.get(key) == name), None)


def whole(answer: dict[str, Any]) -> Found:
    return answer


def changes(resource: Resource, found: dict[str, Any]) -> list[str]:
    """What `update` would change, one line each."""
    wanted = resource.create.request
    return [line for key in resource.compare if key in wanted for line in differences(wanted[key], found.get(key), key)]


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Where `found` is not what is wanted; what it has beyond that is AWS's own business."""
    if isinstance(wanted, str) and isinstance(found, Mapping):
        wanted = json.loads(wanted)
    if isinstance(wanted, str) and wanted.startswith("{") and isinstance(found, str):
        return [] if json.loads(wanted) == json.loads(found) else [f"{path}: another content"]
    if isinstance(wanted, str) and "${" in wanted:
        return []
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return [line for key in wanted for line in differences(wanted[key], found.get(key), f"{path}.{key}".strip("."))]
    if isinstance(wanted, list | tuple) and isinstance(found, list | tuple) and len(wanted) == len(found):
        pairs = zip(wanted, found, strict=True)
        return [line for i, (one, other) in enumerate(pairs) for line in differences(one, other, f"{path}[{i}]")]
    return [] if wanted == found else [f"{path}: {found!r} → {wanted!r}"]
