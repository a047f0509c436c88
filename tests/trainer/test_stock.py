"""With nothing to prune and no teacher, `DistillPruneTrainer` is `Trainer`: same bits, same files, same events."""

import json

import pytest
import torch
from transformers import Trainer, TrainingArguments

from tests.helpers.as_stock import differences
from tests.helpers.training import PRUNE, EventRecorder, differing, make_trainer, new_model, without_timing
from trainer_ext import DistillPruneTrainer, DistillPruneTrainingArguments

EVERY_EPOCH = {"num_train_epochs": 3, "max_steps": -1, "eval_strategy": "epoch", "save_strategy": "epoch"}
SCENARIOS = {
    "accumulation 1": {"max_steps": 5, "save_strategy": "steps", "save_steps": 5},
    "accumulation 2": {"gradient_accumulation_steps": 2, "max_steps": 5, "save_strategy": "steps", "save_steps": 5},
    "best model": {**EVERY_EPOCH, "load_best_model_at_end": True, "save_total_limit": 2},
    "label smoothing": {"label_smoothing_factor": 0.1, "max_steps": 5, "eval_strategy": "steps", "eval_steps": 2},
    "model_init": {"model_init": lambda: new_model(), "max_steps": 5, "save_strategy": "steps", "save_steps": 3},
    "resume": {"max_steps": 9, "save_strategy": "steps", "save_steps": 3, "resume": 3},
}
ARGUMENTS = {"plain": TrainingArguments, "ours, all off": DistillPruneTrainingArguments}


def record(folder, trainer_class, arguments_class, *, resume=None, **fields):
    """Everything a run leaves behind, with the clock and the folder's name taken out."""

    def one_run(resume_from=None):
        recorder = EventRecorder()
        options = {**fields, "args_class": arguments_class, "callbacks": [recorder]}
        trainer = make_trainer(folder, trainer_class, rows=26, **options)
        output = trainer.train(resume_from_checkpoint=resume_from)
        return trainer, recorder.events, output

    trainer, events, output = one_run()
    if resume is not None:
        trainer, events, output = one_run(str(folder / f"checkpoint-{resume}"))
    trainer.save_model()
    return {
        "log": without_timing(trainer.state.log_history),
        "events": events,
        "loss": output.training_loss,
        "model": dict(trainer.model.state_dict()),
        "predictions": trainer.predict(trainer.eval_dataset).predictions.tolist(),
        "files": {
            str(path.relative_to(folder)): contents(path, folder) for path in folder.rglob("*") if path.is_file()
        },
    }


def contents(path, folder):
    """A file as something that can be compared; of the pickled arguments only that they are there."""
    if path.name == "training_args.bin":
        return None
    if path.name == "trainer_state.json":
        state = json.loads(path.read_text().replace(str(folder), "FOLDER"))
        return {**state, "log_history": without_timing(state["log_history"])}
    if path.suffix in (".pt", ".pth"):
        return torch.load(path, weights_only=False)
    return path.read_bytes()


@pytest.mark.parametrize("arguments_class", ARGUMENTS.values(), ids=ARGUMENTS)
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_it_is_trainer_to_the_last_bit(tmp_path, scenario, arguments_class):
    stock = record(tmp_path / "stock", Trainer, TrainingArguments, **scenario)
    ours = record(tmp_path / "ours", DistillPruneTrainer, arguments_class, **scenario)
    assert ours["files"].keys() == stock["files"].keys()
    assert [name for name, value in stock["files"].items() if differences(value, ours["files"][name])] == []
    assert [name for name, value in stock.items() if differences(value, ours[name])] == []


@pytest.mark.parametrize("change", [PRUNE, {"distill_teacher": "self"}, {"learning_rate": 1.001e-3}])
def test_the_comparison_sees_what_is_different(tmp_path, change):
    fields = SCENARIOS["accumulation 1"]
    stock = record(tmp_path / "stock", Trainer, TrainingArguments, **fields)
    ours = record(tmp_path / "ours", DistillPruneTrainer, DistillPruneTrainingArguments, **{**fields, **change})
    assert differences(stock["log"], ours["log"])
    assert differing(stock["model"], ours["model"])
    assert differences(*(run["files"]["checkpoint-5/optimizer.pt"] for run in (stock, ours)))


def test_a_sparsity_of_zero_prunes_nothing(tmp_path):
    fields = SCENARIOS["accumulation 1"]
    stock = record(tmp_path / "stock", Trainer, TrainingArguments, **fields)
    zero = {**fields, **PRUNE, "prune_sparsity": 0.0}
    ours = record(tmp_path / "ours", DistillPruneTrainer, DistillPruneTrainingArguments, **zero)
    assert [name for name, value in stock.items() if differences(value, ours[name])] == []
