"""Import: checkpoints that nn_pruning published load again, with the logits of the full-size model.

The checkpoints are written here as transformers 4 wrote them. The reference is a stock model whose dead heads and neurons
are set to zero in place, so it does not use the code under test.
"""

import copy
import json

import pytest
import torch
import transformers
from nn_pruning.inference_model_patcher import BertHeadsPruner
from safetensors.torch import save_file

from recipes.benchmarks.nn_pruning_shim import load_masked_nn
from tests.helpers import nn_pruning_reference as reference
from tests.helpers.commands import run_command
from tests.helpers.precision import bf16_products
from trainer_ext.models import outputs
from trainer_ext.pruning.import_nn_pruning import import_nn_pruning

BERT = ("attention.self.{}", ("query", "key", "value"), "attention.output.dense", "intermediate.dense", "output.dense")
DISTILBERT = ("attention.{}", ("q_lin", "k_lin", "v_lin"), "attention.out_lin", "ffn.lin1", "ffn.lin2")
HEADS = {0: [1, 3], 1: [0]}
NEURONS = {0: range(10, 50), 1: range(7)}


def layers(model):
    if model.config.model_type == "distilbert":
        return model.base_model.transformer.layer, DISTILBERT
    return model.base_model.encoder.layer, BERT


def rows_of(heads, size=8):
    return [row for head in heads for row in range(head * size, head * size + size)]


def model_with(head, model_type, tiny_model):
    """Return a tiny model with another head and weights of about 0.3."""
    model = getattr(transformers, f"AutoModelFor{head}").from_config(tiny_model(model_type, num_labels=2).config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


@torch.no_grad()
def silenced(model, heads=HEADS, neurons=NEURONS):
    """Return a copy of the model in which these heads and neurons add nothing."""
    model = copy.deepcopy(model)
    blocks, (_, _, output, ffn_in, ffn_out) = layers(model)
    for index, block in enumerate(blocks):
        block.get_submodule(output).weight[:, rows_of(heads.get(index, ()))] = 0
        for part in (block.get_submodule(ffn_in).weight, block.get_submodule(ffn_in).bias):
            part[list(neurons.get(index, ()))] = 0
        block.get_submodule(ffn_out).weight[:, list(neurons.get(index, ()))] = 0
    return model


def publish(model, folder, *, heads=HEADS, safe=True, old_names=False, column_order=None, **config):
    """Write a checkpoint as nn_pruning and transformers 4 did: these heads cut, everything else full-size."""
    folder.mkdir()
    cut = copy.deepcopy(model)
    blocks, (inside, projections, output, _, _) = layers(cut)
    for index, block in enumerate(blocks):
        stay = [head for head in range(4) if head not in heads.get(index, ())]
        for name in projections:
            linear = block.get_submodule(inside.format(name))
            linear.weight.data, linear.bias.data = linear.weight[rows_of(stay)], linear.bias[rows_of(stay)]
        linear = block.get_submodule(output)
        linear.weight.data = linear.weight[:, rows_of(stay[::column_order] if column_order else stay)]
    state = {name: tensor.detach().contiguous() for name, tensor in cut.state_dict().items()}
    if old_names:
        state = {n.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): t for n, t in state.items()}
        state[f"{model.base_model_prefix}.embeddings.position_ids"] = torch.arange(40)[None]
        state.setdefault(f"{model.base_model_prefix}.pooler.dense.bias", torch.zeros(32))
    if safe:
        save_file(state, folder / "model.safetensors")
    else:
        torch.save(state, folder / "pytorch_model.bin")
    values = model.config.to_dict() | {"architectures": [type(model).__name__]}
    values |= {"pruned_heads": {str(index): ids for index, ids in heads.items()}, **config}
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def opened(folder):
    """Load a compact model as a user who has only its folder."""
    config = json.loads((folder / "config.json").read_text())
    auto = next(name for name in config["auto_map"] if name.startswith("AutoModelFor"))
    return getattr(transformers, auto).from_pretrained(folder, trust_remote_code=True)


