"""Language tags as people write them."""

from __future__ import annotations

import pytest

from aural.errors import BadRequest
from aural.languages import NAMES, Language, parse_language


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", Language("en")),
        ("EN_us", Language("en")),
        ("English", Language("en")),
        ("chinese", Language("zh")),
        ("zh-CN", Language("zh", "t2s")),
        ("zh-TW", Language("zh", "s2tw")),
        ("zh-Hant", Language("zh", "s2t")),
        ("zh-Hant-HK", Language("zh", "s2hk")),
        ("yue", Language("yue")),
        ("haitian creole", Language("ht")),
        ("jv", Language("jw")),
    ],
)
def test_tags(tag: str, language: Language) -> None:
    assert parse_language(tag) == language


@pytest.mark.parametrize("tag", ["", "xx", "klingon", "e", "en english", "--", "\x00"])
def test_what_is_no_language(tag: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_language(tag)
    assert caught.value.param == "language"


def test_every_name_finds_its_code() -> None:
    assert [parse_language(name).code for name in NAMES.values()] == list(NAMES)
