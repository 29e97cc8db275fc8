"""An answer's language is told where it can be, and compared with the one that is wanted."""

import sys

import pytest

pytest.importorskip("py3langid")

from shadoweval.errors import ArgumentError, MissingExtraError
from shadoweval.evaluation.rescoring import said_of
from shadoweval.records import Scored, Unscored
from shadoweval.scoring import language
from shadoweval.scoring.language import _check_known, _identifier, language_of
from shadoweval.testing import make_pair

TEXTS = {
    "en": "The shop opens at nine in the morning and closes at six.",
    "de": "Das Geschäft öffnet um neun Uhr morgens und schließt um sechs.",
    "fr": "Le magasin ouvre à neuf heures du matin et ferme à six heures.",
    "es": "La tienda abre a las nueve de la mañana y cierra a las seis.",
    "ru": "Магазин открывается в девять часов утра и закрывается в шесть.",
    "ja": "お店は朝の九時に開いて、夕方の六時に閉まりますので、ご注意ください。",
    "zh": "商店早上九点开门、下午六点关门、周末和节假日也照常营业。欢迎光临。",
    "ar": "يفتح المتجر أبوابه في الساعة التاسعة صباحا ويغلق في السادسة مساء.",
}


@pytest.mark.parametrize("code", TEXTS)
def test_a_sentence_is_enough(code):
    """In any script, and in capitals."""
    assert language_of(TEXTS[code]) == code
    assert language_of(TEXTS[code].upper()) == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "At nine o'clock.",
        "12345 67890 12345 67890",
        "https://example.com/a/long/path/to/the/opening/hours",
        "`def opening_hours(shop): return shop.hours`",
        "```\nfor shop in shops:\n    print(shop.opening_hours)\n```",
    ],
)
def test_what_is_too_short_or_no_language_is_unknown(text):
    """Fewer than twenty letters beside code and links tell nothing."""
    assert language_of(text) is None


def score(scorer, answer, *, asked="When does the shop open in the morning?"):
    (made,) = scorer.score(make_pair(query={"text": asked}, shadow={"answer": answer}))
    return made.candidate


def test_the_querys_language_is_wanted_by_default():
    """Whatever it is; one of one's own may be named, and few that come into question."""
    assert score(language(), TEXTS["en"]) == Scored(1.0)
    assert score(language(), TEXTS["es"]) == Scored(0.0)
    assert score(language(), TEXTS["es"], asked="¿A qué hora abre la tienda por la mañana?") == Scored(1.0)
    assert score(language("de"), TEXTS["de"]) == Scored(1.0)
    assert score(language("de", among=["de", "en"]), "Wilhelm Conrad Röntgen, Physiker") == Scored(1.0)


def test_what_can_not_be_told_is_unscored():
    """Of the query it lies in no answer; of an answer it may. Saying nothing is no language."""
    of_query, of_answer = score(language(), TEXTS["en"], asked="9?"), score(language(), "At nine.")
    assert isinstance(of_query, Unscored)
    assert not of_query.informative
    assert isinstance(of_answer, Unscored)
    assert of_answer.informative
    assert score(language(), " ") == Scored(0.0)


def test_codes_are_checked_where_they_are_written():
    """A name or a country is no code."""
    for wrong in ("english", "en-US", "EN"):
        with pytest.raises(ArgumentError, match="small letters"):
            language(wrong)
    with pytest.raises(ArgumentError, match="among="):
        language("fr", among=["de", "en"])
    assert len({language().version, language("de").version, language("de", among=["de", "en"]).version}) == 3


def test_a_code_that_nobody_knows_is_named():
    """It would be no answer's language, ever: that is a mistake, and no score of 0."""
    said = score(language("eng"), TEXTS["en"])

    assert isinstance(said, Unscored)
    assert "eng" in said.reason
    assert "py3langid knows" in said.reason
    assert "py3langid knows" in score(language("en", among=["en", "xx"]), TEXTS["en"]).reason


def test_without_the_extra_it_is_said_which_one_to_install(monkeypatch):
    """Whoever calls the scorer gets the error; an evaluation has it as the reason of each score."""
    _identifier.cache_clear()
    _check_known.cache_clear()
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    pair = make_pair(shadow={"answer": TEXTS["en"]})

    with pytest.raises(MissingExtraError, match=r"shadoweval\[store\]"):
        language("en").score(pair)
    (said,) = said_of(language("en"), pair)
    assert "shadoweval[store]" in said.candidate.reason
