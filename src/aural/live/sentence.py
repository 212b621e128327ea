"""Whether words end a sentence, as far as words can tell."""

from __future__ import annotations

import re

_ASKING_MARKS = "?!？！؟"
"""Nobody writes these out of habit."""
_END_MARKS = ".。।" + _ASKING_MARKS
_TRAILS_OFF = re.compile(r"(\.\.\.|…|[-—–,，、:：;；])$")
_LAST_WORD = re.compile(r"([\w']+)\W*$")
_HANGING_WORDS = """
    a an the and or but so because if that which who of to in on at by for with from as than then is are was were be
    my your our their his her its this these those i we you he she it um uh er erm like
    und oder aber weil dass der die das ein eine zu mit et ou mais parce que de des le la les un une y o pero porque el
"""
_HANGING = frozenset(_HANGING_WORDS.split())
"""Words after which a speaker goes on. Recognisers put a full stop after whatever was said last."""


def ends_sentence(text: str) -> bool:
    """Whether `text` could be all that the speaker wanted to say."""
    text = text.rstrip()
    if not text or text[-1] not in _END_MARKS or _TRAILS_OFF.search(text):
        return False
    if text[-1] in _ASKING_MARKS:
        return True
    last = _LAST_WORD.search(text)
    return last is None or last.group(1).casefold() not in _HANGING
