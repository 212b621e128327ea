"""Keywords, terms, talk and safety words, on text alone: no model."""

from __future__ import annotations

import pytest

from aural.insight.analyst import Analyst
from aural.insight.intent import IntentSpec
from aural.insight.keywords import Phrase, Phrases
from aural.insight.request import Asked
from aural.insight.safety import by_words
from aural.insight.talk import talk
from aural.insight.terms import terms
from aural.insight.types import Role, Skill, Utterance
from aural.types import SAMPLE_RATE, Word


def said(text: str, **more: object) -> Utterance:
    return Utterance("u", text, **more)  # type: ignore[arg-type]


def found(phrases: list[Phrase], text: str) -> list[tuple[str, str]]:
    return [(one.phrase, one.text) for one in Phrases(phrases).find(said(text))]


def test_phrases_are_found_as_they_are_said() -> None:
    phrases = [Phrase("Northline Broadband"), Phrase("refund", ("money back",)), Phrase("cancel my contract")]
    assert found(phrases, "It's northline broadband, and I want my money back.") == [
        ("Northline Broadband", "northline broadband"),
        ("refund", "money back"),
    ]
    assert found(phrases, "north line broad band") == [("Northline Broadband", "north line broad band")]
    assert found(phrases, "I'm cancelling my contract") == [("cancel my contract", "cancelling my contract")]


def test_near_is_not_anything() -> None:
    assert found([Phrase("contract")], "please contact me") == []
    assert found([Phrase("art")], "start the party") == []
    assert found([Phrase("refund", fuzzy=False)], "a refunds desk") == []


def test_endings_hyphens_accents_and_slips_count() -> None:
    assert found([Phrase("refund")], "two refunds please") == [("refund", "refunds")]
    assert found([Phrase("invoice")], "you invoiced me, and the invoise is wrong") == [
        ("invoice", "invoiced"),
        ("invoice", "invoise"),
    ]
    assert found([Phrase("cancel")], "I'm cancelling it") == [("cancel", "cancelling")]
    assert found([Phrase("Wi-Fi")], "my wifi is down") == [("Wi-Fi", "wifi")]
    assert found([Phrase("wifi")], "my wi-fi is down") == [("wifi", "wi-fi")]
    assert found([Phrase("résumé")], "my resume") == [("résumé", "resume")]


def test_what_a_phrase_finds_does_not_depend_on_the_others() -> None:
    alone = [Phrase("Northline Broadband")]
    assert found(alone, "north line broad band") == [("Northline Broadband", "north line broad band")]
    assert found([Phrase("refund"), Phrase("refund")], "a refund") == [("refund", "refund")]


def test_what_redaction_left_was_not_said() -> None:
    assert found([Phrase("card number"), Phrase("email")], "it's [CARD_NUMBER] or [EMAIL]") == []
    assert [term.text for term in terms([said("the router is [PHONE_NUMBER] broken")])] == ["router", "broken"]


def test_chinese_is_found_by_its_sound() -> None:
    assert found([Phrase("取消合同")], "我要取消和同") == [("取消合同", "取消和同")]
    assert found([Phrase("取消合同", fuzzy=False)], "我要取消和同") == []
    assert found([Phrase("我要取消")], "不要取消") == []


def test_chinese_phrases_need_no_spaces_and_no_script() -> None:
    both = [("取消合同", "取消合同"), ("退款", "退款")]
    assert found([Phrase("退款"), Phrase("取消合同")], "我要取消合同並且退款") == both
    assert found([Phrase("宽带")], "我的寬帶斷了") == [("宽带", "寬帶")]


def test_a_keyword_has_the_times_of_its_words() -> None:
    spoken = enumerate(["I", "want", "my", "money", "back"])
    words = tuple(Word(" " + word, i * SAMPLE_RATE, i * SAMPLE_RATE + 8000, 1.0) for i, word in spoken)
    utterance = said("I want my money back", words=words, end=5 * SAMPLE_RATE)
    [hit] = Phrases([Phrase("money back")]).find(utterance)
    assert (hit.span.start, hit.span.stop) == (3 * SAMPLE_RATE, 4 * SAMPLE_RATE + 8000)


def test_no_phrases_find_nothing() -> None:
    assert Phrases([]).find(said("anything")) == ()


def test_terms_stand_out() -> None:
    call = ["my blood test is on tuesday", "can i move the blood test", "yes", "你好", "我的宽带断了", "宽带三天没有了"]
    best = [term.text for term in terms([said(text) for text in call])]
    assert "blood test" in best
    assert "宽带" in best
    assert "yes" not in best


def test_talk_silence_and_interruptions() -> None:
    def turn(role: Role, start_s: float, end_s: float) -> Utterance:
        return Utterance("u", "one two three", round(start_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE), role=role)

    turns = [turn(Role.AGENT, 0, 4), turn(Role.CUSTOMER, 3, 6), turn(Role.AGENT, 10, 12)]
    result = talk(turns, 20 * SAMPLE_RATE)
    assert [(s.name, s.talk / SAMPLE_RATE, s.turns) for s in result.speakers] == [("AGENT", 6, 2), ("CUSTOMER", 3, 1)]
    assert [(gap.start / SAMPLE_RATE, gap.end / SAMPLE_RATE) for gap in result.silences] == [(6, 10), (12, 20)]
    assert [(gap.start / SAMPLE_RATE, gap.end / SAMPLE_RATE) for gap in result.overlaps] == [(3, 4)]


