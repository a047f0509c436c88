"""Renumbering: tokenizer.json with only some of its tokens, wherever the file repeats their ids."""

from __future__ import annotations

from collections.abc import Callable

from .pieces import Json, algorithm_of

Ids = dict[int, int]  # new by old


def renumber(data: Json, kept_ids: list[int]) -> Json:
    """A tokenizer.json with only these tokens.

    Args:
        data: the file.
        kept_ids: old ids by new id: first those of the model's vocabulary, then the tokens added behind it.
    """
    algorithm = algorithm_of(data)
    pieces = algorithm.pieces(data)
    new = {old: index for index, old in enumerate(kept_ids)}
    padding = data["padding"]
    return data | {
        "added_tokens": sorted(
            (token | {"id": new[token["id"]]} for token in data["added_tokens"]), key=lambda token: token["id"]
        ),
        "padding": padding and padding | {"pad_id": new[padding["pad_id"]]},
        "post_processor": _post_processor(data["post_processor"], new),
        "model": algorithm.rebuild(data, [index for index in kept_ids if index in pieces]),
    }


def _post_processor(part: Json | None, new: Ids) -> Json | None:
    """A post-processor with new ids; one without a row holds none."""
    return part and part | POST_PROCESSORS.get(part["type"], _no_ids)(part, new)


def _no_ids(part: Json, new: Ids) -> Json:
    return {}


def _pair(part: Json, new: Ids) -> Json:
    return {name: [part[name][0], new[part[name][1]]] for name in ("cls", "sep")}


def _sequence(part: Json, new: Ids) -> Json:
    return {"processors": [_post_processor(one, new) for one in part["processors"]]}


def _template(part: Json, new: Ids) -> Json:
    return {
        "special_tokens": {
            name: token | {"ids": [new[old] for old in token["ids"]]} for name, token in part["special_tokens"].items()
        }
    }


POST_PROCESSORS: dict[str, Callable[[Json, Ids], Json]] = {
    "BertProcessing": _pair,
    "RobertaProcessing": _pair,
    "Sequence": _sequence,
    "TemplateProcessing": _template,
}
