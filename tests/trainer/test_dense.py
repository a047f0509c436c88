"""Dense training first: a script that starts from an encoder with a new head gets a baseline and a teacher of its own."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.data import IterableDataset
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertModel,
    BertPreTrainedModel,
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.modeling_outputs import SequenceClassifierOutput

from tests.helpers.training import (
    LABELS,
    EventRecorder,
    Rows,
    differing,
    logged,
    make_trainer,
    new_model,
    without_timing,
)
from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments, InputError
from trainer_ext.models.loading import new_head

SAVING = {"save_strategy": "steps", "save_steps": 2, "eval_strategy": "steps", "eval_steps": 2, "max_steps": 8}
BLOCKS = {"prune_sparsity": 0.5, "prune_block_size": 8}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A folder with an encoder that was saved without a head."""
    folder = tmp_path_factory.mktemp("encoder")
    new_model().base_model.save_pretrained(folder)
    return folder


def fresh(encoder, **options):
    """The model of a script: the encoder with a new head, the same each time."""
    torch.manual_seed(5)
    return AutoModelForSequenceClassification.from_pretrained(encoder, num_labels=LABELS, **options)


def accuracy(prediction):
    return {"accuracy": float((prediction.predictions.argmax(-1) == prediction.label_ids).mean())}


def history(trainer):
    return [{k: v for k, v in each.items() if k != "train_loss"} for each in without_timing(trainer.state.log_history)]


class Stop(TrainerCallback):
    """Raises after a step of the dense training, or of the compression."""

    def __init__(self, step, *, dense):
        self.step, self.dense = step, dense

    def on_step_end(self, args, state, control, model=None, **kwargs):
        small = hasattr(model, "pruning") or hasattr(model.config, "compact_linears")
        if state.global_step == self.step and self.dense is not small:
            raise KeyboardInterrupt


# What is new


def test_new_head_is_what_from_pretrained_had_to_make(encoder, tmp_path):
    model = fresh(encoder)
    assert new_head(model) == ["classifier.weight", "classifier.bias"]
    assert new_head(new_model()) == []  # nothing was loaded: nobody can say
    model.save_pretrained(tmp_path / "whole")
    whole = tmp_path / "whole"
    assert new_head(AutoModelForSequenceClassification.from_pretrained(whole)) == []
    other = AutoModelForSequenceClassification.from_pretrained(whole, num_labels=7, ignore_mismatched_sizes=True)
    assert new_head(other) == ["classifier.weight", "classifier.bias"]
    tokens = AutoModelForTokenClassification.from_pretrained(encoder)
    assert new_head(tokens) == ["classifier.weight", "classifier.bias"]


def test_head_that_was_trained_since_is_not_new(encoder, tmp_path):
    model = fresh(encoder)
    make_trainer(tmp_path, Trainer, model=model, args_class=TrainingArguments, max_steps=1).train()
    assert new_head(model) == []


# One run does both


@pytest.fixture(scope="module")
def whole(encoder, tmp_path_factory):
    """Sparsity asked for and nothing else said."""
    folder = tmp_path_factory.mktemp("whole")
    options = {"compute_metrics": accuracy, "distill_hidden": 0.5}
    trainer = make_trainer(folder, model=fresh(encoder), **SAVING, **BLOCKS, **options)
    trainer.output = trainer.train()
    return folder, trainer


def test_sparsity_alone_prunes_after_a_dense_training(whole, encoder, tmp_path):
    folder, trainer = whole
    assert trainer.args.prune_method == "obs"
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.03)  # a head is 4 % of this model
    stock = make_trainer(tmp_path, Trainer, model=fresh(encoder), args_class=TrainingArguments, **SAVING)
    stock.train()
    dense = AutoModelForSequenceClassification.from_pretrained(folder / "dense")
    assert differing(dense.state_dict(), stock.model.state_dict()) == []  # as the script would have trained it
    teacher = trainer.distillation.teachers[0].model
    assert differing(dense.state_dict(), teacher.state_dict()) == []
    assert trainer.state.global_step == 4
    assert [entry["step"] for entry in history(trainer) if "eval_loss" in entry] == [2, 4, 6, 8, 2, 4]
    assert len(logged(trainer, "loss_distill")) == 4
    assert {path.name for path in folder.iterdir()} >= {"dense", "checkpoint-4"}
    assert trainer.args.max_steps == 8  # as given


