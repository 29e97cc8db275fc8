"""The same said in another spelling has the same tokens."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.scoring.answer_tokens import tokens_of


def keys(text, **options):
    return [token.keys for token in tokens_of(text, **options)]


def same(one, other):
    """Whether each token of the one may be one of the other, in order."""
    pairs = list(zip(keys(one), keys(other), strict=False))
    return len(keys(one)) == len(keys(other)) and all(set(a) & set(b) for a, b in pairs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "42.0"),
        ("42", "\u0664\u0662"),  # Arabic-Indic digits
        ("42", "\u096a\u0968"),  # Devanagari
        ("42", "\uff14\uff12"),  # full width
        ("1,000.50", "1.000,50"),
        ("1,000.50", "1 000,50"),
        ("1,000.50", "1\u202f000,50"),
        ("1,000.50", "1'000.50"),
        ("1,000.50", "1000.5"),
        ("1,000.50", "\u0661\u066c\u0660\u0660\u0660\u066b\u0665\u0660"),
        ("100000", "1,00,000"),
        ("1,000,000", "1.000.000"),
        ("1.000", "1000"),
        ("1.000", "1"),
        ("1,5", "1.5"),
        ("0.50", "0,5"),
        ("-5", "\u22125"),
        ("nine", "9"),
        ("1.5 million", "1,500,000"),
        ("two hundred", "200"),
        ("twenty-one", "21"),
        ("forty two thousand", "42,000"),
        ("three thousand million", "3 billions"),
        ("007", "7"),
        ("September 13th, 1969", "september\xa013,\xa01969"),
        ("2026-01-05", "2026.1.5"),
        ("5 km", "5km"),
        ("\u00bd", "1/2"),
        ("Beyonc\u00e9", "BEYONCE\u0301"),
        ("Stra\u00dfe", "STRASSE"),
        ("\u0130stanbul", "istanbul"),
        ("don't", "don\u2019t"),
        ("co\u00adoperate", "cooperate"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"),
        ("\u0634\u064f\u0643\u0652\u0631\u064b\u0627", "\u0634\u0643\u0631\u0627"),  # Arabic with vowel points
        ("\u05e9\u05b8\u05c1\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),  # Hebrew
        ("\uff76\uff9e", "\u30ac"),  # half-width kana
        ("\ud55c", "\u1112\u1161\u11ab"),  # Hangul in parts
    ],
)  # fmt: skip
def test_another_spelling(one, other):
    """Case, accents, normal form, digits and signs of a number do not matter."""
    assert same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("42", "420"),
        ("42", "4.2"),
        ("1,000", "1"),
        ("5", "-5"),
        ("1.5", "15"),
        ("2 million", "2 billion"),
        ("2026-01-05", "2026-01-06"),
        ("12345678901234567890123456789012", "12345678901234567890123456789013"),
        ("\u30ab", "\u30ac"),  # ka, ga
        ("\u0915\u093f", "\u0915\u0941"),  # Devanagari ki, ku
        ("\u0e1b\u0e48\u0e32", "\u0e1b\u0e49\u0e32"),  # Thai: forest, aunt
        ("\u6771\u4eac", "\u4eac\u6771"),  # Tokyo, Jingdong
    ],
)
def test_something_else(one, other):
    """What is another number or word stays another."""
    assert not same(one, other)


def test_text_without_spaces_is_read_by_two_characters():
    """The answer's single characters are there beside them, for a reference of one."""
    assert keys("\u65e5\u672c\u306e", unsaying=False) == [("\u65e5\u672c",), ("\u672c\u306e",)]
    assert keys("\u65e5\u672c") == [("\u65e5", "\u65e5\u672c"), ("\u672c",)]
    assert keys("\u8336", unsaying=False) == [("\u8336",)]


def test_words_that_any_text_holds():
    """They are left out of a reference that has others; names that look like them are not."""
    assert keys("The name of the rose", unsaying=False) == [("name",), ("rose",)]
    assert keys("The Who", unsaying=False) == [("who",)]
    assert keys("vitamin A", unsaying=False) == [("vitamin",), ("a",)]
    assert keys("to be with", unsaying=False) == [("be",)]
    assert keys("of the", unsaying=False) == [("of",), ("the",)]


@given(st.text(max_size=30))
def test_any_text_has_tokens_and_the_same_in_any_normal_form(text):
    """Nothing raises; NFC and NFD are one text."""
    assert tokens_of(unicodedata.normalize("NFC", text)) == tokens_of(unicodedata.normalize("NFD", text))
    assert all(token.keys[0] for token in tokens_of(text))
