"""Sizes and FLOPs agree with arithmetic on a tiny BERT; models take turns and their modes are restored."""

import math

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification

from tests.helpers.tiny_models import build
from trainer_ext.benchmark import latency, size

HIDDEN, LAYERS, INNER, VOCABULARY = 32, 2, 64, 128
SHAPE = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": INNER,
    "vocab_size": VOCABULARY,
}


def tiny(attention=None, family="bert", **changes):
    config = AutoConfig.for_model(family, **(SHAPE | changes))
    return AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)


class Recorder(nn.Module):
    """A model that appends its name to a shared list at each call."""

    def __init__(self, name, calls, vocabulary=8):
        super().__init__()
        self.name, self.calls = name, calls
        self.table, self.frozen = nn.Embedding(vocabulary, 2), nn.Dropout()

    def get_input_embeddings(self):
        return self.table

    def forward(self, input_ids, attention_mask):
        self.calls.append((self.name, self.training, torch.is_inference_mode_enabled()))
        return self.table(input_ids)


def test_parameters_by_hand():
    embeddings = (VOCABULARY + 512 + 2) * HIDDEN + 2 * HIDDEN
    layer = 4 * (HIDDEN * HIDDEN + HIDDEN) + 2 * HIDDEN * INNER + INNER + HIDDEN + 4 * HIDDEN
    pooler, head = HIDDEN * HIDDEN + HIDDEN, 2 * HIDDEN + 2
    counted = size.count_parameters(tiny())
    assert (counted.embeddings, counted.encoder, counted.head) == (embeddings, LAYERS * layer + pooler, head)
    assert counted.total == embeddings + LAYERS * layer + pooler + head


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("roberta", {}),
        ("electra", {"embedding_size": 16}),
        ("albert", {"embedding_size": 16}),
        ("distilbert", {"dim": HIDDEN, "n_layers": LAYERS, "n_heads": 4, "hidden_dim": INNER}),
        ("deberta-v2", {}),
        ("mpnet", {}),
        ("modernbert", {f"{token}_token_id": 1 for token in ("pad", "eos", "bos", "cls", "sep")}),
    ],
)
def test_parameters_of_every_family_add_up(family, changes):
    model = tiny(family=family, **changes)
    counted = size.count_parameters(model)
    assert counted.total == model.num_parameters() == counted.encoder + counted.embeddings + counted.head
    assert min(counted.encoder, counted.embeddings, counted.head) > 0


def test_shared_parameters_count_once():
    model = tiny()
    before = size.count_parameters(model)
    layers = model.base_model.encoder.layer
    layers[1].attention.self.query.weight = layers[0].attention.self.query.weight
    assert size.count_parameters(model).encoder == before.encoder - HIDDEN * HIDDEN
    assert size.count_parameters(AutoModel.from_config(model.config)).head == 0


def test_weight_bytes(tmp_path):
    with pytest.raises(ValueError, match="No weights in"):
        size.weight_bytes(tmp_path)
    (tmp_path / "other.bin").write_bytes(b"x" * 1000)
    for name in ("a", "b"):
        save_file({"w": torch.zeros(10)}, tmp_path / f"{name}.safetensors")
    assert size.weight_bytes(tmp_path) == 2 * (tmp_path / "a.safetensors").stat().st_size < 1000


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize(("batch", "length"), [(1, 16), (3, 7)])
def test_flops_by_hand(attention, batch, length):
    linear = 2 * batch * length * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER) * LAYERS
    scores_and_context = 2 * 2 * batch * length * length * HIDDEN * LAYERS
    pooler_and_head = 2 * batch * (HIDDEN * HIDDEN + HIDDEN * 2)
    counted = size.forward_flops(tiny(attention), batch, length)
    assert counted == linear + scores_and_context + pooler_and_head


# What the published DeBERTa models say of positions, and what their relatives do.
DEBERTA = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
}
DEBERTA |= {"norm_rel_ebd": "layer_norm", "share_att_key": True, "max_relative_positions": -1, "position_buckets": 8}


@pytest.mark.parametrize(
    "changes",
    [{}, {"norm_rel_ebd": "none"}, {"share_att_key": False}, {"pos_att_type": "c2p"}, {"position_buckets": -1}],
)
def test_flops_of_relative_positions_by_hand(changes):
    config = DEBERTA | changes
    model = build("deberta-v2", **config).requires_grad_(True)
    model.classifier.bias.requires_grad_(False)
    length, hidden, inner, layers = 16, 32, 64, 2
    places = 2 * (config["position_buckets"] if config["position_buckets"] > 0 else 40)
    kinds = 1 if config["pos_att_type"] == "c2p" else 2  # a shared projection is computed for both all the same
    linear = 2 * length * (4 * hidden * hidden + 2 * hidden * inner)
    projections = 2 if config["share_att_key"] else kinds
    positions = projections * 2 * places * hidden * hidden + kinds * 2 * length * hidden * places
    scores_and_context = 2 * 2 * length * length * hidden
    pooler_and_head = 2 * (hidden * hidden + hidden * 3)
    counted = size.forward_flops(model, 1, length)
    assert counted == layers * (linear + positions + scores_and_context) + pooler_and_head
    assert [name for name, one in model.named_parameters() if not one.requires_grad] == ["classifier.bias"]


