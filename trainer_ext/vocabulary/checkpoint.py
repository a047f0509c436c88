"""Trim: a model and its tokenizer cut to a corpus, written only if they answer as before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text
from transformers import AutoConfig, AutoTokenizer

from ..benchmark.size import evaluating
from ..data.corpus import hold_out, read_corpus
from ..errors import InputError
from ..models.loading import HEADS, load_model, load_tokenizer, rows_of
from ..models.outputs import full_precision
from ..report.schema import Pair, Vocabulary
from ..utils.files import whole_folder
from .trim import Trimmed, measure_vocabulary, trim_model, trim_tokenizer

COMPARED, LONGEST, ALLOWED = 64, 128, 1e-6  # texts, tokens of each, and the difference of their logits
_PRETRAINING = ("ForMaskedLM", "ForPreTraining")
_WAY_OUT = "name the folder or Hub id of a model with its tokenizer"


@dataclass(frozen=True)
class Trimming:
    """What came of it.

    Attributes:
        vocabulary: sizes, and how held-out texts are cut before and after.
        parameters: before and after.
        weight_bytes: before and after.
        difference: largest difference of the answers to the compared texts.
        compared: how many texts or words whose pieces all stay were compared.
    """

    vocabulary: Vocabulary
    parameters: Pair[int]
    weight_bytes: Pair[int]
    difference: float
    compared: int


@full_precision()
def trim_checkpoint(
    name: str,
    target: str | Path,
    *,
    size: int,
    corpus: Sequence[str | Path],
    held_out: str | Path | None = None,
    console: Console | None = None,
) -> Trimming:
    """Cut a model and its tokenizer to the pieces that a corpus uses, and write both.

    Args:
        name: a folder, or a Hub id.
        target: the folder to write; must not exist, or be empty. It appears only if the answers are the same.
        size: tokens of the new vocabulary.
        corpus: text files or folders of them, one text per line.
        held_out: a file of texts to measure by; without one, every tenth text of the corpus.
        console: where progress is shown.

    Raises:
        InputError: the folder cannot be written, or model, corpus and size do not allow it.
        RuntimeError: texts whose pieces all stay got other pieces or other answers.
    """
    target = Path(target).expanduser()
    _require_writable(target)
    texts = read_corpus(corpus)
    texts, unseen = hold_out(texts) if held_out is None else (texts, read_corpus([held_out]))
    model = load_model(name, option="MODEL", way_out=_WAY_OUT, head=_head(name))
    tokenizer = load_tokenizer(name, way_out=_WAY_OUT, rows=rows_of(model))
    with Progress(console=console or Console(stderr=True), transient=True) as progress:
        trimmed = trim_tokenizer(tokenizer, progress.track(texts, description="counting pieces"), size)
    vocabulary = replace(measure_vocabulary(tokenizer, trimmed.tokenizer, unseen), corpus_texts=len(texts))
    kept = list(islice(_kept(tokenizer, trimmed, unseen), COMPARED))
    if not kept:
        raise InputError(f"Not one held-out word keeps its pieces at a size of {size}; ask for more tokens.")
    length = min(LONGEST, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", LONGEST) - 2)
    expected = _answers(model, tokenizer, kept, length, trimmed.kept_ids)
    before = _sizes(model)
    trim_model(model, trimmed)
    with whole_folder(target) as folder:
        model.save_pretrained(folder)
        trimmed.tokenizer.save_pretrained(folder)
        reloaded = type(model).from_pretrained(folder)
        found = _answers(reloaded, AutoTokenizer.from_pretrained(folder), kept, length)
        difference = max((new - old).abs().max().item() for new, old in zip(found, expected, strict=True))
        if not difference <= ALLOWED:
            raise RuntimeError(f"Texts whose pieces all stay differ by {difference:.1e}; {target} was not written.")
    pairs = [Pair(*pair) for pair in zip(before, _sizes(model), strict=True)]
    return Trimming(vocabulary, *pairs, difference=difference, compared=len(kept))


def table(trimming: Trimming, title: str) -> Table:
    """Sizes and how held-out texts are cut, before and after."""
    vocabulary, mib = trimming.vocabulary, 2**20
    shown = Table(title=Text(title), title_justify="left")
    for heading in ("", "before", "after"):
        shown.add_column(heading, justify="right" if heading else "left")
    for label, pair, form in (
        ("vocabulary, tokens", vocabulary.tokens, "{:,}".format),
        ("parameters", trimming.parameters, "{:,}".format),
        ("weights, MiB", trimming.weight_bytes, lambda size: f"{size / mib:.1f}"),
        ("tokens per word", vocabulary.tokens_per_word, "{:.3f}".format),
        ("unknown, of tokens", vocabulary.unknown_rate, "{:.3%}".format),
    ):
        shown.add_row(label, form(pair.baseline), form(pair.compressed))
    shown.add_row(
        f"cut otherwise, of {vocabulary.held_out_texts:,} held-out texts", "", f"{vocabulary.changed_share:.1%}"
    )
    shown.add_row(f"largest difference of answers, {trimming.compared} texts", "", f"{trimming.difference:.1e}")
    return shown


def _require_writable(target: Path) -> None:
    """Find out before the work is done, and leave nothing behind."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} exists and is not an empty folder; name a new one.")
    there = next(parent for parent in target.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise InputError(f"Cannot write to {there}: {error.strerror}; name another folder than {target}.") from error


def _head(name: str) -> str | None:
    """The head of a model as its Auto class is named, "" where it has none; None where it cannot be opened."""
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except Exception:
        return None  # whoever opens the model says why
    if config.to_dict().get("pruning"):
        raise InputError(
            f"{name} is a checkpoint of a run in progress, with masks; finish the run, then trim the result."
        )
    ends = [head for one in config.architectures or () for head in (*HEADS, *_PRETRAINING) if one.endswith(head)]
    return ends[0] if ends else ""


def _sizes(model) -> tuple[int, int]:
    """Number and bytes of the parameters, tied ones once."""
    parameters = list(model.parameters())
    return sum(one.numel() for one in parameters), sum(one.numel() * one.element_size() for one in parameters)


def _kept(tokenizer, trimmed: Trimmed, texts: Sequence[str]) -> Iterator[str]:
    """The texts whose pieces all stay, none of them unknown; then the words that do."""
    known = set(trimmed.kept_ids) - {tokenizer.unk_token_id}
    for text in chain(texts, chain.from_iterable(map(str.split, texts))):
        if known.issuperset(tokenizer(text, verbose=False).input_ids):
            yield text


def _answers(model, tokenizer, texts: list[str], length: int, kept_ids: list[int] | None = None) -> list[torch.Tensor]:
    """All that the model answers to each text; of an answer that has one number per token, those of the kept ones."""
    rows, found = model.get_input_embeddings().num_embeddings, []
    with evaluating(model), torch.inference_mode():
        for text in texts:
            batch = tokenizer(text, truncation=True, max_length=length, return_tensors="pt")
            tensors = (answer for answer in model(**batch).to_tuple() if isinstance(answer, torch.Tensor))
            for answer in tensors:
                found.append(answer[..., kept_ids] if kept_ids and answer.shape[-1] == rows else answer)
    return found
