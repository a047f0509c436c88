"""How much accuracy does int8 cost in each of the ten families, after the export has repaired what loses too much?

For each family a small model with its shapes (two layers, hidden size 128; for DeBERTa those of v3) is trained from scratch
by the stock Trainer, with a vocabulary from the training texts. It is exported to ONNX and OpenVINO in int8 with the default
bound of one point, so a file that loses more is repaired, or refused with the loss in the reason. All test rows are judged.
A finished family is not made again.

Models from scratch have few outliers, trained ones of real size do (Bondarenko et al. 2021). So the same models are also
judged with one: in the last layer a channel of the attention's values is 4,096 times as large, and the output projection
undoes it. In fp32 such a model answers as before.

Target: within one point of fp32 in all ten, or refused. Predicted: no family needs a repair without outliers, all do with
one, and one or two matrices are enough. Outcomes are in recipes/benchmarks/README.md.

    python recipes/tools/prepare.py trec6 SOURCE DATA
    python -m recipes.benchmarks.int8_families DATA --output runs/int8_families
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from transformers import AutoConfig, AutoModelForSequenceClassification, Trainer, TrainingArguments, set_seed
from transformers.utils import logging

from recipes.benchmarks.serving_tables import families
from trainer_ext import report
from trainer_ext.benchmark.latency import processor_name
from trainer_ext.benchmark.size import weight_bytes
from trainer_ext.errors import ExportRefused
from trainer_ext.export.formats import export
from trainer_ext.hub import sanitize
from trainer_ext.models.architectures import ARCHITECTURES, layers_of
from trainer_ext.models.loading import load_model
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.pipeline.scratch import label_names, train_tokenizer
from trainer_ext.report.run_directory import RunDirectory
from trainer_ext.tasks.dataset import Data, load_data, tokenize
from trainer_ext.tasks.registry import task_of
from trainer_ext.utils.files import whole_folder, write_json, write_text

FORMATS = ("onnx-int8", "openvino-int8")
RESULT = "result.json"
END = "-outlier"  # of the folder of a model with an outlier
MAX_LENGTH = 48
VOCABULARY = 4000
OUTLIER, CHANNEL = 2.0**12, 3  # a power of two, so that fp32 rounds as before
SIZES = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
WIDTH = {"distilbert": "hidden_dim"}  # name of the feed-forward width, where it is not intermediate_size
# What makes a family: fields of its published models, in proportion.
KINDS: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 64},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_buckets": 32,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "position_biased_input": False,
        "type_vocab_size": 0,
    },
    "electra": {"embedding_size": 64},
    "modernbert": {"local_attention": 16, "intermediate_size": 192},
}


def build(family: str, tokenizer, labels: list[str]):
    """Return a small random model of a family.

    Args:
        family: The model type.
        tokenizer: Gives vocabulary, special tokens and the longest text.
        labels: The class names.
    """
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep")}
    ids |= {"bos_token_id": ids["cls_token_id"], "eos_token_id": ids["sep_token_id"]}
    fields = SIZES | {WIDTH.get(family, "intermediate_size"): 512} | KINDS.get(family, {}) | ids | label_names(labels)
    # Some families count positions from behind the padding token, MPNet from 2.
    longest = tokenizer.model_max_length + max(2, tokenizer.pad_token_id + 1)
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), max_position_embeddings=longest, **fields)
    return AutoModelForSequenceClassification.from_config(config)


def make(family: str, data: Path, run: RunDirectory, epochs: float) -> None:
    """Train the model of a family and keep it as the baseline of a run, unless it is there.

    Args:
        family: The model type.
        data: Folder with train.csv and test.csv.
        run: The folder to write.
        epochs: Length of the training.
    """
    if run.report.exists():
        return
    fields = {"model_name_or_path": "scratch", "data_dir": str(data), "output_dir": str(run.root)}
    fields |= {"max_length": MAX_LENGTH, "latency_sequence_length": MAX_LENGTH}
    write_json(run.recipe, fields)  # JSON is YAML
    recipe = read_recipe(run.recipe, [])
    texts = load_data(recipe.data)
    tokenizer = train_tokenizer(texts.train["text"], vocab_size=VOCABULARY, max_length=MAX_LENGTH)
    encoded: Data = tokenize(texts, tokenizer, recipe.data)
    set_seed(17)
    model = build(family, tokenizer, texts.labels)
    args = TrainingArguments(
        output_dir=str(run.root / "trainer"),
        num_train_epochs=epochs,
        per_device_train_batch_size=64,
        learning_rate=1e-3,
        warmup_steps=0.1,
        train_sampling_strategy="group_by_length",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
        seed=17,
    )
    collator = task_of(recipe.data).collator(tokenizer)
    Trainer(model, args, data_collator=collator, train_dataset=encoded.train, processing_class=tokenizer).train()
    for part in (model, tokenizer):
        part.save_pretrained(run.baseline)
    numbers = report.Model(baseline=family, compressed=family, family=family, labels=list(texts.labels))
    report.save(report.CompressionReport(created=report.utc_now(), model=numbers), run.root)


@torch.no_grad()
def add_outlier(run: RunDirectory, target: RunDirectory) -> None:
    """Copy a run, with an outlier in its model, unless it is there: a channel of the values is scaled up, and back down.

    Args:
        run: The run to copy.
        target: The folder to write.
    """
    if target.root.exists():
        return
    with whole_folder(target.root) as part:
        shutil.copytree(run.root, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns(RESULT, "onnx", "openvino"))
        copy = RunDirectory(part)
        model = load_model(copy.baseline, option="The model", way_out="delete its folder to train it again")
        layer = layers_of(model)[-1]
        for tensor in filter(lambda tensor: tensor is not None, (layer.value.weight, layer.value.bias)):
            tensor[CHANNEL] *= OUTLIER
        layer.attention_output.weight[:, CHANNEL] /= OUTLIER
        model.save_pretrained(copy.baseline)
        report.save(replace(report.load(copy.root), exports=[]), copy.root)


def judge(run: RunDirectory, name: str, console: Console) -> dict[str, Any]:
    """Export the model of a run to a format, and return what the export found, or why it was refused."""
    start = time.perf_counter()
    try:
        (row,) = export(run.baseline, [name], console=console)
    except ExportRefused as error:
        return {"format": name, "refused": str(error)}
    return {
        "format": name,
        "accuracy": row.quality.accuracy,
        "fp32": row.quality.accuracy - row.difference.accuracy,
        "difference": row.difference.accuracy,
        "ci95": row.difference.ci95,
        "agreement": row.agreement,
        "split": row.split,
        "rows": row.rows,
        "bytes": row.bytes,
        "fp32_bytes": weight_bytes(run.baseline),
        "repair": None if row.repair is None else vars(row.repair),
        "seconds": time.perf_counter() - start,
    }


def main(
    data: Annotated[Path, typer.Argument(help="Folder with train.csv and test.csv.")],
    output: Annotated[Path, typer.Option(help="Folder for models and results.")],
    family: Annotated[list[str], typer.Option(help="Model type; may be repeated.")] = list(ARCHITECTURES),  # noqa: B006
    epochs: Annotated[float, typer.Option(help="Epochs of training.")] = 10.0,
    keep: Annotated[Path | None, typer.Option(help="Write the results to this JSON file too.")] = None,
) -> None:
    """Train, export and judge the families that have no result yet, and print the table."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    console = Console(stderr=True)
    for name in family:
        run, with_outlier = RunDirectory(output / name), RunDirectory(output / f"{name}{END}")
        for one, title in ((run, name), (with_outlier, f"{name}, outlier")):
            if (one.root / RESULT).exists():
                continue
            load, start = os.getloadavg()[0], time.perf_counter()
            make(name, data, run, epochs) if one is run else add_outlier(run, one)
            made = time.perf_counter() - start
            about = {"family": title, "load": load, "exports": [judge(one, kind, console) for kind in FORMATS]}
            write_json(one.root / RESULT, about | {"seconds": time.perf_counter() - start})
            console.print(
                f"{title}: made in {made:.0f} s, judged {time.perf_counter() - start - made:.0f} s", highlight=False
            )
    files = [output / f"{name}{end}" / RESULT for end in ("", END) for name in family]
    results = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    record = {
        "command": shlex.join(["python", "-m", "recipes.benchmarks.int8_families", *sanitize.command(sys.argv[1:])]),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "epochs": epochs,
        "created": report.utc_now(),
        "results": results,
    }
    for file in filter(None, (output / "int8_families.json", keep)):
        write_json(file, record)
    write_text(output / "int8_families.md", families(record) + "\n")
    print(families(record))


if __name__ == "__main__":
    typer.run(main)