@pytest.mark.parametrize(
    ("said", "weight"), [({}, 1.0), ({"distill_hidden": 0.0}, 0.0), ({"distill_teacher": "self"}, 0.0)]
)
def test_hidden_states_are_learned_too_if_nothing_is_said_of_a_teacher(encoder, tmp_path, said, weight):
    trainer = make_trainer(tmp_path, model=fresh(encoder), max_steps=4, **BLOCKS, **said)
    assert trainer.args.distill_hidden == weight
    trainer.train()
    assert bool(logged(trainer, "loss_hidden")) is bool(weight)


def test_baseline_of_the_report_is_the_dense_model(whole):
    folder, trainer = whole
    trainer.create_model_card()
    found = json.loads((folder / "compression.json").read_text())
    scores = [each["eval_accuracy"] for each in trainer.state.log_history if "eval_accuracy" in each]
    assert found["quality"]["baseline"]["accuracy"] == scores[3]
    assert found["quality"]["compressed"]["accuracy"] == scores[5]


@pytest.mark.parametrize(("step", "dense"), [(3, True), (4, True), (3, False)], ids=["dense", "end", "pruning"])
def test_run_that_stops_goes_on_to_the_same_bits(whole, encoder, tmp_path, step, dense):
    folder, expected = whole
    options = {**SAVING, **BLOCKS, "compute_metrics": accuracy, "distill_hidden": 0.5}
    first = make_trainer(tmp_path, model=fresh(encoder), callbacks=[Stop(step, dense=dense)], **options)
    with pytest.raises(KeyboardInterrupt):
        first.train()
    again = make_trainer(tmp_path, model=fresh(encoder), **options)
    again.train(resume_from_checkpoint=True)
    assert differing(again.model.state_dict(), expected.model.state_dict()) == []
    assert history(again) == history(expected)
    files = [load_file(each / "dense" / "model.safetensors") for each in (folder, tmp_path)]
    assert differing(*files) == []


def test_checkpoint_by_name_and_without_its_dense_model(whole, encoder, tmp_path):
    folder, expected = whole
    options = {**SAVING, **BLOCKS, "compute_metrics": accuracy, "distill_hidden": 0.5}
    again = make_trainer(tmp_path / "other", model=fresh(encoder), **options)
    again.train(resume_from_checkpoint=str(folder / "checkpoint-4"))
    assert differing(again.model.state_dict(), expected.model.state_dict()) == []
    for file in folder.glob("checkpoint-4/*"):
        (tmp_path / "lost" / "checkpoint-4").mkdir(parents=True, exist_ok=True)
        (tmp_path / "lost" / "checkpoint-4" / file.name).write_bytes(file.read_bytes())
    lost = make_trainer(tmp_path / "lost", model=fresh(encoder), **options)
    with pytest.raises(InputError, match="copy that folder too"):
        lost.train(resume_from_checkpoint=True)


def test_a_run_from_the_start_forgets_what_an_earlier_one_left(encoder, tmp_path):
    options = {**SAVING, **BLOCKS}
    make_trainer(tmp_path, model=fresh(encoder), seed=1, **options).train()
    stopped = make_trainer(tmp_path, model=fresh(encoder), callbacks=[Stop(1, dense=True)], **options)
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    assert not (tmp_path / "dense" / "trainer_state.json").exists()
    assert list((tmp_path / "dense").glob("checkpoint-*/trainer_state.json")) == []


# How long, and when not


@pytest.mark.parametrize("value", [1.5, 2])
def test_epochs_of_its_own(encoder, tmp_path, value):
    trainer = make_trainer(tmp_path, callbacks=[seen := EventRecorder()], dense_epochs=value, max_steps=3, **BLOCKS)
    trainer.train()
    ends = [step for name, step in seen.events if name == "on_train_end"]
    assert ends == [value * 4, 3]
    assert trainer.distillation.teachers


@pytest.mark.parametrize("name", ["none", "self"])
def test_zero_prunes_at_once_and_says_so(encoder, tmp_path, caplog, name):
    with caplog.at_level(logging.WARNING):
        trainer = make_trainer(tmp_path, model=fresh(encoder), dense_epochs=0, distill_teacher=name, **BLOCKS)
    assert "The head of the model (classifier.weight, classifier.bias) is new" in caplog.text
    assert ("answers at random" in caplog.text) is (name == "self")
    assert hasattr(trainer.model, "pruning")
    assert bool(trainer.distillation) is (name == "self")


def test_teacher_of_ones_own_stays_the_teacher(encoder, tmp_path):
    teacher = new_model(seed=1)
    trainer = make_trainer(tmp_path, model=fresh(encoder), teacher=teacher, max_steps=3, **BLOCKS)
    trainer.train()
    assert [each.model for each in trainer.distillation.teachers] == [teacher]
    without = make_trainer(tmp_path, model=fresh(encoder), distill_teacher="none", max_steps=3, **BLOCKS)
    without.train()
    assert without.distillation is None


