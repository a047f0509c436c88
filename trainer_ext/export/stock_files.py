"""Write the files by which other tools open an export: those that a stock model has in its folder.

Tools of other makers (optimum, Transformers.js, text-embeddings-inference, fastembed, ...) find the kind of model and the
names of its labels in `config.json`, the tokens in `tokenizer.json`, and how long a text may be in `tokenizer_config.json`.
An export takes any sizes of Linears with it, so for them even a compact model is one of its stock architecture.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from ..models.architectures import stock_type
from ..utils.files import write_json, write_text
from .source import ExportSource

# Fields of a saved configuration that are not of the stock class, or of this machine.
_NOT_STOCK = ("auto_map", "compact_linears", "compact_heads", "pruning", "_name_or_path")
# The name of a tokenizer without rules of its own: it does what tokenizer.json says.
_PLAIN = "PreTrainedTokenizerFast"
# Tokenizers that number the texts of a pair. Tools know this by the name of the class, not from tokenizer.json.
_WITH_TOKEN_TYPES = ("AlbertTokenizer", "BertTokenizer", "DebertaV2Tokenizer", "ElectraTokenizer")
# What the classes of the BERT kind set anew when they open tokenizer.json, and what it is called there.
_BERT_RULES = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
_SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def write_stock_files(source: ExportSource, folder: Path) -> None:
    """Write `STOCK_FILES` of `models.runtimes` to the folder of an exported file.

    Args:
        source: the exported model.
        folder: a folder that exists.
    """
    own = tokenizer_of(source)
    special = {name: str(token) for name in _SPECIAL_TOKENS if (token := getattr(source.tokenizer, name, None))}
    write_text(folder / "tokenizer.json", own.to_str(pretty=True))
    write_json(folder / "tokenizer_config.json", tokenizer_config(source, own) | special)
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "config.json", stock_config(source))


def tokenizer_of(source: ExportSource) -> Tokenizer:
    """Return the tokenizer with its truncation and padding, so that texts need no further settings."""
    tokenizer = source.tokenizer
    own = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    own.enable_truncation(
        source.args.max_length,
        strategy="only_second" if source.task.pieces else "longest_first",
        direction=tokenizer.truncation_side,
    )
    own.enable_padding(
        direction=tokenizer.padding_side,
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=tokenizer.pad_token,
    )
    return own


def tokenizer_config(source: ExportSource, own: Tokenizer) -> dict[str, Any]:
    """Return what `tokenizer_config.json` says beside the special tokens, in the words of transformers 4 and later.

    Args:
        source: the exported model.
        own: the tokenizer as it is written.
    """
    name, rules = _PLAIN, {}
    if "token_type_ids" in source.inputs and type(source.tokenizer).__name__ in _WITH_TOKEN_TYPES:
        name = type(source.tokenizer).__name__
        normalizer = json.loads(own.to_str())["normalizer"] or {}
        if name in ("BertTokenizer", "ElectraTokenizer"):
            if normalizer.get("type") == "BertNormalizer":
                rules = {rule: normalizer[there] for rule, there in _BERT_RULES.items()}
            else:
                name = _PLAIN
    return {
        "tokenizer_class": name,
        "model_max_length": source.args.max_length,
        "model_input_names": list(source.inputs),
        "padding_side": source.tokenizer.padding_side,
        "truncation_side": source.tokenizer.truncation_side,
        "clean_up_tokenization_spaces": bool(source.tokenizer.clean_up_tokenization_spaces),
        **rules,
    }


def stock_config(source: ExportSource) -> dict[str, Any]:
    """Return the configuration as one of the stock architecture, and what `classify.py` and the page read beside it."""
    config = source.model.config
    values = {k: v for k, v in json.loads(config.to_json_string()).items() if k not in _NOT_STOCK}
    return values | {
        "model_type": stock_type(config.model_type),
        "architectures": [name.removeprefix("Compact") for name in config.architectures or []],
        "task": source.task.name,
        "problem_type": source.task.problem_type,
        "id2label": {str(index): name for index, name in config.id2label.items()},
        "max_length": source.args.max_length,
    }
