"""The script of an exported file predicts as the model does, without torch and transformers."""

import importlib.metadata
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from packaging.requirements import Requirement
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from tests.helpers.tiny_models import build
from trainer_ext.export.classify_script import write_usage
from trainer_ext.export.formats import export
from trainer_ext.export.source import open_source
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.tasks import postprocess

TEXTS = ("mango and guava", "the river ganga is long, longer than the koyna", "tin")
QUESTION, CONTEXT = "what is long", "the river ganga is long, the koyna is not"
NAMES = {0: "FRUIT", 1: "rivière", 2: "metal {x}"}
TEXT, WORD, ANSWER = AutoModelForSequenceClassification, AutoModelForTokenClassification, AutoModelForQuestionAnswering


@pytest.fixture(scope="session")
def without_torch(tmp_path_factory):
    """`without_torch(packages, *words)`: run Python with only these packages and their dependencies."""

    def run(packages, *words):
        site = tmp_path_factory.mktemp("site")
        wanted, found = list(packages), set()
        while wanted:
            name = wanted.pop()
            if name in found:
                continue
            found.add(name)
            for line in importlib.metadata.requires(name) or ():
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                    wanted.append(requirement.name)
            distribution = importlib.metadata.distribution(name)
            for part in {file.parts[0] for file in distribution.files if file.parts[0] != ".."}:
                link = site / part
                if not link.exists():
                    link.symlink_to(distribution.locate_file(part))
        start = f"import runpy, sys; sys.path.insert(0, {str(site)!r}); sys.argv = sys.argv[1:]; "
        start += "import multiprocessing.process as parts; "  # a process that is started is seen, and not started
        start += "parts.BaseProcess.start = lambda self: print('another process'); "
        command = [sys.executable, "-I", "-S", "-c", start + "runpy.run_path(sys.argv[0], run_name='__main__')"]
        environment = {name: value for name, value in os.environ.items() if name != "CI"}  # as its users have it
        return subprocess.run(
            [*command, *map(str, words)], env=environment, capture_output=True, text=True, timeout=120
        )

    return run


@pytest.fixture
def folder(tmp_path):
    """`folder(auto_class, **config)`: a saved model with a tokenizer for these texts."""

    def make(auto_class=TEXT, **changes):
        tokenizer = train_tokenizer([*TEXTS, QUESTION, CONTEXT], vocab_size=128, max_length=24)
        labels = {} if "num_labels" in changes else {"id2label": NAMES}
        model = build("bert", auto_class=auto_class, pad_token_id=tokenizer.pad_token_id, **labels, **changes)
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        return tmp_path / "model", model, tokenizer

    return make


def logits_of(model, tokenizer, *texts, **options):
    """Return the output of the model for each text alone, without padding."""
    with torch.inference_mode():
        return [model(**tokenizer(*text, return_tensors="pt", **options)) for text in zip(*texts, strict=True)]


def printed(done):
    assert not done.returncode, done.stderr
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("module", ["torch", "transformers", "trainer_ext"])
def test_torch_is_not_installed_there(without_torch, tmp_path, module):
    """Negative control of this file: what the script must not need cannot be imported there."""
    (tmp_path / "script.py").write_text(f"import {module}")
    done = without_torch(["onnxruntime", "tokenizers", "numpy"], tmp_path / "script.py")
    assert f"No module named '{module}'" in done.stderr


def test_a_process_that_openvino_starts_would_be_seen(without_torch, tmp_path):
    """Negative control: it starts one to report that it was imported, which is `classify.py` once more with Python 3.14."""
    (tmp_path / "script.py").write_text("import openvino\nprint('imported')")
    rows = printed(without_torch(["openvino"], tmp_path / "script.py"))
    assert sorted(rows) == [["another process"], ["imported"]]


