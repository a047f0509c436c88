"""What `train()` leaves behind: a smaller model that evaluate, predict and save act on."""

import json
import shutil

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertTokenizerFast,
    DataCollatorWithPadding,
    TrainerCallback,
    TrainingArguments,
)

from tests.helpers.training import PRUNE, arguments, differing, logged, make_trainer, new_model
from trainer_ext import attach
from trainer_ext.models.architectures import layers_of, prunable_weights

SAVE_LAST = {"save_strategy": "steps", "save_steps": 10}


def tokenizer():
    """A tokenizer of 128 words."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(123))]
    return BertTokenizerFast(vocab={word: index for index, word in enumerate(words)})


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("method", ["movement", "magnitude"])
def test_training_ends_with_a_smaller_model_of_the_requested_sparsity(tmp_path, method, sparsity):
    trainer = make_trainer(tmp_path, prune_method=method, prune_block_size=8, prune_sparsity=sparsity)
    dense = prunable_weights(layers_of(trainer.model))
    trainer.train()
    gone = 1 - prunable_weights(layers_of(trainer.model)) / dense
    assert gone == pytest.approx(sparsity, abs=0.005)
    assert trainer.compression.sparsity == pytest.approx(gone, abs=1e-9)
    assert trainer.compression.masked_vs_shrunk <= 1e-5
    assert not hasattr(trainer.model, "pruning")
    layers = layers_of(trainer.model)
    assert [layer.heads for layer in layers] == [len(ids) for ids in trainer.compression.heads]
    assert [layer.neurons for layer in layers] == [len(ids) for ids in trainer.compression.neurons]


@pytest.mark.parametrize("fields", [{"prune_attention": "none"}, {"prune_ffn": "none"}, {"prune_attention": "head"}])
def test_one_part_alone_can_be_pruned(tmp_path, fields):
    trainer = make_trainer(tmp_path, **{**PRUNE, "prune_sparsity": 0.25, **fields})
    trainer.train()
    heads, neurons = (sum(map(len, ids)) for ids in (trainer.compression.heads, trainer.compression.neurons))
    assert (heads < 8) is (fields.get("prune_attention") != "none")
    assert (neurons < 128) is (fields.get("prune_ffn") != "none")
    assert trainer.compression.sparsity == pytest.approx(0.25, abs=0.005)


def test_evaluate_predict_and_save_act_on_the_small_model(tmp_path):
    trainer = make_trainer(tmp_path / "run", **PRUNE, **SAVE_LAST, processing_class=tokenizer())
    dense = sum(p.numel() for p in trainer.model.parameters())
    trainer.train()
    trainer.save_model(tmp_path / "small")
    small = sum(p.numel() for p in trainer.model.parameters())
    assert small < 0.9 * dense

    predicted = torch.tensor(trainer.predict(trainer.eval_dataset).predictions)
    rows = [trainer.eval_dataset[i] for i in range(16)]
    batch = {name: torch.stack([row[name] for row in rows]) for name in ("input_ids", "attention_mask")}
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small").eval()
    assert sum(p.numel() for p in loaded.parameters()) == small
    assert differing(trainer.model.state_dict(), loaded.state_dict()) == []
    with torch.no_grad():
        torch.testing.assert_close(loaded(**batch).logits, predicted, atol=1e-6, rtol=1e-5)
    labels = torch.stack([row["labels"] for row in rows])
    expected = torch.nn.functional.cross_entropy(predicted, labels).item()
    assert trainer.evaluate()["eval_loss"] == pytest.approx(expected, rel=1e-5)

    names = {path.name for path in (tmp_path / "small").iterdir()}
    assert "training_args.bin" not in names  # a pickle that holds the Hub token
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert "training_args.bin" in {path.name for path in (tmp_path / "run" / "checkpoint-10").iterdir()}


def test_the_tokenizer_of_the_collator_is_saved_too(tmp_path):
    collator = DataCollatorWithPadding(tokenizer())
    for name, fields in (("small", PRUNE), ("full", {})):
        trainer = make_trainer(tmp_path / "run", **fields, max_steps=2, data_collator=collator)
        trainer.train()
        trainer.save_model(tmp_path / name)
        assert (tmp_path / name / "tokenizer.json").is_file()


def test_checkpoints_stay_full_size(tmp_path):
    trainer = make_trainer(tmp_path, **PRUNE, save_strategy="steps", save_steps=5)
    full = {name: value.shape for name, value in trainer.model.state_dict().items()}
    trainer.train()
    trainer.save_model()
    other = make_trainer(tmp_path, **PRUNE)
    for step in (5, 10):
        other._load_from_checkpoint(str(tmp_path / f"checkpoint-{step}"))
        assert {name: value.shape for name, value in other.model.state_dict().items()} == full
    assert other.model.pruning.is_frozen
    assert json.loads((tmp_path / "checkpoint-5" / "config.json").read_text())["pruning"]["sparsity"] == 0.5
    assert "pruning" not in json.loads((tmp_path / "config.json").read_text())


def test_a_second_train_fine_tunes_the_small_model(tmp_path):
    trainer = make_trainer(tmp_path, **PRUNE, distill_teacher="self", **SAVE_LAST)
    trainer.train()
    compression = trainer.compression
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    after = trainer.model.state_dict()
    assert {name: value.shape for name, value in before.items()} == {name: v.shape for name, v in after.items()}
    assert {name for name, _ in trainer.model.named_parameters()} == set(differing(before, after))
    assert trainer.compression is compression
    assert logged(trainer, "sparsity") == []
    for checkpoint in (True, str(tmp_path / "checkpoint-10")):
        with pytest.raises(ValueError, match="already shrunk"):
            trainer.train(resume_from_checkpoint=checkpoint)


def test_model_init_gives_a_new_full_size_model_to_every_run(tmp_path):
    trainer = make_trainer(
        tmp_path, model_init=lambda: new_model(seed=5), **PRUNE, **SAVE_LAST, distill_teacher="self"
    )
    assert hasattr(trainer.model, "pruning")
    runs = []
    checkpoint = tmp_path / "checkpoint-10"
    for _ in range(2):
        shutil.rmtree(checkpoint, ignore_errors=True)
        trainer.train()
        runs.append((trainer.model, trainer.compression, logged(trainer, "loss")))
        assert (checkpoint / "training_args.bin").is_file()
        assert "pruning" in json.loads((checkpoint / "config.json").read_text())
    (first, compression, losses), (second, again, losses_again) = runs
    assert first is not second
    assert differing(first.state_dict(), second.state_dict()) == []
    assert (compression, losses) == (again, losses_again)
    trainer.train(resume_from_checkpoint=str(checkpoint))
    assert differing(first.state_dict(), trainer.model.state_dict()) == []


def test_shrinking_can_be_asked_for_without_training(tmp_path):
    trainer = make_trainer(tmp_path, **{**PRUNE, "prune_method": "magnitude"})
    assert trainer.shrink() is trainer.compression
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert trainer.evaluate()["eval_loss"] > 0


def test_a_shrunk_model_that_differs_is_refused(tmp_path, shrink_wrongly):
    shrink_wrongly()
    trainer = make_trainer(tmp_path, **PRUNE, max_steps=2)
    with pytest.raises(RuntimeError, match="differs from the masked one by 1.0e-04"):
        trainer.train()
    assert trainer.compression is None


@pytest.mark.parametrize("fields", [{"max_steps": 1}, {"max_steps": 2}, {"max_steps": 3}, {"prune_end": 1.0}], ids=str)
def test_phases_fit_into_short_runs(tmp_path, fields):
    trainer = make_trainer(tmp_path, **PRUNE, **fields)
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


def test_a_run_stopped_in_its_ramp_still_meets_the_target(tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step == 3

    trainer = make_trainer(tmp_path, **PRUNE, callbacks=[Stop])
    trainer.train()
    assert trainer.state.global_step == 3
    assert logged(trainer, "sparsity")[-1] < 0.4
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


def test_distilling_alone_leaves_the_shape(tmp_path):
    trainer = make_trainer(tmp_path, distill_teacher="self")
    before = {name: value.shape for name, value in trainer.model.state_dict().items()}
    trainer.train()
    assert {name: value.shape for name, value in trainer.model.state_dict().items()} == before
    assert trainer.compression is None
    assert type(trainer.model) is type(new_model())


def test_plain_arguments_and_a_model_with_masks_are_shrunk_as_they_are(tmp_path):
    spec = arguments(tmp_path, **PRUNE).pruning_spec
    model = attach(new_model(), spec)
    trainer = make_trainer(tmp_path, model=model, args_class=TrainingArguments)
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


def test_a_tiny_model_learns_while_it_is_pruned(tmp_path):
    fields = {"max_steps": 150, "learning_rate": 3e-3, "per_device_train_batch_size": 32}
    trainer = make_trainer(tmp_path, rows=512, **PRUNE, **fields, logging_steps=15)
    trainer.train()
    losses = logged(trainer, "loss")
    assert losses[-1] < 0.7 * losses[0]