def test_head_that_is_trained_is_pruned_at_once(encoder, tmp_path, caplog):
    model = fresh(encoder)
    make_trainer(tmp_path, Trainer, model=model, args_class=TrainingArguments, max_steps=1).train()
    with caplog.at_level(logging.WARNING):
        trainer = make_trainer(tmp_path, model=model, **BLOCKS)
    assert hasattr(trainer.model, "pruning")
    assert trainer.distillation is None
    assert "head" not in caplog.text


def test_with_nothing_asked_a_new_head_trains_as_in_stock(encoder, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        ours = make_trainer(tmp_path / "a", model=fresh(encoder), max_steps=3)
        ours.train()
    assert "head" not in caplog.text
    stock = make_trainer(tmp_path / "b", Trainer, model=fresh(encoder), args_class=TrainingArguments, max_steps=3)
    stock.train()
    assert differing(ours.model.state_dict(), stock.model.state_dict()) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"prune_layers": 1, "prune_sparsity": 0.6},
        {"distill_relations": 1.0},
        {"load_best_model_at_end": True, "metric_for_best_model": "loss"},
        {"prune_recovery_epochs": 0.5},
        {"prune_structure": "plain", "prune_sparsity": 0.3},
        {"gradient_accumulation_steps": 2},
        {"save_strategy": "no"},
    ],
    ids=str,
)
def test_together_with(encoder, tmp_path, fields):
    trainer = make_trainer(tmp_path, model=fresh(encoder), **{**SAVING, **BLOCKS, **fields})
    trainer.add_callback(EarlyStoppingCallback(20)) if "load_best_model_at_end" in fields else None
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(trainer.args.prune_sparsity, abs=0.005)
    assert trainer.distillation.teachers
    assert (tmp_path / "dense" / "model.safetensors").exists() is (trainer.args.save_strategy != "no")
    trainer.save_model(tmp_path / "small")
    small = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small")
    assert differing(small.state_dict(), trainer.model.state_dict()) == []


def test_layers_are_dropped_after_it(encoder, tmp_path):
    trainer = make_trainer(tmp_path, model=fresh(encoder), dense_epochs=1, prune_layers=1, max_steps=2)
    assert trainer.model.config.num_hidden_layers == 2
    trainer.train()
    assert trainer.model.config.num_hidden_layers == 1
    assert trainer.distillation.teachers[0].model.config.num_hidden_layers == 2


def test_what_the_compression_refuses_is_refused_before_the_dense_training(encoder, tmp_path):
    options = {"prune_method": "movement", "prune_sparsity": 0.5, "prune_block_size": 7}
    with pytest.raises(ValueError, match="block"):
        make_trainer(tmp_path, model=fresh(encoder), **options)
    with pytest.raises(InputError, match="has 15 rows"):
        make_trainer(tmp_path, model=fresh(encoder), rows=15, prune_sparsity=0.5)
    with pytest.raises(ValueError, match="nothing is to be pruned or distilled"):
        DistillPruneTrainingArguments(str(tmp_path), dense_epochs=1)
    with pytest.raises(ValueError, match="dense_epochs must be 0 or more"):
        DistillPruneTrainingArguments(str(tmp_path), dense_epochs=-1, prune_sparsity=0.5)


def test_model_init_and_a_second_train(encoder, tmp_path, caplog):
    trainer = make_trainer(tmp_path, model_init=lambda: fresh(encoder), max_steps=4, **BLOCKS)
    trainer.train()
    assert caplog.text.count("is new. So the whole model is trained first") == 1
    first = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    assert trainer.compression is not None
    trainer.train()
    assert differing(first, trainer.model.state_dict()) == []
    assert trainer.model_init is not None


def test_search_and_own_optimizer(encoder, tmp_path, caplog):
    def search(trainer):
        return trainer.hyperparameter_search(
            lambda trial: {"prune_sparsity": trial.suggest_categorical("prune_sparsity", [0.3])}, n_trials=1
        )

    asked = make_trainer(tmp_path, model_init=lambda: fresh(encoder), dense_epochs=1, max_steps=2, **BLOCKS)
    with pytest.raises(ValueError, match="cannot be used in a hyperparameter search"):
        search(asked)
    with caplog.at_level(logging.WARNING):
        trainer = make_trainer(tmp_path, model_init=lambda: fresh(encoder), max_steps=2, **BLOCKS)
        search(trainer)
    assert "in a hyperparameter search it is not trained first" in caplog.text
    assert trainer.compression.sparsity == pytest.approx(0.3, abs=0.005)
    model = fresh(encoder)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with pytest.raises(ValueError, match="cannot be used with optimizers="):
        make_trainer(tmp_path, model=model, optimizers=(optimizer, None), dense_epochs=1, **BLOCKS)
    trainer = make_trainer(tmp_path, model=model, optimizers=(optimizer, None), max_steps=2, **BLOCKS)
    trainer.train()
    assert trainer.compression is not None


