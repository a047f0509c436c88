"""Shrinking: the smaller model computes the same function, and exactly the dead units are removed."""

import pytest
import torch
from torch import nn
from transformers import AutoModel, GPT2Config, GPT2ForSequenceClassification

from trainer_ext.models import architectures, outputs
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.compact.registration import MODEL_TYPES
from trainer_ext.models.layers import LINEARS
from trainer_ext.pruning import masks
from trainer_ext.pruning.shrinking import shrink, surviving_heads, surviving_neurons

TOLERANCE = 1e-5
every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)
ALL_HEADS, ALL_NEURONS = list(range(4)), list(range(64))


def rows_of(head):
    return slice(8 * head, 8 * head + 8)


def kill_values(layer, head):
    """Zero the value rows; their bias remains."""
    layer.value.weight[rows_of(head)] = 0


def kill_columns(layer, head):
    layer.attention_output.weight[:, rows_of(head)] = 0


def kill_query(layer, head):
    layer.query.weight[rows_of(head)] = 0
    layer.query.bias[rows_of(head)] = 0


def kill_key(layer, head):
    layer.key.weight[rows_of(head)] = 0
    layer.key.bias[rows_of(head)] = 0


def kill_row(layer, neuron):
    """Zero the input rows; the neuron still adds activation(bias), times the bias of its gate if it has one."""
    for matrix in layer.neuron_rows:
        matrix.weight[neuron] = 0


def kill_column(layer, neuron):
    layer.ffn_out.weight[:, neuron] = 0


@pytest.mark.parametrize("kind", [{}, {"attention": "head"}, {"method": "magnitude"}], ids=str)
@every_family
def test_masked_merged_and_shrunk_are_equal(tiny_model, tiny_batch, make_spec, model_type, kind):
    model = masks.attach(tiny_model(model_type), make_spec(**kind))
    with torch.no_grad():
        for group in model.pruning.groups.values():
            group.scores.copy_(torch.randn(group.scores.shape, generator=torch.Generator().manual_seed(0)))
    structure = masks.freeze_structure(model)
    batch = tiny_batch(model)
    masked = outputs.logits(model, batch)
    masks.merge(model)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    compact, heads, neurons = shrink(model)
    assert torch.equal(outputs.logits(model, batch), masked)
    assert (outputs.logits(compact, batch) - masked).abs().max() <= TOLERANCE
    assert (heads, neurons) == (structure.heads, structure.neurons)
    for layer, kept_heads, kept_neurons in zip(layers_of(compact), heads, neurons, strict=True):
        assert (layer.heads, layer.neurons) == (len(kept_heads), len(kept_neurons))
        assert layer.query.weight.shape == layer.key.weight.shape == layer.value.weight.shape
    before, after = (architectures.prunable_weights(layers_of(x)) for x in (model, compact))
    assert 1 - after / before == pytest.approx(0.5, abs=0.01)
    assert state.keys() == model.state_dict().keys() == compact.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    assert compact.config.model_type == f"compact-{model_type}"
    assert compact.config.id2label == model.config.id2label


def test_wrong_heads_are_detected(tiny_model, tiny_batch):
    """The comparison can fail: if heads are removed that are not dead, the logits differ much."""
    model = tiny_model()
    with torch.no_grad():
        for layer in layers_of(model):
            kill_columns(layer, 0)
    compact, _, _ = shrink(model)
    wrong = tiny_model()
    with torch.no_grad():
        for layer in layers_of(wrong):
            kill_columns(layer, 1)
    batch = tiny_batch(model)
    assert outputs.max_logit_difference(model, compact, batch) <= TOLERANCE
    assert outputs.max_logit_difference(wrong, compact, batch) > 0.1


@pytest.mark.parametrize("kill", [kill_values, kill_columns])
@every_family
def test_a_dead_head_is_removed_and_its_constant_stays(tiny_model, tiny_batch, model_type, kill):
    model = tiny_model(model_type)
    with torch.no_grad():
        for layer in layers_of(model):
            kill(layer, 2)
    compact, heads, neurons = shrink(model)
    assert heads == [[0, 1, 3]] * 2
    assert neurons == [ALL_NEURONS] * 2
    assert outputs.max_logit_difference(model, compact, tiny_batch(model)) <= TOLERANCE
    if kill is kill_values:  # the check can fail: dropping the value bias instead of folding it changes the function
        with torch.no_grad():
            for layer in layers_of(model):
                assert layer.value.bias[rows_of(2)].ne(0).any()
                layer.value.bias[rows_of(2)] = 0
        assert outputs.max_logit_difference(model, compact, tiny_batch(model)) > 0.05


