"""Checkpoint: trim a model and its tokenizer to a corpus, and write them only if the logits stay the same."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from transformers import AutoConfig, AutoTokenizer

from ..benchmark.size import evaluating
from ..data.corpus import hold_out, read_corpus
from ..errors import CheckFailed, InputError
from ..models.loading import HEADS, load_model, load_tokenizer, rows_of, save_tokenizer
from ..models.outputs import full_precision
from ..report.schema import Pair, Vocabulary
from ..utils.files import whole_folder
from .trim import Trimmed, measure_vocabulary, trim_model, trim_tokenizer

COMPARED, LONGEST = 64, 128  # number of texts, and tokens of each
ALLOWED = 1e-6  # difference of the logits, times the largest if above 1
_PRETRAINING = ("ForMaskedLM", "ForPreTraining")
_WAY_OUT = "name the folder or Hub id of a model with its tokenizer"


@dataclass(frozen=True)
class Trimming:
    """Result of trimming.

    Attributes:
        vocabulary: sizes, and how held-out texts are tokenized before and after.
        parameters: number of parameters before and after.
        weight_bytes: size of the weights before and after.
        difference: largest difference of the logits of the compared texts.
        compared: number of compared texts or words, of which all tokens are kept.
        note: a line about characters that were removed, or "".
    """

    vocabulary: Vocabulary
    parameters: Pair[int]
    weight_bytes: Pair[int]
    difference: float
    compared: int
    note: str = ""


@full_precision()
def trim_checkpoint(
    name: str,
    target: str | Path,
    *,
    size: int | str,
    corpus: Sequence[str | Path],
    held_out: str | Path | None = None,
    console: Console | None = None,
) -> Trimming:
    """Cut a model and its tokenizer to the tokens that a corpus uses, and write both.

    Args:
        name: a folder, or a Hub id.
        target: the folder to write, new or empty. It is written only if the logits are the same.
        size: number of tokens of the new vocabulary, or "auto" (see `trim_tokenizer`).
        corpus: text files or folders of them, one text per line.
        held_out: a file of texts to measure with. Defaults to every tenth text of the corpus.
        console: where progress is shown. Defaults to the standard error stream.

    Raises:
        InputError: If the folder cannot be written, or the model, corpus or size does not allow it.
        CheckFailed: If texts whose tokens are all kept have other logits.
    """
    target = Path(target).expanduser()
    _require_writable(target)
    texts = read_corpus(corpus)
    if held_out is None:
        texts, unseen = hold_out(texts, advice=", or a file with --held-out")
    else:
        unseen = read_corpus([held_out])
    model = load_model(name, option="MODEL", way_out=_WAY_OUT, head=_head(name))
    tokenizer = load_tokenizer(name, way_out=_WAY_OUT, rows=rows_of(model), pads=False)
    with Progress(console=console or Console(stderr=True), transient=True) as progress:
        counted = progress.track(texts, description="counting tokens")
        table = model.get_input_embeddings().weight
        trimmed = trim_tokenizer(tokenizer, counted, size, held_out=unseen, embeddings=table)
    vocabulary = replace(measure_vocabulary(tokenizer, trimmed.tokenizer, unseen), corpus_texts=len(texts))
    kept = list(islice(_kept(tokenizer, trimmed, unseen), COMPARED))
    if not kept:
        raise InputError(f"No held-out word keeps its tokens with a size of {size}; ask for more tokens.")
    length = min(LONGEST, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", LONGEST) - 2)
    expected = _outputs(model, tokenizer, kept, length, trimmed.kept_ids)
    before = _sizes(model)
    trim_model(model, trimmed)
    with whole_folder(target) as folder:
        model.save_pretrained(folder)
        save_tokenizer(trimmed.tokenizer, folder)
        reloaded = type(model).from_pretrained(folder)
        found = _outputs(reloaded, AutoTokenizer.from_pretrained(folder), kept, length)
        difference = max((new - old).abs().max().item() for new, old in zip(found, expected, strict=True))
        allowed = ALLOWED * max(1.0, *(old.abs().max().item() for old in expected))
        if not difference <= allowed:
            raise CheckFailed(
                f"The logits of texts whose tokens are all kept differ by {difference:.1e}, above {allowed:.1e}; {target} was "
                "not written. Take another model, or report this with the output of --debug."
            )
    parameters, weight_bytes = (Pair(*pair) for pair in zip(before, _sizes(model), strict=True))
    return Trimming(vocabulary, parameters, weight_bytes, difference, len(kept), trimmed.note)


def trimming_table(trimming: Trimming, title: str) -> Table:
    """Return a table of the sizes and of how held-out texts are tokenized, before and after.

    Args:
        trimming: the result of trimming.
        title: title of the table.
    """
    vocabulary, mib = trimming.vocabulary, 2**20
    shown = Table(title=Text(title), title_justify="left")
    for heading in ("", "before", "after"):
        shown.add_column(heading, justify="right" if heading else "left")
    rows: tuple[tuple[str, Any, Callable[[Any], str]], ...] = (
        ("vocabulary, tokens", vocabulary.tokens, "{:,}".format),
        ("parameters", trimming.parameters, "{:,}".format),
        ("weights, MiB", trimming.weight_bytes, lambda size: f"{size / mib:.1f}"),
        ("tokens per word", vocabulary.tokens_per_word, "{:.3f}".format),
        ("unknown, of tokens", vocabulary.unknown_rate, "{:.3%}".format),
    )
    for label, pair, form in rows:
        shown.add_row(label, form(pair.baseline), form(pair.compressed))
    shown.add_row(
        f"tokenized differently, of {vocabulary.held_out_texts:,} held-out texts",
        "",
        f"{vocabulary.changed_share:.1%}",
    )
    shown.add_row(f"largest difference of logits, {trimming.compared} texts", "", f"{trimming.difference:.1e}")
    return shown


def _require_writable(target: Path) -> None:
    """Raise an error before the work starts if the folder cannot be written."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not an empty folder; name a new one.")
    parent = next(parent for parent in target.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise InputError(f"Cannot write to {parent}: {error.strerror}; name another folder than {target}.") from error


def _head(name: str) -> str | None:
    """Return the head of a model as in the name of its Auto class, "" if it has none, None if it cannot be loaded."""
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception:
        return None  # loading the model will say why
    if config.to_dict().get("pruning"):
        raise InputError(
            f"{name} is a checkpoint with masks from an unfinished run; finish the run, then trim the result."
        )
    ends = [head for one in config.architectures or () for head in (*HEADS, *_PRETRAINING) if one.endswith(head)]
    return ends[0] if ends else ""


def _sizes(model) -> tuple[int, int]:
    """Return the number and the bytes of the parameters, tied ones counted once."""
    parameters = list(model.parameters())
    return sum(one.numel() for one in parameters), sum(one.numel() * one.element_size() for one in parameters)


def _kept(tokenizer, trimmed: Trimmed, texts: Sequence[str]) -> Iterator[str]:
    """Yield the texts whose tokens are all known and kept, then the single words with this property."""
    known = set(trimmed.kept_ids) - {tokenizer.unk_token_id}
    for text in chain(texts, chain.from_iterable(map(str.split, texts))):
        if known.issuperset(tokenizer(text, verbose=False).input_ids):
            yield text


def _outputs(model, tokenizer, texts: list[str], length: int, kept_ids: list[int] | None = None) -> list[torch.Tensor]:
    """Return all outputs for each text; of outputs as wide as the vocabulary (MLM logits), the kept columns."""
    rows, found = model.get_input_embeddings().num_embeddings, []
    with evaluating(model), torch.inference_mode():
        for text in texts:
            batch = tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
            for output in model(**batch).to_tuple():
                if isinstance(output, torch.Tensor):
                    found.append(output[..., kept_ids] if kept_ids and output.shape[-1] == rows else output)
    return found
