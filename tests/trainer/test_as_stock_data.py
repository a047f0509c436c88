"""Rows and steps as in stock Trainer: which rows in which order, how many steps, seeds, collators and tokenizers."""

import os

import datasets
import pytest
import torch
from torch.utils.data import DataLoader

from tests.helpers.as_stock import OURS, STOCK, as_in_trainer, at, behaviour, differences, files, history, raised
from tests.helpers.training import Rows, new_model
from tests.helpers.vocabularies import tokenizer_of
from tests.helpers.wrong_trainers import Deaf, Heavier, Longer, Reseeded, Restless, Willing
from tests.trainer.test_dropin_batches import InOrder, Stream, Texts, pad

pytestmark = pytest.mark.slow

EPOCHS = {"max_steps": -1, "num_train_epochs": 2}


def rows_of(kind, folder, **options):
    """The first two tokens of every row that the model is given, batch by batch, and where the run ended."""
    batches = []

    def watch(model, **kwargs):
        model.register_forward_pre_hook(
            lambda module, given, named: batches.append(named["input_ids"][:, :2].tolist()), with_kwargs=True
        )

    trainer = kind.train(folder, callbacks=[at("on_train_begin", watch)], **options)
    return [batches, trainer.state.global_step, trainer.state.epoch, trainer.state.max_steps]


def as_dataset(count):
    """The rows as a data set of the datasets library, with a column that no model takes."""
    rows = Rows(count)
    columns = {"input_ids": rows.ids.tolist(), "labels": rows.labels.tolist(), "words": ["word"] * count}
    return datasets.Dataset.from_dict(columns)


# How many steps


@behaviour(unless=Longer, compressed=True)
def steps_of_whole_epochs(kind, folder):
    return rows_of(kind, folder, rows=20, **EPOCHS)[1:]


@behaviour(unless=Longer, compressed=True)
def steps_of_a_part_of_an_epoch(kind, folder):
    return rows_of(kind, folder, rows=40, max_steps=-1, num_train_epochs=0.7)[1:]


@behaviour(unless=Longer)
def steps_over_epochs(kind, folder):
    return rows_of(kind, folder, rows=20, max_steps=5, num_train_epochs=1)


@behaviour(unless=Longer, compressed=True)
def steps_without_the_last_rows(kind, folder):
    return rows_of(kind, folder, rows=20, dataloader_drop_last=True, **EPOCHS)[1:]


@behaviour(unless=Longer)
def steps_that_accumulate_over_the_end_of_an_epoch(kind, folder):
    return rows_of(kind, folder, rows=26, gradient_accumulation_steps=3, **EPOCHS)


@behaviour(unless=Longer, compressed=True)
def steps_of_a_stream_that_is_too_short(kind, folder):
    return rows_of(kind, folder, rows=Stream(12), max_steps=5)[1:]


@behaviour(unless=Longer)
def rows_of_a_stream(kind, folder):
    return rows_of(kind, folder, rows=Stream(40))


@behaviour(unless=Longer)
def numbers_of_a_run(kind, folder):
    trainer = kind.make(folder, rows=26, gradient_accumulation_steps=2)
    loader = trainer.get_train_dataloader()
    values = trainer.set_initial_training_values(trainer.args, loader)
    return [trainer.num_examples(loader) if hasattr(loader, "dataset") else None, values, len(loader)]


# Which rows


@behaviour(unless=Reseeded)
def rows_of_a_seed(kind, folder):
    return [rows_of(kind, folder, rows=20, seed=seed) for seed in (1, 2)]


@behaviour(unless=Restless)
def rows_and_losses_of_a_seed_of_the_data(kind, folder):
    fields = {"rows": 20, "data_seed": 5}
    return [rows_of(kind, folder, **fields), history(kind.train(folder, **fields))]


@behaviour(unless=Restless)
def random_numbers_after_a_run(kind, folder):
    kind.train(folder)
    return torch.rand(4)


