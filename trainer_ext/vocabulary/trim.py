"""Trim: cut a tokenizer and the embeddings of a model to the tokens that a corpus uses.

The idea of Abdaoui et al. 2020, "Load What You Need: Smaller Versions of Multilingual BERT": most of a multilingual model
is embeddings of languages that a task never reads. The kept tokens keep their rows, so a text whose tokens are all kept
has the same tokens and the same logits as before.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from tokenizers import Tokenizer
from torch import nn

from ..errors import InputError
from ..report.schema import Pair, Vocabulary
from .selection import MOST_CHANGED, Selection, chunks, count
from .tokenizer_json import Json, algorithm_of, renumber

if TYPE_CHECKING:
    from transformers import PreTrainedModel


AUTO = "auto"
BEFORE: Literal["before"] = "before"
AFTER: Literal["after"] = "after"
_PLAIN = {"add_special_tokens": False, "verbose": False}  # and not truncated


@dataclass
class VocabularyArguments:
    """Arguments for trimming the vocabulary."""

    vocab_size: int | str | None = field(
        default=None,
        metadata={
            "help": "Number of tokens of the vocabulary to keep, special tokens included: at most all, and enough for the "
            f"characters of the texts; or 'auto', the smallest with which at most {100 * MOST_CHANGED:g} %% of held-out texts are "
            "tokenized differently and none becomes unknown. Default: all."
        },
    )
    vocab_corpus: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Further texts that decide which tokens are kept, beside the train texts: UTF-8 files (.txt or .txt.gz, one "
            "text per line) or folders of them."
        },
    )
    vocab_when: str | None = field(
        default=None,
        metadata={
            "help": "'before': the vocabulary is trimmed before the baseline is fine-tuned, which then takes less time and "
            "memory; 'after': before the compression, and the teacher reads all tokens. Default: before, if the run fine-tunes "
            "the baseline and more than half of its parameters are embeddings of tokens that go.",
            "choices": [BEFORE, AFTER],
        },
    )

    def __post_init__(self) -> None:
        """Refuse a size that is neither a number nor 'auto'."""
        if self.vocab_size is not None:
            self.vocab_size = read_size(str(self.vocab_size), "vocab_size")
        if self.vocab_when not in (None, BEFORE, AFTER):
            raise InputError(f"vocab_when must be {BEFORE!r} or {AFTER!r}, got {self.vocab_when!r}.")


def read_size(word: str, option: str) -> int | str:
    """Return a size of the vocabulary from a word: a number, or 'auto'.

    Args:
        word: what was given.
        option: its name, for the error.

    Raises:
        InputError: It is neither.
    """
    if word == AUTO:
        return AUTO
    try:
        return int(word)
    except ValueError:
        raise InputError(f"{option} must be a number of tokens or {AUTO!r}, got {word!r}.") from None


@dataclass(frozen=True)
class Trimmed:
    """A trimmed tokenizer, and the ids that its tokens had before.

    Attributes:
        tokenizer: the new tokenizer, of the same class as the old one.
        kept_ids: the old id of each new id.
        note: a line about characters that were removed, or "".
    """

    tokenizer: Any
    kept_ids: list[int]
    note: str = ""


def trim_tokenizer(
    tokenizer,
    texts: Iterable[str],
    size: int | str,
    *,
    held_out: Sequence[str] = (),
    embeddings: torch.Tensor | None = None,
) -> Trimmed:
    """Cut a fast tokenizer to the tokens that a corpus uses.

    Special and added tokens stay, and keep their ids if these are below the new size. The other tokens keep their order.

    Args:
        tokenizer: a fast tokenizer; not changed.
        texts: the corpus; it is read once.
        size: number of tokens of the new vocabulary, added tokens included; or "auto", the smallest with which at most
            `selection.MOST_CHANGED` of the held-out texts are tokenized differently and none becomes unknown.
        held_out: texts for "auto" that do not occur in the corpus.
        embeddings: the input embeddings of the model. They tell which tokens are like those of the corpus, and these are
            kept before others that it does not use.

    Returns:
        The new tokenizer and the old ids of its tokens.

    Raises:
        InputError: If the tokenizer is slow or its algorithm is not supported, the corpus is empty or in another
            language, or the size is larger than the vocabulary or smaller than what must stay.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} is a slow tokenizer: only fast ones, with a tokenizer.json, can be trimmed."
        )
    if size == AUTO and not held_out:
        raise InputError(
            f"A vocabulary size of {AUTO!r} needs held-out texts; give more texts, or a number of tokens."
        )
    if size != AUTO and int(size) > len(tokenizer):
        raise InputError(
            f"vocabulary size {size} is above the {len(tokenizer)} tokens of the tokenizer; ask for fewer."
        )
    data, selection = _counted(tokenizer, texts, embeddings)
    chosen = selection.size_for(tokenizer(list(held_out), **_PLAIN).input_ids) if size == AUTO else int(size)
    kept = selection.choose(chosen)
    kept_ids = _in_order(kept, data)
    return Trimmed(_reload(tokenizer, kept_ids), kept_ids, _note(selection.left_out(kept)))


