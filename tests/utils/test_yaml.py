"""YAML: what each plain word means, and that what is written is read back the same by YAML 1.1 and 1.2."""

import pytest
import yaml as pyyaml
from hypothesis import example, given, strategies as st

from tests.inputs.fuzzing import fuzz
from trainer_ext.utils.yaml import dump, load

WORDS = (
    "no",
    "Yes",
    "on",
    "y",
    "~",
    "1e-5",
    "007",
    "0o10",
    "1:30",
    "=",
    "<<",
    "2026-01-02",
    "1.0e-5",
    "-",
    "#",
    "a: b",
)
TEXTS = st.sampled_from(WORDS) | st.text(max_size=8) | st.text("01-:._eExo+ \n'\"#", max_size=6)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[
            (word, word)
            for word in ("no", "No", "yes", "on", "OFF", "y", "007", "010", "08", "1:30", "1:30.5", "=", "-_")
        ],
        *[(word, word) for word in ("2026-01-02", "2026-13-45", "2026-01-02T10:00:00", "'5'", "0o9", "_")],
        *[("true", True), ("FALSE", False), ("~", None), ("null", None), ("", None)],
        *[("0", 0), ("-1", -1), ("1_000", 1000), ("0x1F", 31), ("0o10", 8), ("0b11", 3)],
        *[("1e-5", 1e-5), ("1E5", 1e5), ("1.0e-5", 1e-5), (".5", 0.5), ("5.", 5.0), ("-.inf", float("-inf"))],
    ],
)
def test_a_plain_word_means_what_yaml_1_2_says(text, value):
    assert load(f"a: {text}") == {"a": value.strip("'") if isinstance(value, str) else value}
    assert load(f"%YAML 1.1\n---\na: {text}") == load(f"a: {text}"), "whatever version the file names"


@pytest.mark.parametrize("text", ["{a: 1, a: 2}", "{a: 1, 'a': 2}", "{<<: {b: 1}, a: 1, a: 2}", "- {a: {b: 1, b: 1}}"])
def test_a_key_given_twice_is_refused(text):
    with pytest.raises(ValueError, match="'[ab]' is given twice"):
        load(text)


def test_a_merged_mapping_may_be_overridden():
    assert load("base: &b {seed: 1, bf16: true}\nown: {<<: *b, seed: 2}")["own"] == {"seed": 2, "bf16": True}


def test_an_error_names_the_line():
    with pytest.raises(ValueError, match=r"\(line 3: "):
        load("a: 1\nb: 2\nc: [1,")


@fuzz
@given(values=st.dictionaries(TEXTS, VALUES, max_size=4))
@example(values={"a\x85": "\u2028", "b": " x", "c": "x " * 80})
@example(values={"language": "no", "rate": 1e-05, "count": 1e16, "text": "पुणे\u200d\nशहर"})
def test_what_is_written_is_read_back_by_both_versions(values):
    text = dump(values)
    assert load(text) == values
    assert pyyaml.safe_load(text) == values, "the Hub's client reads cards with PyYAML"


def test_what_pyyaml_wrote_is_read_the_same():
    """Recipes in older run folders were written by PyYAML."""
    values = {
        "save_strategy": "no",
        "bf16": False,
        "rate": 1e-5,
        "date": "2026-01-02",
        "code": "007",
        "names": ["on", "08"],
    }
    assert load(pyyaml.safe_dump(values)) == values
