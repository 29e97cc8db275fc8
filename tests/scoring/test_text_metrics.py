import importlib.util
import json
import unicodedata
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import LCSseq

from shadoweval.scoring.text_metrics import (
    TOKENS,
    character_tokens,
    exact_match_of,
    rouge_l_of,
    rouge_tokens,
    squad_normalise,
    squad_tokens,
    token_f1_of,
    token_f1_of_all,
    tokens_for_rouge,
    unicode_tokens,
)

SHARED = Path(__file__).parents[3] / "shared/data"

words = st.lists(st.sampled_from(["red", "blue", "green", "the", "a", "x1", "Röntgen", "東京", ",", "."]), max_size=70)
texts = words.map(" ".join) | st.text(max_size=40)


def read_lines(path):
    if not path.exists():
        pytest.skip(f"no test data at {path}")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("raw", "normal"),
    [
        ("The  Eiffel Tower, in\tParis!", "eiffel tower in paris"),
        ("an apple a day", "apple day"),
        ("Theatre of the Absurd", "theatre of absurd"),
        ("U.S.A.", "usa"),
        ("it's", "its"),
        ("the", ""),
    ],
)
def test_squad_normalisation(raw, normal):
    """Case, punctuation, articles as whole words, and white space go, in the order of the published script."""
    assert squad_normalise(raw) == normal


def test_exact_match_and_f1_of_hand_counted_answers():
    """Two of three words said, both of the gold's two: precision 2/3, recall 1, F1 0.8."""
    assert exact_match_of("The Denver Broncos.", "denver broncos") == 1.0
    assert exact_match_of("Broncos", "Denver Broncos") == 0.0
    assert token_f1_of("the mighty Denver Broncos", "Denver Broncos") == pytest.approx(0.8)
    assert token_f1_of("Broncos Broncos", "Denver Broncos") == pytest.approx(0.5)
    assert token_f1_of("2 時間 21 分", "2 時間") == pytest.approx(2 / 3)  # A case of torchmetrics' SQuAD tests.


def test_an_answer_without_words_matches_only_a_gold_without_words():
    """SQuAD 2.0: no answer where there is none to give is right, and anything else is wrong."""
    assert token_f1_of("", "") == token_f1_of("the", "") == exact_match_of("", "") == 1.0
    assert token_f1_of("", "yes") == token_f1_of("yes", "") == exact_match_of("", "yes") == 0.0


def test_f1_agrees_with_people_about_real_answers():
    """Of a real system's answers to 800 questions, those people call correct hold far more of the gold's words."""
    rows = [row for row in read_lines(SHARED / "evouna_nq_first_800/answers_nq.jsonl") if not row["improper"]]
    values = {label: [] for label in (True, False)}
    for row in rows:
        if row["system"] == "fid":  # The only system that answers in a phrase.
            values[row["correct"]].append(max(token_f1_of(row["answer"], gold) for gold in row["gold"]))
    correct, wrong = (sum(values[label]) / len(values[label]) for label in (True, False))
    assert correct > 0.8
    assert wrong < 0.25


@pytest.mark.parametrize("tokens", [squad_tokens, rouge_tokens, unicode_tokens])
@settings(deadline=None)
@given(one=texts, other=texts)
def test_f1_is_symmetric_bounded_and_one_for_the_same_text(tokens, one, other):
    """F1 treats both texts alike, stays in [0, 1] and reaches 1 on identity."""
    value = token_f1_of(one, other, tokens=tokens)
    assert value == token_f1_of(other, one, tokens=tokens)
    assert 0 <= value <= 1
    assert token_f1_of(one, one, tokens=tokens) == 1.0
    assert exact_match_of(one, other) == exact_match_of(other, one) <= token_f1_of(one, other)


def test_rouge_l_meets_published_cases():
    """The cases of google-research/rouge's own tests, to 1e-9."""
    cases = [row for row in read_lines(SHARED / "stat_vectors/cases.jsonl") if "rougeL_f" in row]
    assert cases
    for case in cases:
        value = rouge_l_of(case["prediction"], case["reference"])
        assert value.f1 == pytest.approx(case["rougeL_f"], abs=case["tol"])
        assert value.precision == pytest.approx(case["rougeL_p"], abs=case["tol"])
        assert value.recall == pytest.approx(case["rougeL_r"], abs=case["tol"])