@pytest.mark.parametrize("kill", [kill_query, kill_key])
@every_family
def test_a_head_with_a_dead_query_or_key_stays(tiny_model, tiny_batch, model_type, kill):
    model = tiny_model(model_type)
    with torch.no_grad():
        for layer in layers_of(model):
            kill(layer, 2)
    compact, heads, _ = shrink(model)
    assert heads == [ALL_HEADS] * 2
    assert outputs.max_logit_difference(model, compact, tiny_batch(model)) <= TOLERANCE
    before = outputs.logits(model, tiny_batch(model))
    with torch.no_grad():  # removing it anyway, as others do, changes the function: it attends evenly
        for layer in layers_of(model):
            kill_columns(layer, 2)
    assert (outputs.logits(model, tiny_batch(model)) - before).abs().max() > 0.05


def test_a_partly_dead_head_stays(tiny_model):
    model = tiny_model()
    layer = layers_of(model)[0]
    with torch.no_grad():
        kill_values(layer, 1)
        layer.value.weight[15, 31] = 1e-6
        kill_columns(layer, 3)
        layer.attention_output.weight[31, 24] = -1e-6
        kill_row(layer, 5)
        layer.ffn_in.weight[5, 0] = 1e-6
    assert surviving_heads(layer) == ALL_HEADS
    assert surviving_neurons(layer) == ALL_NEURONS


@pytest.mark.parametrize("kill", [kill_row, kill_column])
@every_family
def test_a_dead_neuron_is_removed_and_its_constant_stays(tiny_model, tiny_batch, model_type, kill):
    model = tiny_model(model_type)
    with torch.no_grad():
        for layer in layers_of(model):
            for neuron in range(10, 40):
                layer.ffn_in.bias[neuron] += 1.0
                kill(layer, neuron)
    compact, heads, neurons = shrink(model)
    assert neurons == [[*range(10), *range(40, 64)]] * 2
    assert heads == [ALL_HEADS] * 2
    assert outputs.max_logit_difference(model, compact, tiny_batch(model)) <= TOLERANCE
    if kill is kill_row:
        with torch.no_grad():
            for layer in layers_of(model):
                layer.neuron_rows[-1].bias[10:40] = 0
        assert outputs.max_logit_difference(model, compact, tiny_batch(model)) > 0.05


@pytest.mark.parametrize("half", [0, 1], ids=["in", "gate"])
def test_a_neuron_with_one_of_two_rows_dead_stays(tiny_model, tiny_batch, half):
    """It still depends on the text through the other row."""
    model = tiny_model("modernbert")
    with torch.no_grad():
        for layer in layers_of(model):
            layer.neuron_rows[half].weight[:32] = 0
    compact, _, neurons = shrink(model)
    assert neurons == [ALL_NEURONS] * 2
    before = outputs.logits(model, tiny_batch(model))
    assert (outputs.logits(compact, tiny_batch(model)) - before).abs().max() <= TOLERANCE
    with torch.no_grad():  # removing them anyway would change the function
        for layer in layers_of(model):
            layer.ffn_out.weight[:, :32] = 0
    assert (outputs.logits(model, tiny_batch(model)) - before).abs().max() > 0.05


@pytest.mark.parametrize(
    ("model_type", "activation"),
    [
        ("bert", {"hidden_act": "relu"}),
        ("roberta", {"hidden_act": "gelu_new"}),
        ("electra", {"hidden_act": "silu"}),
        ("distilbert", {"activation": "relu"}),
    ],
)
def test_the_constant_is_that_of_the_models_activation(tiny_model, tiny_batch, model_type, activation):
    model = tiny_model(model_type, **activation)
    with torch.no_grad():
        for layer in layers_of(model):
            layer.ffn_in.weight[:32] = 0
    compact, _, _ = shrink(model)
    assert outputs.max_logit_difference(model, compact, tiny_batch(model)) <= TOLERANCE


@pytest.mark.parametrize("dead", ["attention", "ffn", "all"])
@every_family
def test_if_all_units_are_dead_only_the_constant_stays(tiny_model, tiny_batch, model_type, dead):
    model = tiny_model(model_type)
    with torch.no_grad():
        layer = layers_of(model)[1]
        if dead != "ffn":
            layer.value.weight.zero_()
        if dead != "attention":
            for matrix in layer.neuron_rows:
                matrix.weight.zero_()
    compact, heads, neurons = shrink(model)
    assert heads == [ALL_HEADS, ALL_HEADS if dead == "ffn" else []]
    assert neurons == [ALL_NEURONS, ALL_NEURONS if dead == "attention" else []]
    empty = layers_of(compact)[1]
    assert (empty.heads, empty.neurons) == (len(heads[1]), len(neurons[1]))
    assert {path: linear.weight.numel() for path, linear in empty.linears.items() if not linear.weight.numel()} == {
        matrix.path: 0
        for matrix in (
            *((*empty.head_rows, empty.attention_output) if dead != "ffn" else ()),
            *((*empty.neuron_rows, empty.ffn_out) if dead != "attention" else ()),
        )
    }
    batch = tiny_batch(model)
    expected = outputs.logits(model, batch)
    assert (outputs.logits(compact, batch) - expected).abs().max() <= TOLERANCE
    with torch.no_grad():  # the check can fail: the empty block still adds its constant
        (empty.ffn_out if dead == "ffn" else empty.attention_output).bias.zero_()
    assert (outputs.logits(compact, batch) - expected).abs().max() > 0.05


