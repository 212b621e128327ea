"""What was found as JSON: schema 1, described in docs/insights.md and by `data/insights.schema.json`. Names are those
of Amazon Transcribe Call Analytics where it has them, in snake case; times are milliseconds of the audio that came."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from aural.insight.call import Call, Mood
from aural.insight.llm_answer import Reading, Summary
from aural.insight.request import Asked
from aural.insight.talk import Speaker, Stretch, Talk
from aural.insight.types import Entity, Keyword, Note, Safety, Skill, Span, Term, Turn
from aural.types import SAMPLE_RATE

SCHEMA = "1"
QUARTER_NAMES = ("q1", "q2", "q3", "q4")


@cache
def schema_file() -> bytes:
    """The JSON Schema (draft 2020-12) of what is written here."""
    return (files("aural.insight") / "data" / "insights.schema.json").read_bytes()


def ms(samples: int) -> int:
    return round(samples * 1000 / SAMPLE_RATE)


def utterance_json(turn: Turn, asked: Asked) -> dict[str, Any]:
    """One utterance. Keys of skills that were not asked for are missing; what was not found is null or empty."""
    said, found = turn.utterance, turn.findings
    body: dict[str, Any] = {
        "type": "utterance_insights",
        "schema": SCHEMA,
        "utterance_id": said.id,
        "channel": said.channel,
        "participant_role": said.role.value if said.role else None,
        "language": said.language,
        "begin_offset_ms": ms(said.start),
        "end_offset_ms": ms(said.end),
        "transcript": said.text,
    }
    by_skill: dict[Skill, dict[str, Any]] = {
        Skill.KEYWORDS: {"keywords": [_keyword(one) for one in found.keywords]},
        Skill.TERMS: {"terms": [_term(one) for one in found.terms]},
        Skill.INTENT: {"intents": _intents(turn)},
        Skill.EMOTION: _felt(turn),
        Skill.SAFETY: {"content_safety": [_safety(one) for one in found.safety]},
        Skill.ENTITIES: {"entities": [_entity(one) for one in found.entities]},
        Skill.NOTES: _detected(found.notes),
    }
    for skill, part in by_skill.items():
        if skill in asked.skills:
            body |= part
    body["engine"] = {"name": "embedded", "models": list(found.models)}
    if found.judged:
        body["engine"]["language_model"] = {"model": found.judge, "skills": [skill.value for skill in found.judged]}
    if found.skipped:
        body["skipped"] = [skill.value for skill in found.skipped]
    return body


def call_json(call: Call, asked: Asked, reading: Reading | None = None, *, final: bool = True) -> dict[str, Any]:
    """The call as a whole, without its utterances; what a language model wrote goes before what was extracted."""
    body: dict[str, Any] = {
        "type": "call_insights",
        "schema": SCHEMA,
        "is_final": final,
        "kind": "extractive",
        "status": "COMPLETED",
        "failure_code": None,
    }
    if Skill.KEYWORDS in asked.skills:
        body["keywords"] = [{"phrase": phrase, "count": count} for phrase, count in call.keywords]
    if Skill.TERMS in asked.skills:
        body["topics"] = [_term(one) for one in call.topics]
    if Skill.INTENT in asked.skills:
        body["intents"] = [{"intent": label, "count": count} for label, count in call.intents]
    if Skill.EMOTION in asked.skills:
        body["sentiment"] = {
            "overall": {mood.side: mood.overall for mood in call.moods},
            "by_period": {mood.side: dict(zip(QUARTER_NAMES, mood.quarters, strict=True)) for mood in call.moods},
            "course": {mood.side: _course(mood) for mood in call.moods},
        }
    if Skill.SAFETY in asked.skills:
        body["content_safety"] = [{"label": label, "severity": severity} for label, severity in call.safety]
    if {Skill.NOTES, Skill.SUMMARY} & asked.skills:
        body |= {f"{kind}s": _notes(call.notes, kind) for kind in ("issue", "outcome")}
        body["action_items"] = _notes(call.notes, "action")
    if Skill.SUMMARY in asked.skills:
        body["summary"] = None
    if call.talk:
        body["talk"] = _talk(call.talk)
    if reading and reading.summary and Skill.SUMMARY in asked.skills:
        body |= _written(reading.summary, body.get("topics", []))
    if reading and reading.failure:
        body |= {"status": "FAILED", "failure_code": reading.failure}
    return body


def insights_json(
    call: Call, asked: Asked, alerts: Sequence[dict[str, Any]] = (), reading: Reading | None = None
) -> dict[str, Any]:
    """All of a file or a text: what `insights` holds in an answer."""
    return {
        "schema": SCHEMA,
        "utterances": [utterance_json(turn, asked) for turn in call.turns],
        "call": call_json(call, asked, reading),
        "alerts": list(alerts),
    }


def _written(summary: Summary, extracted: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The keys of the call that a language model fills. Its topics go before those that were extracted."""
    body: dict[str, Any] = {
        "kind": "abstractive",
        "summary": {
            "short": summary.summary,
            "sentiment": summary.sentiment,
            "topics": list(summary.topics),
            "end_offset_ms": ms(summary.end),
        },
        "topics": [*({"text": topic} for topic in summary.topics), *extracted],
        "issues": [{"text": text} for text in summary.issues],
        "outcomes": [{"text": text} for text in summary.outcomes],
        "action_items": [{"text": text} for text in summary.action_items],
    }
    return body | ({"transcript": summary.transcript} if summary.transcript else {})