def test_rouge_l_needs_order_and_allows_gaps():
    """Lin 2004, section 3.1: "police kill the gunman" keeps 3 of 4 words in order, "the gunman kill police" 2."""
    reference = "police killed the gunman"
    assert rouge_l_of("police kill the gunman", reference).f1 == pytest.approx(0.75)
    assert rouge_l_of("the gunman kill police", reference).f1 == pytest.approx(0.5)
    assert rouge_l_of("", reference) == rouge_l_of(reference, "") == rouge_l_of("", "")


@settings(deadline=None)
@given(one=words, other=words)
def test_rouge_l_counts_the_longest_common_subsequence(one, other):
    """Against rapidfuzz's LCS over the same tokens, also past 64 of them; swapping the texts swaps P and R."""
    said, wanted = (unicode_tokens(" ".join(side)) for side in (one, other))
    value = rouge_l_of(" ".join(one), " ".join(other), tokens=unicode_tokens)
    swapped = rouge_l_of(" ".join(other), " ".join(one), tokens=unicode_tokens)
    assert (value.precision, value.recall, value.f1) == (swapped.recall, swapped.precision, swapped.f1)
    if said and wanted:
        common = LCSseq.similarity(said, wanted)
        assert value.precision == pytest.approx(common / len(said), abs=1e-12)
        assert value.recall == pytest.approx(common / len(wanted), abs=1e-12)
        assert value.f1 <= token_f1_of(" ".join(one), " ".join(other), tokens=unicode_tokens) + 1e-12


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Wilhelm Röntgen", ["wilhelm", "röntgen"]),
        ("Ro\u0308ntgen", ["röntgen"]),  # A decomposed o with diaeresis.
        ("東京タワー。", ["東", "京", "タ", "ワ", "ー"]),
        ("GPT-4は速い", ["gpt", "4", "は", "速", "い"]),
        ("서울 타워", ["서울", "타워"]),
        ("C++ costs $5\u20ac", ["c", "costs", "5"]),
        ("STRASSE straße", ["strasse", "strasse"]),
        ("don\u2019t  don't", ["dont", "dont"]),
        ("\uff21\uff22\uff23\uff08\uff11\uff12\uff09", ["abc", "12"]),  # Full-width ABC(12).
        ("", []),
    ],
)
def test_unicode_tokens(text, tokens):
    """Words where spaces part them, characters where they don't; case, width and composition make no difference."""
    assert unicode_tokens(text) == tokens


@given(st.text(alphabet="aAnN theTHE.,-_'\x00\x1c\x85\u00e9 9\n", max_size=30))
def test_words_of_ascii_text_are_those_of_the_published_normalisation(text) -> None:
    """The short way says what the long one does, whatever stands between the letters."""
    assert list(squad_tokens(text)) == squad_normalise(text).split()


odd = st.text(alphabet="aAnN theTHE.,-_'\x00\x1c\x7f\x85\u00e9 9\n", max_size=20)


@settings(deadline=None)
@given(compared=st.lists(st.tuples(texts | odd, texts | odd), max_size=6))
def test_f1_of_many_is_f1_of_each(compared) -> None:
    """To the bit, whatever other texts are split with them."""
    assert token_f1_of_all(compared) == [token_f1_of(answer, gold) for answer, gold in compared]


