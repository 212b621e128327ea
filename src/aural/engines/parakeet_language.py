"""Which of Parakeet's 25 European languages a text is in: the model writes it and does not say.

By the letters that only some languages have and by small words that are everywhere. Made for telling these 25 apart in
a sentence or two, no more.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

EUROPEAN: Final = (
    *("bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "hr", "hu", "it"),
    *("lt", "lv", "mt", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sv", "uk"),
)
"""The languages of parakeet-tdt-0.6b-v3."""

_SMALL_WORDS: Final = {
    "bg": "и на да се не от за по че са ще ли като това тази този във беше",
    "cs": "a je se na to že v jsem ale jak není do jsou si by jako pro který byl jsme",
    "da": "og det at en er jeg ikke til på der af den med har som de for et vi hvad",
    "de": "der die und das ist nicht ich ein zu mit den von auf sie wir es eine dem auch wie",
    "en": "the and of to in is that it for was with you this are have be not we they on",
    "es": "el la los que y en una por con para no es las se del lo pero como más está",
    "et": "ja on ei see et ma oli ta kui mis ka aga seda nii oma või mida olen sest väga",
    "fi": "ja on ei se että hän oli minä ovat mutta kun niin tämä mitä ole joka myös sen olen hyvin",
    "fr": "le la les et des est que une dans pour pas vous je du qui il ce nous sur au",
    "hr": "i je da se na u za ne su što sam ali od kao bi to koji smo nije jer",
    "hu": "a az és hogy nem egy is ez van de volt meg csak már mint azt nagyon én ha vagy",
    "it": "il di che la e non un per una sono con del ho le si è nel come ma gli",
    "lt": "ir yra kad tai ne su į bet aš jis apie kaip buvo labai iš mes šis ar jau per",
    "lv": "un ir ka nav es tas bet ar no par kas bija ļoti uz mēs kā arī vai šis to",
    "mt": "li ta u hija dan kien ma minn biex din huwa fil dwar aħna kif jew bil tal mill kienet",
    "nl": "de het een en van is dat ik niet op te zijn voor met wij ze maar ook er aan",
    "pl": "i w nie na się to jest z że do jak ale jestem co są tak o za by jego",
    "pt": "o que de a não um para uma com os é do da em se na no mas como muito",
    "ro": "și de la nu este un o în pe cu să care mai din am sunt dar ce pentru foarte",
    "ru": "и в не на что я он с это как но они мы был по от за так вы очень",
    "sk": "a je sa na to že v som ale ako nie do sú si by pre ktorý bol sme veľmi",
    "sl": "in je da se na za ne so pa ki sem to bi kot ali tudi zelo smo bil ni",
    "sv": "och att det som en på är jag inte för med av den har vi till ett om de mycket",
    "uk": "і в не на що я він з це як але вони ми був по від за так ви дуже й та у",
}
_LETTERS: Final = {
    **{"bg": "ъ", "cs": "řěůíý", "da": "æø", "de": "ßäöü", "es": "ñ", "et": "õäöü", "fi": "äö", "fr": "çèêœ"},
    **{"hr": "đćčžš", "hu": "őűöü", "it": "èòù", "lt": "ėųįąę", "lv": "āēģīķļņū", "mt": "ħġċż", "pl": "łąęśćżźń"},
    **{"pt": "ãõç", "ro": "ășțşţ", "ru": "ыэё", "sk": "ľĺŕôíý", "sl": "čšž", "sv": "åäö", "uk": "іїєґ"},
}
"""Letters that speak for a language, though others may have them too."""
_WORDS: Final = {code: frozenset(words.split()) for code, words in _SMALL_WORDS.items()}
_GREEK: Final = re.compile("[\u0370-\u03ff]")
_CYRILLIC: Final = re.compile("[\u0400-\u04ff]")
_CYRILLIC_CODES: Final = frozenset({"bg", "ru", "uk"})


def guess(text: str, among: Sequence[str] = EUROPEAN) -> tuple[str, float]:
    """The likeliest of some languages and its share of the evidence; at 0 where there is none, English or the first."""
    if _GREEK.search(text) and "el" in among:
        return "el", 1.0
    codes = _CYRILLIC_CODES if _CYRILLIC.search(text) else _WORDS.keys() - _CYRILLIC_CODES
    words = re.findall(r"\w+", text.lower())
    scores = Counter({code: _score(code, words) for code in among if code in codes})
    ranked = [*scores.most_common(2), ("", 0.0)]
    (best, most), (_, second) = ranked[:2]
    return (best, most / (most + second)) if most else ("en" if "en" in among else among[0], 0.0)


def _score(code: str, words: list[str]) -> float:
    letters = frozenset(_LETTERS.get(code, ""))
    return sum((word in _WORDS[code]) + 0.75 * bool(letters.intersection(word)) for word in words)
