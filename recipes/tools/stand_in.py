"""Make a small model with the vocabulary size of XLM-R (250,002 tokens), for machines without access to the Hub.

The weights are random, and the tokens are learned from the given texts; train the model before using it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import XLMRobertaConfig, XLMRobertaModel

from recipes.benchmarks.multilingual_shapes import XLMR_OWN, XLMR_SIZE, xlmr_like
from trainer_ext.data.corpus import read_corpus

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
LONGEST = 512  # tokens, as in XLM-R


@app.command()
def make(
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    texts: Annotated[list[Path], typer.Argument(help="Texts of one language: .txt or .txt.gz, or folders of them.")],
    own: Annotated[int, typer.Option(help="Tokens that are learned from the texts.")] = XLMR_OWN,
    size: Annotated[int, typer.Option(help="Tokens in all.")] = XLMR_SIZE,
    hidden_size: Annotated[int, typer.Option(help="Width; a multiple of 64.")] = 256,
    layers: Annotated[int, typer.Option(help="Layers of the encoder.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 17,
) -> None:
    """Write the model and its tokenizer."""
    tokenizer = xlmr_like(list(read_corpus(texts)), own=own, size=size)
    tokenizer.model_max_length = LONGEST
    config = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=hidden_size // 64,
        intermediate_size=4 * hidden_size,
        max_position_embeddings=LONGEST + 2,
        type_vocab_size=1,
        layer_norm_eps=1e-5,
    )
    torch.manual_seed(seed)
    XLMRobertaModel(config).save_pretrained(out)
    tokenizer.save_pretrained(out)
    typer.echo(f"{out}: {len(tokenizer):,} tokens, {layers} layers of {hidden_size}")


if __name__ == "__main__":
    app()
