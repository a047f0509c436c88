"""Bad models: weights that are cut, bent or of another shape, and configurations that lie about them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import sys

import torch
from safetensors.torch import load_file

from tests.inputs.bad_arguments import corpus
from tests.inputs.ground import WORDED, Bad, change_json, change_weights


def check(change):
    """The command that opens one model."""
    return lambda g: ["check", _changed(g, change)]


def baseline(change, *more):
    """The same as the baseline of a recipe."""

    def make(g):
        model = _changed(g, change, "baseline")
        return g.recipe(model_name_or_path=str(model))

    return make


def _changed(ground, change, part="compressed"):
    model = ground.model(part)
    change(model)
    return model


def _weights(content):
    return lambda model: (model / "model.safetensors").write_bytes(content((model / "model.safetensors").read_bytes()))


def _tensors(change):
    return lambda model: change_weights(model / "model.safetensors", change)


def _config(**changes):
    return lambda model: change_json(model / "config.json", **changes)


def _text(content):
    return lambda model: (model / "config.json").write_bytes(content)


def _header(**changes):
    """A header that says something else of the first tensor."""

    def change(data):
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        name = next(name for name in header if name != "__metadata__")
        header[name] |= changes
        text = json.dumps(header).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + size :]

    return _weights(change)


def _flip(data):
    """One bit of the header's length."""
    return bytes([data[0], data[1], data[2], data[3] ^ 1]) + data[4:]


def first(state):
    return next(name for name in state if name.endswith("classifier.weight"))


