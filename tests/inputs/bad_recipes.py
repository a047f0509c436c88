"""Bad recipes: YAML files that are no recipe, that mean something else than they say, or that try to do something."""

from __future__ import annotations

from tests.inputs.ground import WORDED, Bad

RECIPES = {
    "no file": Bad(lambda g: ["compress", g.root / "none.yaml"], ("none.yaml", "no recipe")),
    "a folder": Bad(lambda g: ["compress", g.root], ("is no recipe", "name its data too")),
    "empty": Bad(lambda g: g.recipe_text(""), ("recipe.yaml", "NoneType")),
    "a list": Bad(lambda g: g.recipe_text("[1, 2]"), ("list",)),
    "only a word": Bad(lambda g: g.recipe_text("prune"), ("str",)),
    "unclosed": Bad(lambda g: g.recipe_text("metrics: [a, "), ("not valid YAML",)),
    "tab": Bad(lambda g: g.recipe_text("metrics:\n\t- a"), ("not valid YAML",)),
    "two documents": Bad(lambda g: g.recipe_text("a: 1\n---\nb: 2"), ("not valid YAML",)),
    "binary": Bad(lambda g: g.recipe_text(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), ("cannot be read",)),
    "NUL": Bad(lambda g: g.recipe_text("seed: 1\0"), ("not valid YAML",)),
    "UTF-16": Bad(lambda g: g.recipe_text("seed: 1".encode("utf-16")), ("cannot be read",)),
    "latin": Bad(lambda g: g.recipe_text("output_dir: caf\xe9".encode("latin-1")), ("cannot be read", "0xe9")),
    "python object": Bad(
        lambda g: g.recipe_text(f"seed: !!python/object/apply:os.system ['touch {g.root}/ran']"),
        ("not valid YAML", "python/object"),
    ),
    "python name": Bad(lambda g: g.recipe_text("seed: !!python/name:os.system"), ("not valid YAML", "python/name")),
    "own tag": Bad(lambda g: g.recipe_text("seed: !secret 1"), ("not valid YAML", "!secret")),
    "no alias": Bad(lambda g: g.recipe_text("seed: *nowhere"), ("not valid YAML", "nowhere")),
    "bomb": Bad(lambda g: g.recipe_text(bomb("metrics")), ("aliases",)),
    "bomb in scales": Bad(lambda g: g.recipe_text(bomb("scales")), ("aliases",)),
    "alias of itself": Bad(lambda g: g.recipe_text("metrics: &a [*a]"), ("aliases",)),
    "deep": Bad(lambda g: g.recipe_text("metrics: " + "[" * 5000 + "]" * 5000), ("deep",)),
    "twice": Bad(
        lambda g: g.recipe_text("prune_sparsity: 0.5\nseed: 1\nprune_sparsity: 0.25\n"), ("prune_sparsity", "twice")
    ),
    "twice in a scale": Bad(lambda g: g.recipe_text("scales:\n  small: {seed: 1, seed: 2}\n"), ("seed", "twice")),
    "no integer": Bad(lambda g: g.recipe_text("seed: !!int many"), ("not valid YAML", "many")),
    "no float": Bad(lambda g: g.recipe_text("prune_sparsity: !!float many"), ("not valid YAML",)),
    "no bool": Bad(lambda g: g.recipe_text("control: !!bool many"), ("not valid YAML",)),
    "no timestamp": Bad(lambda g: g.recipe_text("output_dir: !!timestamp many"), ("not valid YAML",)),
    "long integer": Bad(lambda g: g.recipe_text("seed: " + "9" * 5000), ("not valid YAML",)),
    "a set": Bad(lambda g: g.recipe_text("metrics: !!set {a, b}"), ("metrics",)),
    "bytes": Bad(lambda g: g.recipe_text("data_dir: !!binary aGVsbG8="), ("data_dir",)),
    "key number": Bad(lambda g: g.recipe_text("1: 2"), ("the field 1",)),
    "key list": Bad(lambda g: g.recipe_text("? [a, b]\n: 2"), ("not valid YAML",)),
    "unknown": Bad(lambda g: g.recipe(prune_methd="movement"), ("'prune_methd'", "did you mean 'prune_method'")),
    "unknown far": Bad(lambda g: g.recipe(zzz=1), ("'zzz'", "--fields")),
    "unknown private": Bad(lambda g: g.recipe(__class__=1), ("'__class__'",)),
    "mapping for word": Bad(lambda g: g.recipe(prune_method={"a": 1}), ("prune_method",)),
    "list for a word": Bad(lambda g: g.recipe(prune_method=["movement", "magnitude"]), ("magnitude",)),
    "list for a number": Bad(lambda g: g.recipe(prune_sparsity=[0.1, 0.2]), ("0.2",)),
    "empty list for a number": Bad(lambda g: g.recipe(prune_sparsity=[]), ("prune_sparsity",)),
    "word for number": Bad(lambda g: g.recipe(prune_sparsity="half"), ("prune_sparsity", "half")),
    "word for bool": Bad(lambda g: g.recipe(use_cpu="perhaps"), ("use_cpu", "perhaps")),
    "float for int": Bad(lambda g: g.recipe(scratch_layers=1.5), ("scratch_layers", "1.5")),
    "inf in yaml": Bad(lambda g: g.recipe(learning_rate=float("inf")), ("learning_rate", "inf")),
    "nan in list": Bad(lambda g: g.recipe(latency_batch_sizes=[1, float("nan")]), ("latency_batch_sizes", "nan")),
    "negative in list": Bad(lambda g: g.recipe(latency_batch_sizes=[-1]), ("latency_batch_sizes", "-1")),
    "latency giant": Bad(lambda g: g.recipe(latency_batch_sizes=[10**15]), ("latency_batch_sizes", str(10**15))),
    "scales word": Bad(lambda g: g.recipe(scales="small"), ("scales", "'small'")),
    "scale null": Bad(lambda g: g.recipe(scales={"small": None}), ("scales",)),
    "scale unknown": Bad(
        lambda g: [*g.recipe(scales={"small": {"prune_sparsty": 1}}), "--scale", "small"], ("did you mean",)
    ),
    "NUL in a path": Bad(
        lambda g: g.recipe_text('model_name_or_path: scratch\nprune_method: movement\ndata_dir: "a\\0b"'),
        ("data_dir",),
    ),
    "NUL in output": Bad(
        lambda g: [
            "compress",
            g.file(
                "recipe.yaml",
                f'model_name_or_path: scratch\nprune_method: movement\ndata_dir: {g.root}/data\noutput_dir: "a\\0b"\n',
            ),
        ],
        ("output_dir",),
    ),
    "NUL in a model": Bad(lambda g: g.recipe(model_name_or_path="a\0b"), ("model_name_or_path",)),
    "NUL in a column": Bad(lambda g: g.recipe(text_column="a\0b"), ("text_column",)),
    "surrogate": Bad(
        lambda g: g.recipe_text('model_name_or_path: scratch\nprune_method: movement\ndata_dir: "a\\ud800b"'),
        ("data_dir",),
    ),
    "newline": Bad(lambda g: g.recipe(text_column="a\nb"), ("text_column",)),
    "long word": Bad(lambda g: g.recipe(prune_method="x" * 10**5), ("prune_method",)),
    "long data_dir": Bad(lambda g: g.recipe(data_dir="x" * 300), ("too long", "xxx")),
    "file dots": Bad(lambda g: g.recipe(test_file="../../../etc/passwd"), ("../../../etc/passwd",)),
    "file absolute": Bad(lambda g: g.recipe(train_files=["/etc/passwd"]), ("/etc/passwd",)),
    "more files": Bad(lambda g: g.recipe(more_test_files=["train"]), ("'train'",)),
    "vocab corpus nowhere": Bad(lambda g: g.recipe(vocab_size=90, vocab_corpus=["nowhere.txt"]), ("nowhere.txt",)),
    "metrics": Bad(lambda g: g.recipe(metrics=["no_such_metric"]), ("no_such_metric",)),
    "metric code": Bad(lambda g: g.recipe(metrics=[str(metric(g))]), ("metric",)),
    "card license": Bad(lambda g: g.recipe(card_base_model="../x"), ("../x",)),
    "push": Bad(lambda g: g.recipe(push_to_hub=True), ("push_to_hub",)),
    "optim": Bad(lambda g: g.recipe(optim="no_such_optimizer"), ("no_such_optimizer",)),
    "lr type": Bad(lambda g: g.recipe(lr_scheduler_type="zigzag"), ("zigzag",)),
    "save steps": Bad(lambda g: g.recipe(save_steps=-4), ("save_steps", "-4")),
    "save steps nan": Bad(lambda g: g.recipe(save_steps=float("nan")), ("save_steps", "nan")),
    "logging steps": Bad(lambda g: g.recipe(logging_steps=0), ("logging_steps",)),
    "warmup": Bad(lambda g: g.recipe(warmup_steps=-1), ("warmup_steps", "-1" if WORDED else "must be")),
    "beta": Bad(lambda g: g.recipe(adam_beta1=1.5), ("adam_beta1", "1.5")),
    "resume_from_checkpoint": Bad(lambda g: g.recipe(resume_from_checkpoint="nowhere"), ("resume_from_checkpoint",)),
    "train_sampling": Bad(lambda g: g.recipe(train_sampling_strategy="zigzag"), ("zigzag",)),
    "neftune": Bad(lambda g: g.recipe(neftune_noise_alpha=float("nan")), ("neftune_noise_alpha",)),
}


def bomb(name: str) -> str:
    """A billion laughs: nine aliases of nine aliases, nine times."""
    lines = ["l0: &l0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join([*lines, f"{name}: *l9"])


def metric(ground):
    """A metric's script that leaves a mark where it runs."""
    return ground.file("metric/metric.py", f"open({str(ground.root / 'ran')!r}, 'w').close()\n").parent
