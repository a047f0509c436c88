"""How batches come about: iterable data, lengths, sizes found by trial, and losses of the user's over split batches."""

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset, IterableDataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from tests.helpers.training import PRUNE, Rows, differing, logged, make_trainer, new_model
from tests.trainer.test_accumulation import SGD, GradientRecorder

FIELDS = {**PRUNE, "distill_teacher": "self"}


class Stream(IterableDataset):
    """The rows one after the other, without a length."""

    def __init__(self, count):
        self.rows = Rows(count)

    def __iter__(self):
        return (self.rows[index] for index in range(len(self.rows)))


class InOrder(Dataset):
    """The rows that a stream gives, as something with a length."""

    def __init__(self, count):
        self.rows = Rows(count)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class Texts(Dataset):
    """Rows of 2 to 8 tokens."""

    def __init__(self, count):
        rows = Rows(count)
        self.rows = [
            {"input_ids": rows.ids[i, : 2 + i % 7].tolist(), "labels": int(rows.labels[i])} for i in range(count)
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def pad(rows):
    """A collator of the user's."""
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.tensor([row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in rows])
    return {"input_ids": ids, "attention_mask": ids.ne(0).long(), "labels": torch.tensor([r["labels"] for r in rows])}


class Recorder(TrainerCallback):
    """The shapes of the batches that a model was given."""

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.shapes = []
        model.register_forward_pre_hook(
            lambda module, given, named: self.shapes.append(tuple(named["input_ids"].shape)), with_kwargs=True
        )


class OutOfMemory(TrainerCallback):
    """Runs out of memory once, at a step, as a graphics card would say it."""

    def __init__(self, step):
        self.step = step

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.step = None
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.parametrize("rows", [20, 80])
def test_a_stream_trains_what_the_same_rows_train(tmp_path, rows):
    """With fewer rows than the run needs, and with more."""
    runs = []
    for data in (Stream(rows), InOrder(rows)):
        trainer = make_trainer(tmp_path, rows=8, **FIELDS, max_steps=8, train_sampling_strategy="sequential")
        trainer.train_dataset = data
        trainer.train()
        runs.append(trainer)
    stream, listed = runs
    assert stream.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert logged(stream, "loss") == logged(listed, "loss")
    assert differing(stream.model.state_dict(), listed.model.state_dict()) == []


def test_rows_of_equal_length_meet(tmp_path):
    """Grouping by length leaves less padding, and masks and teacher see the batches it makes."""
    lengths = {}
    for strategy in ("group_by_length", "random"):
        recorder = Recorder()
        trainer = make_trainer(
            tmp_path,
            rows=Texts(64),
            data_collator=pad,
            callbacks=[recorder],
            train_sampling_strategy=strategy,
            **FIELDS,
        )
        trainer.train()
        assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
        lengths[strategy] = sum(shape[1] for shape in recorder.shapes)
    assert lengths["group_by_length"] < lengths["random"]


@pytest.mark.parametrize("step", [0, 4, 8])
def test_a_batch_size_found_by_trial(tmp_path, step):
    """Before the ramp, in it, and after it: the run that follows has smaller batches and the final structure."""
    recorder = Recorder()
    trainer = make_trainer(tmp_path, **FIELDS, auto_find_batch_size=True, callbacks=[OutOfMemory(step), recorder])
    trainer.train()
    assert trainer.state.global_step == 10
    assert 0 < trainer._train_batch_size < 8
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert len(logged(trainer, "loss")) == 10


def test_a_batch_size_found_where_the_model_itself_is_out_of_memory(tmp_path):
    def forward(*args, **kwargs):
        if model.training and len(args[0]) > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return run(*args, **kwargs)

    model = new_model()
    run, model.bert.forward = model.bert.forward, forward
    fields = {"distill_teacher": "self", "auto_find_batch_size": True, "max_steps": 4}
    trainer = make_trainer(tmp_path, model=model, **fields)
    trainer.train()
    assert trainer.state.global_step == 4
    assert trainer._train_batch_size <= 4


def test_a_batch_size_that_fits_changes_nothing(tmp_path):
    models = []
    for auto in (False, True):
        trainer = make_trainer(tmp_path, **FIELDS, auto_find_batch_size=auto)
        trainer.train()
        models.append(trainer.model.state_dict())
    assert differing(*models) == []


# A loss function of the user's


def by_count(outputs, labels, num_items_in_batch):
    """As transformers documents it: a sum over this batch, divided by the labels of the accumulated one."""
    return cross_entropy(outputs.logits, labels, reduction="sum") / num_items_in_batch


def by_mean(outputs, labels, num_items_in_batch=None):
    """What many scripts write."""
    return cross_entropy(outputs.logits, labels)


def run(folder, rows, batch_size, steps, **fields):
    recorder = GradientRecorder()
    batch = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": steps, "max_steps": 8}
    fields = {**SGD, **PRUNE, "distill_alpha": 0.5, "teacher": new_model(seed=1, dropout=0.0), **batch, **fields}
    trainer = make_trainer(folder, rows=rows, model=new_model(dropout=0.0), callbacks=[recorder], **fields)
    trainer.train()
    return trainer, recorder


@pytest.mark.parametrize("function", [by_count, by_mean])
@pytest.mark.parametrize(
    ("rows", "splits"),
    [pytest.param(32, [(8, 1), (4, 2)], marks=pytest.mark.slow), (10, [(10, 1), (4, 3), (3, 4)])],
)
def test_a_loss_function_is_the_task_term_however_a_batch_is_split(tmp_path, function, rows, splits):
    """Here it is the loss that the head has anyway, so the run is the one without it."""
    expected, gradients = run(tmp_path, rows, *splits[0])
    for split in splits:
        trainer, found = run(tmp_path, rows, *split, compute_loss_func=function)
        for name in ("loss", "loss_task", "loss_distill"):
            assert logged(trainer, name) == pytest.approx(logged(expected, name), rel=1e-5)
        for before, after in zip(gradients.gradients, found.gradients, strict=True):
            torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-4)


def test_a_loss_function_gets_outputs_labels_and_the_count_of_its_batch(tmp_path):
    seen = []

    def double(outputs, labels, num_items_in_batch):
        seen.append((tuple(outputs.logits.shape), tuple(labels.shape), int(num_items_in_batch)))
        return 2 * by_count(outputs, labels, num_items_in_batch)

    trainer, _ = run(tmp_path, 10, 4, 3, compute_loss_func=double)
    assert set(seen) == {((4, 3), (4,), 4), ((2, 3), (2,), 2)}
    plain, _ = run(tmp_path, 10, 4, 3)
    assert logged(trainer, "loss_task")[0] == pytest.approx(2 * logged(plain, "loss_task")[0], rel=1e-5)


def test_without_compression_a_loss_function_is_called_as_trainer_does(tmp_path):
    counts = {}
    for trainer_class in (Trainer, None):
        given = counts[trainer_class] = []

        def function(outputs, labels, num_items_in_batch, given=given):
            given.append(float(num_items_in_batch))
            return by_count(outputs, labels, num_items_in_batch)

        options = {"compute_loss_func": function, "gradient_accumulation_steps": 2, "rows": 26, "max_steps": 4}
        trainer = make_trainer(
            tmp_path, *([trainer_class] if trainer_class else []), args_class=TrainingArguments, **options
        )
        trainer.train()
    assert counts[None] == counts[Trainer]
    assert len(set(counts[None])) > 1