@behaviour(unless=Longer)
def rows_in_their_order(kind, folder):
    return rows_of(kind, folder, rows=InOrder(20), train_sampling_strategy="sequential")


@behaviour(unless=Restless)
def rows_of_like_length(kind, folder):
    fields = {"data_collator": pad, "train_sampling_strategy": "group_by_length"}
    return rows_of(kind, folder, rows=Texts(40), **fields)


@behaviour(unless=Longer)
def rows_of_a_loader_of_ones_own(kind, folder):
    class Mine(kind.trainer):
        def get_train_dataloader(self):
            if kind.trainer is Longer:
                return super().get_train_dataloader()
            return DataLoader(Rows(12, seed=4), batch_size=3)

        def get_eval_dataloader(self, eval_dataset=None):
            return DataLoader(Rows(6, seed=5), batch_size=3)

        def get_test_dataloader(self, test_dataset):
            return DataLoader(test_dataset, batch_size=2)

    trainer = kind.make(folder, Mine)
    predictions = trainer.predict(Rows(5)).predictions
    return [rows_of(kind, folder, cls=Mine, eval_strategy="steps", eval_steps=2), predictions]


@behaviour(unless=Heavier)
def columns_that_the_model_does_not_take(kind, folder):
    trainer = kind.make(folder, rows=as_dataset(20))
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.train()
    return [sorted(batch), trainer.train_dataset.column_names, history(trainer)]


@behaviour(unless=Deaf)
def columns_that_are_kept(kind, folder):
    seen = []

    def collate(rows):
        seen.append([sorted(rows[0]), len(rows)])
        return {name: torch.tensor([row[name] for row in rows]) for name in ("input_ids", "labels")}

    fields = {"rows": as_dataset(20), "data_collator": collate, "remove_unused_columns": False}
    found = rows_of(kind, folder, **fields)
    return [found, seen]


@behaviour(unless=Longer)
def columns_none_of_which_is_known(kind, folder):
    rows = datasets.Dataset.from_dict({"words": ["word"] * 8})
    return [raised(kind.make(folder, rows=rows).train), rows_of(kind, folder)]


# Tokenizers


@behaviour(unless=Heavier)
def a_tokenizer_pads_and_is_saved(kind, folder):
    rows = datasets.Dataset.from_dict(
        {"input_ids": [[5, 6, 7], [5] * 5] * 10, "attention_mask": [[1] * 3, [1] * 5] * 10, "labels": [0, 1] * 10}
    )
    found = tokenizer_of("bert")
    model = new_model(num_hidden_layers=1, vocab_size=len(found))
    fields = {"save_strategy": "steps", "save_steps": 2}
    trainer = kind.make(folder, rows=rows, model=model, processing_class=found, **fields)
    trainer.train()
    trainer.save_model()
    config = trainer.model.config
    special = [config.pad_token_id, config.bos_token_id, config.eos_token_id]
    return [type(trainer.data_collator).__name__, special, files(folder), history(trainer)]


@behaviour(unless=Heavier)
def tokens_are_counted(kind, folder):
    return [history(kind.train(folder, include_num_input_tokens_seen=how)) for how in ("all", "non_padding")]


# What is refused


@behaviour(unless=Willing)
def what_is_refused_of_data(kind, folder):
    return [
        raised(kind.make, folder, rows=Stream(8), max_steps=-1),
        raised(kind.make(folder, rows=None).train),
        raised(kind.make, folder, eval_dataset=None, eval_strategy="steps"),
        raised(kind.make(folder, eval_dataset=None).evaluate),
        raised(kind.make(folder, rows=0).train),
    ]


def test_full_determinism_gives_the_same_run(tmp_path, monkeypatch):
    """It sets switches of the whole process, which are put back."""
    monkeypatch.setattr(os, "environ", dict(os.environ))
    try:
        runs = [history(kind.train(tmp_path, full_determinism=True)) for kind in (STOCK, *OURS.values())]
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False
    assert [differences(runs[0], run) for run in runs] == [[]] * 3


test_as_in_trainer = as_in_trainer(globals())