def tokens_in_use(tokenizer, texts: Iterable[str]) -> int:
    """Return the smallest vocabulary size with which every text of a corpus is tokenized as before.

    Args:
        tokenizer: a fast tokenizer.
        texts: the corpus; it is read once.

    Raises:
        InputError: If the corpus is empty or in another language.
    """
    return _counted(tokenizer, texts)[1].size_in_use()


def _counted(tokenizer, texts: Iterable[str], embeddings: torch.Tensor | None = None) -> tuple[Json, Selection]:
    """Return the content of tokenizer.json, without truncation and padding, and what to choose by."""
    data = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    algorithm_of(data)  # before the work
    corpus = count(Tokenizer.from_str(json.dumps(data)), texts)
    return data, Selection(data, corpus, unknown=tokenizer.unk_token_id, embeddings=embeddings)


def _note(left_out: dict[str, int]) -> str:
    """Return in words which characters were removed."""
    if not left_out:
        return ""
    largest = ", ".join(f"{count:,} {name}" for name, count in list(left_out.items())[:3])
    more = f" and {len(left_out) - 3} more scripts" if len(left_out) > 3 else ""
    return (
        f"{sum(left_out.values()):,} single characters that the corpus does not use do not fit ({largest}{more}) and become "
        "unknown tokens. To keep them, give a larger size, or texts with them in the corpus."
    )


def _in_order(kept: set[int], data: Json) -> list[int]:
    """Return old ids by new id: added tokens keep their ids if possible, the others fill the gaps in order.

    Tokens that were added after those of the model come last again.
    """
    inner = kept & algorithm_of(data).pieces(data).keys()
    pinned = {token["id"] for token in data["added_tokens"] if token["id"] < len(inner)} & inner
    others = iter(sorted(inner - pinned))
    return [index if index in pinned else next(others) for index in range(len(inner))] + sorted(kept - inner)


