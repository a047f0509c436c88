"""The candidates of a search, with the size and speed-up that arithmetic predicts, from facts about the baseline.

The main line is a ladder of strengths (shares of the encoder to remove): only width by second order, which judges whole
blocks too; by learned scores, only width up to one half, depth and width beyond.
Each step has alternatives: the other shape, other methods, only whole layers, and a longer training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from datasets import Dataset

from ...benchmark.size import count_parameters
from ...data.encoding import encode_texts, texts_of
from ...errors import InputError
from ...models.architectures import architecture_of, layers_of, prunable_weights
from ...models.loading import rows_of
from ...pipeline.recipe import Recipe
from ...pipeline.run_vocabulary import asked_size, corpus_of, embeddings_of
from ...pruning import scores
from ...pruning.selection import floor_of
from ...tasks.dataset import HELD_OUT, HOLDOUT, Data
from ...tasks.registry import task_of
from ...training_args import DEFAULT_METHOD, prunes_at_once
from ...vocabulary.trim import measure_vocabulary, tokens_in_use, trim_tokenizer

MAIN = "main"
METHODS = (DEFAULT_METHOD, *(name for name in scores.METHODS if name != DEFAULT_METHOD))  # the main line's first
STRENGTHS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.87, 0.92, 0.95)
FINE_STRENGTHS = tuple(number / 20 for number in range(20))  # to reach a speed-up without going far beyond it
WIDTH_ONLY = 0.5  # largest strength that removes width alone, where scores are learned
DEPTH_SHARE = 0.75  # beyond it, share of the removed weights that goes with whole layers
HIDDEN_FROM = 0.5  # strength from which hidden states are distilled too, because logits are not enough
LONGER = 2  # factor of the epochs in the family `longer`
WHOLE = -99  # vocabulary level: all tokens stay
# Sizes to try, as shares of the tokens in use: new texts need more than those, which pruning harder may pay for.
VOCABULARY_SHARES = (2.5, 2.0, 1.5, 1.0, 0.75, 0.5)
FEW_CHANGED = 0.1  # the smallest size that tokenizes at most this share of held-out texts differently is tried first
SMALL_ENOUGH = 0.9  # a vocabulary with more than this share of its tokens is not worth a level
HEADER_BYTES = 20_000  # of a safetensors file
# Measured on all-MiniLM: an int8 file needs a byte per weight, and this much for scales and the graph.
FILE_BYTES, LAYER_BYTES = 150_000, 100_000


@dataclass(frozen=True)
class VocabularyLevel:
    """A possible size of the vocabulary."""

    tokens: int  # that stay
    changed: float  # share of held-out texts that are tokenized differently, in [0, 1]
    # whether all training texts are tokenized as before, so that student and teacher can be compared token by token
    alike: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of the baseline and of the recipe before any run."""

    # of the encoder; heads and neurons are those of one layer
    layers: int
    heads: int
    head_size: int
    hidden: int
    neurons: int
    # prunable weights of the whole encoder, without biases
    attention_weights: int
    ffn_weights: int
    layer_rest: int  # parameters of one layer that cannot be pruned: biases and norms
    embedding_width: int  # numbers per token
    tokens: int  # of the baseline's vocabulary
    rest: int  # all other parameters: positions, norms, pooler, head
    length: int  # tokens per text at which the speed is measured
    # possible sizes, largest first; empty if the vocabulary cannot be trimmed
    vocabulary: tuple[VocabularyLevel, ...] = ()
    first: int = 0  # index of the size to try first: all tokens in use, or the size in the recipe
    trimmed: bool = False  # whether the recipe gives a size
    runtimes: tuple[str, ...] = ("torch",)  # in which every candidate is measured
    method: str = DEFAULT_METHOD  # of the recipe
    structure: str = "compact"  # of the recipe
    prunes_heads: bool = True  # whether the recipe prunes heads
    drops_layers: bool = True  # whether layers can be dropped (not if they share their weights)
    teacher: bool = True  # whether the recipe names one; otherwise the baseline is the teacher
    hidden_states: bool = True  # whether hidden states can be distilled if student and teacher read the same tokens
    epochs: float | None = None  # of the recipe; None if it counts steps
    trains: bool = True  # whether the recipe trains at all
    uses: int = 1  # how often a forward pass runs each listed layer
    rows: int | None = None  # number of held-out rows, if known

    def __post_init__(self):
        sizes = [level.tokens for level in self.vocabulary]
        if sizes != sorted(set(sizes), reverse=True) or (sizes and not 0 < sizes[0] <= self.tokens):
            raise InputError(f"Sizes of the vocabulary must decrease from {self.tokens} at most, got {sizes}.")

    @property
    def prunable(self) -> int:
        """Number of weights that pruning can remove."""
        return self.attention_weights + self.ffn_weights

    @property
    def most_of_a_layer(self) -> float:
        """Largest share of a layer that can be removed, given the smallest structure that pruning leaves."""
        attention = self.attention_weights * (1 - floor_of(self.heads) / self.heads) * self.heads_may_go
        ffn = self.ffn_weights * (1 - floor_of(self.neurons) / self.neurons)
        return (attention + ffn) / self.prunable

    @property
    def heads_may_go(self) -> bool:
        """Whether heads can be removed."""
        return self.prunes_heads and self.structure == "compact"

    @property
    def main_method(self) -> str:
        """The pruning method of the main line: that of the recipe, or the default one if it prunes nothing."""
        return METHODS[0] if self.method == "none" else self.method

    def level(self, number: int) -> VocabularyLevel:
        """Return a level of the vocabulary; 0 is the one to try first, negative ones are larger."""
        if number == WHOLE:
            return VocabularyLevel(self.tokens, 0.0, alike=True)
        return self.vocabulary[number + self.first]

    def size(self, number: int) -> int | None:
        """Return the number of tokens of a level; None if all stay."""
        tokens = self.level(number).tokens
        return tokens if tokens < self.tokens else None