@pytest.mark.parametrize("without", [LINEARS, ("query", "key"), ("value",), ("attention_output", "ffn_out")], ids=str)
@every_family
def test_linears_without_bias(tiny_model, tiny_batch, model_type, without):
    model = tiny_model(model_type)
    with torch.no_grad():
        for layer in layers_of(model):
            for name in without:
                getattr(layer, name).linear.bias = None
            kill_values(layer, 1)
            kill_columns(layer, 2)
            kill_row(layer, 3)
    compact, heads, neurons = shrink(model)
    assert heads == [[0, 3]] * 2
    assert neurons == [[*range(3), *range(4, 64)]] * 2
    assert outputs.max_logit_difference(model, compact, tiny_batch(model)) <= TOLERANCE


def test_masks_must_be_merged_first(tiny_model, make_spec):
    with pytest.raises(ValueError, match=r"still has masks; call trainer_ext\.pruning\.masks\.merge"):
        shrink(masks.attach(tiny_model(), make_spec()))


def test_an_unknown_architecture_is_an_error():
    model = GPT2ForSequenceClassification(GPT2Config(n_embd=8, n_layer=1, n_head=1, vocab_size=8))
    with pytest.raises(ValueError, match="No pruning layout for model_type='gpt2'"):
        shrink(model)


@every_family
def test_a_compact_model_shrinks_again(tiny_model, tiny_batch, make_spec, model_type):
    model = tiny_model(model_type)
    with torch.no_grad():
        kill_values(layers_of(model)[0], 1)
        kill_row(layers_of(model)[1], 7)
    first, _, _ = shrink(model)
    unchanged, heads, neurons = shrink(first)
    assert type(unchanged) is type(first)
    assert [len(ids) for ids in heads + neurons] == [3, 4, 64, 63]
    assert outputs.max_logit_difference(first, unchanged, tiny_batch(model)) == 0
    masks.attach(first, make_spec(method="magnitude"))
    masks.freeze_structure(first)
    second, _, _ = shrink(masks.merge(first))
    assert outputs.max_logit_difference(first, second, tiny_batch(model)) <= TOLERANCE
    assert architectures.prunable_weights(layers_of(second)) < 0.55 * architectures.prunable_weights(layers_of(first))
    assert second.config.model_type == f"compact-{model_type}"


@every_family
def test_the_encoder_alone_shrinks(tiny_model, tiny_batch, model_type):
    classifier = tiny_model(model_type)
    model = AutoModel.from_config(classifier.config).eval()
    model.load_state_dict(classifier.base_model.state_dict(), strict=False)  # not all classifiers use the pooler
    with torch.no_grad():
        kill_values(layers_of(model)[0], 1)
        kill_row(layers_of(model)[1], 7)
    compact, heads, _ = shrink(model)
    assert heads == [[0, 2, 3], ALL_HEADS]
    with torch.inference_mode():
        states = [x(**tiny_batch(model)).last_hidden_state for x in (model, compact)]
    assert (states[0] - states[1]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("training", [True, False])
def test_mode_precision_and_kernel_are_kept(tiny_model, training):
    model = tiny_model().to(torch.bfloat16).train(training)
    model.set_attn_implementation("eager")
    compact, _, _ = shrink(model)
    assert compact.training is training
    assert {tensor.dtype for tensor in compact.parameters()} == {torch.bfloat16}
    assert compact.config._attn_implementation == "eager"


def test_a_compact_model_learns(tiny_model, tiny_batch):
    model = tiny_model()
    with torch.no_grad():
        kill_values(layers_of(model)[0], 1)
    compact, _, _ = shrink(model)
    compact(**tiny_batch(model)).logits.sum().backward()
    linears = [module for module in compact.bert.encoder.modules() if isinstance(module, nn.Linear)]
    assert all(linear.weight.grad.ne(0).any() for linear in linears)
    assert all(parameter.grad is None for parameter in model.parameters())
