"""Language tags as callers write them, and the names that OpenAI's verbose_json prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aural.errors import BadRequest

Script = Literal["s2t", "s2tw", "s2hk", "t2s"]
"""OpenCC conversions: to traditional characters (in general, as in Taiwan, as in Hong Kong) and to simplified ones."""

NAMES = {
    **{"af": "afrikaans", "am": "amharic", "ar": "arabic", "as": "assamese", "az": "azerbaijani", "ba": "bashkir"},
    **{"be": "belarusian", "bg": "bulgarian", "bn": "bengali", "bo": "tibetan", "br": "breton", "bs": "bosnian"},
    **{"ca": "catalan", "cs": "czech", "cy": "welsh", "da": "danish", "de": "german", "el": "greek", "en": "english"},
    **{"es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish", "fo": "faroese"},
    **{"fr": "french", "gl": "galician", "gu": "gujarati", "ha": "hausa", "haw": "hawaiian", "he": "hebrew"},
    **{"hi": "hindi", "hr": "croatian", "ht": "haitian creole", "hu": "hungarian", "hy": "armenian"},
    **{"id": "indonesian", "is": "icelandic", "it": "italian", "ja": "japanese", "jw": "javanese", "ka": "georgian"},
    **{"kk": "kazakh", "km": "khmer", "kn": "kannada", "ko": "korean", "la": "latin", "lb": "luxembourgish"},
    **{"ln": "lingala", "lo": "lao", "lt": "lithuanian", "lv": "latvian", "mg": "malagasy", "mi": "maori"},
    **{"mk": "macedonian", "ml": "malayalam", "mn": "mongolian", "mr": "marathi", "ms": "malay", "mt": "maltese"},
    **{"my": "myanmar", "ne": "nepali", "nl": "dutch", "nn": "nynorsk", "no": "norwegian", "oc": "occitan"},
    **{"pa": "punjabi", "pl": "polish", "ps": "pashto", "pt": "portuguese", "ro": "romanian", "ru": "russian"},
    **{"sa": "sanskrit", "sd": "sindhi", "si": "sinhala", "sk": "slovak", "sl": "slovenian", "sn": "shona"},
    **{"so": "somali", "sq": "albanian", "sr": "serbian", "su": "sundanese", "sv": "swedish", "sw": "swahili"},
    **{"ta": "tamil", "te": "telugu", "tg": "tajik", "th": "thai", "tk": "turkmen", "tl": "tagalog", "tr": "turkish"},
    **{"tt": "tatar", "uk": "ukrainian", "ur": "urdu", "uz": "uzbek", "vi": "vietnamese", "yi": "yiddish"},
    **{"yo": "yoruba", "yue": "cantonese", "zh": "chinese"},
}
"""ISO 639 code → English name, for the languages that Whisper knows."""

_ALIASES = {name: code for code, name in NAMES.items()} | {
    **{"mandarin": "zh", "castilian": "es", "flemish": "nl", "burmese": "my", "cmn": "zh", "jv": "jw", "fil": "tl"},
    **{"nb": "no", "iw": "he", "in": "id"},
}
_TRADITIONAL: dict[str, Script] = {"hant": "s2t", "tw": "s2tw", "hk": "s2hk", "mo": "s2hk"}

SPACELESS = frozenset({"zh", "ja", "th", "lo", "my", "km", "bo", "yue"})
"""Languages written without spaces between words."""


@dataclass(frozen=True, slots=True)
class Language:
    """A language to hear, and the Chinese characters to write it in."""

    code: str
    script: Script = "t2s"


def parse_language(tag: str) -> Language:
    """A code (`en`), a BCP 47 tag (`en-US`, `zh-Hant`, `zh-TW`) or an English name (`chinese`). Raises BadRequest."""
    parts = tag.strip().lower().replace("_", "-").split("-")
    code = parts[0] if parts[0] in NAMES else _ALIASES.get(tag.strip().lower(), _ALIASES.get(parts[0], ""))
    if not code:
        raise BadRequest(
            f"expected an ISO 639-1 code such as 'en', a tag such as 'zh-TW', or an English name; got {tag!r}",
            param="language",
        )
    scripts = [_TRADITIONAL[part] for part in parts[1:] if part in _TRADITIONAL]
    return Language(code, scripts[-1] if scripts else "t2s")
