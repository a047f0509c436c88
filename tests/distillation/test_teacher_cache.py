"""Teacher cache: what was answered once is not asked again, what is stale is never used, and no bit of training moves."""

import copy
from contextlib import nullcontext

import pytest
import torch

from tests.distillation.test_teachers import tokenizer_with
from tests.helpers.distilling import KINDS, TaskRows, model_for
from tests.helpers.training import LENGTH, PRUNE, differing, logged, make_trainer
from trainer_ext.distillation.teacher_cache import CachedTeacher, fingerprint, row_keys

KIND = "single_label_classification"
EPOCHS = {"num_train_epochs": 3, "max_steps": -1}  # 32 rows in batches of 8, shuffled


class Counted:
    """A teacher that knows the shapes of the batches it was asked."""

    def __init__(self, kind=KIND, **config):
        self.model, self.asked = model_for(kind, seed=1, **config), []
        self.model.register_forward_pre_hook(
            lambda module, args, given: self.asked.append(given["input_ids"].shape), with_kwargs=True
        )


def train(folder, kind=KIND, *, teacher=None, **fields):
    teacher = teacher or Counted(kind)
    values = {"model": model_for(kind, hidden_dropout_prob=0.1), "rows": TaskRows(32, kind), **EPOCHS, **fields}
    trainer = make_trainer(folder, teacher=teacher.model, **values)
    trainer.train()
    return trainer, teacher.asked


def assert_same_run(first, second):
    assert differing(first.model.state_dict(), second.model.state_dict()) == []
    assert logged(first, "loss_distill") == logged(second, "loss_distill")


@pytest.mark.parametrize("kind", KINDS)
def test_training_with_the_cache_is_training_with_the_live_teacher(tmp_path, kind):
    """Whether the cache is filled on the way or was filled before, to the last bit."""
    live, asked = train(tmp_path, kind)
    assert len(asked) == 12
    cache = {"distill_cache_dir": str(tmp_path / "cache")}
    filling, asked = train(tmp_path, kind, **cache)
    assert len(asked) == 4  # from the second epoch on the teacher is not asked
    assert_same_run(live, filling)
    filled, asked = train(tmp_path, kind, **cache)
    assert asked == []
    assert_same_run(live, filled)
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 1


def test_pruning_with_the_cache_is_pruning_with_the_live_teacher(tmp_path):
    cache = {"distill_cache_dir": str(tmp_path / "cache")}
    runs = [train(tmp_path, **PRUNE, **fields)[0] for fields in ({}, cache, cache)]
    assert_same_run(runs[0], runs[1])
    assert_same_run(runs[0], runs[2])


def test_the_comparison_sees_another_answer(tmp_path, monkeypatch):
    """The control: with answers of which one number is a last bit off, training differs."""
    live, _ = train(tmp_path)
    answer = CachedTeacher.answer

    def off(self, inputs, precision):
        logits = answer(self, inputs, precision)["logits"].clone()
        logits[0, 0] = torch.nextafter(logits[0, 0], torch.tensor(torch.inf))
        return {"logits": logits}

    monkeypatch.setattr(CachedTeacher, "answer", off)
    other, _ = train(tmp_path, distill_cache_dir=str(tmp_path / "cache"))
    assert differing(live.model.state_dict(), other.model.state_dict())


@pytest.mark.parametrize("fields", [{"dataloader_num_workers": 2}, {"gradient_accumulation_steps": 2}], ids=str)
def test_workers_and_accumulation_change_nothing(tmp_path, fields):
    runs = [train(tmp_path, **fields, **cache)[0] for cache in ({}, *[{"distill_cache_dir": str(tmp_path / "c")}] * 2)]
    assert_same_run(runs[0], runs[1])
    assert_same_run(runs[0], runs[2])


