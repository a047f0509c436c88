"""Bad arguments of the command line: unknown, incomplete, or out of range."""

from __future__ import annotations

from tests.inputs.ground import Bad

ARGUMENTS = {
    "no such command": Bad(lambda g: ["compres", "recipe.yaml"], ("compres",)),
    "no such option": Bad(lambda g: ["check", g.root, "--colour", "red"], ("--colour",)),
    "an option without its value": Bad(
        lambda g: ["check", g.root, "--trust-remote-code=maybe"], ("--trust-remote-code",)
    ),
    # By typer's release its name is PATH or path.
    "no argument": Bad(lambda g: ["check"], ("Missing argument", "`trainer-ext check --help`")),
    "an argument too many": Bad(lambda g: ["check", g.root, "another"], ("another",)),
    "words for a number": Bad(
        lambda g: ["trim", "m", g.out, "--size", "many", "--corpus", "c.txt"], ("--size", "many")
    ),
    "a number above all": Bad(lambda g: ["demo", g.root, "--port", 70000], ("--port", "70000")),
    "a negative size": Bad(
        lambda g: ["trim", g.model("baseline"), g.out, "--size", -5, "--corpus", corpus(g)], ("-5",)
    ),
    "a size of nothing": Bad(
        lambda g: ["trim", g.model("baseline"), g.out, "--size", 0, "--corpus", corpus(g)], ("size of 0",)
    ),
    "compress without a recipe": Bad(lambda g: ["compress"], ("RECIPE.yaml",)),
    "a word that is no field": Bad(lambda g: [*g.recipe(), "0.5"], ("'0.5' is not a field",)),
    "an unknown field": Bad(
        lambda g: [*g.recipe(), "--prune_sparsty", 0.5], ("prune_sparsty", "did you mean 'prune_sparsity'")
    ),
    "a field of another type": Bad(
        lambda g: [*g.recipe(), "--num_train_epochs", "many"], ("num_train_epochs", "many")
    ),
    "a field that is not a number": Bad(lambda g: [*g.recipe(), "--prune_sparsity", "nan"], ("prune_sparsity", "nan")),
    "an infinite field": Bad(lambda g: [*g.recipe(), "--distill_temperature", "inf"], ("distill_temperature", "inf")),
    "infinite learning rate": Bad(lambda g: [*g.recipe(), "--learning_rate", "inf"], ("learning_rate", "inf")),
    "learning rate is not a number": Bad(lambda g: [*g.recipe(), "--learning_rate", "nan"], ("learning_rate", "nan")),
    "negative learning rate": Bad(lambda g: [*g.recipe(), "--learning_rate", "-0.1"], ("learning_rate", "-0.1")),
    "batch of nothing": Bad(
        lambda g: [*g.recipe(), "--per_device_train_batch_size", 0], ("per_device_train_batch_size", "0")
    ),
    "negative batch": Bad(
        lambda g: [*g.recipe(), "--per_device_train_batch_size", -4], ("per_device_train_batch_size", "-4")
    ),
    "negative eval batch": Bad(
        lambda g: [*g.recipe(), "--per_device_eval_batch_size", -4], ("per_device_eval_batch_size", "-4")
    ),
    "negative epochs": Bad(lambda g: [*g.recipe(), "--num_train_epochs", -1], ("num_train_epochs", "-1")),
    "nan epochs": Bad(lambda g: [*g.recipe(), "--num_train_epochs", "nan"], ("num_train_epochs", "nan")),
    "zero accumulation": Bad(
        lambda g: [*g.recipe(), "--gradient_accumulation_steps", 0], ("gradient_accumulation_steps", "0")
    ),
    "negative seed": Bad(lambda g: [*g.recipe(), "--seed", -1], ("seed", "-1")),
    "giant seed": Bad(lambda g: [*g.recipe(), "--seed", 2**70], ("seed", str(2**70))),
    "infinite scratch epochs": Bad(lambda g: [*g.recipe(), "--scratch_epochs", "inf"], ("scratch_epochs", "inf")),
    "nan scratch epochs": Bad(lambda g: [*g.recipe(), "--scratch_epochs", "nan"], ("scratch_epochs", "nan")),
    "inf compression rate": Bad(
        lambda g: [*g.recipe(), "--scratch_compression_rate", "inf"], ("scratch_compression_rate", "inf")
    ),
    "infinite baseline epochs": Bad(lambda g: [*g.recipe(), "--baseline_epochs", "inf"], ("baseline_epochs", "inf")),
    "negative layers": Bad(lambda g: [*g.recipe(), "--scratch_layers", -1], ("scratch_layers", "-1")),
    "zero heads": Bad(lambda g: [*g.recipe(), "--scratch_heads", 0], ("scratch_heads", "0")),
    "heads that do not divide": Bad(lambda g: [*g.recipe(), "--scratch_heads", 5], ("5",)),
    "negative hidden": Bad(lambda g: [*g.recipe(), "--scratch_hidden_size", -32], ("-32",)),
    "negative vocab": Bad(lambda g: [*g.recipe(), "--scratch_vocab_size", -400], ("-400",)),
    "dropout above one": Bad(lambda g: [*g.recipe(), "--scratch_dropout", 1.5], ("1.5",)),
    "negative max rows": Bad(lambda g: [*g.recipe(), "--max_train_rows", -3], ("max_train_rows", "-3")),
    "max length 1": Bad(
        lambda g: [*g.recipe(), "--max_length", 1, "--latency_sequence_length", 1], ("max_length", "1")
    ),
    "giant max length": Bad(lambda g: [*g.recipe(), "--max_length", 10**12], ("max_length",)),
    "vocab size": Bad(lambda g: [*g.recipe(), "--vocab_size", -3], ("-3",)),
    "vocab size giant": Bad(lambda g: [*g.recipe(), "--vocab_size", 10**9], (str(10**9),)),
    "drop more layers than there are": Bad(lambda g: [*g.recipe(), "--prune_layers", 7], ("7",)),
    "block size does not divide": Bad(lambda g: [*g.recipe(), "--prune_block_size", 7], ("7",)),
    "no scale": Bad(lambda g: [*g.recipe(), "--scale", "tiny"], ("'tiny'",)),
    "resume nothing": Bad(lambda g: [*g.recipe(task="translation"), "--resume"], ("'translation'",)),
    "output is a file": Bad(lambda g: [*g.recipe(output_dir=str(g.file("taken", "x")))], ("is a file",)),
    "output below a file": Bad(lambda g: [*g.recipe(output_dir=str(g.file("taken", "x") / "run"))], ("taken",)),
    "output holds a run": Bad(lambda g: [*g.recipe(output_dir=str(g.run))], ("already holds a run",)),
    "output name too long": Bad(lambda g: [*g.recipe(output_dir=str(g.root / ("x" * 300)))], ("xxx",)),
    "eval strategy": Bad(lambda g: [*g.recipe(eval_strategy="epoch")], ("eval_strategy",)),
    "teacher nowhere": Bad(lambda g: [*g.recipe(distill_teacher=str(g.root / "nobody"))], ("nobody",)),
    "model nowhere": Bad(lambda g: [*g.recipe(model_name_or_path=str(g.root / "nobody"))], ("nobody",)),
    "model id nowhere": Bad(lambda g: [*g.recipe(model_name_or_path="nobody/has-this")], ("nobody/has-this",)),
    "model id odd": Bad(lambda g: [*g.recipe(model_name_or_path="../../etc/x..y")], ("../../etc/x..y",)),
    "device": Bad(lambda g: ["benchmark", g.model(), "--device", "tpu"], ("tpu",)),
    "precision": Bad(lambda g: ["benchmark", g.model(), "--precision", "int3"], ("int3",)),
    "repeats": Bad(lambda g: ["benchmark", g.model(), "--repeats", 1], ("1",)),
    "batch": Bad(lambda g: ["benchmark", g.model(), "--batch-size", -2], ("-2",)),
    "threads": Bad(lambda g: ["benchmark", g.model(), "--threads", 0], ("0",)),
    "length": Bad(lambda g: ["benchmark", g.model(), "--sequence-length", 99999], ("99999",)),
    "json nowhere": Bad(lambda g: ["benchmark", g.model(), "--json", g.root / "none/x.json"], ("none/x.json",)),
    "plot ending": Bad(lambda g: ["benchmark", g.model(), "--plot", g.root / "x.bmp"], ("x.bmp",)),
    "format": Bad(lambda g: ["export", g.run, "--format", "onnx-int3"], ("onnx-int3",)),
    "calibration rows": Bad(lambda g: ["export", g.run, "--format", "onnx-int8", "--calibration-rows", -1], ("-1",)),
    "max drop nan": Bad(lambda g: ["export", g.run, "--format", "onnx-int8", "--max-drop", "nan"], ("nan",)),
    "energy seconds": Bad(lambda g: ["energy", g.run, "--seconds", "nan"], ("nan",)),
    "energy country": Bad(lambda g: ["energy", g.run, "--country", "Mars"], ("Mars",)),
    "sweep workers": Bad(lambda g: [*g.sweep(), "--workers", 0], ("--workers", "0")),
    "sweep two goals": Bad(lambda g: [*g.recipe(), "--smallest-within", 1, "--best-at", 2], ("compress",)),
    "sweep goal": Bad(lambda g: ["sweep", g.recipe()[1], "--smallest-within", "nan"], ("nan",)),
    "sweep goal neg": Bad(lambda g: ["sweep", g.recipe()[1], "--fastest-within", -1], ("-1",)),
    "sweep goal speed": Bad(lambda g: ["sweep", g.recipe()[1], "--best-at", "inf"], ("inf",)),
    "sweep max runs": Bad(lambda g: ["sweep", g.recipe()[1], "--best-at", 2, "--max-runs", 0], ("0",)),
    "sweep storage": Bad(lambda g: [*g.sweep(), "--storage", "nosuch://x"], ("nosuch://x",)),
}


def corpus(ground):
    """Return a corpus of good texts."""
    return ground.file(
        "corpus.txt",
        "\n".join(f"the {word} of today, {number}" for word in ("mango", "iron", "ganga") for number in range(8)),
    )
