"""A teacher with a tokenizer of its own: training is that with its logits worked out by hand, to the last bit."""

import copy

import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

from tests.helpers.commands import FRAMES, TOPICS
from tests.helpers.training import PRUNE, differing, logged, make_trainer
from tests.trainer.test_accumulation import SGD
from trainer_ext import InputError, TeacherCollator, encode_for_teacher
from trainer_ext.distillation.collator import IDS, PREFIX, split_inputs
from trainer_ext.pipeline.scratch import small_bert, train_tokenizer

TEXTS = [frame.format(word) for words in TOPICS.values() for word in words[:4] for frame in FRAMES[2:4]]
TOKENIZER = train_tokenizer(TEXTS, vocab_size=70, max_length=32)  # cuts words into more pieces
TEACHERS = train_tokenizer(TEXTS[::-1], vocab_size=200, max_length=24)
KINDS = ("single_label_classification", "multi_label_classification", "regression")
NAMES = {kind: () if kind == "regression" else ("a", "b", "c") for kind in KINDS}
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "dropout": 0.0}


def model_for(tokenizer, kind=KINDS[0], *, seed=0, head="ForSequenceClassification", **config):
    """A random model that answers a task of this kind and reads with this tokenizer."""
    names = NAMES.get(kind, ())
    model = small_bert(tokenizer, names, **SHAPE, seed=seed, head=head, problem_type=kind or None)
    if kind == "regression":
        model = small_bert(tokenizer, ["score"], **SHAPE, seed=seed, problem_type=kind)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(8 if parameter.dim() == 2 else 1)  # at 0.02 the logits are near zero
    for name, value in config.items():
        setattr(model.config, name, value)
    return model


def labels_of(count, kind):
    label = torch.arange(count) % 3
    return {
        "single_label_classification": label,
        "multi_label_classification": torch.nn.functional.one_hot(label, 3).float(),
        "regression": label.float() / 3,
    }[kind].tolist()


def rows_for(kind=KINDS[0], *, pairs=False, count=24, columns=True):
    """Rows for the student, with the teacher's columns or without."""
    texts = {"text": TEXTS[:count]} | ({"second": TEXTS[::-1][:count]} if pairs else {})
    encoded = TOKENIZER(*texts.values())
    rows = Dataset.from_dict({**texts, **encoded, "labels": labels_of(count, kind)})
    if not columns:
        return rows.remove_columns(list(texts))
    return encode_for_teacher(rows, TEACHERS, text_pair_column="second" if pairs else None)


def collator(**padding):
    return TeacherCollator(DataCollatorWithPadding(TOKENIZER), DataCollatorWithPadding(TEACHERS, **padding))


class ByHand(torch.nn.Module):
    """A teacher that knows which texts a batch of the student is made of, and asks another model about these."""

    def __init__(self, model, *, pairs=False):
        super().__init__()
        self.model, self.config = model, copy.deepcopy(model.config)
        self.config.vocab_size, self.config.max_position_embeddings = len(TOKENIZER), 32
        texts = list(zip(TEXTS, TEXTS[::-1], strict=True)) if pairs else [(text,) for text in TEXTS]
        self.texts = {tuple(TOKENIZER(*text)["input_ids"]): text for text in texts}
        assert len(self.texts) == len(TEXTS)

    @property
    def device(self):
        return self.model.device

    def forward(self, input_ids, attention_mask):
        rows = [tuple(ids[mask == 1].tolist()) for ids, mask in zip(input_ids, attention_mask, strict=True)]
        texts = zip(*(self.texts[row] for row in rows), strict=True)
        return self.model(**TEACHERS(*map(list, texts), padding=True, return_tensors="pt"))


def trained(folder, kind=KINDS[0], *, own=True, pairs=False, **fields):
    values = {
        "model": model_for(TOKENIZER, kind),
        "teacher": model_for(TEACHERS, kind, seed=1),
        "rows": rows_for(kind, pairs=pairs, columns=own),
        "data_collator": collator() if own else DataCollatorWithPadding(TOKENIZER),
        "remove_unused_columns": not own,
        "processing_class": TOKENIZER,
        "max_steps": 6,
    }
    trainer = make_trainer(folder, **{**values, **fields})
    trainer.train()
    return trainer


def assert_same_run(first, second):
    assert differing(first.model.state_dict(), second.model.state_dict()) == []
    assert logged(first, "loss_distill") == logged(second, "loss_distill")