class Stream(IterableDataset):
    """Rows without a length."""

    def __iter__(self):
        yield from map(Rows(32).__getitem__, range(32))


@pytest.mark.parametrize("name", ["dense_epochs", "prune_recovery_epochs"])
def test_a_stream_has_no_epochs_to_count(tmp_path, name):
    """max_steps counts for the main training only; what fails after it would cost the training."""
    fields = {"prune_method": "magnitude", "prune_block_size": 8, "max_steps": 2}
    with pytest.raises(InputError, match=f"{name}=1 counts epochs, .*give a dataset with a length, or"):
        make_trainer(tmp_path, rows=Stream(), **fields, **{name: 1})
    trainer = make_trainer(tmp_path, rows=Stream(), **fields)
    trainer.train()
    assert trainer.compression.sparsity > 0.4
    make_trainer(tmp_path, rows=Stream(), prune_recovery_epochs=1, max_steps=2).train()  # nothing is pruned
    searched = make_trainer(tmp_path, rows=Stream(), model_init=lambda: new_model(), **fields)
    with pytest.raises(InputError, match="prune_recovery_epochs=1 counts epochs"):
        searched.hyperparameter_search(
            lambda trial: {"prune_recovery_epochs": trial.suggest_int("prune_recovery_epochs", 1, 1)}, n_trials=1
        )


def test_search_over_a_sparsity_prunes(encoder, tmp_path):
    """Where nothing is asked for else."""
    rows = Rows(16)
    trainer = make_trainer(tmp_path, model_init=lambda: new_model(), rows=rows, max_steps=2, prune_block_size=8)
    assert [type(each).__name__ for each in trainer.callback_handler.callbacks].count("PruningCallback") == 0
    trainer.hyperparameter_search(
        lambda trial: {"prune_sparsity": trial.suggest_categorical("prune_sparsity", [0.25])}, n_trials=2
    )
    assert trainer.compression.sparsity == pytest.approx(0.25, abs=0.005)
    assert [type(each).__name__ for each in trainer.callback_handler.callbacks].count("PruningCallback") == 1
    assert isinstance(trainer, DistillPruneTrainer)


class Own(BertPreTrainedModel):
    """An encoder with a head of its own, in the usual shape of public scripts."""

    def __init__(self, config, broken=False):
        super().__init__(config)
        self.bert, self.broken = BertModel(config), broken
        self.output = torch.nn.Linear(config.hidden_size, LABELS)
        self.post_init()

    def forward(self, input_ids, attention_mask=None, labels=None):
        first = self.bert(input_ids, attention_mask).last_hidden_state[:, 0]
        logits = self.output(first + torch.rand(1) if self.broken else first)
        return SequenceClassifierOutput(torch.nn.functional.cross_entropy(logits, labels), logits)


def test_own_class_is_trained_dense_and_tried_before_that(encoder, tmp_path):
    trainer = make_trainer(tmp_path / "a", model=Own.from_pretrained(encoder), max_steps=3, **BLOCKS)
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert trainer.distillation.teachers
    broken = make_trainer(tmp_path / "b", model=Own.from_pretrained(encoder, broken=True), **BLOCKS)
    with pytest.raises(ValueError, match="Before the training"):
        broken.train()
    assert broken.state.global_step == 0


def test_a_dense_model_that_was_trained_in_bf16_teaches_the_start_and_end_of_answers(tmp_path, encoder):
    """Its `forward` takes return_dict as before, which only question answering passes on by itself."""
    torch.manual_seed(5)
    model = AutoModelForQuestionAnswering.from_pretrained(encoder, num_labels=2)
    ids = torch.randint(3, 40, (40, 8), generator=torch.Generator().manual_seed(0))
    rows = [
        {"input_ids": row, "attention_mask": torch.ones(8, dtype=torch.long), "start_positions": 1, "end_positions": 2}
        for row in ids
    ]
    fields = {"max_steps": 4, "bf16": True, "use_cpu": True, "report_to": "none", "logging_steps": 1}
    args = DistillPruneTrainingArguments(str(tmp_path), **fields, **BLOCKS)
    trainer = DistillPruneTrainer(model, args, train_dataset=rows)
    forward = type(model).forward
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.1)
    assert logged(trainer, "loss_distill")
    assert trainer.distillation.teachers[0].model.forward.__func__ is forward
