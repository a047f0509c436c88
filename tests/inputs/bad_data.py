"""Bad data: files of labelled texts that cannot be read, mean two things, or leave nothing to learn from."""

from __future__ import annotations

from tests.inputs.ground import Bad

GOOD = "text,label\nred sky,a\ngreen hill,b\nblue sea,a\ngrey stone,b\n"
TEST = "text,label\nblack night,a\nwhite snow,b\n"
IOB = "Pune B-LOC\nis O\n\nAsha B-PER\nruns O\n"
SQUAD = '{"data": [{"paragraphs": [{"context": "The sky is blue.", "qas": [%s]}]}]}'

DATA = {
    "no folder": Bad(lambda g: g.recipe(data_dir=str(g.root / "nowhere")), ("nowhere",)),
    "a file for a folder": Bad(
        lambda g: g.recipe(data_dir=str(g.root / "data/train.csv")), ("train.csv", "is a file")
    ),
    "no train file": Bad(lambda g: g.recipe(train_files=["train.tsv"]), ("'train.tsv'",)),
    "a broken link": Bad(lambda g: _link(g), ("'gone.csv'",)),
    "empty": Bad(lambda g: g.data(train=""), ("train.csv is empty",)),
    "only a BOM": Bad(lambda g: g.data(train="\ufeff"), ("train.csv is empty",)),
    "only a header": Bad(lambda g: g.data(test="text,label\n"), ("test.csv has a header but no rows",)),
    "zero bytes": Bad(lambda g: g.data(train=b"text,label\n" + b"\0" * 1000), ("train.csv", "zero byte")),
    "a zero byte in a text": Bad(
        lambda g: g.data(train=GOOD.replace("red", "r\0ed")), ("train.csv", "line 2", "zero byte")
    ),
    "half of UTF-16": Bad(lambda g: g.data(train=GOOD.encode("utf-16")[:-1]), ("train.csv", "line 5", "not UTF-16")),
    "UTF-16 without a mark": Bad(lambda g: g.data(train=GOOD.encode("utf-16-le")), ("train.csv", "zero byte")),
    "UTF-32": Bad(lambda g: g.data(train=GOOD.encode("utf-32")), ("train.csv", "not UTF-8")),
    "Latin-1": Bad(lambda g: g.data(train=GOOD.replace("red", "caf\xe9").encode("latin-1")), ("line 2", "0xe9")),
    "half a character": Bad(lambda g: g.data(train=GOOD.encode() + "a café".encode()[:-1]), ("line 6", "not UTF-8")),
    "encoded surrogate": Bad(lambda g: g.data(train=GOOD.encode() + b"\xed\xa0\x80,a\n"), ("line 6", "not UTF-8")),
    "a spreadsheet": Bad(lambda g: g.data(train=b"PK\x03\x04\x14\x00\x06\x00"), ("train.csv", "zero byte")),
    "gzip": Bad(lambda g: g.data(train=b"\x1f\x8b\x08"), ("train.csv", "not UTF-8")),
    "JSON lines": Bad(lambda g: g.data(train='{"text": "a", "label": "b"}\n' * 4), ("train.csv",)),
    "tabs and one row too wide": Bad(
        lambda g: g.data(train=GOOD.replace(",", "\t") + "a\tb\tc\n"), ("train.csv", "line 6: 3 cells", "holds tabs")
    ),
    "commas in a .tsv and one too many": Bad(
        lambda g: _train(g, "train.tsv", GOOD + "a,b,c\n"), ("train.tsv", "line 6: 3 cells", "holds commas")
    ),
    "rows joined by a quote": Bad(
        lambda g: g.data(train=GOOD + '"Bad,a\nfoo,b\nfine",a\n'),
        ("train.csv", "line 6", "to line 8", "rows of their"),
    ),
    "an array in a .jsonl": Bad(lambda g: _train(g, "train.jsonl", '["a", "b"]'), ("line 1", "not a JSON object")),
    "half a character in a .jsonl": Bad(
        lambda g: _train(g, "train.jsonl", '{"text": "\\ud800", "label": "a"}'), ("line 1", "half a character")
    ),
    "semicolons": Bad(
        lambda g: g.data(train=GOOD.replace(",", ";"), text_column="Text"), ("only 'text', 'label'", "did you mean")
    ),
    "a first line that names another mark": Bad(
        lambda g: g.data(train="sep=;\n" + GOOD), ("no column 'text', only 'text,label'",)
    ),
    "old Mac lines": Bad(lambda g: g.data(train=GOOD.replace("\n", "\r"), text_column="txt"), ("'txt'",)),
    "another case": Bad(
        lambda g: g.data(train=GOOD.replace("text", "Text", 1)), ("did you mean --text_column 'Text'",)
    ),
    "no such column": Bad(lambda g: g.recipe(label_column="topic"), ("'topic'",)),
    "a column twice": Bad(lambda g: g.data(train="text,text,label\na,b,c\n"), ("2 columns called 'text'",)),
    "the other column twice": Bad(lambda g: g.data(train="text,label,label\na,b,c\n"), ("2 columns called 'label'",)),
    "a text as the label": Bad(lambda g: g.recipe(label_column="text"), ("both 'text'",)),
    "one pair column": Bad(lambda g: g.recipe(text_pair_column="text", max_length=16), ("both 'text'",)),
    "too many cells": Bad(lambda g: g.data(train=GOOD + "a, b,a\n"), ("line 6: 3 cells",)),
    "too few cells": Bad(lambda g: g.data(train=GOOD + "alone\n"), ("line 6: 1 cells",)),
    "open quote": Bad(lambda g: g.data(train=GOOD + '"open,a\n'), ("line 6", "double quote")),
    "open quote before giant rest": Bad(
        lambda g: g.data(train=GOOD + '"open,a\n' + "more,a\n" * 20_000), ("line 6 to 20006", "double quote")
    ),
    "a giant header": Bad(lambda g: g.data(train="x" * 100_000 + ",label\na,b\n"), ("no column 'text'",)),
    "one class": Bad(lambda g: g.data(train=GOOD.replace(",b", ",a")), ("one class only, 'a'",)),
    "no label": Bad(lambda g: g.data(train=GOOD + "x,\n"), ("line 6", "label")),
    "NaN label": Bad(lambda g: g.data(train=GOOD + "x,NaN\n"), ("line 6", "'NaN'")),
    "no text": Bad(lambda g: g.data(train="text,label\n ,a\nnull,b\n"), ("no text in any of its 2 rows",)),
    "two names for a class": Bad(
        lambda g: g.data(train=GOOD, test=TEST.replace(",b", ",B")),
        ("'b' in train.csv", "'B' in test.csv", "one class"),
    ),
    "a class without its space": Bad(
        lambda g: g.data(train=GOOD.replace(",b", ",W C"), test=TEST.replace(",b", ",WC")),
        ("'W C'", "'WC'", "one class"),
    ),
    "several classes in a cell": Bad(
        lambda g: g.data(train=GOOD + "x,a|b\n"),
        ("'a|b' holds several classes", "multi_label", "--label_separator '|'"),
    ),
    "several classes in a list": Bad(
        lambda g: g.data(train=GOOD + """x,"['a', 'b']"\n"""), ("line 6", "a list of classes", "multi_label")
    ),
    "another separator": Bad(
        lambda g: g.data(train=GOOD + "x,a;b\n", test=TEST, problem_type="multi_label_classification"),
        ("'a;b' holds several classes", "--label_separator ';'"),
    ),
    "a column of 0 and 1": Bad(
        lambda g: g.data(
            train="text,a,b\nx,0,1\ny,1,0\n", label_column="a", problem_type="multi_label_classification"
        ),
        ("'a' holds just 0 and 1", "--label_columns a"),
    ),
    "no flag": Bad(
        lambda g: g.data(
            train="text,a,b\nx,0,1\ny,-1,0\n", label_columns=["a", "b"], problem_type="multi_label_classification"
        ),
        ("line 3", "'-1' in column 'a'", "write 1 if"),
    ),
    "several columns for one class": Bad(lambda g: g.recipe(label_columns=["a", "b"]), ("--label_columns", "only")),
    "a name twice": Bad(lambda g: g.recipe(class_names=["a", "a"]), ("class_names", "twice")),
    "names for numbers": Bad(
        lambda g: g.recipe(class_names=["a", "b"], problem_type="regression"), ("class_names", "has no classes")
    ),
    "class_names of other data": Bad(lambda g: g.recipe(class_names=["a", "b"]), ("lacks", "'fruit'", "'a', 'b'")),
    "label of test unknown": Bad(lambda g: g.data(train=GOOD, test=TEST + "x,music\n"), ("'music'",)),
    "test is train": Bad(lambda g: g.data(train=GOOD, test=GOOD), ("every text of",)),
    "number words": Bad(
        lambda g: g.data(train=GOOD, test=TEST, problem_type="regression"), ("line 2", "'a'", "not a number")
    ),
    "number inf": Bad(
        lambda g: g.data(train="text,label\na,1\nb,inf\n", test="text,label\nc,1\n", problem_type="regression"),
        ("line 3", "'inf'"),
    ),
    "number giant": Bad(
        lambda g: g.data(train="text,label\na,1\nb,1e300\n", test="text,label\nc,1\n", problem_type="regression"),
        ("line 3", "1e300"),
    ),
    "no class at all": Bad(
        lambda g: g.data(train="text,label\na,\nb,\n", test=TEST, problem_type="multi_label_classification"),
        ("no class in any",),
    ),
    "no such task": Bad(lambda g: g.recipe(task="summarization"), ("'summarization'",)),
    "no such problem": Bad(lambda g: g.recipe(problem_type="ranking"), ("'ranking'",)),
    "IOB one column": Bad(
        lambda g: g.data(train="Pune\n", test=IOB, task="token-classification"), ("line 1: 1 columns",)
    ),
    "IOB other tag": Bad(
        lambda g: g.data(train="Pune S-LOC\n", test=IOB, task="token-classification"), ("line 1", "'S-LOC'")
    ),
    "IOB no entity": Bad(
        lambda g: g.data(train="a O\n\nb O\n", test=IOB, task="token-classification"), ("every tag is O",)
    ),
    "IOB unknown type": Bad(lambda g: g.data(train=IOB, test="x B-ORG\n", task="token-classification"), ("'B-ORG'",)),
    "IOB empty": Bad(lambda g: g.data(train="\n\n", test=IOB, task="token-classification"), ("no sentence",)),
    "SQuAD no JSON": Bad(lambda g: _squad(g, '{"data": ['), ("train.json", "SQuAD")),
    "SQuAD deep": Bad(lambda g: _squad(g, "[" * 100_000), ("train.json", "SQuAD")),
    "SQuAD list": Bad(lambda g: _squad(g, "[]"), ("train.json", "SQuAD")),
    "SQuAD null": Bad(lambda g: _squad(g, '{"data": null}'), ("train.json", "SQuAD")),
    "SQuAD no answers": Bad(lambda g: _squad(g, SQUAD % '{"question": "q?", "answers": []}'), ("no answer",)),
    "SQuAD wrong place": Bad(lambda g: _squad(g, SQUAD % _asked(3)), ("character 3",)),
    "SQuAD word place": Bad(lambda g: _squad(g, SQUAD % _asked('"x"')), ("SQuAD",)),
    "SQuAD float place": Bad(lambda g: _squad(g, SQUAD % _asked("4.0")), ("SQuAD",)),
    "SQuAD bool place": Bad(lambda g: _squad(g, SQUAD % _asked("true", "he")), ("SQuAD",)),
    "SQuAD giant place": Bad(lambda g: _squad(g, SQUAD % _asked("9" * 30)), ("9" * 30,)),
    "SQuAD surrogate": Bad(
        lambda g: _squad(g, SQUAD % '{"question": "q \\ud800?", "answers": [{"text": "sky", "answer_start": 4}]}'),
        ("surrogates",),
    ),
    "SQuAD numbers for texts": Bad(
        lambda g: _squad(g, SQUAD % '{"question": 5, "answers": [{"text": "sky", "answer_start": 4}]}'), ("SQuAD",)
    ),
    "SQuAD context of numbers": Bad(
        lambda g: _squad(g, '{"data": [{"paragraphs": [{"context": 5, "qas": []}]}]}'), ("train.json",)
    ),
}


def _train(ground, name, text):
    ground.file(f"data/{name}", text)
    return ground.recipe(train_files=[name])


def _asked(start, text="sky"):
    return f'{{"question": "q?", "answers": [{{"text": "{text}", "answer_start": {start}}}]}}'


def _squad(ground, text):
    files = {"train_files": ["train.json"], "test_file": "test.json"}
    ground.file("data/train.json", text)
    ground.file("data/test.json", SQUAD % _asked(4))
    return ground.recipe(task="question-answering", doc_stride=4, max_length=32, **files)


def _link(ground):
    (ground.root / "data/gone.csv").symlink_to(ground.root / "nowhere.csv")
    return ground.recipe(test_file="gone.csv")