class Marks:
    """A pickle that runs a command when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def _pickled(content=lambda state: state, *, name="pytorch_model.bin"):
    """The weights as a pickle, changed."""

    def change(model):
        (model / name).write_bytes(pickle.dumps(Marks(model / "ran")))
        changed = content(load_file(model / "model.safetensors"))
        if changed is not None:
            torch.save(changed, model / name)
        (model / "model.safetensors").unlink()

    return change


EVIL = _pickled(lambda state: None)


def _cut(file):
    file.write_bytes(file.read_bytes()[:-500])


def _pickle_index(model, where):
    state = torch.load(model / "pytorch_model.bin", weights_only=True)
    (model / "pytorch_model.bin").rename(model / "pytorch_model-00001-of-00001.bin")
    index = {"metadata": {}, "weight_map": dict.fromkeys(state, where)}
    (model / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def _index(model, where):
    state = (model / "model.safetensors").read_bytes()
    (model.parent / "elsewhere.safetensors").write_bytes(state)
    (model / "model.safetensors").unlink()
    from safetensors.torch import load

    names = load(state)
    (model / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(names, where)})
    )


MODELS = {
    "no folder": Bad(lambda g: ["check", g.root / "nowhere"], ("nowhere",)),
    "an empty folder": Bad(lambda g: ["check", g.file("empty/.keep", "").parent], ("empty", "no model")),
    "a file": Bad(lambda g: ["check", g.file("model", "x")], ("model",)),
    "no weights": Bad(check(lambda model: (model / "model.safetensors").unlink()), ("model.safetensors",)),
    "empty weights": Bad(check(_weights(lambda data: b"")), ("header",)),
    "weights cut in the header": Bad(check(_weights(lambda data: data[:200])), ("header",)),
    "weights cut in the data": Bad(check(_weights(lambda data: data[:-500])), ("incomplete",)),
    "bytes behind the weights": Bad(check(_weights(lambda data: data + b"\0" * 64)), ("incomplete metadata",)),
    "a flipped bit in the length": Bad(check(_weights(_flip)), ("header",)),
    "a header of zero bytes": Bad(check(_weights(lambda data: b"\0" * 4096)), ("header",)),
    "a header that is no JSON": Bad(check(_weights(lambda data: data[:8] + b"x" + data[9:])), ("header",)),
    "an unknown dtype": Bad(check(_header(dtype="F17")), ("F17",)),
    "offsets backwards": Bad(check(_header(data_offsets=[64, 0])), ("offset",)),
    "offsets beyond": Bad(check(_header(data_offsets=[0, 10**12])), ("offset",)),
    "a shape that overflows": Bad(check(_header(shape=[2**40, 2**40])), ("overflow",)),
    "a picture": Bad(check(_weights(lambda data: b"\x89PNG\r\n\x1a\n")), ("header",)),
    "a layer missing": Bad(
        check(_tensors(lambda state: {n: v for n, v in state.items() if "query" not in n})), ("query",)
    ),
    "the head missing": Bad(
        check(_tensors(lambda state: {n: v for n, v in state.items() if "classifier" not in n})), ("classifier",)
    ),
    "a tensor too many": Bad(
        check(_tensors(lambda state: state | {"bert.encoder.layer.7.intermediate.dense.bias": torch.zeros(3)})),
        ("layer.7",),
    ),
    "a wrong shape": Bad(
        check(_tensors(lambda state: state | {first(state): state[first(state)][:2]})), ("classifier.weight",)
    ),
    "a transposed matrix": Bad(
        check(_tensors(lambda state: state | {first(state): state[first(state)].T})), ("classifier.weight",)
    ),
    "whole numbers for weights": Bad(
        check(_tensors(lambda state: {n: v.to(torch.int64) for n, v in state.items()})),
        ("word_embeddings.weight", "I64"),
    ),
    "complex numbers": Bad(
        check(_tensors(lambda state: {n: v.to(torch.complex64) for n, v in state.items()})), ("complex numbers",)
    ),
    "NaN": Bad(
        check(_tensors(lambda state: state | {first(state): state[first(state)] * float("nan")})),
        ("classifier.weight", "NaN"),
    ),
    "infinite weights": Bad(
        check(_tensors(lambda state: state | {first(state): state[first(state)] + float("inf")})),
        ("classifier.weight",),
    ),
    "a pickle that runs something": Bad(check(EVIL), ("pickle", "can run code", "model.safetensors")),
    "a pickle that runs something among weights": Bad(
        check(_pickled(lambda state: state | {"more": Marks("/dev/null")})), ("can run code",)
    ),
    "a pickle of another name": Bad(check(_pickled(name="model.ckpt")), ("model.ckpt", "save_pretrained")),
    "a pickle with the weights deeper": Bad(
        check(_pickled(lambda state: {"state_dict": state, "epoch": 3})), ("'state_dict'", "save_pretrained")
    ),
    "a pickle of a list": Bad(check(_pickled(lambda state: [*state])), ("not a state dict",)),
    "a pickle that is cut": Bad(
        check(lambda m: (_pickled()(m), _cut(m / "pytorch_model.bin"))), ("cannot be opened", "name a finished run")
    ),
    "a pickle of whole numbers": Bad(
        check(_pickled(lambda state: {n: v.to(torch.int64) for n, v in state.items()})), ("embeddings", "INT64")
    ),
    "a pickle without a layer": Bad(
        check(_pickled(lambda state: {n: v for n, v in state.items() if "query" not in n})), ("query",)
    ),
    "a pickle with NaN": Bad(
        check(_pickled(lambda state: state | {first(state): state[first(state)] * float("nan")})), ("NaN",)
    ),
    "an index of pickles outside": Bad(
        check(lambda m: (_pickled()(m), _pickle_index(m, "../elsewhere.bin"))), ("../elsewhere.bin", "outside")
    ),
    "a pickle called safetensors": Bad(check(_weights(lambda data: pickle.dumps(Marks("/dev/null")))), ("header",)),
    "an index outside": Bad(
        check(lambda model: _index(model, "../elsewhere.safetensors")), ("../elsewhere.safetensors",)
    ),
    "an index to nothing": Bad(check(lambda model: _index(model, "gone.safetensors")), ("gone.safetensors",)),
    "an index of lists": Bad(check(lambda model: _index(model, [1])), ("index.json",)),
    "no config": Bad(check(lambda model: (model / "config.json").unlink()), ("config.json",)),
    "an empty config": Bad(check(_text(b"")), ("config.json",)),
    "a cut config": Bad(check(_text(b'{"model_type": "bert", ')), ("config.json",)),
    "a config of a list": Bad(check(_text(b"[]")), ("config" if WORDED else "list indices",)),
    "a config in Latin-1": Bad(check(_text(b'{"model_type": "caf\xe9"}')), ("config.json",)),
    "a deep config": Bad(
        check(_text(b"[" * 100_000)), ("recursion" if sys.version_info < (3, 14) else "Stack overflow",)
    ),
    "an unknown type": Bad(check(_config(model_type="bort", auto_map=...)), ("bort",)),
    "no type": Bad(check(_config(model_type=..., auto_map=...)), ("model_type",)),
    "a type of a number": Bad(check(_config(model_type=5, auto_map=...)), ("model type `5`",)),
    "architectures of a number": Bad(check(_config(architectures=5)), ("architectures",)),
    "no such architecture": Bad(check(_config(architectures=["Nothing"])), ("Nothing",)),
    "a lie about the width": Bad(check(_config(hidden_size=64)), ("[32]", "[64]")),
    "a width of words": Bad(check(_config(hidden_size="wide")), ("hidden_size", "wide")),
    "a width of nothing": Bad(check(_config(hidden_size=0)), ("hidden_size", "0")),
    "a negative width": Bad(check(_config(hidden_size=-32)), ("-32",)),
    "a giant width": Bad(check(_config(hidden_size=2**50)), (str(2**50),)),
    "heads that do not divide": Bad(check(_config(num_attention_heads=5)), ("5",)),
    "no heads": Bad(check(_config(num_attention_heads=0)), ("num_attention_heads", "0")),
    "a lie about the layers: more": Bad(check(_config(num_hidden_layers=2)), ("layer.1",)),
    "a lie about the layers: fewer": Bad(check(_config(num_hidden_layers=0)), ("layer.0",)),
    "a lie about the neurons": Bad(baseline(_config(intermediate_size=48)), ("intermediate",)),
    "a lie about the positions": Bad(check(_config(max_position_embeddings=8)), ("position_embeddings",)),
    "a lie about the vocabulary": Bad(check(_config(vocab_size=20)), ("word_embeddings",)),
    "compact sizes of words": Bad(
        check(_config(compact_linears={"encoder.layer.0.attention.self.query": "x"})), ("compact_linears",)
    ),
    "compact sizes of nothing": Bad(
        check(_config(compact_linears={"encoder.layer.9.attention.self.query": [1, 2]})), ("layer",)
    ),
    "compact sizes that are a list": Bad(check(_config(compact_linears=[1])), ("compact_linears", "[1]")),
    "negative compact sizes": Bad(
        check(_config(compact_linears={"encoder.layer.0.attention.self.query": [-1, 2]})), ("compact_linears",)
    ),
    "a lie about compact sizes": Bad(
        check(_config(compact_linears={"encoder.layer.0.attention.self.query": [8, 32]})),
        ("attention.output.dense.weight", "[32, 16]"),
    ),
    "no token types": Bad(
        check(
            lambda m: (
                _config(type_vocab_size=0)(m),
                _tensors(lambda state: {n: v[:0] if "token_type" in n else v for n, v in state.items()})(m),
            )
        ),
        ("token_type_embeddings", "type_vocab_size"),
    ),
    "a padding id beyond": Bad(check(_config(pad_token_id=99_999)), ("pad_token_id", "99999")),
    "a dtype of nothing": Bad(check(_config(dtype="float17")), ("float17",)),
    "a quantization": Bad(check(_config(quantization_config={"quant_method": "magic"})), ("quantization_config",)),
    "labels: too few": Bad(
        baseline(_config(id2label={"0": "a", "1": "b"}, label2id={"a": 0, "b": 1})), ("classifier",)
    ),
    "labels: none": Bad(baseline(_config(id2label={}, label2id={})), ("id2label", "{}")),
    "labels: a gap": Bad(baseline(_config(id2label={"0": "a", "2": "b", "3": "c"}, label2id=...)), ("id2label",)),
    "labels: words for ids": Bad(baseline(_config(id2label={"x": "a", "y": "b", "z": "c"}, label2id=...)), ("'x'",)),
    "labels: a list": Bad(
        baseline(_config(id2label=["a", "b", "c"], label2id=...)), ("'list'" if WORDED else "id2label",)
    ),
    "labels: numbers": Bad(baseline(_config(id2label={"0": 1, "1": 2, "2": 3}, label2id=...)), ("id2label",)),
    "labels: twice": Bad(
        baseline(_config(id2label={"0": "fruit", "1": "fruit", "2": "metal"}, label2id=...)), ("fruit",)
    ),
    "labels: others than the data's": Bad(
        baseline(_config(id2label={"0": "a", "1": "b", "2": "c"}, label2id=...)), ("'fruit'",)
    ),
    "a problem of another kind": Bad(baseline(_config(problem_type="regression")), ("regression",)),
    "a problem of no kind": Bad(baseline(_config(problem_type="guessing")), ("guessing",)),
    "no head": Bad(baseline(_config(architectures=["BertModel"])), ("BertModel",)),
    "compress: weights cut": Bad(baseline(_weights(lambda data: data[:-500])), ("incomplete",)),
    "compress: a layer missing": Bad(
        baseline(_tensors(lambda state: {n: v for n, v in state.items() if "query" not in n})), ("query",)
    ),
    "compress: NaN": Bad(
        baseline(_tensors(lambda state: state | {first(state): state[first(state)] * float("nan")})),
        ("classifier.weight", "NaN"),
    ),
    "teacher: weights cut": Bad(
        lambda g: g.recipe(distill_teacher=str(_changed(g, _weights(lambda d: d[:-500]), "baseline"))), ("incomplete",)
    ),
    "teacher: other labels": Bad(
        lambda g: g.recipe(
            distill_teacher=str(
                _changed(g, _config(id2label={"0": "a", "1": "b", "2": "c"}, label2id=...), "baseline")
            )
        ),
        ("'a'",),
    ),
    "teacher: a pickle that runs something": Bad(
        lambda g: g.recipe(distill_teacher=str(_changed(g, EVIL, "baseline"))), ("can run code",)
    ),
    "benchmark: weights cut": Bad(lambda g: ["benchmark", _changed(g, _weights(lambda d: d[:-500]))], ("incomplete",)),
    "export: weights cut": Bad(lambda g: ["export", _changed(g, _weights(lambda d: d[:-500]))], ("incomplete",)),
    "export: a config of a list": Bad(
        lambda g: ["export", _changed(g, _text(b"[]"))], ("config.json" if WORDED else "list indices",)
    ),
    "trim: weights cut": Bad(
        lambda g: ["trim", _changed(g, _weights(lambda d: d[:-500])), g.out, "--size", 100, "--corpus", corpus(g)],
        ("incomplete",),
    ),
    "energy: weights cut": Bad(lambda g: ["energy", _in_run(g, "baseline")], ("incomplete",)),
    "check of a run: masks cut": Bad(lambda g: ["check", _in_run(g, "masked")], ("masked",)),
    "check of a run: masks of another kind": Bad(
        lambda g: ["check", _masks(g, pruning={"method": "wish"})], ("masked",)
    ),
    "check of a run: masks of words": Bad(lambda g: ["check", _masks(g, pruning="yes")], ("masked",)),
    "check of a run: a recipe of a list": Bad(lambda g: ["check", _recipe(g, "[1]")], ("recipe.yaml",)),
    "check of a run: a recipe that is no YAML": Bad(lambda g: ["check", _recipe(g, "a: [")], ("recipe.yaml",)),
    "check of a run: a recovery of words": Bad(
        lambda g: ["check", _recipe(g, "prune_recovery_epochs: many")], ("many",)
    ),
    "push: weights cut": Bad(lambda g: ["push", _in_run(g, "compressed"), "user/small", "--dry-run"], ("incomplete",)),
    "push: weights behind a link": Bad(
        lambda g: ["push", _linked(g), "user/small", "--dry-run"], ("model.safetensors",)
    ),
    "import: nothing pruned": Bad(lambda g: ["import-nn-pruning", g.model("baseline"), g.out], ("nothing pruned",)),
    "import: weights cut": Bad(
        lambda g: ["import-nn-pruning", _changed(g, _weights(lambda d: d[:-500]), "baseline"), g.out], ("incomplete",)
    ),
    "import: a pickle that runs something": Bad(
        lambda g: ["import-nn-pruning", _changed(g, EVIL, "baseline"), g.out],
        ("pytorch_model.bin",),
    ),
    "import: pruned heads of words": Bad(
        lambda g: ["import-nn-pruning", _changed(g, _config(pruned_heads={"x": [1]}), "baseline"), g.out],
        ("pruned_heads",),
    ),
    "import: pruned heads of a list": Bad(
        lambda g: ["import-nn-pruning", _changed(g, _config(pruned_heads=[[1]]), "baseline"), g.out], ("pruned_heads",)
    ),
    "import: a config of a list": Bad(
        lambda g: ["import-nn-pruning", _changed(g, _text(b"[]"), "baseline"), g.out], ("config.json",)
    ),
    "import: a config of numbers": Bad(
        lambda g: ["import-nn-pruning", _changed(g, _config(architectures=7), "baseline"), g.out], ("architectures",)
    ),
    "import: a width of words": Bad(
        lambda g: ["import-nn-pruning", _changed(g, _config(hidden_size="x"), "baseline"), g.out], ("hidden_size",)
    ),
    "benchmark: an empty ONNX file": Bad(lambda g: ["benchmark", g.file("m.onnx", "")], ("m.onnx",)),
    "benchmark: an ONNX file of words": Bad(lambda g: ["benchmark", g.file("m.onnx", "words")], ("m.onnx",)),
    "benchmark: an XML file of words": Bad(lambda g: ["benchmark", g.file("m.xml", "<net></net>")], ("m.xml",)),
}


def _in_run(g, part):
    file = g.run / part / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-500])
    return g.run


def _masks(g, **changes):
    change_json(g.run / "masked/config.json", **changes)
    return g.run


def _lie(g, **changes):
    change_json(g.run / "compressed/config.json", **changes)
    return g.run


def _recipe(g, text):
    (g.run / "recipe.yaml").write_text(text)
    return g.run


def _linked(g):
    file = g.run / "compressed/model.safetensors"
    shutil.move(file, g.root / "elsewhere.safetensors")
    file.symlink_to(g.root / "elsewhere.safetensors")
    return g.run
