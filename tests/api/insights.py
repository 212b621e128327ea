"""Insights asked for by hand: of a recording, and of texts."""

from __future__ import annotations

import json
from typing import Any

from tests.api.wire import form
from tests.conftest import Server

LOBSTER = "libri-367-130732-0001"
CALL = [
    {"text": "thank you for calling northline broadband how can i help", "role": "agent", "start": 0, "end": 4},
    {"text": "my internet has been down for three days and i am furious", "role": "customer", "start": 5, "end": 9},
    {"text": "i have booked an engineer for tomorrow morning", "role": "agent", "start": 10, "end": 13},
    {"text": "i will send you a text message to confirm", "role": "agent", "start": 13, "end": 15},
    {"text": "my card is 4111 1111 1111 1111", "role": "customer", "start": 20, "end": 24},
]


def transcribed(server: Server, audio: bytes, **fields: Any) -> tuple[int, dict[str, Any]]:
    given = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in fields.items()}
    body, kind = form(audio, **{"model": "whisper-tiny.en", **given})
    return server.post("/v1/audio/transcriptions", body, Content_Type=kind)


def understood(server: Server, **table: Any) -> tuple[int, dict[str, Any]]:
    return server.post("/v1/insights", json.dumps(table).encode(), Content_Type="application/json")
