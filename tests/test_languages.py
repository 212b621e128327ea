"""Language tags as people write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aural.errors import BadRequest
from aural.languages import NAMES, SPACELESS, Language, parse_language


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("en", Language("en")),
        ("EN", Language("en")),
        (" en ", Language("en")),
        ("en-US", Language("en")),
        ("en_US", Language("en")),
        ("English", Language("en")),
        ("haitian creole", Language("ht")),
        ("pt-BR", Language("pt")),
        ("haw", Language("haw")),
        ("nb-NO", Language("no")),
        ("iw", Language("he")),
        ("jv", Language("jw")),
        ("castilian", Language("es")),
        ("zh", Language("zh", "t2s")),
        ("chinese", Language("zh", "t2s")),
        ("mandarin", Language("zh", "t2s")),
        ("zh-CN", Language("zh", "t2s")),
        ("zh-Hans", Language("zh", "t2s")),
        ("zh-Hant", Language("zh", "s2t")),
        ("zh_hant", Language("zh", "s2t")),
        ("zh-TW", Language("zh", "s2tw")),
        ("zh-Hant-TW", Language("zh", "s2tw")),
        ("zh-HK", Language("zh", "s2hk")),
        ("zh-MO", Language("zh", "s2hk")),
        ("cmn-Hant", Language("zh", "s2t")),
        ("yue", Language("yue")),
    ],
)
def test_tags(tag, expected):
    assert parse_language(tag) == expected


@pytest.mark.parametrize("tag", ["", " ", "--", "e", "xx", "klingon", "en english", "zzz-US", "английский", "\x00"])
def test_unknown_tags_are_refused_by_name(tag):
    with pytest.raises(BadRequest) as refusal:
        parse_language(tag)
    assert refusal.value.param == "language"
    assert repr(tag) in str(refusal.value)


@given(st.text(max_size=20))
def test_any_text_is_a_language_or_refused(tag):
    with suppress(BadRequest):
        assert parse_language(tag).code in NAMES


@pytest.mark.parametrize("code", NAMES)
def test_codes_and_names_mean_the_same(code):
    assert parse_language(code).code == code
    assert parse_language(NAMES[code]).code == code


def test_spaceless_languages_are_languages():
    assert NAMES.keys() >= SPACELESS
