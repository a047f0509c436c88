"""Search baseline: the facts that a search starts from, read off a model, its tokenizer, the texts and the recipe."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenizers import Tokenizer

from .corpus import read_corpus
from .data import HOLDOUT, Data
from .encoding import encode_texts
from .errors import InputError
from .families import family_of, layers_of, prunable_weights
from .measure import count_parameters
from .piece_choice import count, useful_sizes
from .recipe import Recipe
from .search_facts import Facts, VocabularyLevel
from .tasks import task_of
from .vocabulary import trim_tokenizer
from .vocabulary_figures import measure_vocabulary

SHARES = (1.0, 0.5, 0.25)  # of the pieces in use


def facts_of(recipe: Recipe, model, tokenizer, data: Data, *, runtimes: Sequence[str]) -> Facts:
    """What is known before any run.

    Args:
        recipe: what the candidates are laid over.
        model: the baseline.
        tokenizer: of the baseline.
        data: with rows held out; of these only the texts are read.
        runtimes: in which every candidate will be measured, `torch` first.

    Raises:
        InputError: nothing is held out, or the recipe leaves neurons alone.
    """
    args = recipe.training
    if HOLDOUT not in data.tests:
        raise InputError("A search chooses by rows that are neither trained on nor reported; give holdout_share.")
    if args.prune_ffn == "none":
        raise InputError("A search closes neurons first; leave prune_ffn at 'neuron'.")
    layers = layers_of(model)
    table = model.get_input_embeddings().weight
    attention = sum(layer.heads * layer.head_cost for layer in layers)
    beside = sum(linear.bias.numel() for linear in layers[0].linears.values() if linear.bias is not None)
    layer_rest = beside + 4 * model.config.hidden_size  # two norms
    rest = count_parameters(model).total - prunable_weights(layers) - layer_rest * len(layers) - table.numel()
    return Facts(
        layers=len(layers),
        heads=max(layer.heads for layer in layers),
        head_size=layers[0].head_size,
        hidden=model.config.hidden_size,
        neurons=max(layer.neurons for layer in layers),
        attention_weights=attention,
        ffn_weights=prunable_weights(layers) - attention,
        layer_rest=layer_rest,
        embedding_width=table.shape[1],
        tokens=table.shape[0],
        rest=max(0, rest),
        length=recipe.model.latency_sequence_length,
        vocabulary=_levels(recipe, tokenizer, data),
        trimmed=recipe.vocabulary.vocab_size is not None,
        runtimes=tuple(runtimes),
        method=args.prune_method,
        structure=args.prune_structure,
        prunes_heads=args.prune_attention != "none",
        drops_layers=family_of(model.config).droppable_from is not None,
        teacher=bool(args.teacher_names),
        epochs=args.num_train_epochs if args.max_steps <= 0 else None,
        uses=layers[0].uses,
        rows=len(data.tests[HOLDOUT]),
    )


def _levels(recipe: Recipe, tokenizer, data: Data) -> tuple[VocabularyLevel, ...]:
    """Every piece in use, or what the recipe asks for, then smaller sizes; none where tokens could not be compared."""
    if task_of(recipe.data).encode is not encode_texts or not tokenizer.is_fast:
        return ()  # an answer per token, which a teacher that reads other tokens cannot give
    texts = read_corpus(recipe.vocabulary.vocab_corpus) if recipe.vocabulary.vocab_corpus else texts_of(data.train)
    backend = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    corpus = count(Tokenizer.from_str(json.dumps(backend)), texts)
    least, used = useful_sizes(backend, corpus, unknown=tokenizer.unk_token_id)
    first = min(recipe.vocabulary.vocab_size or used, len(tokenizer))
    levels = []
    for size in [size for share in SHARES if (size := round(share * first)) >= least]:
        trimmed = trim_tokenizer(tokenizer, texts, size).tokenizer
        changed = measure_vocabulary(tokenizer, trimmed, texts_of(data.tests[HOLDOUT])).changed_share
        levels.append(VocabularyLevel(size, changed))
    return tuple(levels)


def texts_of(rows) -> list[str]:
    """Every text of a set, second texts included."""
    return [text for name in ("text", "text_pair") if name in rows.column_names for text in rows[name] if text]
