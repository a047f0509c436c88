"""Models as `from_pretrained` gives them to a script: with older names, in other dtypes, with other return forms."""

import shutil
from contextlib import nullcontext

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast, Trainer, TrainingArguments

from tests.helpers.training import PRUNE, differing, logged, make_trainer, new_model
from trainer_ext.models.loading import save_under_own_names


def opened(folder, **kwargs):
    """The model of a folder, as a script opens it."""
    return AutoModelForSequenceClassification.from_pretrained(folder, **kwargs)


@pytest.fixture
def older(tmp_path):
    """A folder whose LayerNorms are called as in bert-base-uncased."""
    new_model().save_pretrained(tmp_path / "older")
    file = tmp_path / "older/model.safetensors"
    names = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state = load_file(file)
    for new, old in names.items():
        state = {name.replace(new, old): value for name, value in state.items()}
    save_file(state, file, {"format": "pt"})
    return tmp_path / "older"


TEACHER = {"distill_teacher": "self"}
EVERY_STEP = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "max_steps": 6}


@pytest.mark.parametrize("fields", [PRUNE, TEACHER, PRUNE | TEACHER], ids=["pruned", "distilled", "both"])
def test_older_names_are_resumed_bit_for_bit(fields, older, tmp_path):
    fields = EVERY_STEP | fields
    whole = make_trainer(tmp_path / "out", model=opened(older), **fields)
    whole.train()
    assert not [name for name in load_file(tmp_path / "out/checkpoint-2/model.safetensors") if "gamma" in name]
    for step in (4, 6):
        shutil.rmtree(tmp_path / f"out/checkpoint-{step}")
    resumed = make_trainer(tmp_path / "out", model=opened(older), **fields)
    resumed.train(resume_from_checkpoint=True)
    assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []


def test_the_best_model_has_its_own_layer_norms(older, tmp_path):
    fields = EVERY_STEP | {"load_best_model_at_end": True, "metric_for_best_model": "worst", "greater_is_better": True}
    trainer = make_trainer(
        tmp_path / "out", model=opened(older), compute_metrics=lambda _: {"worst": -next(count)}, **fields, **TEACHER
    )
    count = iter(range(9))
    trainer.train()
    assert trainer.state.best_global_step == 2
    assert differing(trainer.model.state_dict(), load_file(tmp_path / "out/checkpoint-2/model.safetensors")) == []


def test_with_nothing_asked_older_names_are_saved_as_stock_saves_them(older, tmp_path):
    trainer = make_trainer(tmp_path / "out", model=opened(older), max_steps=1)
    trainer.train()
    trainer.save_model(tmp_path / "saved")
    assert load_file(tmp_path / "saved/model.safetensors").keys() == load_file(older / "model.safetensors").keys()


def test_own_names_inside_another_module(older, tmp_path):
    held = torch.nn.ModuleDict({"inner": opened(older)})
    save_under_own_names(held)
    held["inner"].save_pretrained(tmp_path / "saved")
    assert differing(held["inner"].state_dict(), load_file(tmp_path / "saved/model.safetensors")) == []


def stored_in(dtype, folder):
    new_model().to(dtype).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("fields", [PRUNE, TEACHER, PRUNE | {"bf16": True}], ids=["pruned", "distilled", "bf16"])
def test_fp16_weights_are_trained_and_saved_in_fp32(fields, tmp_path, caplog):
    model = opened(stored_in(torch.float16, tmp_path / "half"))
    assert model.dtype == torch.float16, "as the file is stored, or this shows nothing"
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    trainer = make_trainer(tmp_path / "out", model=model, optimizers=(optimizer, None), **fields)
    trainer.train()
    assert "float16, which Adam cannot train" in caplog.text
    assert "dtype='float32'" in caplog.text
    trainer.save_model(tmp_path / "small")
    assert {one.dtype for one in load_file(tmp_path / "small/model.safetensors").values()} == {torch.float32}


def test_fp16_weights_train_as_those_that_were_opened_in_fp32(tmp_path):
    folder, states = stored_in(torch.float16, tmp_path / "half"), []
    for dtype in ("auto", "float32"):
        trainer = make_trainer(tmp_path / "out", model=opened(folder, dtype=dtype), **PRUNE, **TEACHER)
        trainer.train()
        states.append(trainer.model.state_dict())
    assert differing(*states) == []


