"""Facts about the baseline of a search: for a small model they equal what is counted by hand."""

from __future__ import annotations

import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification

from tests.helpers.commands import recipe_fields, write_recipe, write_task
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.sweep.search.goal import Goal
from trainer_ext.sweep.search.planner import space_for
from trainer_ext.sweep.search.space import FEW_CHANGED, WHOLE, facts_of
from trainer_ext.tasks.dataset import load_data
from trainer_ext.vocabulary.trim import tokens_in_use, trim_tokenizer

UNREAD = ["quartz zebra", "jumping foxes vex wizards", "blue glyphs", "wax", "a quick brown dog", "lynx"] * 5


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Gives the facts for a recipe with some fields changed."""
    folder = tmp_path_factory.mktemp("facts")
    task = write_task(folder / "data")

    def facts(*, every_piece_in_use=False, **changes):
        fields = recipe_fields(task, folder / "run", holdout_share=0.2, **changes)
        recipe = read_recipe(write_recipe(folder / "recipe.yaml", fields))
        data = load_data(recipe.data)
        texts = data.train["text"]
        tokenizer = train_tokenizer([*texts, *UNREAD], vocab_size=400, max_length=32)
        if every_piece_in_use:
            tokenizer = trim_tokenizer(tokenizer, texts, tokens_in_use(tokenizer, texts)).tokenizer
        config = AutoConfig.for_model(
            "bert",
            vocab_size=len(tokenizer),
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=32,
            num_labels=3,
        )
        model = AutoModelForSequenceClassification.from_config(config)
        return facts_of(model, tokenizer, data, recipe, runtimes=("torch", "onnx-int8")), model

    return facts


def test_parameters_are_counted(found):
    facts, model = found()
    assert (facts.layers, facts.heads, facts.head_size, facts.neurons) == (3, 2, 8, 24)
    assert (facts.attention_weights, facts.ffn_weights) == (3 * 4 * 16 * 16, 3 * 2 * 16 * 24)
    assert facts.layer_rest == 4 * 16 + 24 + 16 + 4 * 16  # biases and two norms
    whole = facts.prunable + 3 * facts.layer_rest + facts.tokens * facts.embedding_width + facts.rest
    assert whole == sum(parameter.numel() for parameter in model.parameters())


def test_the_smallest_size_that_changes_few_new_texts_is_tried_first(found):
    facts, _ = found()
    sizes = [level.tokens for level in facts.vocabulary]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[facts.first] < 0.9 * facts.tokens
    changed = [level.changed for level in facts.vocabulary]
    assert changed == sorted(changed)
    assert changed[facts.first] <= FEW_CHANGED < changed[facts.first + 1]
    alike = [level.alike for level in facts.vocabulary]
    assert alike == sorted(alike, reverse=True), "the tokens in use and more change no training text"
    assert any(alike)
    assert not all(alike)
    assert min(space_for(Goal("smallest", points=1), facts).levels) == WHOLE


def test_if_all_tokens_are_in_use_the_whole_vocabulary_is_tried_first(found):
    facts, _ = found(every_piece_in_use=True)
    assert (facts.vocabulary[0].tokens, facts.first) == (facts.tokens, 0)
    assert WHOLE not in space_for(Goal("smallest", points=1), facts).levels


def test_a_search_starts_from_the_fields_of_the_recipe(found):
    facts, _ = found(vocab_size=80, prune_method="magnitude", prune_structure="plain", distill_teacher=None)
    assert ([level.tokens for level in facts.vocabulary], facts.first, facts.trimmed) == ([80], 0, True)
    assert (facts.method, facts.structure, facts.teacher) == ("magnitude", "plain", False)
    assert found(max_steps=5)[0].epochs is None
    assert facts.rows == 15  # a fifth of 77
