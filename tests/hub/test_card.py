"""The card: its numbers are those of the report, its code runs, and no name from outside is markup."""

import itertools
import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from tests.helpers.cards import NASTY, Block, bare_report, code_blocks, full_report, run_block, run_blocks
from tests.helpers.commands import recipe_fields, write_recipe, write_task
from trainer_ext import report
from trainer_ext.export.formats import export
from trainer_ext.hub.card import CardInput, render
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.tasks.registry import SINGLE_LABEL

SHORT = {"scratch_epochs": 2, "num_train_epochs": 1, "save_strategy": "epoch", "latency_batch_sizes": [1]}


def card_of(numbers, **given):
    return render(CardInput(numbers, "user/name", **given))


def section(card, name):
    return re.search(rf"<!-- trainer-ext:{name} .*?-->\n(.*?)<!-- /trainer-ext:{name} -->", card, re.S)[1]


def make(folder: Path, **fields) -> Path:
    compress(
        read_recipe(write_recipe(folder / "recipe.yaml", recipe_fields(folder, folder / "run", **SHORT | fields)))
    )
    return folder / "run"


@pytest.mark.slow
def test_the_code_on_the_card_of_a_compact_model_with_exports(tmp_path):
    run = make(write_task(tmp_path / "data"), scratch_epochs=20)
    export(run, ["onnx", "openvino"])
    card = card_of(report.load(run))
    written = run_blocks(card, tmp_path, run / "compressed")
    assert len(written["loading"]) == 2
    trusting, importing = written["loading"]
    assert trusting == importing
    answer = re.fullmatch(r"\[\{'label': '(\w+)', 'score': ([\d.]+)\}\]\n", trusting)
    assert answer[1] in report.load(run).model.labels
    for line in written["exports"]:
        text, label, share = line.rstrip("\n").split("\t")
        assert (text, label) == ("Write your text here.", answer[1])
        assert float(share) == pytest.approx(float(answer[2]), abs=2e-4)
    assert len(written["exports"]) == 2


@pytest.mark.slow
def test_the_code_on_the_card_of_a_plain_model_needs_no_package(tmp_path):
    run = make(write_task(tmp_path / "data"), prune_structure="plain", prune_sparsity=0.25)
    card = card_of(report.load(run))
    assert "trust_remote_code" not in card
    assert "trainer_ext" not in "".join(block.text for block in code_blocks(card))
    (written,) = run_blocks(card, tmp_path, run / "compressed")["loading"]
    assert "'score'" in written


TEXTS = ("Write your text here.", "And the second one here.", "Where is the bridge?", "The old bridge in the north")
HEADS = {
    "text-classification": AutoModelForSequenceClassification,
    "token-classification": AutoModelForTokenClassification,
    "question-answering": AutoModelForQuestionAnswering,
}
# Task, problem type, recipe, and the output of the code on the card.
USES = {
    "one class": ("text-classification", SINGLE_LABEL, {}, r"\[\{'label': '[abc]', 'score': [\d.]+\}\]"),
    "classes": (
        "text-classification",
        "multi_label_classification",
        {},
        r"\[(\{'label': '[abc]', 'score': [\d.]+\}(, )?){3}\]",
    ),
    "number": ("text-classification", "regression", {}, r"\[\{'label': 'a', 'score': -?[\d.]+\}\]"),
    "pairs": (
        "text-classification",
        SINGLE_LABEL,
        {"text_pair_column": "b"},
        r".*\{'label': '[abc]', 'score': [\d.]+\}.*",
    ),
    "tags": ("token-classification", None, {}, r"\[\{'entity_group': '[abc]', .*\]"),
    "answers": ("question-answering", None, {}, r"[\w .]+"),
}


@pytest.fixture
def every_task(tiny_model, cut, tmp_path):
    """A card and a folder with a compact `user/name` for every task."""
    tokenizer, found = train_tokenizer(TEXTS, vocab_size=120, max_length=24), {}
    for name, (task, problem_type, recipe, _) in USES.items():
        labels = {"number": 1, "answers": 2}.get(name, 3)
        model = tiny_model(auto_class=HEADS[task], num_labels=labels, problem_type=problem_type)
        model.config.id2label = dict(enumerate("abc"[:labels]))
        folder = tmp_path / name
        cut(model, [[], [1, 3]], [[], [0, 5, 9]]).save_pretrained(folder / "user/name")
        tokenizer.save_pretrained(folder / "user/name")
        numbers = report.CompressionReport(
            report.utc_now(),
            report.Model(task=task, problem_type=problem_type),
            recipe={"max_length": 24, **recipe},
            sparsity=report.Sparsity(structure="compact"),
        )
        found[name] = folder, card_of(numbers)
    return found


