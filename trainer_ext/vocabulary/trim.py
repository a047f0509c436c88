"""Vocabulary: a tokenizer and a model cut to the pieces that a corpus uses.

The idea of Abdaoui et al. 2020, "Load What You Need: Smaller Versions of Multilingual BERT": the embeddings of languages
that are never read are most of a multilingual model. Kept pieces keep their rows, so a text whose pieces all stay gets
the same pieces and the same answer.

Vocabulary arguments: how many tokens of the model's vocabulary stay, and by which texts they are chosen.

Vocabulary figures: how differently two tokenizers cut the same texts.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from ..errors import InputError
from ..report.schema import Pair, Vocabulary
from .selection import choose, chunks, count, size_in_use
from .tokenizer_json import Json, algorithm_of, renumber


@dataclass(frozen=True)
class Trimmed:
    """A trimmed tokenizer, and where its pieces come from.

    Attributes:
        tokenizer: of the same class as the one it was cut from, not touched by it.
        kept_ids: the old id of each new id.
    """

    tokenizer: Any
    kept_ids: list[int]


def trim_tokenizer(tokenizer, texts: Iterable[str], size: int) -> Trimmed:
    """Cut a fast tokenizer to the pieces that a corpus uses.

    Special and added tokens stay, and keep their ids where these are below the new size; the other pieces follow in the
    order that they had.

    Args:
        tokenizer: a fast tokenizer; it is left as it is.
        texts: the corpus; it is gone through once.
        size: tokens of the new vocabulary, added ones included.

    Raises:
        InputError: if the tokenizer is not a fast one or of an algorithm without a row, the corpus is empty or of
            another language, or the size is above that of the vocabulary or below that of what must stay.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{type(tokenizer).__name__} is a slow tokenizer: only fast ones, with a tokenizer.json, can be trimmed."
        )
    if size > len(tokenizer):
        raise InputError(f"vocabulary size {size} is above the {len(tokenizer)} tokens that there are; ask for fewer.")
    data = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    corpus = count(Tokenizer.from_str(json.dumps(data)), texts)
    kept_ids = _in_place(choose(data, corpus, size, unknown=tokenizer.unk_token_id), data)
    return Trimmed(_reload(tokenizer, kept_ids), kept_ids)


def tokens_in_use(tokenizer, texts: Iterable[str]) -> int:
    """The smallest size with which no text of a corpus is cut otherwise than now.

    Args:
        tokenizer: a fast tokenizer.
        texts: the corpus; it is gone through once.

    Raises:
        InputError: the corpus is empty or of another language.
    """
    data = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    return size_in_use(data, count(Tokenizer.from_str(json.dumps(data)), texts), unknown=tokenizer.unk_token_id)


def _in_place(kept: set[int], data: Json) -> list[int]:
    """Old ids by new id: added tokens where they were if they can be, the model's other pieces in order in between.

    Tokens that were added behind the model's own pieces are behind them again.
    """
    inner = kept & algorithm_of(data).pieces(data).keys()
    pinned = {token["id"] for token in data["added_tokens"] if token["id"] < len(inner)} & inner
    others = iter(sorted(inner - pinned))
    return [index if index in pinned else next(others) for index in range(len(inner))] + sorted(kept - inner)


def _reload(tokenizer, kept_ids: list[int]):
    """The tokenizer with only these pieces, opened from files as anyone will open it.

    Raises:
        InputError: its class does not give the pieces the ids that they have in the file.
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


def trim_model(model: nn.Module, trimmed: Trimmed) -> None:
    """Cut the embeddings of a model to the rows of the kept pieces, in place.

    A head that predicts tokens is cut likewise, and the config gets the new size and the new ids of special tokens.

    Raises:
        InputError: if the model has fewer rows than the tokenizer has ids, or numbers its positions from a padding id
            that is now another token.
    """
    config, kept_ids = model.config.get_text_config(), trimmed.kept_ids
    table = model.get_input_embeddings()
    if max(kept_ids) >= table.num_embeddings:
        raise InputError(
            f"The tokenizer has the id {max(kept_ids)}, the model only {table.num_embeddings} embeddings: they do not "
            "belong together."
        )
    for module in model.base_model.modules():
        start = module.padding_idx if isinstance(module, nn.Embedding) and module is not table else None
        if start is not None and kept_ids[start : start + 1] != [start]:
            raise InputError(
                f"The model numbers its positions from the padding id {start}, which the tokenizer does not keep; "
                f"give it the tokenizer it was trained with, and a vocabulary size above {start}."
            )
    padding_idx = table.padding_idx
    _take_rows(model, torch.tensor(kept_ids))
    new = {old: index for index, old in enumerate(kept_ids)}
    table.padding_idx = new.get(padding_idx)
    for name, value in config.to_dict().items():
        if isinstance(value, list) and name.endswith("_token_id"):
            setattr(config, name, [new[old] for old in value if old in new])
        elif name.endswith("_token_id") and value is not None:
            own = getattr(trimmed.tokenizer, name, None)  # for an id that the tokenizer does not know
            setattr(config, name, new.get(value, own))


def _take_rows(model: nn.Module, rows: torch.Tensor) -> None:
    """Leave only the given rows of everything that has one per token."""
    table, head = model.get_input_embeddings(), model.get_output_embeddings()
    parameters = {table.weight} | ({*head.parameters()} if head is not None else set())
    with torch.no_grad():
        for parameter in parameters:
            parameter[: len(rows)] = parameter[rows.to(parameter.device)]
    # What holds the head may have a bias too, tied to the head's or not; transformers resizes only a tied one.
    holders = [module for module in model.modules() if head is not None and head in module.children()]
    own = {module: dict(module.named_parameters(recurse=False)).get("bias") for module in holders}
    untied = {module: bias for module, bias in own.items() if bias is not None and bias is not head.bias}
    model.resize_token_embeddings(len(rows))
    for module, bias in untied.items():
        module.bias = nn.Parameter(bias.detach()[rows.to(bias.device)])


@dataclass
class VocabularyArguments:
    """How many tokens stay, and by which texts they are chosen."""

    vocab_size: int | None = field(
        default=None,
        metadata={
            "help": "Tokens of the model's vocabulary to keep, special ones included: at most all of them, and at least "
            "the characters of the texts. Default: all."
        },
    )
    vocab_corpus: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Texts by which the tokens to keep are chosen: UTF-8 files (.txt or .txt.gz, one text per line) or "
            "folders of them. Default: the train texts."
        },
    )


def measure_vocabulary(before, after, texts: Sequence[str]) -> Vocabulary:
    """What trimming a vocabulary did to texts that it was not chosen by.

    Args:
        before: the tokenizer that was trimmed, a fast one.
        after: the trimmed one.
        texts: held-out texts.

    Returns:
        Sizes, the share of texts that are cut into other pieces, unknown tokens per token, tokens per word (what lies
        between spaces); `corpus_texts` is left to whoever knows it. Special tokens are not counted.

    Raises:
        InputError: there is no word in the texts.
    """
    words = sum(len(text.split()) for text in texts)
    if not words:
        raise InputError("The held-out texts are empty: there is nothing to measure the trimmed vocabulary by.")
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
        unknown_rate=Pair(*(lost / max(1, all_) for lost, all_ in zip(unknown, tokens, strict=True))),
        tokens_per_word=Pair(*(all_ / words for all_ in tokens)),
    )


def _pieces(tokenizer, texts: list[str]) -> list[list[str]]:
    ids = tokenizer(texts, add_special_tokens=False, verbose=False).input_ids  # not cut to a length
    return [tokenizer.convert_ids_to_tokens(row) for row in ids]