def difference(first, second):
    batch = outputs.synthetic_batch(first, rows=6, length=16)
    return outputs.max_logit_difference(first, second, batch)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("head", ["SequenceClassification", "QuestionAnswering", "TokenClassification"])
def test_bert_has_the_same_logits(head, safe, tiny_model, tmp_path):
    full = silenced(model_with(head, "bert", tiny_model))
    found = import_nn_pruning(publish(full, tmp_path / "old", safe=safe, old_names=not safe), tmp_path / "new")
    assert found.heads == [[0, 2], [1, 2, 3]]
    assert [len(ids) for ids in found.neurons] == [64 - 40, 64 - 7]
    assert found.parameters[1] < found.parameters[0]
    assert found.difference <= 1e-5
    compact = opened(tmp_path / "new")
    assert difference(full, compact) <= 1e-5
    assert compact.num_parameters() == found.parameters[1]
    assert not hasattr(compact.config, "pruned_heads")
    assert difference(silenced(full, heads={0: [0]}), compact) > 1e-2  # the comparison can fail


@pytest.mark.parametrize("model_type", ["roberta", "distilbert", "electra"])
def test_other_architectures_have_the_same_logits(model_type, tiny_model, tmp_path):
    full = silenced(tiny_model(model_type))
    found = import_nn_pruning(publish(full, tmp_path / "old"), tmp_path / "new")
    assert found.heads == [[0, 2], [1, 2, 3]]
    assert difference(full, opened(tmp_path / "new")) <= 1e-5


def test_the_logits_are_compared_in_full_precision(tiny_model, tmp_path):
    source = publish(silenced(tiny_model()), tmp_path / "old")
    with bf16_products():
        import_nn_pruning(source, tmp_path / "new")
        with pytest.raises(RuntimeError, match="logits differ"):  # the control
            import_nn_pruning.__wrapped__(source, tmp_path / "other")


def test_a_checkpoint_that_nn_pruning_compiled_itself(tiny_model, tmp_path):
    """Masks, compiler and choice of heads are those of nn_pruning. Only cutting, which transformers 5 removed, is done here."""
    model = model_with("QuestionAnswering", "bert", tiny_model)
    coordinator, masked = reference.hybrid(model, block_size=8, final_threshold=0.5)
    with torch.no_grad():
        for name, module in masked.items():
            if name.endswith("value"):
                reference.scores_of(module)[1] = -9.0  # a row of blocks is a head
    coordinator.schedule_threshold()
    load_masked_nn().MaskedLinearModelCompiler().patch(model)
    heads, _ = BertHeadsPruner(model.eval()).get_pruned_heads()
    assert all(1 in ids for ids in heads.values())
    full = silenced(model, heads=heads, neurons={})
    found = import_nn_pruning(publish(full, tmp_path / "old", heads=heads), tmp_path / "new")
    assert all(0 < len(ids) < 64 for ids in found.neurons)
    assert difference(full, opened(tmp_path / "new")) <= 1e-5


def test_heads_in_another_position_give_other_logits(tiny_model, tmp_path):
    """If the output projection has its heads in another order than query, key and value, the function changes."""
    full = silenced(tiny_model("bert"))
    import_nn_pruning(publish(full, tmp_path / "old", column_order=-1), tmp_path / "new")
    assert difference(full, opened(tmp_path / "new")) > 1e-2


def test_the_ids_of_pruned_heads_do_not_change_the_logits(tiny_model, tmp_path):
    full = silenced(tiny_model("bert"))
    old = publish(full, tmp_path / "old")
    config = json.loads((old / "config.json").read_text())
    (old / "config.json").write_text(json.dumps(config | {"pruned_heads": {"0": [0, 1], "1": [3]}}))
    assert import_nn_pruning(old, tmp_path / "new").heads == [[2, 3], [0, 1, 2]]
    assert difference(full, opened(tmp_path / "new")) <= 1e-5