@pytest.mark.slow
def test_the_code_on_the_card_of_every_task(every_task, tmp_path):
    """In two processes, with and without the package, because importing transformers takes longest."""
    answers = []
    for index in range(2):
        steps = [(str(folder), code_blocks(card)[index].text) for folder, card in every_task.values()]
        script = "import os\n" + "".join(f"os.chdir({folder!r})\nexec({text!r}, {{}})\n" for folder, text in steps)
        answers.append(run_block(Block("python", script, ""), tmp_path).splitlines())
    assert answers[0] == answers[1]
    for (*_, expected), answer in zip(USES.values(), answers[0], strict=True):
        assert re.fullmatch(expected, answer)


def test_a_block_that_is_wrong_fails(tmp_path):
    for language, text in (("python", "import nothing_of_this_name"), ("sh", "false\ntrue")):
        with pytest.raises(AssertionError, match=text.split()[0]):
            run_block(Block(language, text, ""), tmp_path)
    with pytest.raises(AssertionError, match="trainer_ext is not installed here"):
        run_block(Block("python", "__import__('trainer_ext')", ""), tmp_path)


def test_the_same_report_gives_the_same_bytes():
    given = {"base_model": "user/base", "picture": "parameters.svg", "space": "user/demo", "language": ("mr",)}
    assert card_of(full_report(), **given) == card_of(full_report(), **given)


def test_missing_numbers_are_left_out_or_named_as_missing():
    card = card_of(bare_report())
    for words in ("quality was not measured", "speed was not measured", "parameters were not counted"):
        assert words in card
    assert "energy of its predictions was not measured" in section(card, "limits")
    for name in ("exports", "structure", "differences", "energy"):
        assert section(card, name) == ""
    assert not re.search(r"\bNone\b|\bnan\b", card)


@pytest.mark.parametrize(
    "name", [field for field in vars(full_report()) if getattr(bare_report(), field) != getattr(full_report(), field)]
)
def test_any_field_may_be_missing(name):
    card = card_of(replace(full_report(), **{name: getattr(bare_report(), name)}))
    assert not re.search(r"\bNone\b", card.split("---\n", 2)[2])


def test_every_part_of_a_field_may_be_missing():
    empty = {
        "sparsity": report.Sparsity(),
        "vocabulary": report.Vocabulary(),
        "parameters": report.Pair(),
        "bytes": report.Pair(),
        "quality": report.Quality("test", 3),
        "latency": [report.Latency("torch", "fp32", "cpu", "x", None, 1, 8)],
        "equivalence": report.Equivalence(),
        "training": report.Pair(),
        "inference": report.Inference(),
        "exports": [report.Export("onnx", "compressed/onnx/model.onnx")],
        "data": report.Data(),
    }
    for name, value in empty.items():
        assert "\nNone" not in card_of(full_report(**{name: value}))
    assert card_of(full_report(**empty))


def test_the_numbers():
    card = card_of(full_report(), base_model="user/base", space="user/demo", picture="parameters.svg")
    summary = section(card, "summary")
    assert "[user/base](https://huggingface.co/user/base)" in summary
    assert "https://huggingface.co/spaces/user/demo" in summary
    assert "accuracy is 96.2 % (before: 96.8 %; the difference is within noise)" in summary
    assert "in 50.0 ms (before: 120.0 ms)" in summary
    assert "96.2 [94.1, 97.6] | -0.6<br>[-1.5, +0.4]<br>within noise" in section(card, "results")
    assert "| 120.0 ms<br>p95 130.0 | 50.0 ms<br>p95 60.0 | 2.40x | 2.50x |" in section(card, "latency")
    parameters = section(card, "parameters")
    assert "| encoder | 100 | 50 | 50 (50.0 %) |" in parameters
    assert re.search(r"!\[Stacked bars.*Encoder: 100 before, 50 now.*\]\(parameters\.svg\)", parameters)
    assert "50.2 % were removed and 49.8 % are kept" in parameters
    assert "| 1 | 2 | 0, 2 | 539 |\n| 2 | 0 | none | 0 |" in section(card, "structure")
    differences = section(card, "differences")
    assert "Lost: 17 rows" in differences
    assert "Won: 2 " in differences
    assert "20.0 points of F1 on 30 rows. With so few rows this may be chance." in differences
    energy = section(card, "energy")
    assert "estimates" in energy
    assert "paid back after 1.2 million texts" in energy
    exports = section(card, "exports")
    assert "model_int8.onnx" in exports
    assert "openvino" not in exports  # that one is of the baseline
    making = section(card, "making")
    assert "3.0e-06" in making
    assert "none at all" in making
    for paper in ("2409.14162", "2109.04838", "1503.02531"):
        assert paper in section(card, "citations")