@pytest.mark.parametrize("pairs", [False, True], ids=["texts", "pairs"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["movement", "obs"])
def test_training_is_that_with_logits_worked_out_by_hand(tmp_path, kind, pairs, method):
    prune = {**PRUNE, "prune_method": method}
    both = trained(tmp_path, kind, pairs=pairs, **prune)
    by_hand = {"own": False, "teacher": ByHand(model_for(TEACHERS, kind, seed=1), pairs=pairs)}
    assert_same_run(both, trained(tmp_path, kind, pairs=pairs, **by_hand, **prune))
    assert all(loss > 1e-4 for loss in logged(both, "loss_distill"))


def test_the_students_tokens_would_teach_something_else(tmp_path):
    """The control: the same teacher, given what the student reads."""
    both = trained(tmp_path)
    teacher = model_for(TEACHERS, seed=1)
    teacher.config.vocab_size, teacher.config.max_position_embeddings = len(TOKENIZER), 32  # so that it is not refused
    wrong = trained(tmp_path, own=False, teacher=teacher)
    assert logged(wrong, "loss_distill")[0] != pytest.approx(logged(both, "loss_distill")[0], rel=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_splitting_a_batch_changes_nothing(tmp_path, kind):
    fields = {**SGD, "learning_rate": 0.01, "max_steps": 3, "rows": rows_for(kind, count=10), "distill_alpha": 0.5}
    runs = []
    for size, steps in ((10, 1), (4, 3), (1, 10)):
        batch = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps}
        runs.append(trained(tmp_path, kind, **fields, **batch))
    for name in ("loss", "loss_task", "loss_distill"):
        for run in runs[1:]:
            assert logged(run, name) == pytest.approx(logged(runs[0], name), rel=1e-4)


def test_each_is_padded_with_its_own_tokenizer():
    padding = copy.deepcopy(TEACHERS)
    padding.pad_token = "[MASK]"
    rows = rows_for(count=4)
    both = TeacherCollator(DataCollatorWithPadding(TOKENIZER), DataCollatorWithPadding(padding))
    batch = both(list(rows))
    assert set(batch) == {"input_ids", "attention_mask", "token_type_ids", "labels"} | {
        PREFIX + name for name in ("input_ids", "attention_mask", "token_type_ids")
    }
    for row in range(4):
        for name, tokenizer in (("", TOKENIZER), (PREFIX, padding)):
            ids, mask = batch[f"{name}input_ids"][row], batch[f"{name}attention_mask"][row]
            assert ids[mask == 1].tolist() == tokenizer(TEXTS[row])["input_ids"]
            assert (ids[mask == 0] == tokenizer.pad_token_id).all()
    assert batch["input_ids"].shape != batch[IDS].shape
    assert (batch[f"{PREFIX}attention_mask"] == 0).any()


def test_the_cache_is_that_of_the_teachers_tokens(tmp_path):
    """To the last bit, each row asked once, and shared with who reads the same tokens as the only ones."""
    fields = {"data_collator": collator(padding="max_length", max_length=24), "max_steps": -1, "num_train_epochs": 3}
    cache = {"distill_cache_dir": str(tmp_path / "cache")}
    asked = []

    def counted():
        model = model_for(TEACHERS, seed=1)
        model.register_forward_pre_hook(lambda *_: asked.append(1))
        return model

    live = trained(tmp_path, **fields, teacher=counted())
    assert len(asked) == 9
    assert_same_run(live, trained(tmp_path, **fields, **cache, teacher=counted()))
    assert len(asked) == 9 + 3
    assert_same_run(live, trained(tmp_path, **fields, **cache, teacher=counted()))
    assert len(asked) == 12
    _, theirs = zip(*map(split_inputs, rows_for()), strict=True)
    rows = Dataset.from_list(list(theirs)).add_column("labels", labels_of(24, KINDS[0]))
    alone = {"rows": rows, "model": model_for(TEACHERS), "processing_class": TEACHERS, "own": False, "max_steps": 3}
    trained(tmp_path, **alone, **cache, data_collator=DataCollatorWithPadding(TEACHERS), teacher=counted())
    assert len(asked) == 12
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 1
    other = copy.deepcopy(TEACHERS)
    other.model_max_length = 20
    padded = TeacherCollator(DataCollatorWithPadding(TOKENIZER), DataCollatorWithPadding(other))
    trained(tmp_path, **cache, data_collator=padded, teacher=counted(), max_steps=1)
    assert len(asked) == 13  # another tokenizer of the teacher: nothing that was known before is used


def test_several_teachers_read_the_same_tokens(tmp_path):
    teachers = [model_for(TEACHERS, seed=seed) for seed in (1, 2)]
    both = trained(tmp_path, teacher=teachers)
    by_hand = [ByHand(model_for(TEACHERS, seed=seed)) for seed in (1, 2)]
    assert_same_run(both, trained(tmp_path, own=False, teacher=by_hand))


def test_evaluation_needs_no_columns_of_the_teacher(tmp_path):
    trainer = trained(tmp_path)
    plain = trainer.evaluate(rows_for(columns=False))["eval_loss"]
    assert trainer.evaluate(rows_for())["eval_loss"] == plain
    assert trainer.predict(rows_for(columns=False)).predictions.shape == (24, 3)


def test_a_model_is_made_anew_with_its_teacher(tmp_path):
    given = trained(tmp_path)
    made = trained(tmp_path, model=None, model_init=lambda: model_for(TOKENIZER))
    assert logged(made, "loss_distill") == logged(given, "loss_distill")


def test_without_a_teacher_the_columns_do_nothing(tmp_path):
    """As stock Trainer, to the last bit, where it is given rows without them."""
    ours = trained(tmp_path, teacher=None)
    fields = {"rows": rows_for(columns=False), "args_class": TrainingArguments, "max_steps": 6}
    stock = make_trainer(
        *(tmp_path, Trainer), model=model_for(TOKENIZER), data_collator=DataCollatorWithPadding(TOKENIZER), **fields
    )
    stock.train()
    assert differing(ours.model.state_dict(), stock.model.state_dict()) == []


# What is refused, before training


def without(rows, name):
    return rows.remove_columns([column for column in rows.column_names if column.startswith(name)])


REFUSED = {
    "other tokens and one encoding": (
        {"rows": rows_for(columns=False), "data_collator": DataCollatorWithPadding(TOKENIZER)},
        "has .* tokens and the model .*encode_for_teacher.* data_collator=TeacherCollator",
    ),
    "columns that Trainer drops": ({"remove_unused_columns": True}, "set remove_unused_columns=False"),
    "no columns": ({"rows": rows_for(columns=False)}, "the rows have no teacher_input_ids: .*encode_for_teacher"),
    "nothing that pads them": (
        {"data_collator": DataCollatorWithPadding(TOKENIZER), "teacher": model_for(TOKENIZER)},
        r"have teacher_input_ids, but nothing pads it: give data_collator=TeacherCollator\(...\)",
    ),
    "hidden states": ({"distill_hidden": 1.0}, "distill_hidden=1.0 compares token by token.* Set distill_hidden to 0"),
    "relations": ({"distill_relations": 1.0}, "distill_relations=1.0 compares token by token"),
    "token classification": (
        {"model": model_for(TOKENIZER, None, head="ForTokenClassification")},
        "BertForTokenClassification predicts token by token.* cannot be compared",
    ),
    "question answering": (
        {"model": model_for(TOKENIZER, None, head="ForQuestionAnswering")},
        "BertForQuestionAnswering predicts token by token",
    ),
    "the model itself": (
        {"teacher": None, "distill_teacher": "self"},
        "'self' is a copy of the model .* the model's tokens",
    ),
    "a smaller teacher": ({"teacher": model_for(TOKENIZER)}, "has .* tokens, but the tokenizer .* has"),
    "other labels": ({"teacher": model_for(TEACHERS, "regression")}, "The teacher has 1 labels and the model 3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(tmp_path, case):
    fields, message = REFUSED[case]
    with pytest.raises(ValueError, match=message) as refusal:
        trained(tmp_path, **fields)
    assert "\n" not in str(refusal.value)


def test_rows_that_turn_out_to_bring_nothing_are_refused(tmp_path):
    """A data set that does not say which columns it has."""
    with pytest.raises(InputError, match="the rows have no teacher_input_ids"):
        trained(tmp_path, rows=Listed(rows_for(columns=False)))
    trained(tmp_path, rows=Listed(rows_for()), max_steps=1)  # the control


class Listed(torch.utils.data.Dataset):
    """Rows of a data set, without its column names."""

    def __init__(self, rows):
        self.rows = list(rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


def test_a_saved_teacher_must_have_the_tokenizer_of_its_columns(tmp_path):
    model_for(TEACHERS, seed=1).save_pretrained(tmp_path / "teacher")
    TEACHERS.save_pretrained(tmp_path / "teacher")
    saved = {"teacher": None, "distill_teacher": str(tmp_path / "teacher")}
    assert_same_run(trained(tmp_path, **saved), trained(tmp_path))
    other = train_tokenizer(TEXTS, vocab_size=90, max_length=24)
    padded = TeacherCollator(DataCollatorWithPadding(TOKENIZER), DataCollatorWithPadding(other))
    with pytest.raises(InputError, match="has another tokenizer: token"):
        trained(tmp_path, **saved, data_collator=padded)


def test_a_teacher_reads_no_more_tokens_than_its_tokenizer_says():
    rows = Dataset.from_dict({"text": TEXTS})
    with pytest.raises(InputError, match="max_length=25, but the teacher reads at most 24 tokens"):
        encode_for_teacher(rows, TEACHERS, max_length=25)
    assert max(map(len, encode_for_teacher(rows, TEACHERS, max_length=5)[IDS])) == 5
