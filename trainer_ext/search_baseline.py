"""Search baseline: what a search knows before it trains anything, read off the baseline, its tokenizer and the texts."""

from __future__ import annotations

from collections.abc import Sequence

from datasets import Dataset

from .data import Data
from .errors import InputError
from .families import family_of, layers_of, prunable_weights
from .measure import count_parameters
from .recipe import Recipe
from .search_facts import Facts, VocabularyLevel
from .sweep_judge import HOLDOUT
from .vocabulary import tokens_in_use, trim_tokenizer
from .vocabulary_figures import measure_vocabulary

SHARES = (0.75, 0.5)  # of the tokens in use, beside all of them
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
    asked = recipe.vocabulary.vocab_size
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
        vocabulary=_levels(tokenizer, data, table.num_embeddings, asked),
        trimmed=asked is not None,
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


def _levels(tokenizer, data: Data, tokens: int, asked: int | None) -> tuple[VocabularyLevel, ...]:
    """Sizes worth a try, each with the share of held-out texts that it cuts otherwise; none where none is smaller."""
    texts, held = _texts(data.train), _texts(data.tests.get(HOLDOUT, data.train))
    try:
        used = asked or tokens_in_use(tokenizer, texts)
    except (InputError, AttributeError):  # no fast tokenizer, or of an algorithm that cannot be trimmed
        return ()
    found = []
    for size in dict.fromkeys(round(used * share) for share in ((1.0,) if asked else (1.0, *SHARES))):
        try:
            if size > LEAST_GAIN * tokens:
                continue
            trimmed = trim_tokenizer(tokenizer, texts, size)
        except InputError:  # below what must stay
            continue
        found.append(VocabularyLevel(size, measure_vocabulary(tokenizer, trimmed.tokenizer, held).changed_share))
    return tuple(found)


def _texts(rows: Dataset) -> list[str]:
    return [text for name in ("text", "text_pair") if name in rows.column_names for text in rows[name]]
