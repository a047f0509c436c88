"""Hyperparameter search: every trial is the run that its values would give by themselves."""

import optuna
import pytest
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.helpers.training import PRUNE, arguments, logged, make_trainer, new_model
from trainer_ext import PruningSpec

pytestmark = pytest.mark.slow

FIELDS = {**PRUNE, "distill_teacher": "self", "max_steps": 5}


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def from_init(folder, *arguments, **fields):
    return make_trainer(folder, *arguments, model_init=lambda: new_model(), **fields)


def search(trainer, grid):
    """Every combination of the grid; what each trial left behind, by its values, and the best one."""
    found = {}

    def space(trial):
        return {name: trial.suggest_categorical(name, values) for name, values in grid.items()}

    def objective(metrics):
        values = tuple(getattr(trainer.args, name) for name in grid)
        found[values] = result(trainer) | {"objective": metrics["eval_loss"]}
        return metrics["eval_loss"]

    best = trainer.hyperparameter_search(
        space, objective, n_trials=100, backend="optuna", sampler=optuna.samplers.GridSampler(grid, seed=0)
    )
    return found, best


def result(trainer):
    names = ("loss", "loss_task", "loss_distill", "sparsity")
    compression = getattr(trainer, "compression", None)
    return {"compression": compression, "log": {name: logged(trainer, name) for name in names}}


def alone(folder, **fields):
    trainer = from_init(folder, **{**FIELDS, **fields})
    trainer.train()
    return result(trainer) | {"objective": trainer.evaluate()["eval_loss"]}


def test_every_trial_is_pruned_and_distilled_with_its_own_values(tmp_path):
    grid = {"prune_sparsity": [0.25, 0.75], "distill_temperature": [1.0, 4.0]}
    found, best = search(from_init(tmp_path, **FIELDS), grid)
    assert len(found) == 4
    for (sparsity, temperature), trial in found.items():
        assert trial["compression"].sparsity == pytest.approx(sparsity, abs=0.005)
        assert trial == alone(tmp_path, prune_sparsity=sparsity, distill_temperature=temperature)
    assert len({str(trial) for trial in found.values()}) == 4  # the control: both values have an effect
    assert found[tuple(best.hyperparameters.values())]["objective"] == min(t["objective"] for t in found.values())


@pytest.mark.parametrize(
    "grid",
    [
        {"prune_method": ["none", "movement", "magnitude"]},
        {"prune_start": [0.0, 0.4], "prune_attention": ["head", "block"]},
        {"distill_alpha": [0.0, 1.0]},
    ],
    ids=str,
)
def test_every_field_can_be_searched(tmp_path, grid):
    found, _ = search(from_init(tmp_path, **FIELDS), grid)
    for values, trial in found.items():
        assert trial == alone(tmp_path, **dict(zip(grid, values, strict=True)))
    assert len({str(trial) for trial in found.values()}) == len(found) > 1


def test_a_search_may_turn_the_teacher_on(tmp_path):
    new_model(seed=1).save_pretrained(tmp_path / "teacher")
    grid = {"distill_teacher": [str(tmp_path / "teacher"), "self"]}
    found, _ = search(from_init(tmp_path, **FIELDS), grid)
    for (teacher,), trial in found.items():
        assert trial == alone(tmp_path, distill_teacher=teacher)
    first, second = found.values()
    assert first["log"]["loss_distill"] != second["log"]["loss_distill"]


def test_the_best_values_can_be_used_as_in_any_script(tmp_path):
    trainer = from_init(tmp_path, **FIELDS)
    _, best = search(trainer, {"prune_sparsity": [0.25, 0.75]})
    for name, value in best.hyperparameters.items():
        setattr(trainer.args, name, value)
    trainer.train()
    assert result(trainer)["log"] == alone(tmp_path, **best.hyperparameters)["log"]


def test_a_value_out_of_range_is_refused_when_its_trial_begins(tmp_path):
    with pytest.raises(ValueError, match=r"prune_sparsity must be in \[0, 1\); 0.5 removes half, got 1.5"):
        search(from_init(tmp_path, **FIELDS), {"prune_sparsity": [1.5]})
    with pytest.raises(ValueError, match="prune_start=0.7 must be below prune_end=0.6"):
        search(from_init(tmp_path, **FIELDS), {"prune_start": [0.7]})


def test_a_trial_that_optuna_stops_leaves_nothing_to_the_next(tmp_path):
    class Stop(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if args.prune_sparsity == 0.25 and state.global_step == 3:
                raise optuna.TrialPruned

    trainer = from_init(tmp_path, callbacks=[Stop()], **FIELDS)
    found, _ = search(trainer, {"prune_sparsity": [0.25, 0.5, 0.75]})
    assert found.keys() == {(0.5,), (0.75,)}
    for (sparsity,), trial in found.items():
        assert trial == alone(tmp_path, prune_sparsity=sparsity)


def test_with_plain_arguments_a_search_is_that_of_trainer(tmp_path):
    grid, fields = {"learning_rate": [1e-4, 1e-2]}, {"args_class": TrainingArguments, "max_steps": 4}
    ours, _ = search(from_init(tmp_path, **fields), grid)
    stock, _ = search(from_init(tmp_path, Trainer, **fields), grid)
    assert ours == stock


def test_only_our_fields_are_taken_over(tmp_path):
    args = arguments(tmp_path, **PRUNE)
    args.set_compression({"prune_sparsity": 0.25, "learning_rate": 1.0, "prune_typo": 1})
    assert args.pruning_spec == PruningSpec("movement", 0.25, "block", 8, "neuron", 0.1, 0.6)
    assert args.learning_rate == 1e-3
    assert not hasattr(args, "prune_typo")