def test_padding_to_the_longest_asks_once_per_row_all_the_same(tmp_path):
    """Then the last bits of an answer are those of the batch in which it was asked first."""

    def longest(rows):
        length = max(int(row["attention_mask"].sum()) for row in rows)
        batch = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return {name: value[:, :length].contiguous() if value.dim() == 2 else value for name, value in batch.items()}

    for kind in ("token_classification", KIND):
        fields = {"kind": kind, "data_collator": longest, "per_device_train_batch_size": 3}
        live, asked = train(tmp_path, **fields)
        assert len(set(asked)) > 2
        cached, asked = train(tmp_path, **fields, distill_cache_dir=str(tmp_path / "cache"))
        assert len(asked) == 11
        assert logged(cached, "loss_distill") == pytest.approx(logged(live, "loss_distill"), rel=1e-4)


# What a row is known by

BATCH = TaskRows(4, KIND).batch()
INPUTS = {"input_ids": BATCH["input_ids"], "attention_mask": BATCH["attention_mask"]}


def test_the_key_of_a_row_knows_no_padding_behind_it():
    keys, lengths = row_keys(INPUTS)
    assert lengths == [3, 4, 5, 6]
    assert len(set(keys)) == 4
    padded = {name: torch.nn.functional.pad(value, (0, 5)) for name, value in INPUTS.items()}
    assert row_keys(padded) == (keys, lengths)
    assert row_keys({name: value[[2, 0]] for name, value in INPUTS.items()}) == ([keys[2], keys[0]], [5, 3])
    assert row_keys({name: value[[2], :5] for name, value in INPUTS.items()})[0] == [keys[2]]
    assert row_keys({"input_ids": INPUTS["input_ids"]})[1] == [LENGTH] * 4


@pytest.mark.parametrize(
    "changed",
    [
        {"input_ids": INPUTS["input_ids"].clone().index_fill_(1, torch.tensor([1]), 99)},
        {"token_type_ids": torch.zeros_like(INPUTS["input_ids"])},
        {"attention_mask": torch.nn.functional.pad(INPUTS["attention_mask"][:, 1:], (0, 1))},
        {name: torch.nn.functional.pad(value, (2, 0)) for name, value in INPUTS.items()},
        {"attention_mask": INPUTS["attention_mask"].clone().index_fill_(1, torch.tensor([1]), 0)},
    ],
    ids=["tokens", "token types", "shorter", "padding in front", "a token not read"],
)
def test_whatever_the_teacher_reads_is_part_of_the_key(changed):
    assert not set(row_keys(INPUTS)[0]) & set(row_keys({**INPUTS, **changed})[0])


def test_token_types_tell_rows_apart():
    types = torch.zeros_like(INPUTS["input_ids"])
    other = types.clone().index_fill_(1, torch.tensor([2]), 1)
    assert row_keys({**INPUTS, "token_type_ids": types}) != row_keys({**INPUTS, "token_type_ids": other})


# What an answer is known by


def one_bit_off(model):
    model = copy.deepcopy(model)
    with torch.no_grad():
        weight = model.bert.encoder.layer[1].output.dense.weight
        weight[0, 0] = torch.nextafter(weight[0, 0], torch.tensor(torch.inf))
    return model


MODEL, TOKENIZER = model_for(KIND), tokenizer_with("a", "b")


def bf16():
    return torch.autocast("cpu", torch.bfloat16)


STALE = {
    "weights": lambda: (one_bit_off(MODEL), TOKENIZER, nullcontext),
    "half the weights' precision": lambda: (copy.deepcopy(MODEL).bfloat16(), TOKENIZER, nullcontext),
    "architecture": lambda: (model_for(KIND, hidden_act="relu"), TOKENIZER, nullcontext),
    "attention kernel": lambda: (model_for(KIND, attn_implementation="eager"), TOKENIZER, nullcontext),
    "tokenizer": lambda: (MODEL, tokenizer_with("b", "a"), nullcontext),
    "special tokens": lambda: (MODEL, tokenizer_with("a", "b", unk_token="a"), nullcontext),
    "no tokenizer": lambda: (MODEL, None, nullcontext),
    "maximum length": lambda: (MODEL, tokenizer_with("a", "b", model_max_length=64), nullcontext),
    "precision": lambda: (MODEL, TOKENIZER, bf16),
}


