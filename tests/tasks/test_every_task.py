"""Tasks, end to end: each is compressed, scored, saved and opened again through the same command."""

import json
import random

import pytest
import torch
import transformers

from tests.helpers.commands import TOPICS, recipe_fields, write_csv, write_recipe
from trainer_ext.models import outputs
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pruning.verify import check
from trainer_ext.report.io import load
from trainer_ext.tasks.registry import TASKS

WORDS = [(word, topic) for topic, words in TOPICS.items() for word in words]
FILLERS = ("today", "again", "here", "more", "all", "soon", "then", "still")


def sentences(count):
    """Sentences of three topic words between fillers, each word with its topic; no two are the same."""
    rng = random.Random(0)
    for index in range(count):
        chosen = rng.sample(WORDS, 3)
        yield [pair for word, topic in chosen for pair in ((word, topic), (rng.choice(FILLERS), ""))] + [
            (f"x{index}", "")
        ]


def text(words):
    return " ".join(word for word, _ in words)


def both_csv(folder, rows, header):
    write_csv(folder / "train.csv", rows[12:], header)
    write_csv(folder / "test.csv", rows[:12], header)


def one_class(folder):
    rows = [(text(words), words[0][1]) for words in sentences(60)]
    both_csv(folder, rows, ("text", "label"))


def several_classes(folder):
    rows = [(text(words), "|".join({topic for _, topic in words} - {""})) for words in sentences(60)]
    both_csv(folder, [("nothing at all", ""), *rows], ("text", "label"))


def numbers(folder):
    rows = [(text(words), sum(topic == "fruit" for _, topic in words) - 0.5) for words in sentences(60)]
    both_csv(folder, rows, ("text", "label"))


def pairs(folder):
    rows = [(text(words[:2]), text(words[2:]), str(words[0][1] == words[2][1])) for words in sentences(60)]
    both_csv(folder, rows, ("text", "other", "label"))


def tags(folder):
    lines = [
        "\n".join(f"{word}\t{'B-' + topic if topic else 'O'}" for word, topic in words) for words in sentences(60)
    ]
    for name, part in (("train", lines[12:]), ("test", lines[:12])):
        (folder / f"{name}.csv").write_text("\n\n".join(part) + "\n", encoding="utf-8")


def questions(folder):
    """Contexts of up to 21 words, longer than one piece; the answer is the word of the topic that is asked for."""
    found = []
    for index, words in enumerate(sentences(60)):
        context = " ".join([*(f"{filler}" for filler in FILLERS), text(words), *FILLERS[::-1]])
        asked = {"question": f"which {words[2][1]} is it ?", "id": str(index)}
        answer = {"text": words[2][0], "answer_start": context.index(f" {words[2][0]} ") + 1}
        found.append({"title": "", "paragraphs": [{"context": context, "qas": [{**asked, "answers": [answer]}]}]})
    for name, part in (("train", found[12:]), ("test", found[:12])):
        (folder / f"{name}.csv").write_text(json.dumps({"data": part, "version": "1.1"}), encoding="utf-8")


ANSWERS = {"task": "question-answering", "doc_stride": 6, "max_answer_length": 3}
RUNS = {
    "one class": (one_class, {}, ("accuracy", "macro_f1")),
    "several classes": (
        several_classes,
        {"problem_type": "multi_label_classification"},
        ("micro_f1", "macro_f1", "subset_accuracy"),
    ),
    "number": (numbers, {"problem_type": "regression"}, ("pearson", "spearman", "rmse", "mae")),
    "pairs": (pairs, {"text_pair_column": "other"}, ("accuracy", "macro_f1")),
    "tags": (tags, {"task": "token-classification"}, ("entity_f1", "token_accuracy")),
    "answers": (questions, ANSWERS, ("f1", "exact_match")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_every_task_is_compressed_scored_saved_and_opened_again(name, tmp_path):
    write, fields, metrics = RUNS[name]
    write(tmp_path)
    short = {"max_length": 24, "scratch_layers": 2, "scratch_epochs": 3, "num_train_epochs": 2, "save_steps": 50}
    recipe = recipe_fields(tmp_path, tmp_path / "run", **short, **fields)
    numbers, run = compress(read_recipe(write_recipe(tmp_path / "recipe.yaml", recipe)))

    task = next(
        row for row in TASKS if (row.name, row.problem_type) == (numbers.model.task, numbers.model.problem_type)
    )
    auto_class = getattr(transformers, f"AutoModel{task.head}")
    opened, info = auto_class.from_pretrained(run.compressed, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert opened.config.architectures == [f"CompactBert{task.head}"]
    assert opened.config.auto_map[f"AutoModel{task.head}"] == f"modeling_compact.CompactBert{task.head}"
    assert opened.config.problem_type == task.problem_type
    assert abs(numbers.sparsity.achieved - 0.5) <= 0.02

    assert max(numbers.equivalence.masked_vs_shrunk, numbers.equivalence.shrunk_vs_reloaded) <= 1e-5
    assert numbers.equivalence.rows == 64

    assert load(run.root) == numbers
    quality = numbers.quality
    assert quality.rows == 12
    assert quality.metric == metrics[0]
    for scores in (quality.baseline, quality.compressed):
        assert tuple(sorted(scores.by_name)) == tuple(sorted(metrics))
        assert scores.ci95.keys() == set(metrics)
    low, high = quality.difference.ci95
    assert low <= quality.difference.main <= high
    assert (quality.agreement is None) == (name == "number")


def test_logits_of_all_heads_are_one_tensor(tiny_model, tiny_batch):
    config = tiny_model().config
    for head, shape in (
        ("ForSequenceClassification", (6, 3)),
        ("ForTokenClassification", (6, 16, 3)),
        ("ForQuestionAnswering", (6, 16, 2)),
    ):
        config.num_labels = shape[-1]
        model = getattr(transformers, f"AutoModel{head}").from_config(config)
        assert outputs.logits(model, tiny_batch(model)).shape == shape


@pytest.mark.slow
def test_the_check_compares_all_outputs_of_a_head(tiny_model, tmp_path, monkeypatch):
    """A change of the end logits alone is found, against the fresh process."""
    model = transformers.AutoModelForQuestionAnswering.from_config(tiny_model(num_labels=2).config)
    model.save_pretrained(tmp_path)
    assert all(link.holds for link in check(tmp_path))
    answered = outputs.logits
    monkeypatch.setattr(outputs, "logits", lambda *inputs: answered(*inputs) + torch.tensor([0, 1e-3]))
    assert not any(link.holds for link in check(tmp_path))