def test_scaled_gradients_need_fp32_weights(tmp_path, monkeypatch, caplog):
    """`fp16=True` on an accelerator; there is none here, so only the model is prepared."""
    monkeypatch.setattr("trainer_ext.training_args.resolve_fp16", lambda args: None)
    for dtype in (torch.bfloat16, torch.float16):
        model = opened(stored_in(dtype, tmp_path / "half"))
        trainer = make_trainer(tmp_path / "out", model=model, fp16=True, max_steps=1, **TEACHER)
        assert trainer.model.dtype == torch.float32
        assert f"{str(dtype).removeprefix('torch.')}, which" in caplog.text


@pytest.mark.parametrize(("dtype", "says"), [(torch.bfloat16, "small updates are lost"), (torch.float64, "")])
def test_other_dtypes_stay_and_are_shrunk(dtype, says, tmp_path, caplog):
    trainer = make_trainer(tmp_path / "out", model=opened(stored_in(dtype, tmp_path / "model")), **PRUNE, **TEACHER)
    trainer.train()
    assert says in caplog.text
    assert ("The weights" in caplog.text) is bool(says)
    trainer.save_model(tmp_path / "small")
    assert opened(tmp_path / "small", trust_remote_code=True).dtype == dtype


def test_frozen_fp16_weights_stay(tmp_path):
    """As those under an adapter, which stock Trainer trains too."""
    model = new_model()
    model.bert.half().requires_grad_(False)
    trainer = make_trainer(tmp_path / "out", model=model, max_steps=1, teacher=new_model(seed=1))
    assert trainer.model.bert.dtype == torch.float16


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("fields", [{"bf16": True}, {"distill_hidden": 1.0, "distill_relations": 1.0}], ids=str)
def test_a_teacher_in_another_dtype(dtype, fields, tmp_path):
    """Its answers are about those of the same teacher in fp32."""
    losses = []
    for cast in (dtype, torch.float32):
        trainer = make_trainer(tmp_path / "out", teacher=new_model(seed=1).to(cast), max_steps=2, **fields)
        trainer.train()
        losses.append(logged(trainer, "loss_distill")[0])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)


FORMS = [{"return_dict": False}, {"output_hidden_states": True}, {"return_dict": False, "output_hidden_states": True}]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("fields", [TEACHER, TEACHER | {"distill_hidden": 1.0}, PRUNE | TEACHER], ids=str)
def test_outputs_in_another_form(form, fields, tmp_path):
    """They are the same numbers, or cannot be told apart and are refused."""
    nameless = "distill_hidden" in fields and "return_dict" in form
    losses = []
    for changes in (form, {}):
        model = new_model()
        for name, value in changes.items():
            setattr(model.config, name, value)
        with pytest.raises(ValueError, match="return_dict=True") if nameless and changes else nullcontext():
            trainer = make_trainer(tmp_path / "out", model=model, max_steps=3, **fields)
            trainer.train()
            losses.append([*logged(trainer, "loss"), trainer.evaluate()["eval_loss"]])
    assert len(losses) == 1 if nameless else losses[0] == losses[1]


def test_a_teacher_without_names_is_asked_for_them(tmp_path):
    teacher = new_model(seed=1)
    teacher.config.return_dict = False
    trainer = make_trainer(tmp_path / "out", teacher=teacher, max_steps=2, distill_hidden=1.0)
    trainer.train()
    assert logged(trainer, "loss_hidden")[0] > 0


def test_a_tokenizer_that_pads_with_another_token_is_refused_before_the_training(tmp_path):
    """Trainer would change `config.pad_token_id`, from which RoBERTa counts positions when it is opened again."""
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")))
    tokenizer.pad_token = "a"
    model = new_model(model_type="roberta", pad_token_id=1)
    with pytest.raises(ValueError, match="pad_token_id 1 in its config, and its tokenizer pads with 0"):
        make_trainer(tmp_path, model=model, processing_class=tokenizer, **PRUNE)
    make_trainer(tmp_path, model=new_model(pad_token_id=1), processing_class=tokenizer, **PRUNE)


def test_a_teacher_that_was_stored_in_half_precision_answers_in_fp32(tmp_path):
    from trainer_ext.distillation.teachers import load_teacher

    assert load_teacher(str(stored_in(torch.float16, tmp_path / "half"))).dtype == torch.float32


def test_what_stock_arguments_refuse_is_refused(tmp_path):
    both = {"fp16": True, "bf16": True, "use_cpu": True, "output_dir": str(tmp_path)}
    with pytest.raises(ValueError, match="fp16 and bf16") as stock:
        TrainingArguments(**both)
    with pytest.raises(ValueError, match="fp16 and bf16") as ours:
        make_trainer(tmp_path, Trainer, fp16=True, bf16=True)
    assert str(ours.value) == str(stock.value)