def oracle(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / f"oracles/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def said_about(gold, other):
    """What a system could answer: right, right with more or less around it, wrong."""
    words = gold.split()
    return [
        gold,
        f"The {gold.upper()}.",
        " ".join(words[1:]),
        " ".join(words[::-1]),
        other,
        f"It is {other}, not a {gold}!",
    ]


def test_exact_match_and_f1_are_squads_on_xquad():
    """Each gold answer of XQuAD, said in six ways, scores to the last digit but one what the official script says."""
    squad = oracle("squad")
    golds = [row["gold"][0] for row in read_lines(SHARED / "xquad/queries.jsonl")]
    compared = [(said, gold) for gold, other in pairwise(golds) for said in said_about(gold, other)]
    assert len(compared) > 5_000
    for said, gold in compared:
        assert exact_match_of(said, gold) == squad.exact_match_score(said, gold)
        assert token_f1_of(said, gold) == pytest.approx(squad.f1_score(said, gold), abs=1e-12)


@settings(deadline=None)
@given(said=texts, gold=texts)
def test_exact_match_and_f1_are_squads_on_any_composed_text(said, gold):
    """Of text in NFC the official script says the same, wherever it leaves a word of the gold answer."""
    squad = oracle("squad")
    said, gold = (unicodedata.normalize("NFC", each) for each in (said, gold))
    assert exact_match_of(said, gold) == squad.exact_match_score(said, gold)
    if squad_tokens(gold):
        assert token_f1_of(said, gold) == pytest.approx(squad.f1_score(said, gold), abs=1e-12)


@settings(deadline=None)
@given(said=texts, gold=texts)
def test_rouge_l_is_rouge_scores(said, gold):
    """As google-research/rouge computes it, with its table instead of our bits."""
    assert rouge_l_of(said, gold).f1 == pytest.approx(oracle("rouge").rouge_l(gold, said), abs=1e-12)


def test_rouge_l_is_rouge_scores_on_real_answers():
    """Of five systems, with the quotes, dashes and accents that they write."""
    rouge = oracle("rouge")
    rows = [row for row in read_lines(SHARED / "evouna_nq_first_800/answers_nq.jsonl") if row["answer"]]
    for row in rows[:1500]:
        said, gold = row["answer"][:600], row["gold"][0]
        assert rouge_l_of(said, gold).f1 == pytest.approx(rouge.rouge_l(gold, said), abs=1e-12)


@pytest.mark.parametrize(
    ("gold", "kind"),
    [
        ("a caf\u00e9 \u2014 \u201cL\u2019\u00c9toile\u201d, 5 \u20ac", "rouge"),
        ("cafe\u0301", "rouge"),
        ("42", "rouge"),
        ("\u6771\u4eac", "words"),
        ("GPT-4\u306f\u901f\u3044", "words"),
        ("\u0434\u0430, GPT", "words"),
    ],
)
def test_the_reference_decides_how_rouge_reads(gold, kind):
    """Latin letters as the published package, whatever the quotes and dashes; any other script by its words."""
    assert tokens_for_rouge(gold) is TOKENS[kind]


SPELLINGS = [
    ("\uff37\uff29\uff26\uff29 5\uff05", "wifi 5 %"),
    ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
    ("\u0661\u0662 \u0643\u062a\u0627\u0628", "12 \u0643\u062a\u0627\u0628"),
    ("co\u00adopera\u200btion", "cooperation"),
    ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "\ud55c\uad6d"),
    ("\u0e01\u0e33\u0e25\u0e31\u0e07", "\u0e01\u0e4d\u0e32\u0e25\u0e31\u0e07"),
    ("Stra\u00dfe", "STRASSE"),
]


@pytest.mark.parametrize(("one", "other"), SPELLINGS)
@pytest.mark.parametrize("tokens", [unicode_tokens, character_tokens])
@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_spelling_makes_no_difference(one, other, tokens, form):
    """Width, normal form, case, vowel points, the script of digits and unseen characters are not what is said."""
    assert tokens(unicodedata.normalize(form, one)) == tokens(other)
    assert tokens(other)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Don't, 5!", ["d", "o", "n", "t", "5"]),
        ("\u0915\u093f\u0924\u093e\u092c", ["\u0915\u093f", "\u0924\u093e", "\u092c"]),
        ("\u6771\u4eac\u3002", ["\u6771", "\u4eac"]),
        ("\u0301 \u2026", ["\u0301"]),
        ("", []),
    ],
)
def test_character_tokens(text, tokens):
    """A letter keeps the marks that belong to it."""
    assert character_tokens(text) == tokens
