"""A run with vocab_size: the student reads with fewer tokens, its teacher with all; each is measured with its own."""

import gzip
import json

import pytest
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    ByT5Tokenizer,
    DataCollatorWithPadding,
    pipeline,
)

from tests.helpers.commands import (
    FRAMES,
    TOPICS,
    assert_same_weights,
    kill_and_resume,
    recipe_fields,
    run_command,
    write_recipe,
    write_task,
)
from tests.helpers.training import differing
from trainer_ext import DistillPruneTrainer, TeacherCollator, encode_for_teacher, report
from trainer_ext.benchmark.size import count_parameters
from trainer_ext.data.corpus import read_corpus
from trainer_ext.errors import InputError
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.tasks.dataset import load_data
from trainer_ext.vocabulary.trim import tokens_in_use, trim_model, trim_tokenizer

SIZE = 76  # of 81 in use
CORPUS = [frame.format(word) for frame in FRAMES[:4] for word in TOPICS["fruit"]]  # no metal, no river


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    folder = write_task(tmp_path_factory.mktemp("task"))
    (folder / "corpus").mkdir()
    (folder / "corpus/b.txt").write_text("\n".join(CORPUS[:10]) + "\n\n", encoding="utf-8")
    with gzip.open(folder / "corpus/a.txt.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(CORPUS[10:]))
    return folder


def fields_for(task, folder, **changes):
    return recipe_fields(task, folder / "run", vocab_size=SIZE, vocab_corpus=[str(task / "corpus")], **changes)


def run_of(folder, fields):
    return compress(read_recipe(write_recipe(folder / "recipe.yaml", fields)))


@pytest.fixture(scope="module")
def finished(task, tmp_path_factory):
    """A run of everything: trimmed, pruned, distilled; its folder and report."""
    folder = tmp_path_factory.mktemp("finished")
    numbers, run = run_of(folder, fields_for(task, folder))
    return run, numbers


def test_the_run_holds_the_trimmed_model_and_its_tokenizer(finished):
    run, numbers = finished
    names = {path.name for path in run.root.iterdir()}
    assert names == {"baseline", "compressed", "masked", "vocabulary", "logs", "recipe.yaml", "compression.json"}
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (run.baseline, run.compressed))
    model = AutoModelForSequenceClassification.from_pretrained(run.compressed)
    assert len(after) == model.config.vocab_size == model.get_input_embeddings().num_embeddings == SIZE
    assert set(after.get_vocab()) < set(before.get_vocab())
    assert after.special_tokens_map == before.special_tokens_map
    assert numbers.parameters.compressed.embeddings < numbers.parameters.baseline.embeddings
    assert numbers.sparsity.vocabulary == SIZE


def test_the_chain_holds_for_the_trimmed_model(finished):
    _, numbers = finished
    assert numbers.equivalence.masked_vs_shrunk <= 1e-5
    assert numbers.equivalence.shrunk_vs_reloaded <= 1e-5


def test_quality_is_that_of_each_model_with_its_own_tokenizer(finished, task):
    run, numbers = finished
    lines = (task / "test.csv").read_text(encoding="utf-8").splitlines()[1:]
    texts, labels = zip(*(line.rsplit(",", 1) for line in lines), strict=True)
    answers = []
    for folder, scores in ((run.baseline, numbers.quality.baseline), (run.compressed, numbers.quality.compressed)):
        answers.append([answer["label"] for answer in pipeline("text-classification", str(folder))(list(texts))])
        right = sum(map(str.__eq__, answers[-1], labels))
        assert scores.accuracy == pytest.approx(right / len(texts))
    assert numbers.quality.baseline.accuracy > 0.6
    assert numbers.quality.agreement == pytest.approx(sum(map(str.__eq__, *answers)) / len(texts))