@pytest.mark.parametrize("change", STALE)
def test_a_stale_answer_is_never_used(tmp_path, change):
    first = CachedTeacher(copy.deepcopy(MODEL), tmp_path, TOKENIZER)
    kept = first.answer(BATCH, nullcontext)
    same = CachedTeacher(copy.deepcopy(MODEL), tmp_path, tokenizer_with("a", "b"))
    asked = []
    same.model.register_forward_pre_hook(lambda *_: asked.append("same"))
    assert torch.equal(same.answer(BATCH, nullcontext)["logits"], kept["logits"])
    assert asked == []

    model, tokenizer, precision = STALE[change]()
    other = CachedTeacher(copy.deepcopy(model), tmp_path, tokenizer)
    other.model.register_forward_pre_hook(lambda *_: asked.append("other"))
    found = other.answer(BATCH, precision)["logits"]
    assert asked == ["other"]
    with torch.no_grad(), precision():
        assert torch.equal(found, model.eval()(**BATCH).logits.float())
    assert len(list(tmp_path.glob("*.sqlite"))) == 2


def test_names_and_places_move_no_answer(tmp_path):
    MODEL.save_pretrained(tmp_path)
    moved = type(MODEL).from_pretrained(tmp_path)
    moved.config.id2label = {0: "x", 1: "y", 2: "z"}
    moved.config.problem_type = None
    assert fingerprint(moved, TOKENIZER, "cpu") == fingerprint(MODEL, TOKENIZER, "cpu")


def test_a_batch_with_one_new_row_is_asked_whole(tmp_path):
    teacher = CachedTeacher(copy.deepcopy(MODEL), tmp_path)
    asked = []
    teacher.model.register_forward_pre_hook(lambda *_: asked.append(1))
    rows = TaskRows(6, KIND).batch()
    teacher.answer({name: value[:4] for name, value in rows.items()}, nullcontext)
    whole = teacher.answer(rows, nullcontext)["logits"]
    assert len(asked) == 2
    with torch.no_grad():
        assert torch.equal(whole, MODEL.eval()(**rows).logits)
    teacher.answer(rows, nullcontext)
    assert len(asked) == 2


def test_a_text_keeps_its_first_answer_so_that_a_run_that_was_killed_and_resumed_reads_the_same(tmp_path):
    """In a batch of another shape a row has other last bits; the resumed run would find them all in the cache."""
    rows = torch.randint(1, 128, (4, 32), generator=torch.Generator().manual_seed(0))
    short = rows.clone()
    short[:, 5:] = 0
    both = torch.cat([short[:2], rows])
    teacher = CachedTeacher(model_for(KIND), tmp_path)
    before = teacher.answer({"input_ids": short[:, :5], "attention_mask": torch.ones_like(short[:, :5])}, nullcontext)
    batch = {"input_ids": both, "attention_mask": (both != 0).long()}
    filling, filled = (teacher.answer(batch, nullcontext)["logits"] for _ in range(2))
    assert torch.equal(filling, filled)
    assert torch.equal(filling[:2], before["logits"][:2])
    with torch.inference_mode():
        assert not torch.equal(teacher.model(**batch).logits[:2], filling[:2])  # the control: bits that would differ


def test_inner_states_are_asked_for_every_time(tmp_path):
    teacher = CachedTeacher(copy.deepcopy(MODEL), tmp_path)
    for _ in range(2):
        assert len(teacher.answer(BATCH, nullcontext, output_hidden_states=True)["hidden_states"]) == 3
    assert list(tmp_path.iterdir()) == []
