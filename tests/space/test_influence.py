"""Influence: what a word carried is what the answer loses without it; and how that is shown."""

import re

import pytest
from charts.compare import influence_chart
from core.captions import Refused
from core.compare import MOST_WORDS, Influence, compare, influence, leave_one_out

from tests.helpers.paging import pair_of, write_pair
from tests.helpers.vocabularies import MARATHI

TEXT = " ".join(MARATHI[0].split()[:6])


@pytest.fixture
def pair(tiny_model, cut, tmp_path):
    return pair_of(write_pair(tmp_path / "run", tiny_model, cut))


def test_one_word_is_left_out_at_a_time():
    assert leave_one_out(["a", "b", "c"]) == ["a b c", "b c", "a c", "a b"]
    assert leave_one_out(["a"]) == ["a", ""]


def test_a_batch_says_what_single_texts_say(pair):
    """Padding must not change an answer."""
    texts = [TEXT, TEXT.split()[0], "", f"{TEXT} {TEXT}"]
    for side in pair.sides.values():
        together = side.ask(texts, max_tokens=128)
        for text, found in zip(texts, together, strict=True):
            assert found == pytest.approx(side.ask([text], max_tokens=128)[0], abs=1e-5)
    assert together[0] == pytest.approx(compare(TEXT, pair).compressed.probabilities, abs=1e-5)


def test_a_share_is_what_the_answer_loses(pair):
    words = TEXT.split()
    for name, side in pair.sides.items():
        found = influence(f" {TEXT}\n", side)
        (whole,) = side.ask([TEXT], max_tokens=128)
        assert found.label == max(whole, key=whole.get)
        assert found.words == words
        for index, share in enumerate(found.shares):
            (without,) = side.ask([" ".join(words[:index] + words[index + 1 :])], max_tokens=128)
            assert share == pytest.approx(whole[found.label] - without[found.label], abs=1e-5), (name, index)
        assert max(map(abs, found.shares)) > 0.01  # or it shows nothing
        assert not found.cut


def test_the_first_words_of_a_long_text_are_taken(pair):
    found = influence("क " * 1_000, pair.baseline)
    assert (len(found.words), len(found.shares), found.cut) == (MOST_WORDS, MOST_WORDS, True)
    with pytest.raises(Refused):
        influence("  ", pair.baseline)


def test_words_are_shown_as_text_with_their_points():
    one = Influence("<b>", ["<script>", "b", "c"], [0.934, -0.051, -0.001], False)
    shown = influence_chart({"baseline": one, "compressed": one}, "en")
    assert not re.search("<script|<b>", shown)
    assert re.findall("<small>(.*?)</small>", shown) == ["+93", "-5", "0"] * 2
    assert shown.count("class='against'") == 2
    assert "baseline: <strong>&lt;b&gt;" in shown
    assert "मूळ मॉडेल" in influence_chart({"baseline": one}, "mr")
    assert "first" not in shown
    assert "first 2 words" in influence_chart({"baseline": Influence("a", ["b", "c"], [0.0, 0.0], True)}, "en")