def test_the_report_says_what_trimming_did_to_texts_it_was_not_chosen_by(finished, task):
    run, numbers = finished
    before, after = (AutoTokenizer.from_pretrained(folder) for folder in (run.baseline, run.compressed))
    tests = [line.rsplit(",", 1)[0] for line in (task / "test.csv").read_text(encoding="utf-8").splitlines()[1:]]
    train = [line.rsplit(",", 1)[0] for line in (task / "train.csv").read_text(encoding="utf-8").splitlines()[1:]]
    held_out = [text for text in tests if text not in {*CORPUS, *train}]
    changed = [text for text in held_out if before.tokenize(text) != after.tokenize(text)]
    found = numbers.vocabulary
    assert 0 < len(changed) < len(held_out) < len(tests)
    assert found.tokens == report.Pair(len(before), SIZE)
    assert (found.corpus_texts, found.held_out_texts) == (len(CORPUS) + numbers.data.train_rows, len(held_out))
    assert found.changed_share == len(changed) / len(held_out)
    assert found.tokens_per_word.compressed > found.tokens_per_word.baseline
    assert report.load(run.root).vocabulary == found


def test_only_the_last_part_of_a_path_is_published(finished, task):
    run, numbers = finished
    assert numbers.recipe["vocab_corpus"] == ["corpus"]
    assert str(task) not in run.report.read_text(encoding="utf-8")


def test_the_run_is_what_a_script_does(finished, task, tmp_path):
    """Trim, encode twice, distil from the model as it was: the same weights, to the last bit."""
    run, _ = finished
    fields = fields_for(task, tmp_path, remove_unused_columns=False, learning_rate=1e-3, report_to="none")
    fields |= {"distill_teacher": str(run.baseline), "output_dir": str(tmp_path / "out")}
    recipe = read_recipe(write_recipe(tmp_path / "r.yaml", fields))
    model = AutoModelForSequenceClassification.from_pretrained(run.baseline)
    tokenizer = AutoTokenizer.from_pretrained(run.baseline)
    train = load_data(recipe.data).train
    trimmed = trim_tokenizer(tokenizer, [*read_corpus([task / "corpus"]), *train["text"]], SIZE)
    trim_model(model, trimmed)
    rows = train.map(lambda rows: trimmed.tokenizer(rows["text"]), batched=True)
    rows = encode_for_teacher(rows, tokenizer)
    both = TeacherCollator(DataCollatorWithPadding(trimmed.tokenizer), DataCollatorWithPadding(tokenizer))
    trainer = DistillPruneTrainer(model, recipe.training, train_dataset=rows, data_collator=both)
    trainer.train()
    assert differing(trainer.model.state_dict(), load_file(run.compressed / "model.safetensors")) == []


@pytest.mark.slow
def test_killed_and_resumed_it_ends_with_the_same_bits(finished, task, tmp_path):
    """By the vocabulary that the first start has kept, whatever became of the corpus."""
    whole, _ = finished
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(CORPUS), encoding="utf-8")
    path = write_recipe(tmp_path / "r.yaml", {**fields_for(task, tmp_path), "vocab_corpus": [str(corpus)]})
    assert kill_and_resume(path, tmp_path / "run", between=corpus.unlink) > 4
    assert_same_weights(whole.root, tmp_path / "run")
    first, second = (report.load(folder).vocabulary for folder in (whole.root, tmp_path / "run"))
    assert first == second


PROBLEMS = {
    "multi_label_classification": lambda topic: f"{topic}|long" if topic != "river" else "",
    "regression": lambda topic: str(len(topic) - 4.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("problem", PROBLEMS)
def test_trimming_and_a_teacher_are_a_run_for_other_problem_types_and_pairs(tmp_path, problem):
    for name, start in (("train", 0), ("test", 1)):
        rows = ["text,other,label"]
        for topic, words in TOPICS.items():
            pairs = [(first, second) for first in words for second in words if first != second]
            rows += [f"{first} here,{second} {name},{PROBLEMS[problem](topic)}" for first, second in pairs[start::2]]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows), encoding="utf-8")
    changes = {"problem_type": problem, "text_pair_column": "other", "num_train_epochs": 1, "scratch_epochs": 1}
    changes |= {"prune_method": "none", "vocab_size": 80, "logging_steps": 1}
    made, run = run_of(tmp_path, recipe_fields(tmp_path, tmp_path / "run", **changes))
    assert (made.sparsity.vocabulary, made.sparsity.achieved, made.sparsity.structure) == (80, 0.0, "plain")
    assert made.parameters.baseline.encoder == made.parameters.compressed.encoder
    assert made.vocabulary.corpus_texts == 2 * made.data.train_rows
    log = json.loads(run.log("compressed").read_text(encoding="utf-8"))["log_history"]
    assert log[0]["loss_distill"] > 0


