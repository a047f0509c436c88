"""One-shot pruning on tiny models: what it removes, what it keeps, and what it refuses."""

import copy
import itertools
from dataclasses import replace

import datasets
import numpy as np
import pandas
import pytest
import torch
from transformers import AutoModelForSequenceClassification

import trainer_ext
from tests.helpers.tiny_models import build
from tests.scripts import own_classes
from trainer_ext import InputError
from trainer_ext.models.architectures import ARCHITECTURES, layers_of, prunable_weights
from trainer_ext.models.outputs import answers, synthetic_batch
from trainer_ext.pruning import one_shot
from trainer_ext.pruning.one_shot import prune


class Tokens:
    """A tokenizer that reads texts of numbers, so that every architecture can have one."""

    def __call__(self, texts, **options):
        rows = [[int(word) for word in text.split()] for text in texts]
        longest = max(map(len, rows))
        mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
        ids = torch.tensor([row + [1] * (longest - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": mask}


def texts(count=200, seed=0):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(4, 12, (count,), generator=generator).tolist()
    return [" ".join(map(str, torch.randint(2, 128, (n,), generator=generator).tolist())) for n in lengths]


def pruned(model, sparsity=0.5, given=None, **options):
    return prune(model, texts() if given is None else given, Tokens(), sparsity=sparsity, progress=False, **options)


def distance(model, dense):
    batch = Tokens()(texts(64, seed=1))
    return (answers(model, batch) - answers(dense, batch)).square().mean().item()


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_every_architecture_gets_as_small_as_asked_and_is_not_changed_itself(model_type):
    dense = build(model_type)
    before = copy.deepcopy(dense.state_dict())
    small = pruned(dense)
    left = prunable_weights(layers_of(small)) / prunable_weights(layers_of(dense))
    assert 0.45 <= left <= 0.5
    assert all(torch.equal(before[name], tensor) for name, tensor in dense.state_dict().items())
    assert type(small).__name__ == "Compact" + type(dense).__name__


def test_it_is_closer_to_the_dense_model_than_magnitudes_are():
    dense = build("bert")
    spec = trainer_ext.PruningSpec("magnitude", 0.5, "head", 4, "neuron", 0.0, 1.0)
    masked = trainer_ext.attach(copy.deepcopy(dense), spec)
    trainer_ext.pruning.freeze_structure(masked)
    assert distance(pruned(dense), dense) < 0.7 * distance(masked, dense)


def test_linears_without_a_bias_get_no_constant():
    dense = build("modernbert", attention_bias=False, mlp_bias=False)
    assert not any(name.endswith("Wo.bias") for name, _ in dense.named_parameters())
    assert distance(pruned(dense, 0.1), dense) < 0.1 * distance(pruned(dense, 0.85), dense)


def test_it_keeps_more_of_the_model_the_less_is_removed():
    dense = build("bert")
    distances = [distance(pruned(dense, sparsity), dense) for sparsity in (0.1, 0.3, 0.6)]
    assert distances == sorted(distances)


def test_neither_the_order_of_the_texts_nor_the_batch_size_changes_the_structure():
    dense = build("bert")

    def structure(model):
        return [(layer.heads, layer.neurons) for layer in layers_of(model)]

    first = pruned(dense)
    other = pruned(dense, given=texts()[::-1], batch_size=7)
    assert structure(first) == structure(other)
    batch = synthetic_batch(dense)
    assert torch.allclose(answers(first, batch), answers(other, batch), atol=1e-2)


def test_a_speedup_as_target_closes_what_the_times_of_this_machine_say():
    """Tiny models take no time, so the table is made of numbers of ours; the real one is timed in test_latency_table."""
    dense = build("bert")
    layers = layers_of(dense)
    heads, neurons = layers[0].heads, layers[0].neurons
    table = {
        "heads": [0, heads], "attention_ms": [0.0, 1.0], "neurons": [0, neurons], "ffn_ms": [0.0, 3.0],
        "fixed_ms": 2.0, "correction": 1.0, "machine": {},
    }  # fmt: skip
    dense_ms = 2.0 + 4.0 * len(layers)
    spec = trainer_ext.PruningSpec("obs", 0.0, "head", 1, "neuron", 0.0, 1.0, speedup=2.0)
    spec = replace(spec, latency={"table": table, "dense_ms": dense_ms})
    batches = one_shot.encode(texts(), Tokens(), max_length=None, batch_size=32)
    curves = list(one_shot.curves_of(layers, one_shot.collect(dense, batches, one_shot.matrices_of(layers))))
    found = one_shot.choose_structure(layers, curves, spec)
    left = sum(len(h) / heads + 3.0 * len(n) / neurons for h, n in zip(found.heads, found.neurons, strict=True))
    assert 0.85 * (dense_ms / 2 - 2.0) <= left <= dense_ms / 2 - 2.0
    most = dense_ms / 2.0
    with pytest.raises(ValueError, match=f"prune_speedup=20 cannot be reached: .* runs {most:.2f} times as fast"):
        one_shot.choose_structure(layers, curves, replace(spec, speedup=20.0))


@pytest.mark.parametrize(("given", "timed"), [(None, 64), (16, 16), (500, 64)])
def test_layers_are_timed_with_no_more_tokens_than_the_model_reads(given, timed, monkeypatch):
    def stop(*args, **options):
        raise RuntimeError(f"timed with {args[3]['sequence_length']} tokens")

    dense = build("bert", max_position_embeddings=64)
    monkeypatch.setattr(one_shot, "latency_for", stop)
    with pytest.raises(RuntimeError, match=f"timed with {timed} tokens"):
        pruned(dense, None, speedup=2.0, max_length=given)


@pytest.mark.parametrize(
    ("model_type", "limit", "given", "read"),
    [
        ("deberta-v2", int(1e30), None, 512),
        ("deberta-v2", None, None, 512),
        ("deberta-v2", int(1e30), 600, 600),
        ("deberta-v2", 20, 600, 20),
        ("bert", int(1e30), None, 40),
        ("bert", 20, 15, 15),
    ],
)
def test_texts_are_cut_to_what_model_and_tokenizer_read(model_type, limit, given, read):
    """A tokenizer that was saved without a limit has one of 10^30, which no tokenizer can cut to."""

    class Limited(Tokens):
        seen = set()

        def __call__(self, texts, **options):
            self.seen.add(options["max_length"])
            return super().__call__(texts, **options)

    tokenizer = Limited()
    if limit is not None:
        tokenizer.model_max_length = limit
    dense = build(model_type, **({"position_biased_input": False} if model_type == "deberta-v2" else {}))
    prune(dense, texts(), tokenizer, sparsity=0.5, max_length=given, progress=False)
    assert tokenizer.seen == {read}


def test_a_stock_model_with_another_part_is_refused_before_any_work(monkeypatch):
    monkeypatch.setattr(one_shot, "_readable", lambda *args, **options: pytest.fail("it has started"))
    head, buffer = build("bert"), build("bert")
    head.classifier = torch.nn.Sequential(torch.nn.Linear(32, 3))
    buffer.register_buffer("class_weights", torch.ones(3))
    for model, part in ((head, "classifier"), (buffer, "class_weights")):
        with pytest.raises(ValueError, match=f"another {part}.*class MyBertForSequenceClassification"):
            pruned(model)


def test_a_target_out_of_reach_is_refused_in_the_words_of_the_call(monkeypatch):
    dense = build("bert")
    with pytest.raises(ValueError, match=r"^sparsity=0\.99 cannot be reached: at most 0\.\d+ .*drop_layers") as error:
        pruned(dense, 0.99)
    assert "prune_" not in str(error.value)
    table = {
        "heads": [0, 4], "attention_ms": [0.0, 1.0], "neurons": [0, 64], "ffn_ms": [0.0, 3.0],
        "fixed_ms": 2.0, "correction": 1.0, "machine": {},
    }  # fmt: skip
    monkeypatch.setattr(one_shot, "latency_for", lambda *args, **options: {"table": table, "dense_ms": 10.0})
    with pytest.raises(ValueError, match=r"^speedup=20 cannot be reached: .* runs 5\.00 times as fast") as error:
        pruned(dense, None, speedup=20.0)
    assert "prune_" not in str(error.value)


def test_a_plain_structure_gives_a_stock_model(tmp_path):
    dense = build("bert")
    small = pruned(dense, 0.4, structure="plain")
    assert type(small) is type(dense)
    small.save_pretrained(tmp_path)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert reloaded.config.intermediate_size < dense.config.intermediate_size
    batch = synthetic_batch(dense)
    torch.testing.assert_close(answers(reloaded, batch), answers(small, batch))


def test_the_random_state_of_the_script_stays_as_it_is():
    dense = build("bert")
    before = torch.get_rng_state()
    pruned(dense)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_script_may_have_turned_gradients_off(mode):
    dense = build("bert")
    expected = answers(pruned(dense), synthetic_batch(dense))
    with mode():
        found = answers(pruned(dense), synthetic_batch(dense))
    assert torch.equal(found, expected)


def test_a_number_of_numpy_is_one():
    dense = build("bert")
    assert pruned(dense, np.float32(0.5)).num_parameters() == pruned(dense, 0.5).num_parameters()


def test_texts_may_come_from_a_generator():
    assert pruned(build("bert"), given=(text for text in texts())).num_parameters() < build("bert").num_parameters()


def test_a_model_of_ones_own_class(tmp_path):
    torch.manual_seed(0)
    dense = own_classes.Returns(own_classes.bert_config())
    small = pruned(dense)
    assert type(small) is own_classes.Returns
    small.save_pretrained(tmp_path)
    batch = Tokens()(texts(8))
    assert torch.equal(answers(own_classes.Returns.from_pretrained(tmp_path), batch), answers(small, batch))


def test_buffers_keep_their_precision(tmp_path):
    """Rotary frequencies in bf16 would give other logits than the saved model, which computes them in fp32."""
    build("modernbert").save_pretrained(tmp_path / "dense")
    dense = AutoModelForSequenceClassification.from_pretrained(tmp_path / "dense", dtype=torch.bfloat16)
    small = pruned(dense)
    assert small.dtype == torch.bfloat16
    small.save_pretrained(tmp_path / "small")
    again = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small", dtype=torch.bfloat16)
    batch = Tokens()(texts(8))
    assert torch.equal(answers(again, batch), answers(small, batch))


def test_one_text_repeated_gives_finite_weights():
    small = pruned(build("bert"), given=["5 6 7 8"] * 40)
    assert all(parameter.isfinite().all() for parameter in small.parameters())


def test_columns_that_the_forward_does_not_take_are_left_out():
    class WithTypes(Tokens):
        def __call__(self, texts, **options):
            batch = super().__call__(texts, **options)
            return batch | {"token_type_ids": torch.zeros_like(batch["input_ids"]), "other": batch["input_ids"]}

    dense = build("distilbert")
    small = prune(dense, texts(), WithTypes(), sparsity=0.5, progress=False)
    assert (answers(small, synthetic_batch(dense)) == answers(pruned(dense), synthetic_batch(dense))).all()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["5 6 7"] * 20 + ["9999 8"], "gives token 9999, and the model has 128"),
        (["5 6 7"] * 20 + ["word"], "cannot read these texts.*padding token"),
    ],
)
def test_texts_that_the_model_cannot_read_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        pruned(build("bert"), given=given)


