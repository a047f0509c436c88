"""Layer dropping: the model computes the same as the dense one with these layers replaced by the identity."""

import copy

import pytest
import torch
from transformers import AutoModel

from tests.helpers.masking import every_family
from tests.helpers.training import arguments, differing, logged, make_trainer, new_model
from trainer_ext.models.architectures import ARCHITECTURES
from trainer_ext.models.outputs import logits, max_logit_difference
from trainer_ext.pruning import masks
from trainer_ext.pruning.layer_dropping import drop_layers, middle_layers
from trainer_ext.pruning.prepare import prepare_model

DEPTH = 4
DROPPABLE = [name for name, spec in ARCHITECTURES.items() if spec.droppable_from is not None]
every_droppable = pytest.mark.parametrize("model_type", DROPPABLE)


def without(model, ids):
    """The reference: a copy without these layers in its list, with the dense configuration."""
    found = copy.deepcopy(model)
    owner = found.base_model.get_submodule(
        ARCHITECTURES[model.config.model_type].layers.removesuffix(".*").rpartition(".")[0]
    )
    name = ARCHITECTURES[model.config.model_type].layers.split(".")[-2]
    layers = getattr(owner, name)
    setattr(owner, name, torch.nn.ModuleList(layer for index, layer in enumerate(layers) if index not in ids))
    found.config.num_hidden_layers = len(layers) - len(ids)  # some count by it
    return found


@pytest.fixture
def deep(tiny_model):
    """`deep(model_type)`: the tiny classifier with four layers."""
    return lambda model_type, **changes: tiny_model(model_type, num_hidden_layers=DEPTH, **changes)


@pytest.mark.parametrize(
    ("layers", "count", "ids"),
    [(12, 2, [5, 6]), (12, 6, [3, 4, 5, 6, 7, 8]), (6, 3, [2, 3, 4]), (4, 1, [2]), (4, 3, [1, 2, 3]), (3, 0, [])],
)
def test_the_middle_by_hand(layers, count, ids):
    assert middle_layers(layers, count) == ids


@pytest.mark.parametrize("layers", range(1, 14))
def test_the_middle_is_in_the_middle(layers):
    for count in range(layers):
        ids = middle_layers(layers, count)
        before, after = (ids[0], layers - 1 - ids[-1]) if ids else (0, 0)
        assert len(ids) == count
        assert before - after in (0, 1)


@pytest.mark.parametrize("count", [4, 5, -1])
def test_one_layer_must_stay(count):
    with pytest.raises(ValueError, match=f"prune_layers={count} is out of range: this model has 4 layers"):
        middle_layers(4, count)


@pytest.mark.parametrize("ids", [[2], [1, 2], [3], [1, 3], [3, 1]])
@every_droppable
def test_the_remaining_layers_compute_the_same(deep, tiny_batch, model_type, ids):
    model = deep(model_type)
    state, batch = {name: value.clone() for name, value in model.state_dict().items()}, tiny_batch(model)
    smaller = drop_layers(model, 0, ids)
    assert max_logit_difference(smaller, without(model, ids), batch) == 0.0
    assert max_logit_difference(smaller, model, batch) > 1e-2
    assert max_logit_difference(
        smaller, without(model, [0 if ids == [2] else 2][: len(ids)]), batch
    ) > 1e-3 or ids == [2]
    assert type(smaller) is type(model)
    assert smaller.config.num_hidden_layers == DEPTH - len(ids)
    assert model.config.num_hidden_layers == DEPTH
    assert differing(model.state_dict(), state) == []


@every_droppable
def test_a_count_drops_the_middle_ones(deep, tiny_batch, model_type):
    model = deep(model_type)
    assert max_logit_difference(drop_layers(model, 2), without(model, [1, 2]), tiny_batch(model)) == 0.0


@every_droppable
def test_the_first_layer_may_be_dropped_if_it_is_like_the_others(deep, tiny_batch, model_type):
    model = deep(model_type)
    if model_type == "modernbert":
        with pytest.raises(ValueError, match=r"prune_layer_ids=\[0\]: layers 1 to 3 of this model may be dropped"):
            drop_layers(model, 0, [0])
    else:
        assert max_logit_difference(drop_layers(model, 0, [0]), without(model, [0]), tiny_batch(model)) == 0.0


def test_layer_types_are_renumbered(deep):
    """Every third layer of ModernBERT attends to the whole text."""
    model = deep("modernbert")
    assert model.config.layer_types == ["full_attention", *["sliding_attention"] * 2, "full_attention"]
    smaller = drop_layers(model, 0, [1, 2])
    assert smaller.config.layer_types == ["full_attention"] * 2
    assert [layer.attention_type for layer in smaller.base_model.layers] == ["full_attention"] * 2


def test_layers_that_share_their_weights_run_fewer_times(deep, tiny_batch):
    model, reference = deep("albert"), deep("albert")
    smaller = drop_layers(model, 2)
    reference.albert.encoder.config.num_hidden_layers = 2
    assert max_logit_difference(smaller, reference, tiny_batch(model)) == 0.0
    assert max_logit_difference(smaller, model, tiny_batch(model)) > 1e-2
    assert smaller.num_parameters() == model.num_parameters()
    for count, ids in ((1, None), (3, None), (0, [1, 2]), (2, [1, 2])):
        with pytest.raises(ValueError, match=r"share their weights in 2 group\(s\)"):
            drop_layers(model, count, ids)


