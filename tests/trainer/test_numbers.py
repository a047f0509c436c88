"""Numbers: what is not finite ends with a line that says what to do, and never as a small model."""

import logging
import math

import optuna
import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.helpers.training import PRUNE, differing, logged, make_trainer, new_model
from trainer_ext import InputError
from trainer_ext.distillation.losses import LossTerms
from trainer_ext.errors import Diverged
from trainer_ext.pruning import masks
from trainer_ext.utils import finite

WORDS = "NaN or infinite"
FIELDS = {**PRUNE, "distill_teacher": "self", "max_steps": 6}


class Spoil(TrainerCallback):
    """Multiplies the first weights, or the scores, by a number after a step."""

    def __init__(self, step, *, by=math.nan, scores=False):
        self.step, self.by, self.scores = step, by, scores

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.step:
            with torch.no_grad():
                if self.scores:
                    next(iter(model.pruning.groups.values())).scores.add_(1.0).mul_(self.by)
                else:
                    model.classifier.weight.mul_(self.by)


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == finite.__name__]


def no_loss(outputs, labels, num_items_in_batch=None):
    """A loss of the user's that is infinite."""
    return outputs.logits.sum() * math.inf


# A loss that is not finite


@pytest.mark.parametrize("method", ["movement", "soft_movement", "magnitude"])
def test_weights_lost_before_the_structure_is_fixed(tmp_path, method, caplog):
    """The run is stopped where a ranking would be by chance, and was warned of at the first log."""
    trainer = make_trainer(tmp_path, **{**FIELDS, "prune_method": method}, callbacks=[Spoil(1)])
    with pytest.raises(Diverged, match=r"scores of \d+ of \d+ (heads|neurons) are NaN.*learning_rate.*checkpoint"):
        trainer.train()
    assert trainer.compression is None
    assert hasattr(trainer.model, "pruning")
    (said,) = warnings_of(caplog)
    assert said.startswith("Step 2: ")
    assert "loss_task nan" in said


def test_weights_lost_after_it(tmp_path):
    trainer = make_trainer(tmp_path, **FIELDS, callbacks=[Spoil(5)])
    with pytest.raises(Diverged, match=rf"The training diverged: {WORDS} weights in bert.* and 40 more; lower"):
        trainer.train()
    assert trainer.compression is None


def test_logits_that_overflow_though_the_weights_do_not(tmp_path):
    class Huge(TrainerCallback):
        def on_train_end(self, args, state, control, model=None, **kwargs):
            model.classifier.weight.data.fill_(3e38)

    trainer = make_trainer(tmp_path, **FIELDS, callbacks=[Huge()])
    with pytest.raises(Diverged, match=f"The logits of the model with masks are {WORDS}"):
        trainer.train()


def test_weights_lost_in_the_recovery(tmp_path):
    class InRecovery(Spoil):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            if not hasattr(model, "pruning"):
                super().on_step_end(args, state, control, model=model, **kwargs)

    trainer = make_trainer(tmp_path, **FIELDS, prune_recovery_epochs=1.0, callbacks=[InRecovery(2)])
    with pytest.raises(Diverged, match=f"The recovery diverged: {WORDS} weights"):
        trainer.train()


def test_a_learning_rate_that_is_far_too_high(tmp_path, caplog):
    """Not made up: it diverges by itself, the loss in the log looks well, and the terms beside it do not."""
    trainer = make_trainer(tmp_path, **{**FIELDS, "learning_rate": 1e30, "max_steps": 10})
    with pytest.raises(Diverged):
        trainer.train()
    assert all(map(math.isfinite, logged(trainer, "loss")))  # logging_nan_inf_filter
    assert not all(map(math.isfinite, logged(trainer, "loss_task")))
    assert len(warnings_of(caplog)) == 1


def test_an_infinite_loss_of_a_function_given(tmp_path, caplog):
    trainer = make_trainer(tmp_path, **FIELDS, compute_loss_func=no_loss)
    with pytest.raises(Diverged):
        trainer.train()
    assert "loss_task" in warnings_of(caplog)[0]


@pytest.mark.parametrize("filtered", [True, False])
def test_where_nothing_is_compressed_it_is_as_in_trainer(tmp_path, caplog, filtered):
    runs = []
    for cls, options in ((Trainer, {"args_class": TrainingArguments}), (None, {})):
        options |= {"logging_nan_inf_filter": filtered, "max_steps": 3, "callbacks": [Spoil(1)]}
        trainer = make_trainer(tmp_path, *([cls] if cls else []), **options)
        trainer.train()
        runs.append([str(logged(trainer, name)) for name in ("loss", "grad_norm", "learning_rate")])
        runs[-1].append(str(trainer.evaluate()["eval_loss"]))
    assert runs[0] == runs[1]
    assert "nan" in str(runs)
    assert warnings_of(caplog) == []


def test_a_finite_run_is_warned_of_nothing(tmp_path, caplog):
    make_trainer(tmp_path, **FIELDS).train()
    assert warnings_of(caplog) == []


def test_a_teacher_alone_goes_on_as_trainer_does_and_says_so(tmp_path, caplog):
    trainer = make_trainer(tmp_path, distill_teacher="self", max_steps=4, callbacks=[Spoil(1)])
    trainer.train()
    (said,) = warnings_of(caplog)
    assert "loss_distill nan" in said
    assert "NaN logits of a teacher" in said


