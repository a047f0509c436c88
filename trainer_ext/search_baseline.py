"""Search baseline: what a search knows before it trains anything, read off the baseline, its tokenizer and the texts."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset

from .corpus import read_corpus
from .data import HOLDOUT, Data
from .encoding import encode_texts
from .errors import InputError
from .families import family_of, layers_of, prunable_weights
from .measure import count_parameters
from .recipe import Recipe
from .search_facts import Facts, VocabularyLevel
from .tasks import task_of
from .vocabulary import tokens_in_use, trim_tokenizer
from .vocabulary_figures import measure_vocabulary

SHARES = (1.5, 1.0, 0.75, 0.5)  # of the tokens in use
LEAST_GAIN = 0.9  # a vocabulary that loses less than a tenth of its tokens is not worth a level


def facts_of(model, tokenizer, data: Data, recipe: Recipe, *, runtimes: Sequence[str]) -> Facts:
    """What is known of the baseline and of the recipe.

    Args:
        model: the baseline.
        tokenizer: its tokenizer.
        data: the texts, with rows held out to choose by.
        recipe: what is asked for besides the goal.
        runtimes: in which every candidate is measured: `torch`, and names of `export.FORMATS`.

    Raises:
        ValueError: the architecture is not known.
    """
    family, layers, args = family_of(model.config), layers_of(model), recipe.training
    first, total = layers[0], count_parameters(model).total
    table = model.get_input_embeddings()
    prunable = prunable_weights(layers)
    whole = family.layers.removesuffix(".*")
    in_layers = sum(parameter.numel() for parameter in model.base_model.get_submodule(whole).parameters())
    embeddings = table.weight.numel()
    vocabulary, at = _levels(recipe, tokenizer, data, table.num_embeddings)
    return Facts(
        layers=len(layers),
        heads=first.heads,
        head_size=first.head_size,
        hidden=model.config.hidden_size,
        neurons=first.neurons,
        attention_weights=sum(layer.heads * layer.head_cost for layer in layers),
        ffn_weights=sum(layer.neurons * layer.neuron_cost for layer in layers),
        layer_rest=(in_layers - prunable) // len(layers),
        embedding_width=table.embedding_dim,
        tokens=table.num_embeddings,
        rest=total - in_layers - embeddings,
        length=recipe.model.latency_sequence_length,
        vocabulary=vocabulary,
        first=at,
        trimmed=recipe.vocabulary.vocab_size is not None,
        runtimes=tuple(runtimes),
        method=args.prune_method,
        structure=args.prune_structure,
        prunes_heads=args.prune_attention != "none",
        drops_layers=family.droppable_from is not None,
        teacher=bool(args.teacher_names),
        epochs=args.num_train_epochs if args.max_steps <= 0 else None,
        uses=first.uses,
        rows=len(data.tests[HOLDOUT]) if HOLDOUT in data.tests else None,
    )


def _levels(recipe: Recipe, tokenizer, data: Data, tokens: int) -> tuple[tuple[VocabularyLevel, ...], int]:
    """Sizes worth a try, the largest first, and the number of the first to try; none where none can be smaller."""
    asked, texts = recipe.vocabulary.vocab_size, _texts(data.train)
    corpus = read_corpus(recipe.vocabulary.vocab_corpus) if recipe.vocabulary.vocab_corpus else texts
    per_token = task_of(recipe.data).encode is not encode_texts  # their answers are compared token by token
    try:
        used = asked or tokens_in_use(tokenizer, corpus)
    except (InputError, AttributeError):  # no fast tokenizer, or of an algorithm that cannot be trimmed
        return (), 0
    found = []
    if not asked and used > LEAST_GAIN * tokens:  # nearly all are in use: then none is given up at first
        found.append(VocabularyLevel(tokens, 0.0, alike=True))
    for size in [asked] if asked else [round(used * share) for share in SHARES]:
        if size > LEAST_GAIN * tokens and not asked:
            continue
        try:
            trimmed = trim_tokenizer(tokenizer, corpus, size).tokenizer
        except InputError:  # below what must stay
            if asked:
                raise
            continue
        alike = not measure_vocabulary(tokenizer, trimmed, texts).changed_share
        if asked or alike or not per_token:
            changed = measure_vocabulary(tokenizer, trimmed, _texts(data.tests.get(HOLDOUT, data.train))).changed_share
            found.append(VocabularyLevel(size, changed, alike))
    return tuple(found), sum(used < level.tokens < tokens for level in found)


def _texts(rows: Dataset) -> list[str]:
    return [text for name in ("text", "text_pair") if name in rows.column_names for text in rows[name]]
