"""Stress: the changes are small, seeded and of their kind; and the model that turns first is found."""

import re
import unicodedata

import pytest
from charts.stress import stress_chart
from core import stress
from core.captions import EXAMPLES, WITH_NUMBERS, Refused
from core.stress import Trial, first_other, first_to_turn, resist

from tests.helpers.paging import LABELS, pair_of, write_pair
from tests.helpers.vocabularies import MARATHI

TEXTS = (*EXAMPLES, WITH_NUMBERS, *MARATHI[:3], "", "क", "12 १२ x", "a\u200db <b>", "ऱ्हास फ़िल्म")


@pytest.fixture
def pair(tiny_model, cut, tmp_path):
    return pair_of(write_pair(tmp_path / "run", tiny_model, cut))


@pytest.mark.parametrize("kind", stress.KINDS)
def test_no_change_is_the_text_and_a_seed_says_which_change(kind):
    change = stress.KINDS[kind]
    for text in TEXTS:
        assert change(text, 0, 1) == (unicodedata.normalize("NFC", text) if kind == "nuktas" else text)
        assert change(text, 3, 1) == change(text, 3, 1)
    if kind != "truncation":
        long = " ".join(MARATHI) + " १२ 34 567 ८९"
        assert len({change(long, 2, seed) for seed in range(8)}) > 1


@pytest.mark.parametrize("kind", stress.KINDS)
def test_variants_differ_and_stop_where_there_is_no_other_place(kind):
    for text in TEXTS:
        found = stress.variants(text, kind, 12, 0)
        assert len(set(found)) == len(found) <= 13
        assert len(stress.variants(text, kind, 2, 0)) <= 3
    assert stress.variants("", kind, 3, 0) == [""]


def differing(before: str, after: str) -> list[tuple[str, str]]:
    return [(a, b) for a, b in zip(before, after, strict=True) if a != b]


def test_a_typo_swaps_two_whole_letters_of_a_word():
    assert stress.typos("ab", 1, 0) == "ba"
    assert stress.typos("a b", 5, 0) == "a b"
    assert stress.typos("aa", 5, 0) == "aa"
    for text in EXAMPLES:
        for changes in range(1, 5):
            changed = stress.typos(text, changes, 3)
            assert sorted(changed) == sorted(text)
            assert [len(word) for word in changed.split()] == [len(word) for word in text.split()]
            for word in changed.split():  # no vowel sign lost its letter
                assert not unicodedata.category(word[0]).startswith("M")


def test_joined_letters_stay_together():
    found = {stress.typos("शेवटच्या", 1, seed) for seed in range(30)}
    assert found == {"वशेटच्या", "शेटवच्या", "शेवच्याट"}


def test_a_joiner_is_added_and_nothing_else():
    for text in EXAMPLES:
        changed = stress.joiners(text, 3, 0)
        assert changed.count(stress.ZERO_WIDTH_JOINER) == 3
        assert changed.replace(stress.ZERO_WIDTH_JOINER, "") == text
    assert stress.joiners("a b", 3, 0) == "a b"


def test_a_nukta_comes_and_goes():
    assert stress.nuktas("फोन", 1, 0) == "फ़ोन"
    assert stress.nuktas(stress.nuktas("फोन", 1, 0), 1, 0) == "फोन"
    assert stress.nuktas("\u095e", 1, 0) == "फ"  # the letter with its dot as one character
    assert stress.nuktas("नमन", 4, 0) == "नमन"


def test_digits_change_their_script_number_by_number():
    assert stress.digits("210 x", 1, 0) == "२१० x"
    assert stress.digits(WITH_NUMBERS, 2, 0) == WITH_NUMBERS.replace("210", "२१०").replace("५", "5")
    once = differing(WITH_NUMBERS, stress.digits(WITH_NUMBERS, 1, 0))
    assert len(once) in (1, 3)
    assert stress.digits("no number", 2, 0) == "no number"


def test_words_are_cut_at_the_end_but_one():
    assert stress.truncation("a b c", 1, 9) == "a b"
    assert stress.truncation("a b c", 9, 9) == "a"


def test_the_first_other_answer_is_found():
    assert first_other([["a"], ["a"], ["b"], ["a"]]) == 2
    assert first_other([["a"], ["a"]]) is None
    assert first_to_turn({"baseline": 3, "compressed": 2}) == "compressed"
    assert first_to_turn({"baseline": 3, "compressed": None}) == "baseline"
    assert first_to_turn({"baseline": 3, "compressed": 3}) is None
    assert first_to_turn({"baseline": None, "compressed": None}) is None


def test_both_models_are_tried_with_the_same_texts(pair):
    trials = resist(MARATHI[0], pair, most=6, seed=0)
    assert [trial.kind for trial in trials] == list(stress.KINDS)
    for trial in trials:
        assert trial.texts == stress.variants(MARATHI[0], trial.kind, 6, 0)
        for name in pair.sides:
            labels, kept = trial.labels[name], trial.kept[name]
            assert len(labels) == len(kept) == len(trial.texts)
            assert trial.turned[name] == first_other(labels)
            assert all(
                (share >= 1 / len(LABELS)) for share, label in zip(kept, labels, strict=True) if label == labels[0]
            )
    assert any(changes is not None for trial in trials for changes in trial.turned.values())  # or it shows nothing
    with pytest.raises(Refused):
        resist(" ", pair, most=6, seed=0)


def test_who_turns_first_is_told():
    def trial(kind, *turned):
        sides = ("baseline", "compressed")
        labels = {side: [["<b>"], ["x"] if at else ["<b>"]] for side, at in zip(sides, turned, strict=True)}
        kept = dict.fromkeys(sides, [1.0, 0.25])
        return Trial(kind, ["<i>", "<u>"], labels, kept, dict(zip(sides, turned, strict=True)))

    shown = stress_chart([trial("typos", 1, None), trial("digits", None, None)], "en")
    assert "the baseline in 1 of 2 kinds, the compressed model in 0" in shown
    assert "at 1: x" in shown
    assert "never: &lt;b&gt;" in shown
    assert not re.search("<[bu]>|<i>", shown)
    assert shown.count("class=other") == 1
    assert "Neither" in stress_chart([trial("digits", None, None)], "en")
    assert "कोणतेही मॉडेल" in stress_chart([trial("digits", None, None)], "mr")
    assert stress_chart(None, "en") == ""


def test_an_invisible_change_is_made_visible(pair):
    shown = stress_chart(resist("कमल", pair, most=2, seed=0), "en")
    assert shown.count("<mark>·</mark>") == 1 + 2
    assert stress.ZERO_WIDTH_JOINER not in shown


def test_what_cannot_be_changed_says_so(pair):
    shown = stress_chart(resist("नमन", pair, most=3, seed=0), "en")
    assert shown.count("nothing to change") == 3  # no second word, no number, no letter for a dot