def facts_of(model, tokenizer, data: Data, recipe: Recipe, *, runtimes: Sequence[str]) -> Facts:
    """Return what is known of the baseline and of the recipe.

    Args:
        model: the baseline.
        tokenizer: its tokenizer.
        data: the texts, with held-out rows.
        recipe: what to compress, and how.
        runtimes: in which every candidate is measured: `torch`, and names of `export.FORMATS`.

    Raises:
        ValueError: The architecture is not known.
    """
    architecture, layers, args = architecture_of(model.config), layers_of(model), recipe.training
    first, embeddings = layers[0], model.get_input_embeddings()
    encoder = model.base_model.get_submodule(architecture.layers.removesuffix(".*"))
    in_layers = sum(parameter.numel() for parameter in encoder.parameters())
    vocabulary, index = _vocabulary_levels(recipe, model, tokenizer, data)
    return Facts(
        layers=len(layers),
        heads=first.heads,
        head_size=first.head_size,
        hidden=model.config.hidden_size,
        neurons=first.neurons,
        attention_weights=sum(layer.heads * layer.head_cost for layer in layers),
        ffn_weights=sum(layer.neurons * layer.neuron_cost for layer in layers),
        layer_rest=(in_layers - prunable_weights(layers)) // len(layers),
        embedding_width=embeddings.embedding_dim,
        tokens=embeddings.num_embeddings,
        rest=count_parameters(model).total - in_layers - embeddings.weight.numel(),
        length=recipe.model.latency_sequence_length,
        vocabulary=vocabulary,
        first=index,
        trimmed=recipe.vocabulary.vocab_size is not None,
        runtimes=tuple(runtimes),
        method=str(args.prune_method),
        structure=args.prune_structure,
        prunes_heads=args.prune_attention != "none",
        drops_layers=architecture.droppable_from is not None,
        teacher=bool(args.teacher_names),
        epochs=args.num_train_epochs if args.max_steps <= 0 else None,
        trains=args.num_train_epochs > 0 or args.max_steps > 0,
        uses=first.uses,
        rows=None if (held_out := _held_out(data)) is None else len(held_out),
    )