def test_bad_input_is_refused():
    dense = build("bert")
    with pytest.raises(InputError, match=r"Got 3 texts.*at least 16"):
        pruned(dense, given=["5 6", "7 8", "9 9", " "])
    for wrong, said in (
        ("one long text " * 40, "got str: give a list"),
        (7, "got int: give a list"),
        ({"text": texts(), "label": [0] * 200}, r"got dict: give a list, or one column, such as data\['text'\]"),
        (pandas.DataFrame({"text": texts()}), "got DataFrame: .* one column"),
        (datasets.Dataset.from_dict({"text": texts()}), "number 0 is dict: give one column"),
        ([*texts(), ("a", "b")], "number 200 is tuple: .*--text_pair_column"),
        ([*texts(20), float("nan")], "number 20 is nan: leave it out"),
    ):
        with pytest.raises(InputError, match=f"^texts must be strings.*{said}"):
            pruned(dense, given=wrong)
    for path in ("folder/model", dense.config):
        with pytest.raises(ValueError, match=r"^model must be a model, got .*AutoModelForSequenceClassification"):
            pruned(path)
    with pytest.raises(ValueError, match=r"^tokenizer must be a tokenizer, got 'folder/model'"):
        prune(dense, texts(), "folder/model", sparsity=0.5)
    with pytest.raises(ValueError, match=r"^structure='stock' must be 'compact' or 'plain'"):
        pruned(dense, structure="stock")
    for sparsity in (0, 1, -0.5):
        with pytest.raises(ValueError, match="must be above 0 and below 1"):
            pruned(dense, sparsity)
    for speedup in (1, 0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="must be above 1"):
            pruned(dense, None, speedup=speedup)
    with pytest.raises(ValueError, match="sparsity='0.5' must be a number"):
        pruned(dense, "0.5")
    for name, wrong in itertools.product(("max_length", "batch_size"), (0, -1, 10.0, "8", True)):
        with pytest.raises(ValueError, match=f"{name}={wrong!r} must be a whole number .*1 or more"):
            pruned(dense, **{name: wrong})
    for both in ({"sparsity": None}, {"sparsity": 0.5, "speedup": 2.0}):
        with pytest.raises(ValueError, match="either sparsity.*or speedup"):
            pruned(dense, **both)
    with pytest.raises(ValueError, match="has masks"):
        pruned(trainer_ext.attach(build("bert"), trainer_ext.PruningSpec("magnitude", 0.5, "head", 4, "neuron", 0, 1)))
    with torch.no_grad():
        dense.bert.encoder.layer[0].output.dense.weight[0, 0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite weights"):
        pruned(dense)
