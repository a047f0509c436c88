"""Shared: one tiny random model per family and per run, copied for every test; nothing reaches the network."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported; HF_HUB_OFFLINE=0 for -m network
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import copy
import shutil
from dataclasses import replace

import pytest
import torch
from masking import choose, scramble
from metering import fake_codecarbon
from transformers import AutoConfig, AutoModelForSequenceClassification

from trainer_ext import PruningSpec, equivalence, masks
from trainer_ext.budgets import Structure
from trainer_ext.loopback_hub import LoopbackHub
from trainer_ext.shrink import shrink

torch.set_num_threads(1)

SPEC = PruningSpec(method="movement", sparsity=0.5, attention="block", block_size=4, ffn="neuron", start=0.1, end=0.6)
NO_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout")
NO_DROPOUT_DISTILBERT = ("dropout", "attention_dropout", "seq_classif_dropout")
# ALBERT runs each of two layers twice; DeBERTa as its published models have it, with projections of positions.
SPECIAL = {
    "albert": {"num_hidden_layers": 4, "num_hidden_groups": 2, "embedding_size": 16, "classifier_dropout_prob": 0.0},
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "electra": {"embedding_size": 16},
    "modernbert": dict.fromkeys(("pad_token_id", "bos_token_id", "cls_token_id"), 0)
    | dict.fromkeys(("eos_token_id", "sep_token_id"), 1)
    | {"attention_bias": True, "mlp_bias": True},
}


def build(model_type: str, *, auto_class=AutoModelForSequenceClassification, **changes):
    """A model (a classifier) of 3 labels: hidden 32, 2 layers of 4 heads of 8, 64 neurons, 128 tokens, weights of order 0.3.

    Default initialisation (0.02) gives logits near zero, where a wrong result looks right.
    """
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128, "num_labels": 3}
    sizes |= {"max_position_embeddings": 40, "hidden_dim" if model_type == "distilbert" else "intermediate_size": 64}
    sizes |= dict.fromkeys(NO_DROPOUT_DISTILBERT if model_type == "distilbert" else NO_DROPOUT, 0.0)
    config = AutoConfig.for_model(model_type, **{**sizes, **SPECIAL.get(model_type, {}), **changes})
    model = auto_class.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            norm = "norm" in name.lower() and name.endswith("weight")
            parameter.copy_(1 + 0.1 * noise if norm else 0.3 * noise)
    return model.eval()


@pytest.fixture(scope="session")
def _built():
    return {}


@pytest.fixture(scope="session")
def tiny_model(_built):
    """`tiny_model(model_type, **config changes)`: a fresh copy of the tiny classifier, or `auto_class`, of a family."""

    def make(model_type: str = "bert", **changes):
        key = (model_type, *sorted(changes.items()))
        if key not in _built:
            _built[key] = build(model_type, **changes)
        return copy.deepcopy(_built[key])

    return make


@pytest.fixture(scope="session")
def make_spec():
    """`make_spec(**changes)`: movement, half of the weights, 4x4 blocks (a head holds two block rows), neurons."""
    return lambda **changes: replace(SPEC, **changes)


@pytest.fixture
def tiny_batch():
    """`tiny_batch(model)`: 6 texts of 16 tokens, half of them padded."""
    return lambda model: equivalence.synthetic_batch(model, rows=6, length=16)


@pytest.fixture
def masked(tiny_model, make_spec):
    """`masked(model_type, **spec)`: a model with masks whose learned scores are random, not yet closed."""

    def make(model_type="bert", *, config=None, **changes):
        model = masks.attach(tiny_model(model_type, **(config or {})), make_spec(**changes))
        scramble(model)
        return model

    return make


@pytest.fixture
def hub():
    """A fresh Hub on this machine; afterwards, no request may have been unknown to it."""
    with LoopbackHub() as hub:
        yield hub
    assert hub.unhandled == []


@pytest.fixture
def work(monkeypatch):
    """`work.do()` is what codecarbon measures: it is replaced by one that draws so much for each unit."""
    return fake_codecarbon(monkeypatch)


@pytest.fixture(scope="session")
def cut(make_spec):
    """`cut(model, heads, neurons)`: the compact model in which these stay, per layer; the model is used up."""

    def make(model, heads, neurons):
        choose(masks.attach(model, make_spec()), Structure(heads, neurons))
        return shrink(masks.merge(model))[0]

    return make


@pytest.fixture
def client_here(hub, monkeypatch):
    """The Hub's client in this process, and transformers' own, speak with the Hub on this machine."""
    values = {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
    }
    for name, value in values.items():
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # the client that transformers made before
    monkeypatch.setenv("HF_TOKEN", hub.token)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """A finished run of the tiny task; it is shared, so tests that write take `run`."""
    from publishing import make_run

    return make_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(finished_run, tmp_path / "run")