def _vocabulary_levels(recipe: Recipe, model, tokenizer, data: Data) -> tuple[tuple[VocabularyLevel, ...], int]:
    """Return the sizes worth trying, largest first, and the index of the first to try."""
    tokens, texts, corpus = rows_of(model), texts_of(data.train), corpus_of(recipe, data)
    asked = asked_size(recipe, data, model, tokenizer) if recipe.vocabulary.vocab_size is not None else None
    embeddings = embeddings_of(recipe, model)
    per_token = task_of(recipe.data).encode is not encode_texts  # such predictions are compared token by token
    try:
        used = asked or tokens_in_use(tokenizer, corpus)
    except (InputError, AttributeError):  # a tokenizer that is slow or cannot be trimmed
        return (), 0
    found = []
    if not asked and used > SMALL_ENOUGH * tokens:  # nearly all tokens are in use: start with all of them
        found.append(VocabularyLevel(tokens, 0.0, alike=True))
    for size in [asked] if asked else [round(used * share) for share in VOCABULARY_SHARES]:
        if size > SMALL_ENOUGH * tokens and not asked:
            continue
        try:
            trimmed = trim_tokenizer(tokenizer, corpus, size, embeddings=embeddings).tokenizer
        except InputError:  # fewer tokens than must stay
            if asked:
                raise
            continue
        alike = not measure_vocabulary(tokenizer, trimmed, texts).changed_share
        if asked or alike or not per_token:
            held_out = _held_out(data)
            unseen = texts_of(data.train if held_out is None else held_out)
            changed = measure_vocabulary(tokenizer, trimmed, unseen).changed_share
            found.append(VocabularyLevel(size, changed or 0.0, alike))
    return tuple(found), max((index for index, level in enumerate(found) if level.changed <= FEW_CHANGED), default=0)


def _held_out(data: Data) -> Dataset | None:
    """Return the rows that models are chosen by, with labels or without; None if none were held out."""
    return data.tests.get(HOLDOUT, data.tests.get(HELD_OUT))


@dataclass(frozen=True)
class Candidate:
    """Fields that override the recipe, and what arithmetic predicts of the result."""

    name: str  # short, fit for a folder
    words: str  # the same for people to read
    family: str  # `main`, or how it differs from the main line
    strength: float  # share of the encoder that is removed, in [0, 1)
    layers: int  # number of dropped layers
    level: int  # of the vocabulary: 0 is the size to try first, higher ones are smaller
    changed: float  # share of the texts that this vocabulary tokenizes differently
    fields: dict[str, Any] = field(hash=False)  # of the recipe; empty for the baseline
    bytes: dict[str, int] = field(hash=False)  # on disk, by runtime
    speedup: float  # ratio of the floating-point operations


@dataclass(frozen=True)
class Space:
    """All candidates of a search."""

    facts: Facts  # about the baseline and the recipe
    trims: bool = True  # whether to try sizes of the vocabulary: they make a model small, not fast
    strengths: tuple[float, ...] = STRENGTHS  # shares of the encoder to remove

    @property
    def levels(self) -> tuple[int, ...]:
        """The vocabulary levels to try, largest vocabulary first."""
        facts = self.facts
        sizes = tuple(index - facts.first for index in range(len(facts.vocabulary)))
        if facts.trimmed:
            return sizes if self.trims else (0,)
        if not self.trims:
            return (WHOLE,)
        has_all_tokens = bool(sizes) and facts.vocabulary[0].tokens == facts.tokens
        return sizes if has_all_tokens else (WHOLE, *sizes)

    @cached_property
    def candidates(self) -> dict[str, Candidate]:
        """The main line and the alternatives, by name."""
        steps = [(strength, level) for strength in self.strengths for level in self.levels]
        found = [candidate(self.facts, family, *step) for step in steps for family in families(self.facts)]
        return {one.name: one for one in found if one is not None}

    @cached_property
    def baseline(self) -> Candidate:
        """The baseline itself, which needs no training but is exported and measured."""
        return replace(_predict(self.facts, MAIN, 0.0, 0, WHOLE, 0.0, {}), name="baseline", words="the baseline")


def families(facts: Facts) -> tuple[str, ...]:
    """Return the main line and its alternatives, the most promising first."""
    longer = ("longer",) if facts.epochs else ()
    others = tuple(method for method in METHODS if method != facts.main_method)
    return (MAIN, *longer, *(("shape", *others, "layers") if facts.drops_layers else others))


