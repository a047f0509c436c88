"""`prune_method="obs"` in a training: one step, then the structure stays; no step at all is enough."""

import copy

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertForMultipleChoice, TrainerCallback

from tests.helpers.distilling import KINDS, TaskRows, model_for
from tests.helpers.tiny_models import build
from tests.helpers.training import PRUNE, Rows, differing, logged, make_trainer, new_model
from tests.scripts import own_classes
from trainer_ext import InputError
from trainer_ext.models.architectures import ARCHITECTURES, layers_of
from trainer_ext.models.outputs import answers, max_logit_difference, synthetic_batch
from trainer_ext.pruning import one_shot

OBS = {"prune_method": "obs", "prune_sparsity": 0.5}
ONLY_PRUNE = {**OBS, "num_train_epochs": 0, "max_steps": -1}


def sizes(model):
    return [(layer.heads, layer.neurons) for layer in layers_of(model)]


class Structures(TrainerCallback):
    """Keeps the sizes of the model at the end of every step."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.seen.append(sizes(model))


def test_the_small_model_is_trained_from_the_first_step_on(tmp_path):
    kept, dense = Structures(), new_model()
    trainer = make_trainer(tmp_path, model=dense, **OBS, callbacks=[kept], save_strategy="steps", save_steps=5)
    before = sizes(dense)
    trainer.train()
    assert len(kept.seen) == 10
    assert all(found == sizes(trainer.model) != before for found in kept.seen)
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint-10")
    assert not differing(opened.state_dict(), trainer.model.state_dict())
    assert logged(trainer, "sparsity")[0] == pytest.approx(trainer.compression.sparsity)
    assert 0.48 <= trainer.compression.sparsity <= 0.56  # heads of this tiny model are coarse


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_without_a_step_the_model_is_pruned_and_answers_like_it_alone_would(model_type, tmp_path):
    dense = build(model_type)
    trainer = make_trainer(tmp_path, model=copy.deepcopy(dense), **ONLY_PRUNE)
    trainer.train()
    assert trainer.state.global_step == 0
    assert trainer.compression.masked_vs_shrunk < 1e-4
    small, batch = trainer.model, synthetic_batch(dense)
    assert sizes(small) != sizes(dense)
    trainer.save_model(str(tmp_path / "small"))
    reopened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small")
    assert max_logit_difference(small, reopened, batch) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_every_task_keeps_its_answers_better_than_by_magnitudes(kind, tmp_path):
    dense, rows = model_for(kind), TaskRows(64, kind)
    batch = {name: values for name, values in rows.batch().items() if name in ("input_ids", "attention_mask")}

    def distance(**fields):
        trainer = make_trainer(tmp_path, model=copy.deepcopy(dense), rows=rows, distill_teacher="self", **fields)
        trainer.train()
        return (answers(trainer.model, batch) - answers(dense, batch)).square().mean().item()

    magnitude = {**PRUNE, "prune_method": "magnitude", "max_steps": 1, "learning_rate": 0.0, "prune_start": 0.0}
    assert distance(**ONLY_PRUNE) < 0.8 * distance(**magnitude)
    taught = {"distill_teacher": "self", "distill_hidden": 1.0, "distill_alpha": 1.0, "max_steps": 30}
    trainer = make_trainer(tmp_path, model=dense, rows=rows, **OBS, **taught)
    trainer.train()
    losses = logged(trainer, "loss_hidden")
    assert sum(losses[-5:]) < sum(losses[:5])


def test_it_is_closer_to_the_dense_model_than_magnitudes_are(tmp_path):
    dense = build("bert")
    batch = synthetic_batch(dense, rows=64)

    def distance(**fields):
        trainer = make_trainer(tmp_path, model=copy.deepcopy(dense), **fields)
        trainer.train()
        return (answers(trainer.model, batch) - answers(dense, batch)).square().mean().item()

    magnitude = {**PRUNE, "prune_method": "magnitude", "max_steps": 1, "learning_rate": 0.0, "prune_start": 0.0}
    assert distance(**ONLY_PRUNE) < 0.7 * distance(**magnitude)


@pytest.mark.parametrize("structure", [{"prune_structure": "plain"}, {"prune_ffn": "none", "prune_sparsity": 0.2}])
def test_what_must_stay_stays(tmp_path, structure):
    dense = new_model()
    trainer = make_trainer(tmp_path, model=dense, **{**ONLY_PRUNE, "prune_sparsity": 0.3, **structure})
    before = sizes(dense)
    trainer.train()
    heads, neurons = zip(*sizes(trainer.model), strict=True)
    if "prune_structure" in structure:
        assert heads == tuple(count for count, _ in before)
        assert len(set(neurons)) == 1
        assert type(trainer.model) is type(dense)
    else:
        assert neurons == tuple(width for _, width in before)
        assert sum(heads) < sum(count for count, _ in before)


def test_a_resumed_run_ends_with_the_same_bits_and_does_not_choose_again(tmp_path, monkeypatch):
    fields = {**OBS, "save_strategy": "steps", "save_steps": 4, "distill_teacher": "self"}
    whole = make_trainer(tmp_path / "whole", **fields)
    whole.train()
    resumed = make_trainer(tmp_path / "whole", **fields)
    monkeypatch.setattr("trainer_ext.pruning.one_shot.prune_masked", None)
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-4"))
    assert not differing(whole.model.state_dict(), resumed.model.state_dict())


@pytest.mark.parametrize(
    "fields",
    [
        {"prune_structure": "plain", "prune_sparsity": 0.3},
        {"prune_recovery_epochs": 1.0},
        {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 4},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_every_kind_of_run_is_resumed(tmp_path, fields):
    fields = {**OBS, "save_strategy": "steps", "save_steps": 4, **fields}
    whole = make_trainer(tmp_path, **fields)
    whole.train()
    resumed = make_trainer(tmp_path, **fields)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert not differing(whole.model.state_dict(), resumed.model.state_dict())
    assert resumed.compression == whole.compression


def test_a_checkpoint_of_another_target_is_refused(tmp_path):
    fields = {**OBS, "save_strategy": "steps", "save_steps": 4}
    make_trainer(tmp_path, **fields).train()
    with pytest.raises(InputError, match="written with prune_sparsity=0.5, and this run has 0.4"):
        make_trainer(tmp_path, **{**fields, "prune_sparsity": 0.4}).train(resume_from_checkpoint=True)
    with pytest.raises(InputError, match="has no masks, and this run prunes"):
        make_trainer(tmp_path, **{**fields, **PRUNE}).train(resume_from_checkpoint=True)


def test_a_model_of_ones_own_class_is_resumed(tmp_path):
    def model():
        torch.manual_seed(0)
        return own_classes.Returns(own_classes.bert_config())

    fields = {**OBS, "save_strategy": "steps", "save_steps": 4}
    whole = make_trainer(tmp_path, model=model(), **fields)
    whole.train()
    resumed = make_trainer(tmp_path, model=model(), **fields)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert type(resumed.model) is own_classes.Returns
    assert not differing(whole.model.state_dict(), resumed.model.state_dict())


def test_the_rows_are_read_without_drawing_a_number(tmp_path, monkeypatch):
    """The dropout of the first step is the same whether or not rows were read before it."""
    drawn = []

    class Draws(TrainerCallback):
        def on_step_begin(self, *args, **kwargs):
            drawn.append(torch.get_rng_state())

    for method in ("obs", "magnitude"):
        fields = {**PRUNE, "prune_method": method, "max_steps": 1}
        make_trainer(tmp_path, **fields, callbacks=[Draws()]).train()
    assert torch.equal(*drawn)


def test_a_model_that_has_not_learned_its_classes_is_named(tmp_path, caplog):
    """Its random answers would decide what goes; a head of one's own bears no mark that it is new."""
    make_trainer(tmp_path / "new", rows=96, **ONLY_PRUNE).train()
    assert "no better than chance" in caplog.text
    caplog.clear()
    trained = make_trainer(tmp_path / "dense", rows=96, max_steps=200, learning_rate=3e-3)
    trained.train()
    make_trainer(tmp_path / "small", rows=96, model=trained.model, **ONLY_PRUNE).train()
    assert "no better than chance" not in caplog.text