@pytest.mark.parametrize(
    ("format_", "script", "package"),
    [("onnx", "onnx/classify.py", "onnxruntime"), ("openvino", "openvino/classify.py", "openvino")],
)
def test_the_class_of_each_text_and_its_probability(folder, without_torch, format_, script, package):
    path, model, tokenizer = folder()
    export(path, [format_])
    rows = printed(without_torch([package, "tokenizers", "numpy"], path / script, *TEXTS))
    for row, text, output in zip(rows, TEXTS, logits_of(model, tokenizer, TEXTS), strict=True):
        shares = output.logits.softmax(-1)[0]
        assert row == [text, NAMES[shares.argmax().item()], f"{shares.max():.4f}"]
    lines = (path / script).read_text(encoding="utf-8").split('"""')[2].splitlines()
    assert sum(bool(line.strip() and not line.startswith("#")) for line in lines) <= 23
    assert json.loads((path / format_ / "config.json").read_text(encoding="utf-8"))["max_length"] == 24


@pytest.mark.slow
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("task", [TEXT, WORD], ids=["texts", "words"])
def test_texts_of_similar_length_are_computed_together_in_the_order_given(folder, without_torch, task, side):
    """100 texts of 1 to 8 words in any order: the answers are those of each text alone, and few tokens are padding."""
    names = {index: f"tag {index}" for index in range(3)}
    path, model, tokenizer = folder(task, **({"num_labels": 3, "id2label": names} if task is WORD else {}))
    tokenizer.padding_side = side
    tokenizer.save_pretrained(path)
    export(path, ["onnx"])
    script = path / "onnx" / "classify.py"
    count = "import atexit\nsizes = []\natexit.register(lambda: print(f'tokens {sum(sizes)}'))\n"
    text = script.read_text(encoding="utf-8")
    spied = text.replace("import sys\n", f"import sys\n{count}").replace(
        "    used = mask[rows].any(0)\n", "    used = mask[rows].any(0)\n    sizes.append(len(rows) * used.sum())\n"
    )
    assert spied.count("sizes") == 3
    script.write_text(spied, encoding="utf-8")
    draw = np.random.default_rng(0)
    words = " ".join(TEXTS).replace(",", "").split()
    texts = [" ".join(draw.choice(words, size)) for size in draw.permutation(np.arange(100) % 8 + 1)]
    *rows, (computed,) = printed(without_torch(["onnxruntime", "tokenizers"], script, *texts))
    lengths = [len(tokenizer(one, truncation=True)["input_ids"]) for one in texts]
    assert sum(lengths) <= int(computed.split()[1]) < 1.25 * sum(lengths) < 0.85 * len(texts) * max(lengths)
    if task is TEXT:
        found = logits_of(model, tokenizer, texts, truncation=True)
        expected = [[text, NAMES[one.logits.argmax().item()]] for text, one in zip(texts, found, strict=True)]
        assert [row[:2] for row in rows] == expected
        return
    expected = []
    for text in texts:
        encoded = tokenizer(text.split(), is_split_into_words=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            best = model(**encoded).logits[0].argmax(-1).tolist()
        found = encoded.word_ids()
        expected += [[word, names[best[found.index(i)]]] for i, word in enumerate(text.split()) if i in found]
    assert rows == expected


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_long_text_is_truncated_where_its_tokenizer_does(folder, without_torch, side):
    path, model, _ = folder()
    tokenizer = AutoTokenizer.from_pretrained(path, truncation_side=side)
    tokenizer.save_pretrained(path)
    export(path, ["onnx"])
    text = "mango guava " * 30 + "the river ganga is long " * 8
    ((_, name, share),) = printed(without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", text))
    (output,) = logits_of(model, tokenizer, [text], truncation=True)
    assert (name, share) == (NAMES[output.logits.argmax().item()], f"{output.logits.softmax(-1).max():.4f}")


def test_two_texts_are_read_together(folder, without_torch):
    path, model, tokenizer = folder()
    export(path, ["onnx"])
    source = open_source(path)
    write_usage(replace(source, args=replace(source.args, text_pair_column="second")), path / "onnx" / "model.onnx")
    words = [TEXTS[0], QUESTION, TEXTS[2], CONTEXT]
    rows = printed(without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", *words))
    outputs = logits_of(model, tokenizer, words[::2], words[1::2])
    expected = [f"{output.logits.softmax(-1).max():.4f}" for output in outputs]
    assert [share for *_, share in rows] == expected


def refused(done, words):
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"usage: python classify.py {words}\n")


@pytest.mark.parametrize(("format_", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_without_a_text_it_says_how_it_is_used(folder, without_torch, format_, package):
    path, *_ = folder()
    export(path, [format_])
    refused(without_torch([package, "tokenizers", "numpy"], path / format_ / "classify.py"), "TEXT ...")


@pytest.mark.parametrize("given", [[], ["one"], ["one", "two", "three"]], ids=len)
@pytest.mark.parametrize("pairs", [True, False], ids=["pairs", "answers"])
def test_a_missing_second_text_or_context_is_said(folder, without_torch, pairs, given):
    path, *_ = folder() if pairs else folder(ANSWER, num_labels=2)
    export(path, ["onnx"])
    source = open_source(path)
    column = "second" if pairs else None
    write_usage(replace(source, args=replace(source.args, text_pair_column=column)), path / "onnx" / "model.onnx")
    done = without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", *given)
    refused(done, "TEXT SECOND_TEXT ..." if pairs else "QUESTION CONTEXT")


def test_several_classes_and_a_number(folder, without_torch):
    path, model, tokenizer = folder(problem_type="multi_label_classification")
    export(path, ["onnx"])
    rows = printed(without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", *TEXTS))
    for row, text, output in zip(rows, TEXTS, logits_of(model, tokenizer, TEXTS), strict=True):
        shares = output.logits.sigmoid()[0].tolist()
        expected = [part for i, share in enumerate(shares) if share > 0.5 for part in (NAMES[i], f"{share:.4f}")]
        assert row == [text, *expected]
    path, model, tokenizer = folder(num_labels=1, problem_type="regression")
    export(path, ["onnx"])
    rows = printed(without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", *TEXTS))
    numbers = [output.logits.item() for output in logits_of(model, tokenizer, TEXTS)]
    assert rows == [[text, f"{number:.4f}"] for text, number in zip(TEXTS, numbers, strict=True)]


def test_a_model_of_several_numbers_gives_them_all(folder, without_torch):
    path, model, tokenizer = folder(num_labels=2, problem_type="regression")
    export(path, ["onnx"])
    rows = printed(without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", *TEXTS))
    numbers = [output.logits[0].tolist() for output in logits_of(model, tokenizer, TEXTS)]
    assert rows == [[text, *(f"{one:.4f}" for one in both)] for text, both in zip(TEXTS, numbers, strict=True)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("format_", ["onnx", "openvino"])
def test_a_model_in_half_precision_is_exported_in_full(folder, format_, dtype):
    path, model, _ = folder()
    model.to(dtype).save_pretrained(path)
    (row,) = export(path, [format_])
    assert row.max_abs_difference <= 1e-5


def test_a_question_that_leaves_no_room_is_said(folder, without_torch):
    path, *_ = folder(ANSWER, num_labels=2)
    export(path, ["onnx"])
    done = without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", "who " * 100, CONTEXT)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The question is too long: it leaves no room for the context.\n"


def test_the_tag_of_each_word(folder, without_torch):
    names = {index: f"tag {index}" for index in range(12)}
    path, model, tokenizer = folder(WORD, num_labels=12, id2label=names)
    export(path, ["onnx"])
    rows = printed(without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", *TEXTS))
    expected = []
    for text in TEXTS:
        encoded = tokenizer(text.split(), is_split_into_words=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            best = model(**encoded).logits[0].argmax(-1).tolist()
        words = encoded.word_ids()
        expected += [[word, names[best[words.index(i)]]] for i, word in enumerate(text.split()) if i in words]
    assert rows == expected
    assert len({tag for _, tag in rows}) > 1


def test_the_answer_to_a_question(folder, without_torch):
    path, model, tokenizer = folder(ANSWER, num_labels=2)
    export(path, ["onnx"])
    ((found,),) = printed(
        without_torch(["onnxruntime", "tokenizers"], path / "onnx" / "classify.py", QUESTION, CONTEXT)
    )
    options = {"truncation": "only_second", "max_length": 24, "return_tensors": "pt"}
    encoded = tokenizer(QUESTION, CONTEXT, return_offsets_mapping=True, **options)
    inside = np.array([part == 1 for part in encoded.sequence_ids()])
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        output = model(**encoded)
    start, end = (np.where(inside, part[0].numpy(), -np.inf) for part in (output.start_logits, output.end_logits))
    _, first, last = postprocess.best_span(start, end, longest=30)
    assert found == CONTEXT[offsets[first][0] : offsets[last][1]] != ""
