"""Which language a text is written in, for engines that hear many languages and do not say which one they heard.

A script that one language owns decides at once; Latin letters are told apart by the commonest words of each language,
which make up a third of what anybody says.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

COMMON = {
    "en": "the and of to that is was it you he for with his this have not are but had they be at which i we what so",
    "es": "el que y los las una por con para se del lo como más pero sus su le al muy también está yo es en la de",
    "fr": "le les et est que des une dans pour pas qui sur au avec ce il elle nous vous je plus été mais c'est la un",
    "pt": "o que não uma os com para do da em um mais as dos como mas foi ao ele das tem à seu sua ou ser é você e",
    "de": "der die und das ist nicht ein eine zu den mit sich des auf für im dem von ich es auch wir sie hat dass war",
    "nl": "de het een en van is dat niet op te zijn met voor er aan ook als maar om hij wat nog wel naar dan ik je in",
    "it": "il che di e è la un per non sono una con si da ma come gli anche lo più al questo della ha mi le delle nel",
    "pl": "nie to się na że jest z do tak jak co ale po w i już o tego są przez dla od za czy był",
    "sv": "och att det som en på är av för med den till inte om ett har de jag men var vi han så",
}
SCRIPTS = {
    "hi": "\u0900-\u097f",
    "ar": "\u0600-\u06ff",
    "ru": "\u0400-\u04ff",
    "ko": "\uac00-\ud7af",
    "ja": "\u3040-\u30ff",
    "zh": "\u4e00-\u9fff",
}
"""In this order: Japanese has Chinese characters too."""
_MOST_WORDS = 200


def language_of(text: str, among: Sequence[str]) -> tuple[str, float]:
    """The likeliest of the languages and how sure that is, 0 when nothing speaks for any: then it is the first."""
    letters = len(re.findall(r"\w", text))
    for language, script in SCRIPTS.items():
        if language in among and len(re.findall(f"[{script}]", text)) > letters / 4:
            return language, 1.0
    words = re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower())[:_MOST_WORDS]
    votes = Counter(
        {language: sum(word in _WORDS[language] for word in words) for language in among if language in _WORDS}
    )
    ranked = votes.most_common(2)
    if not ranked or not ranked[0][1]:
        return among[0], 0.0
    rival = ranked[1][1] if len(ranked) > 1 else 0
    return ranked[0][0], ranked[0][1] / (ranked[0][1] + rival)


_WORDS = {language: frozenset(words.split()) for language, words in COMMON.items()}