def _reload(tokenizer, kept_ids: list[int]):
    """Return the tokenizer with only these tokens, loaded from files as users will load it.

    Raises:
        InputError: If its class gives tokens other ids than the file does.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        file = Path(folder, "tokenizer.json")
        data = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(renumber(data, kept_ids), ensure_ascii=False), encoding="utf-8")
        trimmed = type(tokenizer).from_pretrained(folder)
    trimmed.name_or_path = tokenizer.name_or_path
    wanted = tokenizer.convert_ids_to_tokens(kept_ids)
    if trimmed.convert_ids_to_tokens(range(len(trimmed))) != wanted:
        raise InputError(f"{type(tokenizer).__name__} does not keep the ids of its file, so it cannot be trimmed.")
    return trimmed


def trim_model(model: PreTrainedModel, trimmed: Trimmed) -> None:
    """Cut the embeddings of a model to the rows of the kept tokens, in place.

    A head that predicts tokens is cut too, and the config gets the new size and the new ids of special tokens.

    Args:
        model: a transformers model.
        trimmed: the trimmed tokenizer.

    Raises:
        InputError: If the model has fewer rows than the tokenizer has ids, or counts its positions from a padding id that
            is now another token.
    """
    config, kept_ids = model.config.get_text_config(), trimmed.kept_ids
    embeddings = cast(nn.Embedding, model.get_input_embeddings())
    if max(kept_ids) >= embeddings.num_embeddings:
        raise InputError(
            f"The tokenizer has the id {max(kept_ids)}, the model only {embeddings.num_embeddings} embeddings: they do not "
            "belong together."
        )
    for module in model.base_model.modules():
        start = module.padding_idx if isinstance(module, nn.Embedding) and module is not embeddings else None
        if start is not None and kept_ids[start : start + 1] != [start]:
            raise InputError(
                f"The model numbers its positions from the padding id {start}, which the tokenizer does not keep; "
                f"use the tokenizer that it was trained with, and a vocabulary size above {start}."
            )
    padding_idx = embeddings.padding_idx
    _take_rows(model, embeddings, torch.tensor(kept_ids))
    new = {old: index for index, old in enumerate(kept_ids)}
    embeddings.padding_idx = None if padding_idx is None else new.get(padding_idx)
    for name, value in config.to_dict().items():
        if isinstance(value, list) and name.endswith("_token_id"):
            setattr(config, name, [new[old] for old in value if old in new])
        elif name.endswith("_token_id") and value is not None:
            own = getattr(trimmed.tokenizer, name, None)  # if the tokenizer does not know the id of the config
            setattr(config, name, new.get(value, own))


def _take_rows(model: PreTrainedModel, embeddings: nn.Embedding, rows: torch.Tensor) -> None:
    """Keep only the given rows of every tensor that has one per token."""
    head = model.get_output_embeddings()
    parameters = {embeddings.weight} | ({*head.parameters()} if head is not None else set())
    with torch.no_grad():
        for parameter in parameters:
            parameter[: len(rows)] = parameter[rows.to(parameter.device)]
    # The parent of the head may have a bias too, tied to that of the head or not; transformers resizes only a tied one.
    parents = [module for module in model.modules() if head is not None and head in module.children()]
    biases = [(module, dict(module.named_parameters(recurse=False)).get("bias")) for module in parents]
    untied = [
        (module, bias) for module, bias in biases if bias is not None and bias is not getattr(head, "bias", None)
    ]
    model.resize_token_embeddings(len(rows))
    for module, bias in untied:
        module.bias = nn.Parameter(bias.detach()[rows.to(bias.device)])


def measure_vocabulary(before, after, texts: Sequence[str]) -> Vocabulary:
    """Measure what trimming a vocabulary changes on texts that it was not chosen by.

    Args:
        before: the fast tokenizer before trimming.
        after: the trimmed tokenizer.
        texts: held-out texts.

    Returns:
        Sizes, the share of texts that are tokenized differently, unknown tokens per token, and tokens per word (separated
        by spaces), without special tokens. `corpus_texts` is not set.

    Raises:
        InputError: If there is no word in the texts.
    """
    words = sum(len(text.split()) for text in texts)
    if not words:
        raise InputError("The held-out texts are empty; the trimmed vocabulary cannot be measured without any text.")
    changed, tokens, unknown = 0, [0, 0], [0, 0]
    for chunk in chunks(texts):
        both = [_pieces(tokenizer, chunk) for tokenizer in (before, after)]
        changed += sum(old != new for old, new in zip(*both, strict=True))
        for side, (tokenizer, cut) in enumerate(zip((before, after), both, strict=True)):
            tokens[side] += sum(map(len, cut))
            unknown[side] += sum(pieces.count(tokenizer.unk_token) for pieces in cut)
    return Vocabulary(
        tokens=Pair(len(before), len(after)),
        held_out_texts=len(texts),
        changed_share=changed / len(texts),
        unknown_rate=Pair(*(lost / max(1, total) for lost, total in zip(unknown, tokens, strict=True))),
        tokens_per_word=Pair(*(total / words for total in tokens)),
    )


def _pieces(tokenizer, texts: list[str]) -> list[list[str]]:
    ids = tokenizer(texts, **_PLAIN).input_ids
    return [tokenizer.convert_ids_to_tokens(row) for row in ids]