def test_random_inputs_stay_in_the_vocabulary():
    model = tiny()
    inputs = size.random_inputs(model, 4, sequence_length=64)
    assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (4, 64)
    assert 0 <= inputs["input_ids"].min() < inputs["input_ids"].max() < VOCABULARY
    assert inputs["attention_mask"].all()
    assert torch.equal(inputs["input_ids"], size.random_inputs(model, 4, sequence_length=64)["input_ids"])
    assert size.random_inputs(Recorder("a", [], 3), 4, sequence_length=64)["input_ids"].max() == 2
    with pytest.raises(ValueError, match="sequence_length=513 is more than the model's 512"):
        size.random_inputs(model, 1, sequence_length=513)
    with pytest.raises(ValueError, match="batch_size=0"):
        size.random_inputs(model, 0, sequence_length=5)


def test_models_take_turns_in_alternating_order():
    calls, steps = [], []
    models = {name: Recorder(name, calls) for name in "abc"}
    stats = latency.measure_latency(
        models, batch_size=2, sequence_length=4, repeats=4, warmup=2, on_step=lambda: steps.append(1)
    )
    assert "".join(name for name, _, _ in calls) == "abccba" * 3
    assert {(training, inference) for _, training, inference in calls} == {(False, True)}
    assert len(steps) == 6
    assert [value.runs for value in stats.values()] == [4, 4, 4]


def test_modes_are_restored_even_after_an_error():
    model = Recorder("a", [])
    model.frozen.eval()
    latency.measure_latency({"a": model}, batch_size=1, sequence_length=4, repeats=3, warmup=0)
    assert (model.training, model.table.training, model.frozen.training) == (True, True, False)
    model.forward = _fails
    with pytest.raises(RuntimeError, match="broken"):
        latency.measure_latency({"a": model}, batch_size=1, sequence_length=4)
    assert (model.training, model.frozen.training) == (True, False)


def test_three_timed_rounds_are_made_despite_the_time_limit():
    calls, steps = [], []
    stats = latency.measure_latency(
        {"a": Recorder("a", calls)},
        batch_size=1,
        sequence_length=4,
        seconds_limit=1e-9,
        on_step=lambda: steps.append(1),
    )
    assert stats["a"].runs == len(calls) == 3
    assert len(steps) == 35


@pytest.mark.parametrize("bad", [{"models": {}}, {"repeats": 2}, {"warmup": -1}, {"seconds_limit": 0}])
def test_bad_numbers_are_refused(bad):
    arguments = {"models": {"a": Recorder("a", [])}, "batch_size": 1, "sequence_length": 4} | bad
    with pytest.raises(ValueError, match="repeats >= 3"):
        latency.measure_latency(**arguments)


def test_comparison_rows():
    rows = latency.compare_latency(
        tiny(), tiny(num_hidden_layers=1), batch_sizes=[1, 2], sequence_length=16, repeats=3, warmup=1
    )
    assert [row.batch_size for row in rows] == [1, 2]
    for row in rows:
        assert (row.precision, row.device, row.threads, row.runs) == ("fp32", "cpu", torch.get_num_threads(), 3)
        assert row.speedup == row.baseline_ms / row.compressed_ms
        assert 1.9 < row.ideal_speedup < 2
        assert all(value > 0 and math.isfinite(value) for value in (row.baseline_p95_ms, row.compressed_p95_ms))
        assert row.processor == latency.processor_name()


@pytest.mark.parametrize(
    ("vendor", "family", "name", "flags", "expected"),
    [
        ("AuthenticAMD", 25, "AMD EPYC", "fpu avx512f", "AMD EPYC (Zen 4)"),
        ("AuthenticAMD", 25, "AMD EPYC", "fpu avx2", "AMD EPYC (Zen 3)"),
        ("AuthenticAMD", 25, "AMD EPYC 9354 32-Core", "fpu avx512f", "AMD EPYC 9354 32-Core"),
        ("GenuineIntel", 6, "Intel(R) Xeon(R) CPU @ 2.20GHz", "fpu avx512f", "Intel Xeon CPU (Skylake or later)"),
        ("GenuineIntel", 6, "Intel(R) Xeon(R) Processor", "fpu sse", "Intel Xeon Processor"),
    ],
)
def test_processor_names(vendor, family, name, flags, expected):
    text = f"vendor_id\t: {vendor}\ncpu family\t: {family}\nmodel name\t: {name}\nflags\t\t: {flags}\n"
    assert latency.describe_processor(text) == expected
    assert latency.describe_processor("CPU implementer\t: 0x41") is None
    assert latency.processor_name()


def _fails(**_):
    raise RuntimeError("broken")
