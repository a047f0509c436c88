"""Parameters by part add up to those of the models, and each layer shows how many were kept."""

import pytest
from charts import anatomy as anatomy_chart
from core import models
from core.anatomy import Change, anatomy, kept_layers

from tests.helpers.speeding import report
from trainer_ext.pruning.layer_dropping import drop_layers


def both(baseline, compressed, numbers=None):
    """Return two models as a pair."""
    sides = (models.Side("a model", model, None, 40) for model in (baseline, compressed))
    return models.Pair(*sides, numbers)


@pytest.mark.parametrize("family", ["bert", "albert", "deberta-v2", "distilbert", "modernbert", "mpnet"])
def test_the_parts_add_up_to_the_model(tiny_model, cut, family):
    dense = tiny_model(family)
    if family == "bert":
        small = cut(tiny_model(family), [[0], [1, 3]], [[], [0, 5, 9]])
    else:
        small = tiny_model(family)
    found = anatomy(both(dense, small))
    for side, model in (("before", dense), ("after", small)):
        parts = sum(getattr(part, side) for part in found.parts.values())
        assert parts == getattr(found.total, side) == sum(weight.numel() for weight in model.parameters())
        for name in ("attention", "ffn"):
            assert sum(getattr(layer[name], side) for layer in found.layers) == getattr(found.parts[name], side)
    assert min(part.after for part in found.parts.values()) > 0


def test_layers_show_what_was_kept(tiny_model, cut):
    """Hidden 32, heads of 8, 64 neurons."""
    found = anatomy(both(tiny_model(), cut(tiny_model(), [[], [1, 3]], [[0], []])))
    attention = 4 * 32 * 32 + 4 * 32
    two_heads = 4 * 16 * 32 + 3 * 16 + 32
    assert [layer["attention"] for layer in found.layers] == [Change(attention, 32), Change(attention, two_heads)]
    assert found.layers[0]["ffn"] == Change(2 * 64 * 32 + 64 + 32, 2 * 32 + 1 + 32)


def test_dropped_layers_have_nothing_left(tiny_model):
    """The recipe says which layers were dropped; without it, single layers are not shown."""
    dense = tiny_model(num_hidden_layers=4)
    small = drop_layers(dense, 2, None)
    found = anatomy(both(dense, small, report(recipe={"prune_layers": 2})))
    assert [layer["ffn"].after > 0 for layer in found.layers] == [True, False, False, True]
    named = anatomy(both(dense, small, report(recipe={"prune_layers": 2, "prune_layer_ids": [0, 3]})))
    assert [layer["ffn"].after > 0 for layer in named.layers] == [False, True, True, False]
    assert anatomy(both(dense, small)).layers == []
    assert "not shown one by one" in anatomy_chart.anatomy_chart(anatomy(both(dense, small)), "en")
    assert kept_layers(6, 4, report(recipe={"prune_layers": 1})) == []  # another model than the recipe's


def test_an_architecture_without_a_layout_is_still_counted(tiny_model):
    found = anatomy(both(*(tiny_model("roformer") for _ in range(2))))
    assert list(found.parts) == ["embeddings", "encoder", "head"]
    assert sum(part.after for part in found.parts.values()) == found.total.after
    assert "embeddings" in anatomy_chart.anatomy_chart(found, "en")


@pytest.mark.parametrize("language", ["en", "mr"])
def test_the_anatomy_is_a_table_with_a_row_per_part_and_layer(tiny_model, cut, language):
    found = anatomy(both(tiny_model(), cut(tiny_model(), [[], [1, 3]], [[0], []])))
    chart = anatomy_chart.anatomy_chart(found, language)
    assert chart.count("<th scope='row'>") == len(found.parts) + 1 + len(found.layers)
    assert f"{anatomy_chart.count(found.total.after)}</td>" in chart


def test_counts_have_three_digits():
    shown = {
        0: "0",
        999: "999",
        1000: "1k",
        25_149: "25.1k",
        999_400: "999k",
        7_250_000: "7.25M",
        1_230_000_000: "1.23G",
    }
    assert {number: anatomy_chart.count(number) for number in shown} == shown