def test_rows_whose_labels_the_model_does_not_know_are_refused_before_the_pruning(tmp_path, monkeypatch):
    class Targets(Rows):
        def __getitem__(self, index):
            row = super().__getitem__(index)
            return {("target" if name == "labels" else name): value for name, value in row.items()}

    monkeypatch.setattr(one_shot, "prune_masked", pytest.fail)
    trainer = make_trainer(tmp_path, rows=Targets(64), distill_teacher="self", max_steps=2, **OBS)
    with pytest.raises(ValueError, match="did not return a loss"):
        trainer.train()


def test_a_frozen_encoder_can_be_pruned(tmp_path):
    model = new_model()
    model.base_model.requires_grad_(False)
    trainer = make_trainer(tmp_path, model=model, **ONLY_PRUNE)
    trainer.train()
    assert not any(parameter.requires_grad for parameter in trainer.model.base_model.parameters())


def test_too_few_rows_are_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="has 8 rows.*at least 16"):
        make_trainer(tmp_path, rows=8, **OBS)
    make_trainer(tmp_path, rows=8, **PRUNE)


class Choices(torch.utils.data.Dataset):
    """Two texts each, of which one is right."""

    def __len__(self):
        return 32

    def __getitem__(self, index):
        ids = torch.randint(1, 128, (2, 8), generator=torch.Generator().manual_seed(index))
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor(index % 2)}


@pytest.mark.parametrize(
    "fields",
    [OBS, PRUNE | {"prune_structure": "plain", "prune_sparsity": 0.4}, PRUNE],
    ids=["obs", "plain", "movement"],
)
def test_a_head_that_chooses_among_texts(tmp_path, fields):
    dense = BertForMultipleChoice(new_model().config)
    trainer = make_trainer(tmp_path, model=dense, rows=Choices(), max_steps=4, **fields)
    trainer.train()
    assert trainer.compression.masked_vs_shrunk < 1e-4
    trainer.save_model(tmp_path / "small")
    batch = torch.utils.data.default_collate([Choices()[index] for index in range(4)])
    reopened = type(trainer.model).from_pretrained(tmp_path / "small").eval()
    assert (answers(reopened, batch) - answers(trainer.model, batch)).abs().max() < 1e-5
    assert reopened.num_parameters() < dense.num_parameters()