IOB = "{0} B-{1}\nof O\ntoday O\n\n"


def write_iob(folder):
    for name, part in (("train", slice(0, 4)), ("test", slice(4, 5))):
        text = "".join(IOB.format(word, topic.upper()) for topic, words in TOPICS.items() for word in words[part])
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return {"task": "token-classification", "train_files": ["train.txt"], "test_file": "test.txt"}


@pytest.mark.slow
def test_trimming_alone_is_a_run(tmp_path, monkeypatch, capsys):
    """Of tags too, where no teacher with another tokenizer could help."""
    changes = {**write_iob(tmp_path), "distill_teacher": None, "prune_method": "none", "vocab_size": 52}
    fields = recipe_fields(tmp_path, tmp_path / "run", num_train_epochs=1, scratch_epochs=1, **changes)
    status, out, err = run_command(monkeypatch, capsys, "compress", write_recipe(tmp_path / "r.yaml", fields))
    assert status == 0, err
    assert "vocabulary, tokens" in out
    made = report.load(tmp_path / "run")
    assert (made.sparsity.vocabulary, made.vocabulary.tokens.compressed) == (52, 52)
    assert made.quality.rows == 3


@pytest.mark.slow
def test_a_teacher_is_compared_token_by_token_where_no_train_text_is_cut_otherwise(task, tmp_path):
    """Cut to every piece in use the baseline is the teacher, and teaches what it would have taught with all."""
    whole = recipe_fields(task, tmp_path / "whole", distill_hidden=1.0, distill_relations=1.0, num_train_epochs=1)
    whole |= {"scratch_epochs": 2, "logging_steps": 1}
    _, before = run_of(tmp_path, whole)
    texts = load_data(read_recipe(write_recipe(tmp_path / "r.yaml", whole)).data).train["text"]
    size = tokens_in_use(AutoTokenizer.from_pretrained(before.baseline), texts)
    fields = {**whole, "output_dir": str(tmp_path / "run"), "vocab_size": size}
    fields |= {"model_name_or_path": str(before.baseline), "scratch_epochs": None, "baseline_epochs": 0}
    made, run = run_of(tmp_path, {name: value for name, value in fields.items() if value is not None})
    assert made.vocabulary.tokens.compressed == size < made.vocabulary.tokens.baseline
    logs = [json.loads(one.log("compressed").read_text(encoding="utf-8"))["log_history"][0] for one in (before, run)]
    for name in ("loss_distill", "loss_hidden", "loss_relations"):
        assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-3), name
    (tmp_path / "less").mkdir()
    with pytest.raises(InputError, match=f"Or keep more than {size - 1} tokens"):
        run_of(tmp_path / "less", {**fields, "output_dir": str(tmp_path / "less/run"), "vocab_size": size - 1})
    assert not (tmp_path / "less/run").exists()


# Trimmed before the baseline is trained


def encoder_with_many_tokens(finished, folder):
    """Save the model of a run with so many tokens that more than half of its parameters are embeddings that go."""
    run, _ = finished
    model = AutoModelForSequenceClassification.from_pretrained(run.baseline)
    tokenizer = AutoTokenizer.from_pretrained(run.baseline)
    tokenizer.add_tokens([f"unseen{index}" for index in range(1000)])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    many = folder / "many"
    model.save_pretrained(many)
    grow(tokenizer, many)
    return many, count_parameters(model)


