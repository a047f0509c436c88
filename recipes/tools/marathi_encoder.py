"""Train a small Marathi encoder from plain text: a WordPiece vocabulary and a masked language model.

The vocabulary keeps vowel signs and the virama. The layers can come from a pre-trained encoder of any language; the token
embeddings are new (initial_weights.py). Pre-training uses the stock Trainer; run the same command again to resume.

    python -m recipes.tools.marathi_encoder OUT CORPUS [CORPUS ...] --start all-MiniLM-L6-v2 --layers 4 --keep first
    trainer-ext compress recipes/mahanews_best.yaml --data_dir FOLDER --model_name_or_path OUT
"""

from __future__ import annotations

import json
import random
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from datasets import Dataset
from torch import nn
from transformers import (
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

from recipes.tools.initial_weights import KEEP, moved, place_vectors, token_vectors
from trainer_ext.cli.app import Debug, fail
from trainer_ext.data.corpus import read_corpus
from trainer_ext.errors import InputError
from trainer_ext.pipeline.scratch import small_bert, train_tokenizer
from trainer_ext.utils.checkpoints import last_checkpoint
from trainer_ext.utils.compat import cpu_has_bf16
from trainer_ext.utils.imports import quiet

DROPOUT = 0.1  # for fine-tuning; pre-training for few epochs needs none (Geiping & Goldstein 2023, Cramming)
HELD_OUT = 100  # one of so many texts is held out for evaluation
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


def joined(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the token ids of all texts, with a separator after each text."""
    encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return [token for ids in encoded for token in (*ids, tokenizer.sep_token_id)]


def packed(stream: Sequence[int], tokenizer: PreTrainedTokenizerBase, *, block: int) -> Dataset:
    """Cut token ids into rows of `block` tokens, including a leading [CLS]; the incomplete last row is dropped."""
    room = block - 1
    starts = range(0, len(stream) - room + 1, room)
    return Dataset.from_dict({"input_ids": [[tokenizer.cls_token_id, *stream[at : at + room]] for at in starts]})


class RepeatableCollator(DataCollatorForLanguageModeling):
    """A collator whose masked tokens depend only on the batch, so that a resumed run masks the same tokens.

    With the stock collator they depend on a random state, which differs after resuming because Trainer reads a batch
    ahead. Every epoch shuffles the rows into other batches, so other tokens are masked each time.
    """

    def torch_call(self, examples):
        """Pad and mask `examples`, a list of `{"input_ids": [...]}`."""
        words = array("q", [token for row in examples for token in row["input_ids"]])
        self.generator = torch.Generator().manual_seed(zlib.crc32(words.tobytes()))
        return super().torch_call(examples)


class MaskedTrainer(Trainer):
    """The stock Trainer, but logits are computed only for masked tokens, which saves most of the largest product."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Return the mean cross-entropy over the masked tokens, the same value as that of `BertForMaskedLM`."""
        inputs = dict(inputs)
        labels = inputs.pop("labels")
        hidden = labels != -100
        bare = self.accelerator.unwrap_model(model)
        with self.accelerator.autocast():
            states = bare.bert(**inputs).last_hidden_state
            logits = bare.cls(states[hidden])
        loss = nn.functional.cross_entropy(logits.float(), labels[hidden])
        return (loss, {"logits": logits}) if return_outputs else loss


@app.command()
def main(
    out: Annotated[Path, typer.Argument(help="Folder of the encoder; checkpoints go to OUT/checkpoints.")],
    corpus: Annotated[list[Path], typer.Argument(help="Files or folders of .txt and .txt.gz, one text per line.")],
    start: Annotated[str | None, typer.Option(help="Folder of a BERT encoder. Default: random layers.")] = None,
    layers: Annotated[int | None, typer.Option(help="Layers. Default: those of the start, or 4.")] = None,
    keep: Annotated[str, typer.Option(help=f"Which layers of the start: {', '.join(KEEP)}.")] = "even",
    vocab_size: Annotated[int, typer.Option(help="Maximum size of the vocabulary.")] = 12000,
    block: Annotated[int, typer.Option(help="Tokens per row of training.", min=8)] = 64,
    epochs: Annotated[float, typer.Option(help="Passes over the corpus.")] = 4.0,
    batch_size: Annotated[int, typer.Option(help="Rows per step.", min=1)] = 32,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 5e-4,
    mask: Annotated[float, typer.Option(help="Fraction of tokens to mask, in (0, 1).")] = 0.2,
    save_steps: Annotated[int, typer.Option(help="Steps between checkpoints.", min=1)] = 400,
    bf16: Annotated[bool | None, typer.Option(help="Train in bfloat16. Default: if the hardware supports it.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and masked tokens.")] = 17,
    debug: Debug = False,
) -> None:
    """Train the encoder, or resume from OUT/checkpoints. Writes the encoder, its tokenizer and figures.json to OUT."""
    quiet()
    on_processor = not torch.accelerator.is_available()
    if bf16 is None:
        bf16 = cpu_has_bf16() if on_processor else torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    options = {
        "corpus": [path.name for path in corpus],
        "start": Path(start).name if start else None,
        **{"layers": layers, "keep": keep, "vocab_size": vocab_size, "block": block, "epochs": epochs},
        **{"batch_size": batch_size, "learning_rate": learning_rate, "mask": mask, "bf16": bf16, "seed": seed},
    }
    try:
        for name, value in (("epochs", epochs), ("learning-rate", learning_rate)):
            if not value > 0:
                raise InputError(f"--{name} is {value}; give a number above 0.")
        if not 0 < mask < 1:
            raise InputError(f"--mask is {mask}; give a fraction in (0, 1), such as 0.2.")
        texts = list(dict.fromkeys(read_corpus(corpus)))
        _claim(out, options)
        set_seed(seed)
        random.Random(seed).shuffle(texts)
        tokenizer = train_tokenizer(texts, vocab_size=vocab_size, max_length=block)
        if start:
            model = moved(start, tokenizer, layers=layers, keep=keep)
        else:
            shape = small_bert(tokenizer, (), num_hidden_layers=layers or 4, dropout=0.0)
            model = BertForMaskedLM(shape.config)
        tokenizer.model_max_length = model.config.max_position_embeddings  # the layers can read more than one row
        streams = [joined(part, tokenizer) for part in _parted(texts)]
        held_out, train = (packed(stream, tokenizer, block=block) for stream in streams)
        if not len(train) or not len(held_out):
            raise InputError(f"{len(texts)} texts are too few for rows of {block} tokens; give more, or less --block.")
    except InputError as error:
        if debug:
            raise
        fail(error, 2)
    width = model.config.hidden_size
    place_vectors(model, token_vectors(streams[1], tokens=len(tokenizer), width=width, seed=seed), tokenizer)
    if on_processor:
        model.set_attn_implementation("eager")  # 10 % faster on a CPU, where the fused kernel has a slow backward pass
    trainer = MaskedTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(out / "checkpoints"),
            num_train_epochs=epochs,
            per_device_train_batch_size=batch_size,
            per_device_eval_batch_size=batch_size,
            learning_rate=learning_rate,
            warmup_steps=0.06,  # fraction of all steps, as RoBERTa
            weight_decay=0.01,  # BERT
            adam_beta2=0.98,  # RoBERTa
            bf16=bf16,
            use_cpu=on_processor,
            eval_strategy="steps",
            eval_steps=save_steps,
            save_steps=save_steps,
            save_total_limit=2,
            logging_steps=min(save_steps, 100),
            prediction_loss_only=True,
            report_to="none",
            seed=seed,
        ),
        train_dataset=train,
        eval_dataset=held_out,
        data_collator=RepeatableCollator(tokenizer, mlm_probability=mask),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(out / "checkpoints"))
    figures = {
        **options,
        "rows": len(train),
        "steps": trainer.state.global_step,
        "parameters": model.num_parameters(),
        "held_out_loss": {log["step"]: log["eval_loss"] for log in trainer.state.log_history if "eval_loss" in log},
    }
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = DROPOUT
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "figures.json").write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(
        f"{out}: {model.num_parameters():,} parameters, {len(tokenizer):,} tokens, loss {figures['held_out_loss']}"
    )


def _parted(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split into every hundredth text and the others."""
    return list(texts[::HELD_OUT]), [text for index, text in enumerate(texts) if index % HELD_OUT]


def _claim(out: Path, options: dict[str, object]) -> None:
    """Create the folder of a run and store its options there, or check that they are the same.

    Raises:
        InputError: The folder belongs to a run with other options.
    """
    file = out / "options.json"
    content = json.dumps(options, indent=1, ensure_ascii=False) + "\n"
    if file.exists() and file.read_text(encoding="utf-8") != content:
        raise InputError(f"{out} was started with other options ({file.name}); give another folder, or delete it.")
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    app()