def test_good_checkpoints_stay_when_a_run_diverges(tmp_path):
    fields = {**FIELDS, "save_strategy": "steps", "save_steps": 1}
    with pytest.raises(Diverged):
        make_trainer(tmp_path, **fields, callbacks=[Spoil(2)]).train()
    whole = make_trainer(tmp_path / "whole", **fields)
    whole.train()
    again = make_trainer(tmp_path, **fields)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-1"))
    assert differing(whole.model.state_dict(), again.model.state_dict()) == []


# Scores


@pytest.mark.parametrize("by", [math.nan, math.inf, -math.inf, 1e30])
def test_scores_that_say_nothing_close_nothing_for_good(tmp_path, by):
    trainer = make_trainer(tmp_path, **FIELDS, prune_end=1.0, callbacks=[Spoil(3, by=by, scores=True)])
    with pytest.raises(Diverged, match="so they cannot be ranked"):
        trainer.train()
    assert not trainer.model.pruning.is_frozen


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e30])
def test_a_structure_that_is_fixed_does_not_ask_the_scores_any_more(masked, value):
    model = masked()
    masks.freeze_structure(model)
    for group in model.pruning.groups.values():
        before = group.mask()
        with torch.no_grad():
            group.scores.fill_(value)
            group.scores[::2] = -value
        assert torch.equal(group.mask(), before)
        assert 0 < before.sum() < before.numel()


# A search


@pytest.mark.slow
def test_a_trial_that_diverges_fails_and_the_search_goes_on(tmp_path, caplog):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rates = [1e30, 1e-3, 2e-3]
    found = {}
    for cls, options in ((Trainer, {"args_class": TrainingArguments}), (None, FIELDS)):
        trainer = make_trainer(
            tmp_path, *([cls] if cls else []), model_init=lambda: new_model(), **{**options, "max_steps": 6}
        )
        best = trainer.hyperparameter_search(
            lambda trial: {"learning_rate": trial.suggest_categorical("learning_rate", rates)},
            lambda metrics: metrics["eval_loss"],
            n_trials=3,
            backend="optuna",
            sampler=optuna.samplers.GridSampler({"learning_rate": rates}, seed=0),
        )
        found[cls] = best.hyperparameters["learning_rate"]
    assert set(found.values()) <= {1e-3, 2e-3}
    assert any(said.startswith("This trial counts as failed: ") for said in warnings_of(caplog))


# Models that are broken from the start


def test_a_broken_model_is_refused_before_anything_is_trained(tmp_path):
    broken = new_model()
    with torch.no_grad():
        broken.classifier.weight[0, 0] = math.nan
    with pytest.raises(InputError, match=rf"The model has {WORDS} weights \(classifier.weight\): .*give another"):
        make_trainer(tmp_path, **PRUNE, model=broken)
    with pytest.raises(InputError, match=rf"The teacher has {WORDS} weights"):
        make_trainer(tmp_path, teacher=broken)
    make_trainer(tmp_path, model=broken)  # as Trainer does, where nothing is asked for


# Parts


def test_terms_that_are_never_logged_take_no_more_memory():
    terms = LossTerms()
    sizes = []
    for _ in range(3):
        for number in range(4000):
            terms.add({"loss_task": torch.tensor(float(number)), "loss_distill": torch.tensor(1.0)}, 0.25)
        sizes.append(sum(map(len, terms._values.values())))
    assert max(sizes) < 4000
    assert terms.means(lambda sums: sums) == pytest.approx({"loss_task": 1999.5, "loss_distill": 1.0})


def test_folding_changes_no_bit_of_what_is_usually_logged():
    """A log of up to 1000 micro-batches is the sum of one stacked tensor."""
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    terms = LossTerms()
    for value in values:
        terms.add({"loss_task": value}, 1 / 1000)
    shares = torch.stack([torch.ones(()) * (1 / 1000)] * 1000).sum()
    assert terms.means(lambda sums: sums)["loss_task"] == ((values * (1 / 1000)).sum() / shares).item()


def test_terms_of_batches_without_labels_are_nothing():
    terms = LossTerms()
    terms.add({"loss_task": torch.tensor(0.0)}, torch.tensor(0.0))
    assert terms.means(lambda sums: sums) == {"loss_task": 0.0}
    for value, share in ((2.0, 0.25), (4.0, 0.75)):
        terms.add({"loss_task": torch.tensor(value)}, share)
    assert terms.means(lambda sums: sums) == {"loss_task": 3.5}


def test_what_is_said_names_what_is_lost(caplog):
    lost = {"loss": 1.0, "loss_task": math.nan, "loss_distill": math.inf, "grad_norm": math.nan, "learning_rate": 0.1}
    with caplog.at_level(logging.WARNING):
        assert finite.warn(lost, 7, scaler=None)
        assert not finite.warn({"loss": 1.0, "grad_norm": math.inf}, 7, scaler=object())
        assert not finite.warn({"loss": 1.0, "loss_of_mine": "high"}, 7, scaler=None)
        assert not finite.warn({"loss": 1.0, "eval_loss": 2.0, "grad_norm": 1.0}, 7, scaler=None)
    (said,) = warnings_of(caplog)
    assert said.startswith("Step 7: loss_task nan, loss_distill inf, grad_norm nan. The training diverged: ")