def test_words_decide_safety_and_harmless_ones_do_not() -> None:
    def labels(text: str) -> set[str]:
        return {one.label for one in by_words(said(text))}

    assert labels("you're all useless") == {"INSULT"}
    assert labels("I'll come down there and smash your windows") == {"VIOLENCE_OR_THREAT"}
    assert labels("I want to kill myself") == {"SELF_HARM"}
    assert labels("你们都是废物") == {"INSULT"}
    assert labels("I don't want to live anymore.") == {"SELF_HARM"}
    assert labels("我想死。") == {"SELF_HARM"}
    assert labels("我要打断你的腿") == {"VIOLENCE_OR_THREAT"}
    assert labels("你他妈的在干嘛") == {"PROFANITY"}
    assert labels("i'm going to kill you") == {"VIOLENCE_OR_THREAT"}
    assert labels("I have been cutting myself again") == {"SELF_HARM"}


@pytest.mark.parametrize(
    "text",
    [
        "that's a stupid mistake of mine",
        "class assessment in Essex",
        "I'm dying to see it",
        "急死我了",
        "I'll shoot you an email",
        "we'll beat your current price",
        "we'll beat them on price",
        "I will break down your bill for you",
        "I'll punch in your number",
        "we'll destroy your old card",
        "we'll break your car payments down",
        "my battery is going to die",
        "I hurt myself on your stairs and want to claim",
        "I cut myself on the lid",
        "I'm calling about your garbage collection",
        "did you trash the box",
        "我操作不了",
        "这是我妈的手机号",
        "他妈妈的账户",
        "花没有送到，那天是我妈妈的葬礼",
        "不好意思打断你一下",
        "请你等着",
        "你们这是跳楼价吗",
        "网速慢得要死",
        "废物回收",
        "我想死你了",
        "我发烧你帮我请个假",
    ],
)
def test_ordinary_turns_raise_nothing(text: str) -> None:
    assert by_words(said(text)) == ()


def test_words_of_one_language_are_none_of_another() -> None:
    assert by_words(said("das ist zu dick", language="de")) == ()
    assert [one.label for one in by_words(said("what the fuck soll das", language="de"))] == ["PROFANITY"]


@pytest.mark.parametrize(
    ("text", "language", "emotion", "sentiment", "intent"),
    [
        ("my internet has been down for three days and i am furious", "en", "anger", "NEGATIVE", "report_outage"),
        ("that's wonderful thank you so much", "en", "joy", "POSITIVE", "other"),
        ("太好了，谢谢你帮我解决了", "zh", "joy", "POSITIVE", "other"),
        ("我要退货，东西坏了", "zh", None, None, "return_or_refund"),
    ],
)
def test_real_models_in_two_languages(
    text: str, language: str, emotion: str | None, sentiment: str | None, intent: str
) -> None:
    [found] = Analyst().analyse([said(text, language=language)], Asked())
    assert found.emotion is not None
    assert found.intent is not None
    assert emotion in (None, found.emotion.label)
    assert sentiment in (None, found.emotion.sentiment)
    assert found.intent.label == intent
    assert found.safety == ()
    assert found.skipped == ()


def test_english_examples_serve_chinese_speakers() -> None:
    specs = (
        IntentSpec("weather", ("will it rain tomorrow", "what is the weather like in Boston")),
        IntentSpec("alarm", ("wake me up at six", "set an alarm for seven in the morning")),
        IntentSpec("music", ("play some jazz", "put on my favourite playlist")),
    )
    intents = Analyst().seeker(Asked(intents=specs)).intents("zh")
    assert intents is not None
    found = intents.find(["明天会下雨吗", "早上六点叫醒我", "放点爵士乐", "我的快递到哪里了"])
    assert [one.label for one in found] == ["weather", "alarm", "music", "other"]


def test_labels_are_learnt_step_by_step_as_well_as_at_once() -> None:
    specs = tuple(
        IntentSpec(name, tuple(f"{name} number {i}" for i in range(6))) for name in ("window", "lamp", "door")
    )
    texts = ["could you shut the door", "the lamp is broken"]
    analyst = Analyst()
    seeker = analyst.seeker(Asked(intents=specs))
    steps = 0
    while not seeker.learn(["en"], until=0.0):
        steps += 1
    again = analyst.seeker(Asked(intents=specs, skills=frozenset({Skill.INTENT})))
    assert steps > 200
    assert again.learn(["en"], until=0.0), "the same labels are learnt once"
    at_once = Analyst().seeker(Asked(intents=specs)).intents("en")
    bit_by_bit = seeker.intents("en")
    assert at_once is not None
    assert bit_by_bit is not None
    assert bit_by_bit.find(texts) == at_once.find(texts)


def test_nothing_is_learnt_where_no_labels_are_asked() -> None:
    assert Analyst().seeker(Asked(skills=frozenset({Skill.TERMS}))).learn(["en", "zh"], until=0.0)
