"""Bad tokenizers and corpora: a tokenizer.json that is cut or lies, and texts to trim by that are none."""

from __future__ import annotations

import gzip
import json

from tests.inputs.bad_arguments import corpus
from tests.inputs.ground import WORDED, Bad, change_json


def trim(change, size=110, texts=corpus):
    """The command that reads both a tokenizer and a corpus."""

    def make(ground):
        model = ground.model("baseline")
        change(model)
        return ["trim", model, ground.out, "--size", size, "--corpus", texts(ground)]

    return make


def _file(content, name="tokenizer.json"):
    return lambda model: (model / name).write_bytes(content((model / name).read_bytes()))


def _json(change):
    def rewritten(data):
        values = json.loads(data)
        change(values)
        return json.dumps(values).encode()

    return _file(rewritten)


def _model(**changes):
    return _json(lambda values: values["model"].update(changes))


def _corpus(content, name="corpus.txt"):
    return trim(lambda model: None, texts=lambda ground: ground.file(name, content))


def _more_pieces(values):
    vocabulary = values["model"]["vocab"]
    vocabulary |= {f"more{n}": len(vocabulary) + n for n in range(20)}


def without(name):
    """The tokenizer without a field of its config."""
    return lambda model: change_json(model / "tokenizer_config.json", **{name: ...})


