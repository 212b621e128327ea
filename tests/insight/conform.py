"""Answers held against the published schema, read strictly: what it does not name must not be there."""

from __future__ import annotations

import json
from typing import Any

import jsonschema

from aural.insight.schema import schema_file


def published() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(schema_file())
    return schema


def conforms(body: Any, part: str = "found") -> None:
    """Raises ValidationError for what is not as `$defs` of this name has it."""
    schema = _strict(published())
    jsonschema.validate(body, {"$ref": f"#/$defs/{part}", "$defs": schema["$defs"]})


def conforming_events(events: list[dict[str, Any]]) -> int:
    """How many events of a live session are insights, all of them as the schema has them."""
    parts = {
        "aural.utterance_insights": "utterance",
        "aural.call_insights": "call",
        "aural.alert": "alert",
        "aural.insights_skipped": "skip",
    }
    told = [event for event in events if event["type"] in parts]
    for event in told:
        conforms(event, parts[event["type"]])
    return len(told)


def _strict(node: Any) -> Any:
    if isinstance(node, list):
        return [_strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    closed = {"additionalProperties": False} if "properties" in node and "additionalProperties" not in node else {}
    return {name: _strict(value) for name, value in node.items()} | closed
