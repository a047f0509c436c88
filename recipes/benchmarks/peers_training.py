"""Train and evaluate the arms of the benchmark of peers.

An arm is trained from one fine-tuned baseline, which is also the teacher, with the fields of one recipe. Its saved model is
then evaluated in PyTorch and in OpenVINO int8, on the first test set. Energy and seconds are those of all steps from the
baseline to the small model: selecting what to remove, and training.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, set_seed

from trainer_ext import DistillPruneTrainer, prune
from trainer_ext.benchmark.energy import Energy, measured
from trainer_ext.benchmark.size import count_parameters, weight_bytes
from trainer_ext.errors import InputError
from trainer_ext.export.formats import FORMATS, export
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.loading import load_model
from trainer_ext.models.runtimes import open_runtime
from trainer_ext.pipeline.baseline import open_baseline
from trainer_ext.pipeline.recipe import Recipe
from trainer_ext.pruning.calibration import TEXTS
from trainer_ext.report.io import utc_now
from trainer_ext.tasks.dataset import Data, load_data, tokenize
from trainer_ext.tasks.evaluate import predict
from trainer_ext.tasks.registry import task_of
from trainer_ext.utils.files import whole_folder, write_json, write_text

INT8 = "openvino-int8"
TORCH = "torch fp32"
CALIBRATION_ROWS = 300
# Distillation of all arms, besides the recipe's distill_alpha and distill_temperature.
TAUGHT = {"distill_hidden": 1.0}


@dataclass(frozen=True)
class Setting:
    """What the arms of a run share.

    Attributes:
        recipe: The fields of the training.
        baseline: Folder of the fine-tuned baseline.
        data: The texts.
        encoded: The tokenized texts.
        tokenizer: Tokenizer of the baseline.
    """

    recipe: Recipe
    baseline: Path
    data: Data
    encoded: Data
    tokenizer: Any

    def dense(self):
        """Load the fine-tuned baseline."""
        return load_model(self.baseline, option="The baseline", way_out="delete its folder to train it again")

    def arguments(self, **changes):
        """Return the training arguments of the recipe without pruning and teacher, with some fields changed."""
        fields = {"prune_method": "none", "distill_teacher": None, "save_strategy": "no", "report_to": "none"}
        fields |= {"dataloader_pin_memory": torch.accelerator.is_available(), "disable_tqdm": True}
        return self.recipe.training_arguments(**fields | changes)

    @property
    def rows(self) -> dict[str, Any]:
        """Arguments of every trainer besides model and training arguments."""
        collator = task_of(self.recipe.data).collator(self.tokenizer)
        return {"data_collator": collator, "train_dataset": self.encoded.train, "processing_class": self.tokenizer}


def train_baseline(recipe: Recipe, folder: Path) -> dict:
    """Fine-tune the baseline, unless its folder exists.

    Args:
        recipe: The fields of the training.
        folder: Folder of the baseline.

    Returns:
        Its cost, see `costing`; empty if it was not trained.

    Raises:
        InputError: The data or the model cannot be used, or the recipe is not for text classification.
    """
    if task_of(recipe.data).right != "accuracy":
        raise InputError("The benchmark of peers compares accuracy: give a recipe for single-label classification.")
    if folder.is_dir():
        return {}
    model, tokenizer, data, epochs = open_baseline(recipe)
    setting = Setting(recipe, folder, data, tokenize(data, tokenizer, recipe.data), tokenizer)

    def make():
        if epochs:
            rate = {"learning_rate": recipe.model.scratch_learning_rate} if recipe.from_scratch else {}
            Trainer(model, setting.arguments(num_train_epochs=epochs, max_steps=-1, **rate), **setting.rows).train()
        return model

    trained, cost = costing(make, seed=recipe.training.seed)
    _save(trained, tokenizer, folder)
    return cost


def open_setting(recipe: Recipe, baseline: Path) -> Setting:
    """Load the data and the fine-tuned baseline of a run."""
    model = load_model(baseline, option="The baseline", way_out="delete its folder to train it again")
    tokenizer = AutoTokenizer.from_pretrained(baseline)
    data = load_data(recipe.data, labels=[model.config.id2label[i] for i in range(model.config.num_labels)])
    return Setting(recipe, baseline, data, tokenize(data, tokenizer, recipe.data), tokenizer)


def taught(setting: Setting, model, **fields):
    """Train a model as all arms are trained, with the dense baseline as teacher.

    Args:
        setting: What the arms share.
        model: The model to train.
        **fields: Further training arguments, for example of pruning.

    Returns:
        The small model.
    """
    args = setting.arguments(**TAUGHT | fields)
    trainer = DistillPruneTrainer(model, args, teacher=setting.dense(), **setting.rows)
    trainer.train()
    return trainer.model


def untrained(setting: Setting, *, sparsity: float):
    """Prune the dense baseline by second order, with training texts but without labels and without training.

    Args:
        setting: What the arms share.
        sparsity: Fraction of the encoder to remove.
    """
    texts = list(setting.data.train["text"])
    count = min(TEXTS, len(texts))
    chosen = [texts[index * len(texts) // count] for index in range(count)]
    length = setting.recipe.data.max_length
    return prune(setting.dense(), chosen, setting.tokenizer, sparsity=sparsity, max_length=length)


def costing(make: Callable[[], Any], *, seed: int) -> tuple[Any, dict]:
    """Call `make`, and return its result and its cost: seconds, energy, and the load of the machine before."""
    load = os.getloadavg()[0]
    with measured() as meter:
        start = time.perf_counter(), time.process_time()
        set_seed(seed)
        made = make()
        seconds = time.perf_counter() - start[0], time.process_time() - start[1]
    energy: Energy = meter.energy
    return made, {
        "seconds": seconds[0],
        "processor_seconds": seconds[1],  # of all threads; other programs do not count
        "energy_kwh": energy.energy_kwh,
        "energy_estimated": energy.estimated,
        "load": load,
        "threads": torch.get_num_threads(),
    }


def train_arm(setting: Setting, make: Callable[[Setting], Any], folder: Path) -> dict:
    """Train an arm and keep its model.

    Args:
        setting: What the arms share.
        make: The function that trains the small model.
        folder: The folder of the model.

    Returns:
        Its cost, see `costing`.
    """
    model, cost = costing(lambda: make(setting), seed=setting.recipe.training.seed)
    _save(model, setting.tokenizer, folder)
    return cost


def judge(setting: Setting, folder: Path, *, console: Console) -> dict:
    """Return the size of a saved model, and which test rows it gets right, in PyTorch and in int8."""
    texts = folder.parent / "calibration.txt"
    if not texts.exists():
        chosen = np.random.default_rng(0).permutation(len(setting.data.train))[:CALIBRATION_ROWS]
        write_text(texts, "".join(" ".join(setting.data.train[int(i)]["text"].split()) + "\n" for i in sorted(chosen)))
    export(
        folder, [INT8], calibration=texts, calibration_rows=CALIBRATION_ROWS, max_drop=1.0, force=True, console=console
    )
    model = load_model(folder, option="The model", way_out="delete its folder to train it again").eval()
    split, encoded = next(iter(setting.encoded.tests.items()))
    file = FORMATS[INT8].files(folder)
    runtime = open_runtime(file[-1])
    answers = {TORCH: predict(model, encoded, setting.tokenizer), INT8: _answers(runtime, encoded, setting.tokenizer)}
    task, rows, layers = task_of(setting.recipe.data), setting.data.tests[split], layers_of(model)
    references = task.references(list(rows["label"]), setting.data.labels)
    correct = {}
    for name, logits in answers.items():
        found = task.answer(logits, encoded, rows, setting.data.labels, setting.recipe.data)
        right = task.statistics(found, references, setting.recipe.data)["accuracy"][1]
        correct[name] = "".join("1" if one else "0" for one in right)
    counted = count_parameters(model)
    return {
        "split": split,
        "rows": len(encoded),
        "train_rows": len(setting.encoded.train),
        "correct": correct,
        "parameters": counted.total,
        "encoder_parameters": counted.encoder,
        "bytes": {TORCH: weight_bytes(folder), INT8: sum(part.stat().st_size for part in file)},
        "heads": [layer.heads for layer in layers],
        "ffn_width": [layer.neurons for layer in layers],
    }


def keep(file: Path, record: dict) -> None:
    """Write the result of an arm, which marks it as finished."""
    write_json(file, record | {"created": utc_now()})


def _answers(runtime, encoded, tokenizer) -> list[np.ndarray]:
    """Return the logits of each row from an exported file."""
    inputs = encoded.select_columns([name for name in runtime.inputs if name in encoded.column_names])
    collate, found = DataCollatorWithPadding(tokenizer), []
    for start in range(0, len(inputs), 8):
        batch = collate([inputs[index] for index in range(start, min(start + 8, len(inputs)))])
        found += list(runtime.run({name: value.numpy() for name, value in batch.items()}))
    return found


def _save(model, tokenizer, folder: Path) -> None:
    with whole_folder(folder) as part:
        model.to("cpu").save_pretrained(part)
        tokenizer.save_pretrained(part)