def test_the_command_prints_one_table_and_keeps_the_tokenizer(tiny_model, tmp_path, monkeypatch, capsys):
    from trainer_ext.pipeline.scratch import train_tokenizer

    old = publish(silenced(tiny_model("bert")), tmp_path / "old")
    train_tokenizer(["one text", "another text"], vocab_size=60).save_pretrained(old)
    status, out, err = run_command(monkeypatch, capsys, "import-nn-pruning", old, tmp_path / "new")
    assert status == 0, err
    for words in ("2 3", "24 57", "largest difference"):
        assert words in out
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "new")("one text")["input_ids"]


def test_other_logits_are_status_1_and_nothing_is_written(tiny_model, tmp_path, monkeypatch, capsys):
    from trainer_ext.pruning import import_nn_pruning as module

    def wrong(model):
        compact, heads, neurons = shrink(model)
        compact.classifier.bias.data += 0.01
        return compact, heads, neurons

    shrink = module.shrink
    monkeypatch.setattr(module, "shrink", wrong)
    old = publish(silenced(tiny_model("bert")), tmp_path / "old")
    status, _, err = run_command(monkeypatch, capsys, "import-nn-pruning", old, tmp_path / "new")
    assert (status, len(err.strip().splitlines())) == (1, 1)
    assert "differ by 1.0e-02" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"layer_norm_type": "no_norm"}, "layer_norm_type='no_norm'"),
        ({"hidden_act": "gelu_patched"}, "hidden_act='gelu_patched'"),
        ({"model_type": "gpt2"}, "model_type='gpt2'"),
        ({"architectures": ["BertForMaskedLM"]}, "BertForMaskedLM"),
        ({"pruned_heads": {"0": [1], "1": [0]}}, "does not fit the weights"),
        ({"pruned_heads": None}, "does not fit the weights"),
        ({"num_hidden_layers": 1}, "has unknown weights"),
        ({"num_hidden_layers": 3}, "lacks weights"),
        ({"hidden_size": "wide"}, "its config does not fit"),
    ],
)
def test_a_checkpoint_that_stock_classes_cannot_compute_is_a_one_line_error(
    config, message, tiny_model, tmp_path, monkeypatch, capsys
):
    old = publish(silenced(tiny_model("bert")), tmp_path / "old", **config)
    refused(old, tmp_path / "new", message, monkeypatch, capsys)


class Runs:
    """An object that writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize(
    "what", ["nothing there", "not pruned", "no weights", "cut weights", "a pickle", "new exists"]
)
def test_a_folder_that_is_not_such_a_checkpoint_is_an_error(what, tiny_model, tmp_path, monkeypatch, capsys):
    old, new = tmp_path / "old", tmp_path / "new"
    message = {"nothing there": "cannot be opened", "not pruned": "nothing pruned", "no weights": "has neither"}
    if what == "nothing there":
        old = tmp_path / "missing"
    elif what == "not pruned":
        publish(tiny_model("bert"), old, heads={})
    else:
        publish(silenced(tiny_model("bert")), old)
    if what in ("no weights", "a pickle"):
        (old / "model.safetensors").unlink()
    if what == "a pickle":
        torch.save({"weight": Runs(tmp_path / "ran")}, old / "pytorch_model.bin")
    if what == "cut weights":
        (old / "model.safetensors").write_bytes((old / "model.safetensors").read_bytes()[:100])
    if what == "new exists":
        new.mkdir()
        (new / "file").touch()
    default = "name a new one" if what == "new exists" else "cannot be read"
    refused(old, new, message.get(what, default), monkeypatch, capsys, leaves=what == "new exists")
    assert not (tmp_path / "ran").exists()


def refused(old, new, message, monkeypatch, capsys, *, leaves=False):
    status, _, err = run_command(monkeypatch, capsys, "import-nn-pruning", old, new)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert message in err
    assert new.exists() == leaves
