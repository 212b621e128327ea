"""The server's file: whatever is wrong in it is named at the start, also what could never act."""

from __future__ import annotations

import tomllib

import pytest

from aural.errors import SettingsError
from aural.insight.keywords import Phrase
from aural.insight.request import Asked, parse_asked
from aural.insight.settings import InsightSettings, parse
from aural.insight.types import Findings, Keyword, Skill, Span

RULE = "[alert.x]\nany = [{ silence_s = 8 }]\n"
HOOK = "[webhook]\nurl = 'https://example.com/hook'\n"
LLM = "[llm]\nurl = 'http://127.0.0.1:8000/v1'\n"


def read(text: str) -> InsightSettings:
    return parse(tomllib.loads(text))


@pytest.mark.parametrize(
    ("text", "place", "named"),
    [
        ("[alert.x]\nany = []", "alert.x.any", "conditions"),
        ("[alert.x]\nany = [{ moon = 1 }]", "alert.x.any[0]", "talk_over_s"),
        ("[alert.x]\nall = [{ silence_s = 1 }, { keyword = 'a', scroe = 1 }]", "alert.x.all[1]", "scroe"),
        ("[alert.x]\nany = [{ emotion = 'bored' }]", "alert.x.any[0].emotion", "surprise"),
        ("[alert.x]\nany = [{ silence_s = 1 }]\nall = []", "alert.x", "one of any and all"),
        ("[alert.x]\nrole = 'BOSS'\nany = [{ silence_s = 1 }]", "alert.x.role", "AGENT"),
        (f"{RULE}wihtin_s = 3", "alert.x", "wihtin_s"),
        ("alert = 3", "alert", "table"),
        ("alert = { x = 3 }", "alert.x", "table"),
        ("[alert.x]\nany = [{ silence_s = 'long' }]", "alert.x.any[0]", "silence_s"),
        ("[alert.x]\nany = [{ silence_s = nan }]", "alert.x.any[0]", "silence_s"),
        ("[alert.x]\nany = [{ silence_s = 0 }]", "alert.x.any[0]", "silence_s"),
        ("[alert.x]\nany = [{ intent = 'complaint', score = -1 }]", "alert.x.any[0]", "score"),
        ("[alert.x]\nany = [{ intent = 'complaint', score = nan }]", "alert.x.any[0]", "score"),
        ("[alert.x]\nany = [{ safety = 'INSULT', severity = 2 }]", "alert.x.any[0]", "severity"),
        (f"{RULE}within_s = inf", "alert.x", "within_s"),
        (f"{RULE}cooldown_s = -1", "alert.x", "cooldown_s"),
        (f"{RULE}webhook = 'false'", "alert.x", "webhook"),
        (f"{HOOK}attempts = 0.5", "webhook", "attempts"),
        (f"{HOOK}attempts = true", "webhook", "attempts"),
        (f"{HOOK}timeout_s = 0", "webhook", "timeout_s"),
        (f"{HOOK}secret = ''", "webhook", "secret"),
        (f"{HOOK}secret = 's'\nsecret_env = 'S'", "webhook", "one of secret and secret_env"),
        (f"{HOOK}moon = 1", "webhook", "moon"),
        ("[webhook]\nurl = 'https://example.com:99999/hook'", "webhook", "url"),
        ("[webhook]\nurl = 'https://[::1/hook'", "webhook", "url"),
        ("[webhook]\nurl = 'ftp://example.com/hook'", "webhook", "url"),
        ("[webhook]\nsecret = 's'", "webhook", "url"),
        (f"{LLM}input_price = 'x'", "llm", "input_price"),
        (f"{LLM}output_price = nan", "llm", "output_price"),
        (f"{LLM}audio = 'false'", "llm", "audio"),
        (f"{LLM}max_tokens = 0.5", "llm", "max_tokens"),
        (f"{LLM}model = 3", "llm", "model"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, place: str, named: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(text)
    message = str(raised.value)
    assert message.startswith((f"{place}: expected ", f"{place}.{named}: expected "))
    assert named in message


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("keywords = { churn = ['leave'] }\n[alert.x]\nany = [{ category = 'chrun' }]", "churn"),
        ("keywords = ['leave']\n[alert.x]\nany = [{ category = 'churn' }]", "none"),
        ("[alert.x]\nany = [{ intent = 'cancel' }]", "cancel_service"),
        ("intents = { cancel = ['i want out'] }\n[alert.x]\nany = [{ intent = 'cancel_service' }]", "cancel, other"),
        ("[alert.x]\nany = [{ safety = 'SEXUAL' }]", "SELF_HARM"),
    ],
)
def test_a_rule_that_could_never_act_is_refused(text: str, known: str) -> None:
    with pytest.raises(SettingsError, match=r"alert\.x\.any\[0\]\.\w+: expected") as raised:
        read(text)
    assert known in str(raised.value)


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_secret_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    monkeypatch.delenv("HOOK_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("HOOK_SECRET", value)
    with pytest.raises(SettingsError, match="HOOK_SECRET"):
        read(f"{HOOK}secret_env = 'HOOK_SECRET'")
    monkeypatch.setenv("HOOK_SECRET", "s3cret\n")
    webhook = read(f"{HOOK}secret_env = 'HOOK_SECRET'").webhook
    assert webhook is not None
    assert webhook.secret == "s3cret"


RULES = """
keywords = { churn = ["leave"], rude = ["shut up"] }

[alert.a]
any = [{ keyword = "refund" }, { category = "churn" }]

[alert.b]
any = [{ emotion = "anger" }, { silence_s = 8 }]
"""


def test_what_rules_need_is_looked_for_whatever_is_asked() -> None:
    settings = read(RULES)
    asked = parse_asked({"skills": ["terms"], "keywords": ["lobster"]}, settings.asked)
    assert asked is not None
    wide = settings.search(asked).wide
    assert wide.skills == {Skill.TERMS, Skill.KEYWORDS, Skill.EMOTION}
    assert set(wide.phrases) == {Phrase("lobster"), Phrase("leave", category="churn"), Phrase("refund")}
    nothing = read("keywords = ['leave']").search(asked)
    assert nothing.wide == asked


def test_what_only_rules_look_for_is_not_told() -> None:
    settings = read(RULES)
    search = settings.search(Asked(phrases=(Phrase("lobster"),), skills=frozenset({Skill.KEYWORDS})))
    words = [
        Keyword(phrase, phrase, 1.0, Span(0, 1, 0, 1), category)
        for phrase, category in (("lobster", ""), ("leave", "churn"), ("refund", ""))
    ]
    told = search.told(Findings(keywords=tuple(words), skipped=(Skill.EMOTION, Skill.KEYWORDS)))
    assert [word.phrase for word in told.keywords] == ["lobster"]
    assert told.skipped == (Skill.KEYWORDS,)
    by_default = settings.search(settings.asked)
    assert [word.phrase for word in by_default.told(Findings(keywords=tuple(words))).keywords] == ["lobster", "leave"]


def test_who_asks_alike_gets_the_same_search() -> None:
    settings = read(RULES)
    first, second = (settings.search(Asked(phrases=(Phrase("lobster"),))) for _ in range(2))
    assert first.wide is second.wide