def span_json(span: Span) -> dict[str, Any]:
    return {
        "character_offsets": {"begin": span.begin, "end": span.end},
        "begin_offset_ms": ms(span.start),
        "end_offset_ms": ms(span.stop),
    }


def _keyword(found: Keyword) -> dict[str, Any]:
    category = {"category": found.category} if found.category else {}
    return {"phrase": found.phrase, "text": found.text, "confidence": found.score, **category, **span_json(found.span)}


def _term(found: Term) -> dict[str, Any]:
    times = [{"begin_offset_ms": ms(span.start), "end_offset_ms": ms(span.stop)} for span in found.spans]
    return {"text": found.text, "rank": found.score, "count": found.count, "timestamps": times}


def _intents(turn: Turn) -> list[dict[str, Any]]:
    """The intent first, then what it might have been."""
    intent = turn.findings.intent
    pairs = [(intent.label, intent.score), *intent.alternatives] if intent else []
    return [{"intent": label, "confidence_score": score} for label, score in pairs]


def _felt(turn: Turn) -> dict[str, Any]:
    felt = turn.findings.emotion
    if felt is None:
        return {"emotion": None, "sentiment": None}
    return {
        "emotion": {
            "label": felt.label,
            "confidence": felt.score,
            "several": [{"label": label, "confidence": score} for label, score in felt.several],
            "nuances": [{"label": label, "confidence": score} for label, score in felt.nuances],
        },
        "sentiment": {"label": felt.sentiment, "score": felt.valence},
    }


def _safety(found: Safety) -> dict[str, Any]:
    place = span_json(found.span) if found.span else {}
    return {"label": found.label, "confidence": found.score, "severity": found.severity, **place}


def _entity(found: Entity) -> dict[str, Any]:
    return {"category": found.category, "content": found.text, "confidence": found.score, **span_json(found.span)}


def _detected(found: Sequence[Note]) -> dict[str, Any]:
    """An utterance is named for what it most probably is, if it is more probable than not."""
    sure = [note for note in found if note.score >= 0.5]
    kinds = {"issue": "issues_detected", "outcome": "outcomes_detected", "action": "action_items_detected"}
    return {
        name: [
            {"character_offsets": {"begin": 0, "end": len(note.text)}, "confidence": note.score}
            for note in sure
            if note.kind == kind
        ]
        for kind, name in kinds.items()
    }


def _notes(found: Sequence[Note], kind: str) -> list[dict[str, Any]]:
    return [
        {
            "utterance_id": note.utterance,
            "text": note.text,
            "confidence": note.score,
            "begin_offset_ms": ms(note.start),
            "end_offset_ms": ms(note.end),
        }
        for note in found
        if note.kind == kind
    ]


def _course(mood: Mood) -> list[dict[str, Any]]:
    return [{"begin_offset_ms": ms(at), "valence": valence, "emotion": label} for at, valence, label in mood.course]


def _talk(talk: Talk) -> dict[str, Any]:
    return {
        "total_ms": ms(talk.length),
        "speakers": {speaker.name: _speaker(speaker) for speaker in talk.speakers},
        "non_talk": _stretches(talk.silences),
        "interruptions": _stretches(talk.overlaps),
    }


def _speaker(speaker: Speaker) -> dict[str, Any]:
    return {
        "talk_ms": ms(speaker.talk),
        "turns": speaker.turns,
        "words": speaker.words,
        "words_per_minute": speaker.words_per_minute,
    }


def _stretches(stretches: Sequence[Stretch]) -> dict[str, Any]:
    places = [{"begin_offset_ms": ms(one.start), "end_offset_ms": ms(one.end)} for one in stretches]
    return {"total_ms": ms(sum(map(len, stretches))), "instances": places}
