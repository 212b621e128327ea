"""Insights for people who read a terminal: a few lines from what `schema.py` writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MOST = 8
FELT_SCORE = 0.5
"""Of an emotion that is worth a word."""


def of_file(insights: Mapping[str, Any]) -> list[str]:
    """Lines about a file or a text, from all of `insights`."""
    if "skipped" in insights:
        return [f"insights: {insights['skipped']['message']}"]
    return [*of_call(insights["call"]), *(of_alert(alert) for alert in insights["alerts"])]


def of_call(call: Mapping[str, Any]) -> list[str]:
    """Lines about a call as a whole."""
    moods = call.get("sentiment", {}).get("overall", {})
    lines = {
        "keywords": ", ".join(f"{one['phrase']} ({one['count']})" for one in call.get("keywords", [])[:MOST]),
        "topics": ", ".join(one["text"] for one in call.get("topics", [])[:MOST]),
        "intents": ", ".join(one["intent"] for one in call.get("intents", [])[:MOST]),
        "sentiment, -5 to 5": ", ".join(f"{side} {value:+.1f}" for side, value in moods.items()),
        "safety": ", ".join(one["label"] for one in call.get("content_safety", [])),
        "summary": (call.get("summary") or {}).get("short", ""),
    }
    notes = [
        f"{name}: {one['text']}"
        for name, key in (("issue", "issues"), ("outcome", "outcomes"), ("to do", "action_items"))
        for one in call.get(key, [])
    ]
    return [f"{name}: {value}" for name, value in lines.items() if value] + notes


def of_utterance(found: Mapping[str, Any]) -> str:
    """What stands out in one utterance; empty when nothing does."""
    intent = (found.get("intents") or [{"intent": "other"}])[0]["intent"]
    emotion = found.get("emotion") or {"label": "neutral", "confidence": 0.0}
    parts = [
        *(word["phrase"] for word in found.get("keywords", [])),
        *([intent] if intent != "other" else []),
        *([emotion["label"]] if emotion["label"] != "neutral" and emotion["confidence"] >= FELT_SCORE else []),
        *(one["label"] for one in found.get("content_safety", [])),
    ]
    return " · ".join(dict.fromkeys(parts))


def of_alert(alert: Mapping[str, Any]) -> str:
    minutes, seconds = divmod(alert["offset_ms"] // 1000, 60)
    return f"alert: {alert['name']} at {minutes:02d}:{seconds:02d}"
