"""Outputs: the batch is always the same and has padding; differences are found, in full precision; modes are restored."""

import contextlib
import copy
from types import SimpleNamespace

import pytest
import torch

from tests.helpers.precision import SETTINGS, bf16_products, default_precision_afterwards, precision_settings
from trainer_ext.export.verify import check_exact
from trainer_ext.models import outputs
from trainer_ext.models.compact.registration import MODEL_TYPES
from trainer_ext.models.runtimes import Runtime

every_family = pytest.mark.parametrize("model_type", MODEL_TYPES)


@every_family
def test_the_batch_fits_the_model(tiny_model, model_type):
    model = tiny_model(model_type)
    batch = outputs.synthetic_batch(model, rows=4, length=100)
    ids, attention = batch["input_ids"], batch["attention_mask"]
    assert ids.shape == attention.shape == (4, 38)  # 40 positions, two of which RoBERTa never uses
    pad = model.config.pad_token_id
    assert attention[:2].all()
    assert attention[2:].sum(1).tolist() == [19, 19]
    assert torch.equal(ids.eq(pad), attention.eq(0))
    assert 0 <= ids.min() <= ids.max() < 128
    assert outputs.logits(model, batch).isfinite().all()


def test_the_batch_depends_only_on_its_seed(tiny_model):
    model = tiny_model()
    torch.manual_seed(1)
    first = outputs.synthetic_batch(model)
    torch.manual_seed(2)
    assert torch.equal(first["input_ids"], outputs.synthetic_batch(model)["input_ids"])
    assert not torch.equal(first["input_ids"], outputs.synthetic_batch(model, seed=1)["input_ids"])
    assert first["input_ids"].shape == (8, 32)


def test_the_batch_draws_nothing_from_the_global_generator(tiny_model):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    outputs.synthetic_batch(tiny_model())
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("training", [True, False])
def test_logits_are_those_of_evaluation_and_the_mode_is_restored(tiny_model, tiny_batch, training):
    model = tiny_model("bert", hidden_dropout_prob=0.5)
    expected = model(**tiny_batch(model)).logits
    model.train(training)
    found = outputs.logits(model, tiny_batch(model))
    assert model.training is training
    assert torch.equal(found, expected)
    assert found.dtype == torch.float32
    assert not torch.equal(model.train()(**tiny_batch(model)).logits, expected)  # dropout is on in this model


@every_family
def test_the_difference_is_zero_for_a_copy_and_found_for_a_change(tiny_model, tiny_batch, model_type):
    model = tiny_model(model_type)
    other = copy.deepcopy(model)
    batch = tiny_batch(model)
    assert outputs.max_logit_difference(model, other, batch) == 0
    last = other.classifier.out_proj if hasattr(other.classifier, "out_proj") else other.classifier
    with torch.no_grad():
        last.bias[1] -= 0.25
    assert outputs.max_logit_difference(model, other, batch) == pytest.approx(0.25, abs=1e-5)
    assert outputs.max_logit_difference(other, model, batch) == pytest.approx(0.25, abs=1e-5)


def test_the_allowed_difference_grows_with_the_logits():
    assert outputs.allowed_difference(torch.tensor([[0.01, -0.2]])) == pytest.approx(1e-5)
    assert outputs.allowed_difference(torch.tensor([[3.0, -40.0]])) == pytest.approx(4e-4)


# Precision


def put(owner, value, name="fp32_precision"):
    setattr(owner, name, value)


@pytest.fixture
def restored_precision():
    with default_precision_afterwards():
        yield


OLDER = {"matmul": "highest", "cuda tf32": False, "cudnn tf32": False, "autocast": False}
FULL = OLDER | dict.fromkeys(SETTINGS, "ieee")
LOWERED = {
    "nothing": lambda: None,
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "tf32 of cuBLAS": lambda: put(torch.backends.cuda.matmul, True, "allow_tf32"),
    "no tf32 of cuDNN": lambda: put(torch.backends.cudnn, False, "allow_tf32"),
}
NEWER = {
    "tf32 everywhere": lambda: put(torch.backends, "tf32"),
    "bf16 everywhere": lambda: put(torch.backends, "bf16"),
    "newer, cuda": lambda: put(torch.backends.cuda.matmul, "tf32"),
    "newer, mkldnn": lambda: put(torch.backends.mkldnn.matmul, "bf16"),
}
LOWERED |= NEWER if SETTINGS else {}


@pytest.mark.usefixtures("restored_precision")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("lowered", LOWERED)
def test_full_precision_sets_everything_and_restores_it_also_after_an_error(lowered, fails):
    LOWERED[lowered]()
    before = precision_settings()
    with contextlib.suppress(ZeroDivisionError), outputs.full_precision():
        assert precision_settings() == FULL
        1 / (not fails)
    assert precision_settings() == before


@pytest.mark.skipif(not SETTINGS, reason="before torch 2.9 no setting inherits")
@pytest.mark.usefixtures("restored_precision")
def test_settings_that_inherit_the_general_one_still_do_after_full_precision():
    put(torch.backends, "tf32")
    with outputs.full_precision():
        pass
    put(torch.backends, "ieee")
    found = precision_settings()
    assert {found[name] for name in ("cuda.all", "cuda.matmul", "mkldnn.matmul", "mkldnn.conv")} == {"ieee"}


@pytest.mark.usefixtures("restored_precision")
def test_full_precision_ends_autocast(tiny_model, tiny_batch):
    model = tiny_model()
    batch = tiny_batch(model)
    expected = outputs.logits(model, batch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not torch.equal(outputs.logits(model, batch), expected)
        with outputs.full_precision():
            assert torch.equal(outputs.logits(model, batch), expected)
        assert torch.is_autocast_enabled("cpu")


def test_the_difference_of_two_models_is_found_in_full_precision(tiny_model, tiny_batch):
    model = tiny_model()
    batch = tiny_batch(model)
    expected, found = outputs.logits(model, batch), []
    model.register_forward_hook(lambda *_: found.append(torch.get_float32_matmul_precision()))
    with bf16_products():
        assert not torch.allclose(outputs.logits(model, batch), expected, atol=1e-4)
        outputs.max_logit_difference(model, model, batch)
    assert found == ["medium", "highest", "highest"]


def test_an_exported_file_is_compared_in_full_precision(tiny_model):
    """The file computes in fp32 in any case."""
    model = tiny_model()
    source = SimpleNamespace(model=model, encoded=None, inputs=("input_ids", "attention_mask"))

    @outputs.full_precision()
    def run(batch):
        return outputs.logits(model, {name: torch.from_numpy(value) for name, value in batch.items()}).numpy()

    runtime = Runtime("exact", source.inputs, run)
    with bf16_products():
        assert check_exact(source, runtime, on_rows=lambda rows: None).holds
        assert not check_exact.__wrapped__(source, runtime, on_rows=lambda rows: None).holds  # the control
