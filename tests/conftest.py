"""Shared: one tiny random model per family and per run, copied for every test; nothing reaches the network."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before huggingface_hub is imported; HF_HUB_OFFLINE=0 for -m network
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_EVALUATE_OFFLINE", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import copy
import shutil
from dataclasses import replace

import hypothesis
import pytest
import torch
from guarding import no_network  # noqa: F401  a fixture of every test

from tests.helpers.isolation import leaves_no_trace  # noqa: F401  a fixture of every test
from tests.helpers.masking import choose, scramble
from tests.helpers.metering import fake_codecarbon
from tests.helpers.tiny_models import SPEC, build
from tests.hub.loopback import LoopbackHub
from trainer_ext.models import outputs
from trainer_ext.pruning import masks, verify
from trainer_ext.pruning.selection import Structure
from trainer_ext.pruning.shrinking import shrink

torch.set_num_threads(1)
# How long an example takes says nothing of what is tested.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


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
    return lambda model: outputs.synthetic_batch(model, rows=6, length=16)


@pytest.fixture
def masked(tiny_model, make_spec):
    """`masked(model_type, **spec)`: a model with masks whose learned scores are random, not yet closed."""

    def make(model_type="bert", *, config=None, **changes):
        model = masks.attach(tiny_model(model_type, **(config or {})), make_spec(**changes))
        scramble(model)
        return model

    return make


@pytest.fixture
def shrink_wrongly(monkeypatch):
    """`shrink_wrongly()`: from now on each shrunk model has logits that are wrong by 1e-4."""

    def wrong(model, right=verify.SHRINK["compact"]):
        smaller, *rest = right(model)
        smaller.classifier.bias.data += 1e-4
        return smaller, *rest

    return lambda: monkeypatch.setitem(verify.SHRINK, "compact", wrong)


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
    from tests.helpers.publishing import make_run

    return make_run(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def run(finished_run, tmp_path):
    """A copy of a finished run."""
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture(scope="session")
def forks():
    """A Python that forks processes which end where a test wants it."""
    from tests.helpers.killing import Forks

    with Forks() as forks:
        yield forks


@pytest.fixture
def copies(tmp_path, monkeypatch):
    """The results page, the pictures and the result files as they are, where they may be changed."""
    from recipes.tools import drawing, results

    readme, files = tmp_path / "README.md", tmp_path / "results"
    readme.write_bytes(results.README.read_bytes())
    shutil.copytree(results.FILES, files)
    monkeypatch.setattr(results, "README", readme)
    monkeypatch.setattr(results, "FILES", files)
    benchmarks = shutil.copyfile(results.BENCHMARKS, tmp_path / "benchmarks.md")
    monkeypatch.setattr(results, "BENCHMARKS", benchmarks)
    monkeypatch.setattr(drawing, "FOLDER", shutil.copytree(drawing.FOLDER, tmp_path / "pictures"))
    return tmp_path