def candidate(facts: Facts, family: str, strength: float, level: int) -> Candidate | None:
    """Return the candidate of a family, a strength in [0, 1) and a vocabulary level; None if there is none."""
    size, dropped = facts.size(level), _dropped_layers(facts, family, strength)
    if dropped is None or (strength == 0 and (family != MAIN or size is None)):
        return None
    inner = 1 - (1 - strength) * facts.layers / (facts.layers - dropped)  # share to remove of the layers that stay
    if family == "layers":
        strength, inner = dropped / facts.layers, 0.0
    if inner < -1e-9 or inner > facts.most_of_a_layer:
        return None
    fields: dict[str, Any] = {
        "prune_method": family if family in METHODS else facts.main_method,
        "prune_sparsity": round(strength, 4),
        "prune_speedup": None,
        "prune_layers": dropped,
        "prune_layer_ids": None,
    }
    if inner < 0.005:  # too little to learn scores for
        fields["prune_method"] = "none"
    if not (facts.trains or prunes_at_once(fields["prune_method"])):
        return None
    if size is not None:
        fields["vocab_size"] = size
    if not facts.teacher:
        fields["distill_teacher"] = "self"
    if not facts.hidden_states or (size is not None and not facts.level(level).alike):
        fields |= {"distill_hidden": 0.0, "distill_relations": 0.0}
    elif strength >= HIDDEN_FROM:
        fields |= {"distill_hidden": 1.0, "distill_cache_dir": None}
    if family == "longer" and facts.epochs:
        fields["num_train_epochs"] = LONGER * facts.epochs
    return _predict(facts, family, strength, dropped, level, max(0.0, inner), fields)


def _predict(
    facts: Facts, family: str, strength: float, dropped: int, level: int, inner: float, fields: dict[str, Any]
) -> Candidate:
    """Return a candidate with its predicted size and speed-up; `inner` is the share removed of the layers that stay."""
    layers, size = facts.layers - dropped, facts.size(level)
    parameters = round(
        facts.prunable * (1 - strength)
        + facts.layer_rest * layers
        + facts.level(level).tokens * facts.embedding_width
        + facts.rest
    )
    return Candidate(
        name=_name(family, strength, dropped, size),
        words=_words(facts, family, strength, dropped, size),
        family=family,
        strength=strength,
        layers=dropped,
        level=level,
        changed=facts.level(level).changed,
        fields=fields,
        bytes={runtime: _file_bytes(parameters, layers, runtime) for runtime in facts.runtimes},
        speedup=_operations(facts, 0, 0.0) / _operations(facts, dropped, inner),
    )


def _file_bytes(parameters: int, layers: int, runtime: str) -> int:
    """Return the size of a model file: four bytes per weight, in int8 one."""
    if runtime.endswith("int8"):
        return parameters + FILE_BYTES + layers * LAYER_BYTES
    return 4 * parameters + HEADER_BYTES


def _operations(facts: Facts, dropped: int, inner: float) -> float:
    """Return the floating-point operations of the encoder per token."""
    left = (facts.layers - dropped) / facts.layers * (1 - inner)
    heads = 1 - inner if facts.heads_may_go else 1.0
    scores = 4 * facts.length * facts.heads * facts.head_size * heads * (facts.layers - dropped)
    return facts.uses * (2 * facts.prunable * left + scores)


def _dropped_layers(facts: Facts, family: str, strength: float) -> int | None:
    """Return the number of layers to drop, or None if the family has no such candidate."""
    mixed = min(facts.layers - 1, int(facts.layers * strength), int(facts.layers * strength * DEPTH_SHARE + 0.5))
    mixed *= facts.drops_layers
    deep = strength > WIDTH_ONLY and not (prunes_at_once(facts.main_method) and facts.heads_may_go)
    usual, other = (mixed, 0) if deep else (0, mixed)
    if family == "layers":
        whole = round(facts.layers * strength)
        near = abs(whole / facts.layers - strength) < 0.05
        return whole if near and 0 < whole < facts.layers else None
    if family == "shape":
        return other if other != usual else None
    return usual


def _name(family: str, strength: float, dropped: int, tokens: int | None) -> str:
    parts = [f"s{100 * strength:02.0f}", f"d{dropped}" if dropped else "", f"v{tokens}" if tokens else ""]
    return "-".join(part for part in (*parts, "" if family == MAIN else family.replace("_", "-")) if part)


def _words(facts: Facts, family: str, strength: float, dropped: int, tokens: int | None) -> str:
    removed = f"{100 * strength:.0f} % of the encoder gone" if strength else "the whole encoder"
    layers = f"{dropped} of {facts.layers} layers dropped" if dropped else ""
    difference = {
        MAIN: "",
        "shape": "" if dropped else "no layer dropped",
        "layers": "nothing else pruned",
        "longer": f"{LONGER} times the epochs",
    }.get(family, f"by {family}")
    return ", ".join(part for part in (removed, layers, f"{tokens:,} tokens" if tokens else "", difference) if part)