@every_family
def test_layers_of_a_base_model_can_be_dropped(tiny_model, tiny_batch, model_type):
    model = tiny_model(model_type, num_hidden_layers=DEPTH, auto_class=AutoModel)
    batch = tiny_batch(model)
    smaller = drop_layers(model, 2)
    states = [m(**batch, output_hidden_states=True) for m in (model, smaller)]
    assert len(states[1].hidden_states) == 3
    assert torch.equal(states[0].hidden_states[1], states[1].hidden_states[1])
    assert (states[0][0] - states[1][0]).abs().max() > 1e-2


@pytest.mark.parametrize("model_type", ["bert", "deberta-v2", "modernbert"])
def test_layers_of_a_compact_model_can_be_dropped(deep, cut, tiny_batch, model_type):
    """Every layer has other sizes, so a layer in the wrong place does not fit."""
    heads, neurons = [[0, 1], [2], [0, 1, 3], [1, 3]], [[1, 2], [3], [4, 5, 6], [7, 8, 9, 10]]
    compact = cut(deep(model_type), heads, neurons)
    expected = cut(drop_layers(deep(model_type), 0, [1]), [heads[0], *heads[2:]], [neurons[0], *neurons[2:]])
    smaller = drop_layers(compact, 0, [1])
    assert max_logit_difference(smaller, expected, tiny_batch(compact)) == 0.0
    assert smaller.config.compact_linears == expected.config.compact_linears
    assert smaller.config.compact_heads == expected.config.compact_heads
    assert smaller.config.num_hidden_layers == 3


@pytest.mark.parametrize(
    ("count", "ids"),
    [(0, [1, 1]), (1, [1, 2]), (3, [1, 2])],
)
def test_contradicting_ids_are_an_error(deep, count, ids):
    with pytest.raises(ValueError, match="must name each layer once, as many as prune_layers"):
        drop_layers(deep("bert"), count, ids)


@pytest.mark.parametrize("ids", [[4], [-1], [0, 1, 2, 3], [1, 9]])
def test_unknown_ids_are_an_error(deep, ids):
    with pytest.raises(ValueError, match="layers 0 to 3 of this model may be dropped, and one must stay"):
        drop_layers(deep("bert"), 0, ids)


def test_a_model_with_masks_or_another_part_is_refused(deep, make_spec):
    model = deep("bert")
    model.classifier = torch.nn.Sequential(model.classifier)
    with pytest.raises(ValueError, match=r"another classifier.*class MyBertForSequenceClassification"):
        drop_layers(model, 1)
    with pytest.raises(ValueError, match=r"The model has masks; drop layers before"):
        drop_layers(masks.attach(deep("bert"), make_spec()), 1)


@pytest.mark.parametrize("training", [True, False])
def test_mode_precision_and_kernel_are_kept(deep, training):
    model = deep("bert").to(torch.bfloat16).train(training)
    model.set_attn_implementation("eager")
    smaller = drop_layers(model, 1)
    assert smaller.training is training
    assert smaller.dtype == torch.bfloat16
    assert smaller.config._attn_implementation == "eager"


def test_a_run_without_pruning_distils_from_the_full_model(tmp_path):
    model = new_model(num_hidden_layers=4, dropout=0.0)
    fields = {"prune_method": "none", "prune_layers": 2, "distill_teacher": "self", "max_steps": 4}
    trainer = make_trainer(tmp_path, model=model, **fields)
    teacher = trainer.distillation.teachers[0].model
    assert teacher.config.num_hidden_layers == 4
    assert trainer.model.config.num_hidden_layers == 2
    assert max_logit_difference(trainer.model, without(model, [1, 2]), {"input_ids": torch.arange(8)[None]}) == 0.0
    trainer.train()
    assert len(logged(trainer, "loss_distill")) == 4
    assert differing(teacher.state_dict(), new_model(num_hidden_layers=4, dropout=0.0).state_dict()) == []
    trainer.save_model(tmp_path / "small")
    stock = type(model).from_pretrained(tmp_path / "small")
    assert type(stock).__module__.startswith("transformers.")
    batch = {"input_ids": torch.arange(8)[None]}
    assert torch.allclose(logits(stock, batch), logits(trainer.model, batch), atol=1e-6)


def test_model_init_makes_models_with_dropped_layers(tmp_path):
    fields = {"prune_layer_ids": [0], "max_steps": 2, "model_init": lambda: new_model(num_hidden_layers=3)}
    trainer = make_trainer(tmp_path, **fields)
    for _ in range(2):
        assert trainer.train().global_step == 2
        assert trainer.model.config.num_hidden_layers == 2


def test_a_model_with_masks_loses_no_more_layers(tmp_path):
    """A reloaded checkpoint has already lost its layers, and knows how many weights the dense model had."""
    args = arguments(tmp_path, prune_method="magnitude", prune_layers=1, prune_block_size=8, prune_sparsity=0.6)
    student = prepare_model(new_model(num_hidden_layers=3), args)
    assert prepare_model(student, args) is student
    assert student.config.num_hidden_layers == 2
    args.prune_sparsity = 0.7
    with pytest.raises(ValueError, match="already has masks"):
        prepare_model(student, args)