TEXTS = "".join(f"the mango of {number}\n" for number in range(20))
TOKENIZERS = {
    "no file": Bad(
        trim(lambda m: ((m / "tokenizer.json").unlink(), (m / "tokenizer_config.json").unlink())), ("tokenizer",)
    ),
    "empty": Bad(trim(_file(lambda data: b"")), ("tokenizer", "model")),
    "cut": Bad(trim(_file(lambda data: data[:300])), ("tokenizer",)),
    "zero bytes": Bad(trim(_file(lambda data: b"\0" * 99)), ("tokenizer",)),
    "a list": Bad(trim(_file(lambda data: b"[]")), ("tokenizer",)),
    "Latin-1": Bad(trim(_file(lambda data: b'{"caf\xe9": 1}')), ("tokenizer",)),
    "deep": Bad(trim(_file(lambda data: b"[" * 100_000)), ("tokenizer",)),
    "another version": Bad(trim(_json(lambda values: values.update(version="9.0"))), ("tokenizer",)),
    "no model": Bad(trim(_json(lambda values: values.pop("model"))), ("tokenizer",)),
    "a model of another kind": Bad(trim(_model(type="Guessing")), ("tokenizer",)),
    "a vocabulary that is a list": Bad(trim(_model(vocab=["a", "b"])), ("tokenizer",)),
    "a vocabulary of nothing": Bad(trim(_model(vocab={})), ("tokenizer",)),
    "ids that are words": Bad(trim(_model(vocab={"[UNK]": "x"})), ("tokenizer",)),
    "negative ids": Bad(trim(_model(vocab={"[UNK]": -1})), ("tokenizer",)),
    "no unknown piece": Bad(trim(_model(unk_token="[NOTHING]")), ("tokenizer", "Missing [UNK] token")),
    "ids with a gap": Bad(
        trim(_json(lambda values: values["model"]["vocab"].update({"far": 10_000}))), ("do not belong together",)
    ),
    **(
        {"an id twice": Bad(trim(_json(lambda values: values["model"]["vocab"].update({"twin": 7}))), ("tokenizer",))}
        if WORDED
        else {}  # tokenizers before 0.23 takes the last of the two
    ),
    "more tokens than embeddings": Bad(trim(_json(_more_pieces)), ("embeddings", "do not belong together")),
    "added tokens that are a word": Bad(trim(_json(lambda values: values.update(added_tokens="x"))), ("tokenizer",)),
    "a normalizer of nothing": Bad(
        trim(_json(lambda values: values.update(normalizer={"type": "Magic"}))), ("tokenizer",)
    ),
    "a bad pattern": Bad(
        trim(
            _json(
                lambda values: values.update(normalizer={"type": "Replace", "pattern": {"Regex": "("}, "content": ""})
            )
        ),
        ("tokenizer",),
    ),
    "a class of a number": Bad(
        trim(_file(lambda data: b'{"tokenizer_class": 5}', "tokenizer_config.json")), ("tokenizer",)
    ),
    "a config that is cut": Bad(trim(_file(lambda data: data[:20], "tokenizer_config.json")), ("tokenizer",)),
    "a config that is a list": Bad(trim(_file(lambda data: b"[]", "tokenizer_config.json")), ("tokenizer",)),
    "a size above": Bad(trim(lambda model: None, size=10**6), ("1000000",)),
    "a size below": Bad(trim(lambda model: None, size=6), ("size of 6", "too small")),
    "a target that is full": Bad(
        lambda g: ["trim", g.model("baseline"), g.root / "data", "--size", 110, "--corpus", corpus(g)],
        ("data", "not an empty folder"),
    ),
    "a target that is a file": Bad(
        lambda g: ["trim", g.model("baseline"), g.file("taken", "x"), "--size", 110, "--corpus", corpus(g)], ("taken",)
    ),
    "compress: cut": Bad(lambda g: _compress(g, _file(lambda data: data[:300])), ("tokenizer",)),
    "compress: no padding token": Bad(
        lambda g: _compress(g, without("pad_token")), ("no padding token", "tokenizer.pad_token", "save_pretrained")
    ),
    "export: no padding token": Bad(lambda g: _other("export", g, without("pad_token")), ("no padding token",)),
    "compress: too long, and the tokenizer has no limit": Bad(
        lambda g: _compress(g, without("model_max_length"), max_length=64), ("--max_length is 64", "at most 16")
    ),
    "compress: too long, and the tokenizer says it is not": Bad(
        lambda g: _compress(
            g, lambda m: change_json(m / "tokenizer_config.json", model_max_length=512), max_length=64
        ),
        ("--max_length is 64", "at most 16"),
    ),
    "compress: more tokens than embeddings": Bad(
        lambda g: _compress(g, _json(_more_pieces)), ("do not belong together",)
    ),
    "compress: too long": Bad(lambda g: _compress(g, lambda model: None, max_length=64), ("64", "16")),
    "export: cut": Bad(lambda g: _other("export", g, _file(lambda data: data[:300])), ("tokenizer",)),
    "export: more tokens than embeddings": Bad(
        lambda g: _other("export", g, _json(_more_pieces)), ("do not belong together",)
    ),
    "benchmark: cut": Bad(
        lambda g: [*_other("benchmark", g, _file(lambda data: data[:300])), "--texts", corpus(g)], ("tokenizer",)
    ),
    "benchmark: more tokens than embeddings": Bad(
        lambda g: [*_other("benchmark", g, _json(_more_pieces)), "--texts", g.file("t.txt", "more1 more2 more3\n")],
        ("do not belong together",),
    ),
}
CORPORA = {
    "no file": Bad(trim(lambda model: None, texts=lambda g: g.root / "none.txt"), ("none.txt",)),
    "another kind": Bad(_corpus("text\n", "corpus.csv"), ("corpus.csv", ".txt")),
    "an empty folder": Bad(trim(lambda model: None, texts=lambda g: g.file("texts/.keep", "").parent), ("texts",)),
    "a folder called .txt": Bad(
        trim(lambda model: None, texts=lambda g: g.file("texts/a.txt/b", "").parent.parent), ("a.txt",)
    ),
    "empty": Bad(_corpus(""), ("corpus.txt is empty",)),
    "only white space": Bad(_corpus(" \n\t\n\u3000\n"), ("corpus.txt is empty",)),
    "too few texts": Bad(_corpus("one\ntwo\n"), ("2 texts",)),
    "one text many times": Bad(_corpus("the same\n" * 50), ("50 texts",)),
    "Latin-1": Bad(_corpus("caf\xe9\n".encode("latin-1") * 20), ("corpus.txt", "0xe9")),
    "half of UTF-16": Bad(_corpus(TEXTS.encode("utf-16")[:-1]), ("corpus.txt", "not UTF-16")),
    "zero bytes": Bad(_corpus(b"\0" * 500), ("corpus.txt", "zero byte")),
    "another language": Bad(
        _corpus("".join(f"დღეს წვიმს და ქარი {'ქ' * n}\n" for n in range(20))), ("no pieces for",)
    ),
    "a cut archive": Bad(
        _corpus(gzip.compress(TEXTS.encode())[:-12], "corpus.txt.gz"), ("corpus.txt.gz", "truncated")
    ),
    "a bent archive": Bad(
        _corpus(gzip.compress(TEXTS.encode(), mtime=0)[:30] + b"\xff" * 9, "corpus.txt.gz"), ("corpus.txt.gz",)
    ),
    "no archive": Bad(_corpus(TEXTS, "corpus.txt.gz"), ("corpus.txt.gz", "gzip")),
    "an archive of zero bytes": Bad(
        _corpus(gzip.compress(b"\0" * 1000), "corpus.txt.gz"), ("corpus.txt.gz", "zero byte")
    ),
    "an archive that bursts": Bad(
        trim(lambda model: None, texts=lambda g: g.file("corpus.txt.gz", gzip.compress(b"a" * 10**7, 1) * 30)),
        ("corpus.txt.gz",),
    ),
    "held out: no file": Bad(
        lambda g: [*trim(lambda model: None)(g), "--held-out", g.root / "none.txt"], ("none.txt",)
    ),
    "held out: of another language": Bad(
        lambda g: [*trim(lambda model: None)(g), "--held-out", g.file("h.txt", "ξξξ\n")], ("held-out",)
    ),
    "calibration: empty": Bad(
        lambda g: ["export", g.model(), "--format", "onnx-int8", "--calibration", g.file("c.txt", "")],
        ("c.txt is empty",),
    ),
    "benchmark: no such column": Bad(
        lambda g: ["benchmark", g.model(), "--texts", g.file("t.csv", "a,b\n1,2\n")], ("'text'", "'a'")
    ),
    "benchmark: a giant header": Bad(
        lambda g: ["benchmark", g.model(), "--texts", g.file("t.csv", "x" * 200_000 + "\n")],
        ("t.csv", "no column 'text'"),
    ),
    "benchmark: a column twice": Bad(
        lambda g: ["benchmark", g.model(), "--texts", g.file("t.csv", "text,text\n1,2\n")], ("t.csv", "2 columns")
    ),
    "benchmark: an open quote": Bad(
        lambda g: ["benchmark", g.model(), "--texts", g.file("t.csv", 'text\n"open\n')], ("t.csv", "line 2")
    ),
    "benchmark: zero bytes": Bad(
        lambda g: ["benchmark", g.model(), "--texts", g.file("t.csv", b"text\na\0b\n")], ("t.csv", "line 2")
    ),
    "benchmark: no text": Bad(lambda g: ["benchmark", g.model(), "--texts", g.file("t.csv", "text\n\n")], ("t.csv",)),
    "vocab_corpus: Latin-1": Bad(
        lambda g: g.recipe(vocab_size=110, vocab_corpus=[str(g.file("v.txt", b"caf\xe9\n" * 20))]), ("v.txt", "0xe9")
    ),
}


def _compress(ground, change, **changes):
    model = ground.model("baseline")
    change(model)
    return ground.recipe(model_name_or_path=str(model), **changes)


def _other(command, ground, change):
    model = ground.model("baseline")
    change(model)
    return [command, model]