def grow(tokenizer, folder):
    """Save a tokenizer with its added tokens as tokens of its vocabulary, which trimming may leave out."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    ordinary = [one for one in content["added_tokens"] if not one["special"]]
    content["model"]["vocab"] |= {one["content"]: one["id"] for one in ordinary}
    content["added_tokens"] = [one for one in content["added_tokens"] if one["special"]]
    file.write_text(json.dumps(content), encoding="utf-8")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    config.pop("added_tokens_decoder", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")


def fine_tuned(task, folder, model, **changes):
    fields = fields_for(task, folder, **changes) | {"model_name_or_path": str(model), "baseline_epochs": 1}
    return {name: value for name, value in fields.items() if not name.startswith("scratch_")}


@pytest.mark.slow
def test_trimmed_before_the_baseline_and_its_teacher_read_the_kept_tokens(finished, task, tmp_path):
    """By default where most parameters go with the tokens; sizes are those of the model that was given."""
    many, whole = encoder_with_many_tokens(finished, tmp_path)
    made, run = run_of(tmp_path, fine_tuned(task, tmp_path, many, distill_hidden=1.0, num_train_epochs=1))
    assert made.vocabulary.trimmed == "before"
    baseline, compressed = (AutoTokenizer.from_pretrained(folder) for folder in (run.baseline, run.compressed))
    assert baseline.get_vocab() == compressed.get_vocab()
    assert AutoModelForSequenceClassification.from_pretrained(run.baseline).config.vocab_size == SIZE
    assert made.parameters.baseline == whole
    assert made.bytes.baseline == 4 * whole.total
    assert made.vocabulary.tokens.baseline == SIZE + len(set(made_tokens(many)) - set(baseline.get_vocab()))
    assert made.equivalence.masked_vs_shrunk <= 1e-5


def made_tokens(folder):
    return AutoTokenizer.from_pretrained(folder).get_vocab()


@pytest.mark.slow
def test_the_order_is_by_size_and_can_be_said(finished, task, tmp_path):
    run, _ = finished
    many, whole = encoder_with_many_tokens(finished, tmp_path)
    for name, model, changes, order in (
        ("small", run.baseline, {}, "after"),  # few embeddings go
        ("said", many, {"vocab_when": "after"}, "after"),
        ("taken", many, {"baseline_epochs": 0}, "after"),  # nothing is fine-tuned
        ("asked", run.baseline, {"vocab_when": "before"}, "before"),
    ):
        (tmp_path / name).mkdir()
        fields = fine_tuned(task, tmp_path / name, model, num_train_epochs=1) | changes
        made, where = run_of(tmp_path / name, fields)
        assert made.vocabulary.trimmed == order, name
        kept = AutoTokenizer.from_pretrained(where.baseline).get_vocab()
        assert (len(kept) == SIZE) == (order == "before"), name
        if model == many:
            assert made.parameters.baseline == whole, name


@pytest.mark.slow
def test_trimmed_before_killed_and_resumed_it_ends_with_the_same_bits(finished, task, tmp_path):
    many, _ = encoder_with_many_tokens(finished, tmp_path)
    (tmp_path / "whole").mkdir()
    before, run = run_of(tmp_path / "whole", fine_tuned(task, tmp_path / "whole", many))
    path = write_recipe(tmp_path / "r.yaml", fine_tuned(task, tmp_path, many))
    assert kill_and_resume(path, tmp_path / "run") > 4
    assert_same_weights(run.root, tmp_path / "run")
    after = report.load(tmp_path / "run")
    assert (after.vocabulary, after.parameters) == (before.vocabulary, before.parameters)


# What is refused before anything is trained or written


def spoiled(name, content):
    return lambda folder: (folder / name).write_bytes(content)


REFUSED = {
    "no such file": (None, {"vocab_corpus": ["nowhere.txt"]}, "There is no file or folder nowhere.txt"),
    "a folder without texts": (None, {"vocab_corpus": ["FOLDER"]}, "is or holds no .txt or .txt.gz file"),
    "an empty file": (spoiled("c.txt", b"\n \n"), {}, "empty"),
    "no text": (spoiled("c.txt", b"\xff text"), {}, "c.txt, line 1: byte 0xff at offset 0 is not UTF-8"),
    "no archive": (spoiled("c.txt.gz", b"text"), {"vocab_corpus": ["FOLDER/c.txt.gz"]}, "c.txt.gz"),
    "another language": (spoiled("c.txt", ("ከተማ ወንዝ ብረት\n" * 2000).encode()), {}, "has no pieces for"),
    "above the vocabulary": (None, {"vocab_size": 5000}, "5000 is above the"),
    "below the alphabet": (None, {"vocab_size": 20}, "20 is too small"),
    "no number": (None, {"vocab_size": "many"}, "vocab_size must be a number of tokens or 'auto', got 'many'"),
    "a corpus for nothing": (None, {"vocab_size": None}, "vocab_corpus is given without vocab_size"),
    "no order": (None, {"vocab_when": "during"}, "vocab_when"),
    "hidden states": (None, {"distill_hidden": 1.0}, "distill_hidden=1.0 compares token by token"),
    "relations": (None, {"distill_relations": 1.0}, "distill_relations=1.0 compares token by token"),
}


def refused(monkeypatch, capsys, folder, fields):
    status, out, err = run_command(monkeypatch, capsys, "compress", write_recipe(folder / "r.yaml", fields))
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1), err
    assert not (folder / "run").exists()
    return err


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_line_and_nothing_is_written(case, task, tmp_path, monkeypatch, capsys):
    spoil, changes, words = REFUSED[case]
    (tmp_path / "c.txt").write_text("\n".join(CORPUS), encoding="utf-8")
    folder = tmp_path / "empty"
    folder.mkdir()
    if spoil:
        spoil(tmp_path)
        folder = tmp_path
    fields = {
        **recipe_fields(task, tmp_path / "run", vocab_size=SIZE, vocab_corpus=[str(tmp_path / "c.txt")]),
        **changes,
    }
    fields["vocab_corpus"] = [name.replace("FOLDER", str(folder)) for name in fields["vocab_corpus"]]
    assert words in refused(monkeypatch, capsys, tmp_path, fields)


def test_a_model_that_is_taken_as_it_is_cannot_be_trimmed_before(finished, task, tmp_path, monkeypatch, capsys):
    run, _ = finished
    fields = fine_tuned(task, tmp_path, run.baseline, vocab_when="before") | {"baseline_epochs": 0}
    assert "give --baseline_epochs, or vocab_when=after" in refused(monkeypatch, capsys, tmp_path, fields)


def test_an_order_without_a_size_is_refused(task, tmp_path, monkeypatch, capsys):
    fields = recipe_fields(task, tmp_path / "run", vocab_when="after")
    assert "vocab_when is given without vocab_size" in refused(monkeypatch, capsys, tmp_path, fields)


def test_a_teacher_of_tags_is_refused(tmp_path, monkeypatch, capsys):
    fields = recipe_fields(tmp_path, tmp_path / "run", vocab_size=52, **write_iob(tmp_path))
    assert "predicts token by token" in refused(monkeypatch, capsys, tmp_path, fields)


def test_a_slow_tokenizer_is_refused(finished, task, tmp_path, monkeypatch, capsys):
    run, _ = finished
    model = AutoModelForSequenceClassification.from_pretrained(run.baseline)
    model.resize_token_embeddings(400)
    model.save_pretrained(tmp_path / "model")
    ByT5Tokenizer(model_max_length=16).save_pretrained(tmp_path / "model")
    fields = fields_for(task, tmp_path, model_name_or_path=str(tmp_path / "model"))
    assert "ByT5Tokenizer is a slow tokenizer" in refused(monkeypatch, capsys, tmp_path, fields)