def test_only_papers_whose_method_was_used_are_cited():
    cited = section(card_of(full_report(recipe={}, sparsity=report.Sparsity(0.5, 0.5, "magnitude"))), "citations")
    assert "2409.14162" in cited
    assert "2109.04838" not in cited
    assert "1503.02531" not in cited


def test_the_class_that_lost_most_is_named_only_if_one_lost():
    scores = report.ClassScores(0.9, 0.9, 0.9)
    quality = replace(full_report().quality, per_class=[report.ClassPair("a", 100, scores, scores)])
    assert "The F1 of no class fell." in section(card_of(full_report(quality=quality)), "differences")


def parsed(card):
    """Return the tokens of a card as a Markdown parser reads it, with inline tokens."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    blocks = parser.parse(card.split("---\n", 2)[2])
    return [part for block in blocks for part in (block, *(block.children or ()))]


def structure(card):
    """Return the markup of a card without its text; line breaks in cells and the length of fences do not count."""
    return [
        (part.type, part.tag, part.markup.strip("`"))
        for part in parsed(card)
        if part.type != "text" and part.content != "<br>"
    ]


def named(name):
    """Return a card on which every name from outside is this one."""
    pair = report.ClassPair(name, 5, report.ClassScores(f1=0.9), report.ClassScores(f1=0.1))
    base = full_report()
    numbers = replace(
        base,
        latency=[replace(base.latency[0], processor=name)],
        quality=replace(base.quality, split=name, per_class=[pair], metric=name, difference=None),
        other_quality=[report.Quality(name, 300, report.Scores(other={name: 1.0}))],
        model=replace(base.model, baseline=name, labels=[name]),
        data=report.Data(3, {name: 2}),
        versions={name: name},
        inference=replace(base.inference, hardware=name, country=name),
        recipe={"distill_teacher": name},
        exports=[],
    )
    return card_of(numbers)


@pytest.mark.parametrize("name", NASTY)
def test_names_from_outside_are_not_markup(name):
    """Headings, tables, cells, links and breaks are the same as with a plain name."""
    card = named(name)
    assert structure(card) == structure(named("plain"))
    text = " ".join(part.content for part in parsed(card) if part.type == "text")
    assert text.count(" ".join(name.split())) >= 8
    html = {part.content for part in parsed(card) if part.type.startswith("html")}
    assert not [one for one in html if not re.match("<!-- /?trainer-ext|<br>|</?details>", one)]


def test_an_unescaped_name_would_be_found():
    card = named("plain").replace("plain", "<script>x</script>")
    assert structure(card) != structure(named("plain"))


def test_code_from_outside_stays_in_its_block():
    making = section(card_of(full_report()), "making")
    assert "````text\ntrainer-ext compress 'a ``` b'\n```\n" in making
    outside = re.sub(r"^(`{3,})\w+\n.*?^\1$", "", making, flags=re.M | re.S)
    assert "not a heading" not in outside
    assert "```" not in outside


def kind(recipe, **changes):
    """Return the report of a run with this recipe, with every section and readable names."""
    base = full_report()
    changes = {"recipe": recipe, "command": "trainer-ext compress m h.csv", **changes}
    return replace(base, model=replace(base.model, **changes.pop("model", {})), **changes)


UNLABELLED = report.Quality("held-out texts", 60, agreement=0.97, metric="agreement")
KINDS = {
    "without fields": kind({}),
    "max_length": kind({"max_length": 64}),
    "pruned at once": kind({"num_train_epochs": 0, "test_share": 0.2}),
    "texts": kind({"texts": "t.txt", "num_train_epochs": 0, "max_length": 64}, quality=UNLABELLED, other_quality=[]),
    "texts and a teacher": kind({"texts": "t.txt", "distill_teacher": "self"}, quality=UNLABELLED, other_quality=[]),
    "several labels": kind({}, model={"problem_type": "multi_label_classification"}),
    "several labels and max_length": kind({"max_length": 64}, model={"problem_type": "multi_label_classification"}),
    "a number": kind({}, model={"problem_type": "regression"}),
    "pairs": kind({"text_pair_column": "b", "max_length": 64}),
    "tags": kind({}, model={"task": "token-classification", "problem_type": None}),
    "answers": kind({"max_length": 64}, model={"task": "question-answering", "problem_type": None}),
    "no head": kind({}, model={"task": None, "problem_type": None}),
    "plain": kind({}, sparsity=report.Sparsity(0.5, 0.5, "obs", "plain")),
    "little known": bare_report(),
}


@pytest.mark.parametrize("baseline_of", [None, "user/small"])
@pytest.mark.parametrize("numbers", KINDS.values(), ids=KINDS)
def test_every_code_block_ends_and_every_heading_is_one(numbers, baseline_of):
    card = card_of(numbers, baseline_of=baseline_of)
    parts = parsed(card)
    code = [part for part in parts if part.type == "fence"]
    assert not [part.content for part in code if "## " in part.content or "The numbers below" in part.content]
    headings = [after.content for part, after in itertools.pairwise(parts) if part.type == "heading_open"]
    outside = re.sub(r"^(`{3,})\w*\n.*?^\1$", "", card, flags=re.M | re.S)
    assert headings == [line.lstrip("# ") for line in outside.splitlines() if re.match("##? ", line)]
    assert headings[:2] == ["name", "How to load it"]
    if baseline_of is None:
        assert headings[-1] == "Papers"
    paragraphs = [part.content for part in parts if part.type == "inline"]
    version = "The numbers below were made with transformers 5.23.0."
    assert (version in paragraphs) == (numbers.versions != {} and baseline_of is None)


def words_of(recipe, **changes):
    return " ".join(card_of(kind(recipe, **changes)).split())


TRAINING = report.Pair(None, report.TrainingCost(120.0))


@pytest.mark.parametrize(
    "recipe", [{}, {"num_train_epochs": 0, "max_steps": 9}, {"num_train_epochs": 0, "prune_recovery_epochs": 0.5}]
)
def test_a_trained_model_is_called_so(recipe):
    card = words_of({**recipe, "max_length": 64, "distill_teacher": "self"}, training=TRAINING)
    for words in (
        *(
            "Trained on 4,800 rows.",
            "Training this one took 2.0 minutes.",
            "It was trained and evaluated on at most 64",
        ),
        *(
            "in training and scoring.",
            "it was trained on the predictions of the larger model",
            "knowledge-distillation",
        ),
    ):
        assert words in card
    assert "Not trained" not in card


@pytest.mark.parametrize("steps", [{}, {"max_steps": -1}, {"prune_recovery_epochs": 0}, {"distill_teacher": "self"}])
def test_a_model_without_any_training_is_not_called_trained(steps):
    recipe = {"num_train_epochs": 0, "max_length": 64, **steps}
    card = words_of(recipe, training=TRAINING)
    for words in (
        *("Not trained: 4,800 rows were there to choose what to remove.", "Making this one took 2.0 minutes."),
        *("It was made and evaluated on at most 64 tokens", "were ignored in scoring."),
    ):
        assert words in card
    for words in ("Trained on", "was trained", "Training this one", "knowledge-distillation", "(knowledge"):
        assert words not in card
    tuned = words_of({**recipe, "baseline_epochs": 2}, training=report.Pair(report.TrainingCost(60.0), None))
    assert "Not trained: the larger model was, on 4,800 rows, which were also there to choose" in tuned
    assert "Training the larger model took 1.0 minutes." in tuned


def test_a_busy_machine_is_said_in_the_table_and_below_it():
    numbers = full_report()
    disturbed = replace(numbers.latency[0], speedup=0.97, busy=True, cpu_speedup=1.9)
    card = card_of(replace(numbers, latency=[disturbed]))
    assert "0.97x<br>busy machine<br>CPU time 1.90x" in card
    assert "were disturbed by other programs" in " ".join(card.split())
    assert "busy" not in card_of(numbers)
