"""Compact models in use: copied, cast, trained, loaded for other tasks, and shrunk a second time."""

import copy
import json

import pytest
import torch
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from tests.helpers.masking import choose, every_family
from trainer_ext.models import outputs
from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning import masks
from trainer_ext.pruning.selection import Structure
from trainer_ext.pruning.shrinking import shrink


@pytest.fixture
def compact(tiny_model, cut):
    """`compact(model_type, **changes)`: an empty layer, and one of two heads and three neurons."""
    return lambda model_type, **changes: cut(tiny_model(model_type, **changes), [[], [1, 3]], [[], [0, 5, 9]])


@every_family
def test_a_copy_is_equal_and_independent(compact, tiny_batch, model_type):
    model = compact(model_type)
    batch = tiny_batch(model)
    expected = outputs.logits(model, batch)
    other = copy.deepcopy(model)
    assert torch.equal(outputs.logits(other, batch), expected)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert torch.equal(outputs.logits(model, batch), expected)
    assert other.config.to_dict() == model.config.to_dict()


@every_family
def test_it_runs_in_bf16(compact, tiny_batch, tmp_path, model_type):
    model = compact(model_type)
    batch = tiny_batch(model)
    expected = outputs.logits(model, batch)
    model.save_pretrained(tmp_path / "fp32")
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "fp32", dtype=torch.bfloat16)
    found = outputs.logits(opened, batch)
    assert 0 < (found - expected).abs().max() < 0.1 * expected.abs().max()
    again = shrink(opened)[0]  # with the buffers of a model in bf16, which need not be in bf16
    assert torch.equal(outputs.logits(again, batch), found)
    again.save_pretrained(tmp_path / "bf16")
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "bf16")
    assert reloaded.dtype == again.dtype == torch.bfloat16
    assert torch.equal(outputs.logits(reloaded, batch), found)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(**batch).logits.isfinite().all()


def _sdpa_of_a_gpu(module, query, *args, **kwargs):
    """Fused attention of PyTorch as on a GPU: without heads it returns no tensor."""
    answer = sdpa_attention_forward(module, query, *args, **kwargs)
    return answer if query.shape[1] else (None, None)


@every_family
def test_fused_attention_is_never_called_without_heads(compact, tiny_batch, model_type):
    AttentionInterface.register("sdpa_of_a_gpu", _sdpa_of_a_gpu)
    AttentionMaskInterface.register("sdpa_of_a_gpu", sdpa_mask)
    model = compact(model_type)
    batch = tiny_batch(model)
    expected = outputs.logits(model, batch)
    try:
        model.set_attn_implementation("sdpa_of_a_gpu")
    except ValueError:
        pytest.skip("an architecture without a choice of attention")
    assert (outputs.logits(model, batch) - expected).abs().max() < 1e-5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@every_family
def test_it_runs_on_a_gpu(compact, tiny_batch, model_type, dtype):
    model = compact(model_type)
    batch = tiny_batch(model)
    expected = outputs.logits(model, batch)
    there = model.to("cuda", dtype)
    found = there(**{name: values.cuda() for name, values in batch.items()}).logits.float().cpu()
    assert (found - expected).abs().max() < {torch.float32: 1e-5}.get(dtype, 0.05) * max(1, expected.abs().max())


@every_family
def test_every_parameter_is_trained(compact, tiny_batch, model_type):
    """Also if gradients pass an empty layer. Parameters without entries have no gradient, and none is NaN."""
    model = compact(model_type).train()
    model(**tiny_batch(model), labels=torch.tensor([0, 1, 2] * 2)).loss.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    empty, full = layers_of(model)
    for layer in (empty, full):
        for matrix in (layer.attention_output, layer.ffn_out):
            assert matrix.linear.bias.grad.ne(0).any()  # an empty block still has its constant
    for path, linear in full.linears.items():
        assert linear.weight.grad.ne(0).any(), path
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    torch.optim.AdamW(model.parameters(), lr=1e-2).step()
    moved = {name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])}
    assert {f"{model.base_model_prefix}.{path}.weight" for path in full.linears} <= moved


@every_family
def test_a_model_shrunk_twice_keeps_the_head_ids_of_the_dense_model(
    compact, tiny_batch, make_spec, tmp_path, model_type
):
    """The second choice uses the ids of the first; saved head ids are those of the dense model."""
    first = compact(model_type)
    masks.attach(first, make_spec(attention="head"))
    choose(first, Structure([[], [1]], [[], [0, 2]]))
    masked = outputs.logits(first, tiny_batch(first))
    second, heads, neurons = shrink(masks.merge(first))
    assert (heads, neurons) == ([[], [1]], [[], [0, 2]])
    second.save_pretrained(tmp_path)
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    allowed = outputs.allowed_difference(masked)
    assert (outputs.logits(second, tiny_batch(first)) - masked).abs().max() <= allowed
    assert (outputs.logits(opened, tiny_batch(first)) - masked).abs().max() <= allowed
    if layers_of(second)[0].attention:
        config = json.loads((tmp_path / "config.json").read_text())
        assert list(config["compact_heads"].values()) == [[], [3]]
    else:
        assert second.config.compact_heads is None


TASKS = {
    "tokens": (AutoModelForTokenClassification, 3, ["logits"]),
    "spans": (AutoModelForQuestionAnswering, 2, ["start_logits", "end_logits"]),
}


@pytest.mark.parametrize("task", TASKS)
@every_family
def test_models_for_other_tasks_save_and_load(compact, tiny_batch, tmp_path, model_type, task):
    auto_class, labels, names = TASKS[task]
    model = compact(model_type, auto_class=auto_class, num_labels=labels)
    batch = tiny_batch(model)
    model.save_pretrained(tmp_path)
    opened, info = auto_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(opened) is type(model)
    assert opened.config.auto_map[auto_class.__name__] == f"modeling_compact.{type(model).__name__}"
    with torch.inference_mode():
        here, there = model(**batch), opened(**batch)
    assert all(torch.equal(here[name], there[name]) for name in names)
    assert here[names[0]].shape[:2] == batch["input_ids"].shape
