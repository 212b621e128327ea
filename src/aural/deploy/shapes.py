"""Requests against botocore's own model of the service. boto3 itself looks at names, types and least values only; here
enums, patterns and greatest values count too, so that a plan can be checked without AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore import xform_name
from botocore.model import ServiceModel, Shape

from aural.deploy.resources import Call

UNRESOLVED = "${"
JAVA_CLASSES = {r"\p{Print}": r"[\x20-\x7e]", r"\p{L}": r"\w", r"\p{Z}": r"\s", r"\p{N}": r"\d"}
"""AWS writes patterns in Java's dialect."""


@cache
def model_of(service: str) -> ServiceModel:
    return botocore.session.get_session().get_service_model(service)


@cache
def _operations(service: str) -> dict[str, str]:
    return {xform_name(name): name for name in model_of(service).operation_names}


def problems(call: Call) -> list[str]:
    """What AWS would refuse in this call, one line each, with the address of the value."""
    name = _operations(call.service).get(call.operation)
    if name is None:
        return [f"{call.service} has no operation {call.operation}; is boto3 too old?"]
    shape = model_of(call.service).operation_model(name).input_shape
    return list(_check(shape, call.request, name)) if shape else []


def _check(shape: Shape, value: Any, where: str) -> Iterator[str]:
    if isinstance(value, str) and UNRESOLVED in value:
        return
    match shape.type_name:
        case "structure":
            yield from _check_structure(shape, value, where)
        case "list":
            yield from _check_list(shape, value, where)
        case "map":
            yield from _check_map(shape, value, where)
        case "string":
            yield from _check_string(shape, value, where)
        case "boolean":
            yield from _check_type(value, bool, where)
        case "integer" | "long" | "float" | "double":
            yield from _check_number(shape, value, where)


def _check_structure(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where}: expected a structure, got {value!r}"
        return
    for name in sorted(set(shape.required_members) - value.keys()):
        yield f"{where}.{name}: required, and missing"
    for name, item in value.items():
        if name in shape.members:
            yield from _check(shape.members[name], item, f"{where}.{name}")
        else:
            yield f"{where}.{name}: unknown; known are {', '.join(shape.members)}"


def _check_list(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, list | tuple):
        yield f"{where}: expected a list, got {value!r}"
        return
    yield from _check_size(shape, len(value), where, "items")
    for i, item in enumerate(value):
        yield from _check(shape.member, item, f"{where}[{i}]")


def _check_map(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where}: expected a map, got {value!r}"
        return
    yield from _check_size(shape, len(value), where, "entries")
    for key, item in value.items():
        yield from _check(shape.key, key, f"{where} key {key!r}")
        yield from _check(shape.value, item, f"{where}.{key}")


def _check_string(shape: Any, value: Any, where: str) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"{where}: expected a string, got {value!r}"
        return
    if shape.enum and value not in shape.enum:
        yield f"{where}: expected one of {_some(shape.enum)}; got {value!r}"
    yield from _check_size(shape, len(value), where, "characters")
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        yield f"{where}: expected the pattern {pattern}, got {value!r}"


def _check_number(shape: Any, value: Any, where: str) -> Iterator[str]:
    kinds = (int,) if shape.type_name in ("integer", "long") else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        yield f"{where}: expected a {shape.type_name}, got {value!r}"
    else:
        yield from _check_size(shape, value, where, "")


def _check_type(value: Any, kind: type, where: str) -> Iterator[str]:
    if not isinstance(value, kind):
        yield f"{where}: expected {kind.__name__}, got {value!r}"


def _check_size(shape: Any, size: float, where: str, unit: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        yield f"{where}: expected at least {least} {unit}, got {size}".replace("  ", " ").replace(" ,", ",")
    if most is not None and size > most:
        yield f"{where}: expected at most {most} {unit}, got {size}".replace("  ", " ").replace(" ,", ",")


def _matches(pattern: str, value: str) -> bool:
    for java, ours in JAVA_CLASSES.items():
        pattern = pattern.replace(java, ours)
    if r"\uD800" in pattern or r"\p{" in pattern:
        return True  # surrogates: "any text", in a dialect that Python does not speak
    return re.fullmatch(pattern, value) is not None


def _some(values: list[str]) -> str:
    shown = ", ".join(values[:8])
    return f"{shown}, … ({len(values)} values)" if len(values) > 8 else shown
