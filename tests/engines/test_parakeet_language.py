"""A sentence in each of the 25 languages is taken for its own."""

from __future__ import annotations

import pytest

from aural.engines.parakeet_language import EUROPEAN, guess

SENTENCES = {
    "bg": "Утре ще отидем на пазара, защото това е най-доброто място за пресни плодове.",
    "cs": "Zítra půjdeme na trh, protože je to nejlepší místo pro čerstvé ovoce.",
    "da": "I morgen går vi på markedet, for det er det bedste sted at købe frisk frugt.",
    "de": "Morgen gehen wir auf den Markt, denn das ist der beste Ort für frisches Obst.",
    "el": "Αύριο θα πάμε στην αγορά, γιατί είναι το καλύτερο μέρος για φρέσκα φρούτα.",
    "en": "Tomorrow we are going to the market, because it is the best place for fresh fruit.",
    "es": "Mañana vamos al mercado, porque es el mejor lugar para comprar la fruta fresca.",
    "et": "Homme läheme turule, sest see on parim koht värskete puuviljade jaoks.",
    "fi": "Huomenna menemme torille, koska se on paras paikka ostaa tuoreita hedelmiä.",
    "fr": "Demain nous allons au marché, parce que c'est le meilleur endroit pour les fruits.",
    "hr": "Sutra idemo na tržnicu, jer je to najbolje mjesto za svježe voće što ga imamo.",
    "hu": "Holnap elmegyünk a piacra, mert az a legjobb hely, ahol friss gyümölcsöt lehet venni.",
    "it": "Domani andiamo al mercato, perché è il posto migliore per la frutta fresca.",
    "lt": "Rytoj eisime į turgų, nes tai yra geriausia vieta šviežiems vaisiams.",
    "lv": "Rīt mēs iesim uz tirgu, jo tā ir labākā vieta svaigiem augļiem.",
    "mt": "Għada mmorru s-suq, għax dan huwa l-aħjar post għall-frott frisk.",
    "nl": "Morgen gaan we naar de markt, want dat is de beste plaats voor vers fruit.",
    "pl": "Jutro idziemy na targ, bo to jest najlepsze miejsce na świeże owoce.",
    "pt": "Amanhã vamos ao mercado, porque é o melhor lugar para comprar uma fruta.",
    "ro": "Mâine mergem la piață, pentru că este cel mai bun loc pentru fructe proaspete.",
    "ru": "Завтра мы пойдём на рынок, потому что это лучшее место, где есть свежие фрукты.",
    "sk": "Zajtra pôjdeme na trh, pretože je to najlepšie miesto, ktoré sme videli.",
    "sl": "Jutri gremo na tržnico, ker je to najboljši kraj za sveže sadje, ki smo ga našli.",
    "sv": "I morgon går vi till torget, för det är det bästa stället att köpa färsk frukt.",
    "uk": "Завтра ми підемо на ринок, бо це найкраще місце для свіжих фруктів.",
}


@pytest.mark.parametrize("code", EUROPEAN)
def test_a_sentence(code):
    language, share = guess(SENTENCES[code])
    assert language == code
    assert 0.5 < share <= 1


@pytest.mark.parametrize("text", ["", "...", "Zzz", "42"])
def test_no_evidence(text):
    assert guess(text) == ("en", 0.0)


def test_only_languages_that_may_be():
    assert guess(SENTENCES["en"], ("de", "fr"))[0] in ("de", "fr")
    assert guess(SENTENCES["el"], ("de", "fr")) == ("de", 0.0)
