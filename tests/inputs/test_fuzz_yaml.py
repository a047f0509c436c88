"""Fuzzed YAML: whatever a recipe or a sweep file holds, it is read or refused in one line, and nothing else happens."""

from __future__ import annotations

import os

import pytest
import yaml
from hypothesis import example, given, strategies as st

from tests.inputs.fuzzing import NUMBERS, VALUES, fuzz, texts_of, value_or_line
from trainer_ext.pipeline.recipe import Recipe, read_recipe, recipe_fields
from trainer_ext.sweep.config import KEYS, SweepFile, read_sweep_file

TOKENS = (
    *(
        ": ",
        "- ",
        "\n",
        "\n  ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "&a ",
        "*a",
        "<<: *a",
        "? ",
        "| ",
        "> ",
        "---\n",
        "...\n",
        "%",
    ),
    *(
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!timestamp ",
        "!!set ",
        "!!binary ",
        "!!python/name:os.system",
        "!x ",
        "~",
        "yes",
    ),
    *(
        "0x",
        "0b_",
        "1_0",
        "1:60",
        "1e999",
        ".nan",
        ".inf",
        "-.inf",
        "2026-01-02",
        "2026-13-45",
        "prune_sparsity: ",
        "0.5",
    ),
    *(
        "scales: ",
        "model_name_or_path: scratch\n",
        "metrics: ",
        "base: base.yaml\n",
        "axes: ",
        "ranges: ",
        "trials: 2\n",
    ),
)
FIELDS = sorted(recipe_fields())
ODD_FIELDS = st.dictionaries(st.sampled_from(FIELDS), VALUES | NUMBERS, max_size=4)
GOOD = {"model_name_or_path": "scratch", "data_dir": "data"}


@pytest.fixture(autouse=True)
def _environment():
    """Some fields of transformers write into the environment."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@fuzz
@given(content=texts_of(*TOKENS))
@example(content=b"a: " + b"[" * 3000)
@example(content=b"seed: 0b_")
@example(content=b"{? }")
def test_any_text(content, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_bytes(content)
    found = value_or_line(read_recipe, file)
    assert found is None or isinstance(found, Recipe)


@fuzz
@given(fields=ODD_FIELDS)
def test_any_values_of_fields(fields, tmp_path):
    file = tmp_path / "recipe.yaml"
    try:
        text = yaml.safe_dump(GOOD | fields, allow_unicode=True)
    except RecursionError:
        return
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    found = value_or_line(read_recipe, file)
    assert found is None or isinstance(found, Recipe)


@fuzz
@given(
    words=st.lists(
        st.sampled_from([*(f"--{name}" for name in FIELDS), "--", "-x", "=", "--=1"]) | st.text(), max_size=6
    )
)
def test_any_words(words, tmp_path):
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(GOOD))
    found = value_or_line(read_recipe, file, words)
    assert found is None or isinstance(found, Recipe)


@fuzz
@given(content=texts_of(*TOKENS) | st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=5))
def test_any_sweep(content, tmp_path):
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(GOOD))
    file = tmp_path / "sweep.yaml"
    if isinstance(content, dict):
        content = yaml.safe_dump({"base": "base.yaml"} | content, allow_unicode=True).encode("utf-8", "surrogatepass")
    file.write_bytes(content)
    found = value_or_line(read_sweep_file, file)
    assert found is None or isinstance(found, SweepFile)
    assert {path.name for path in tmp_path.iterdir()} == {"base.yaml", "sweep.yaml"}


def test_a_reader_that_lets_an_error_through_is_found():
    """The control: the safe loader of PyYAML alone does not have the property."""
    with pytest.raises(ValueError, match="invalid literal"):
        value_or_line(yaml.safe_load, "seed: 0b_")
