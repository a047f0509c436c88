"""Search baseline: what a search knows before it trains anything, read off the baseline, its tokenizer and the texts.

Search facts: what is known of the baseline and of the recipe before anything is trained.

Search space: the candidates of a search, with the size and the speed that arithmetic alone promises of them.

The main line is a ladder of strengths: width alone up to half of the encoder, depth and width mixed beyond. Beside each
step lie its alternatives: the other shape, other methods, layers alone, and a longer training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from datasets import Dataset

from ...benchmark.size import count_parameters
from ...data.corpus import read_corpus
from ...data.encoding import encode_texts
from ...errors import InputError
from ...models.architectures import architecture_of, layers_of, prunable_weights
from ...pipeline.recipe import Recipe
from ...pruning.selection import floor_of
from ...tasks.dataset import HOLDOUT, Data
from ...tasks.registry import task_of
from ...vocabulary.trim import measure_vocabulary, tokens_in_use, trim_tokenizer


@dataclass(frozen=True)
class VocabularyLevel:
    """A size that the vocabulary may have.

    Attributes:
        tokens: that stay.
        changed: share of the held-out texts that are then cut into other pieces, in [0, 1].
        alike: whether no train text is, so that a teacher can be compared token by token.
    """

    tokens: int
    changed: float
    alike: bool = False


@dataclass(frozen=True)
class Facts:
    """What is known of the baseline and of the recipe before any run.

    Attributes:
        layers, heads, head_size, hidden, neurons: of the encoder; neurons of one layer.
        attention_weights, ffn_weights: prunable weights of the whole encoder, biases apart.
        layer_rest: parameters of one layer that pruning leaves: biases and norms.
        embedding_width: numbers per token.
        tokens: of the baseline's vocabulary.
        rest: all other parameters: positions, norms, pooler, head.
        length: tokens per text at which the speed is measured.
        vocabulary: sizes that the vocabulary may have, largest first; empty where it must stay whole.
        first: which of them is tried first: every piece in use, or what the recipe asks for.
        trimmed: whether the recipe asks for a size.
        runtimes: in which every candidate is measured.
        method: of the recipe.
        structure: of the recipe; it is kept.
        prunes_heads: whether the recipe lets heads go.
        drops_layers: whether layers may go (not where they share their weights).
        teacher: whether the recipe names one; the candidates take the baseline otherwise.
        hidden_states: whether hidden states may be distilled where student and teacher read the same tokens.
        epochs: of the recipe; None where it counts steps.
        uses: how often a forward pass runs each listed layer.
        rows: that are held out to choose by, where that is known.
    """

    layers: int
    heads: int
    head_size: int
    hidden: int
    neurons: int
    attention_weights: int
    ffn_weights: int
    layer_rest: int
    embedding_width: int
    tokens: int
    rest: int
    length: int
    vocabulary: tuple[VocabularyLevel, ...] = ()
    first: int = 0
    trimmed: bool = False
    runtimes: tuple[str, ...] = ("torch",)
    method: str = "movement"
    structure: str = "compact"
    prunes_heads: bool = True
    drops_layers: bool = True
    teacher: bool = True
    hidden_states: bool = True
    epochs: float | None = None
    uses: int = 1
    rows: int | None = None

    def __post_init__(self):
        sizes = [level.tokens for level in self.vocabulary]
        if sizes != sorted(set(sizes), reverse=True) or (sizes and not 0 < sizes[0] <= self.tokens):
            raise InputError(f"Sizes of the vocabulary must fall from {self.tokens} at most, got {sizes}.")

    @property
    def prunable(self) -> int:
        """Weights that pruning may remove."""
        return self.attention_weights + self.ffn_weights

    @property
    def most_of_a_layer(self) -> float:
        """Share of a layer that may go, below the floors of pruning."""
        attention = self.attention_weights * (1 - floor_of(self.heads) / self.heads) * self.heads_may_go
        ffn = self.ffn_weights * (1 - floor_of(self.neurons) / self.neurons)
        return (attention + ffn) / self.prunable

    @property
    def heads_may_go(self) -> bool:
        """Whether heads are pruned at all."""
        return self.prunes_heads and self.structure == "compact"


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
    family, layers, args = architecture_of(model.config), layers_of(model), recipe.training
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


STRENGTHS = (0.0, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.87, 0.92, 0.95)  # share of the encoder that is gone
FINE = tuple(number / 20 for number in range(20))  # where a speed is to be met and not surpassed
WIDTH_ALONE = 0.5  # up to here; beyond it, mixed with depth
HIDDEN_FROM = 0.5  # from here on hidden states are taught too: the answers alone do not make up for so much
DEPTH_SHARE = 0.75  # of what is gone is gone with whole layers, where depth and width are mixed
MAIN = "main"
WHOLE = -99  # the level of a vocabulary that stays as it is
LONGER = 2  # times the epochs of the recipe
METHODS = ("movement", "soft_movement", "magnitude")
# Measured on all-MiniLM: an int8 file is a byte per weight, and this much for scales and the graph.
FILE_BYTES, LAYER_BYTES = 150_000, 100_000
HEADER_BYTES = 20_000  # of a safetensors file


@dataclass(frozen=True)
class Candidate:
    """Fields to lay over the recipe, and what arithmetic says of the result.

    Attributes:
        name: short, good for a folder.
        words: the same, for people to read.
        family: `main`, or in what it differs from the main line.
        strength: share of the encoder that is gone, in [0, 1).
        layers: how many are dropped.
        level: of the vocabulary: 0 is every piece in use, or what the recipe asks for; lower is larger.
        changed: share of the texts that the vocabulary cuts into other pieces.
        fields: of the recipe.
        bytes: on disk, by runtime.
        speedup: what the floating-point operations alone promise.
    """

    name: str
    words: str
    family: str
    strength: float
    layers: int
    level: int
    changed: float
    fields: dict[str, Any] = field(hash=False)
    bytes: dict[str, int] = field(hash=False)
    speedup: float


@dataclass(frozen=True)
class Space:
    """All candidates of a search, from the mildest to the strongest.

    Attributes:
        facts: about the baseline and the recipe.
        trims: whether sizes of the vocabulary are tried: they make a model small, not fast.
        strengths: of the ladder, shares of the encoder that are gone.
    """

    facts: Facts
    trims: bool = True
    strengths: tuple[float, ...] = STRENGTHS

    @property
    def levels(self) -> tuple[int, ...]:
        """Of the vocabulary, the largest first."""
        first = self.facts.first
        sizes = tuple(number - first for number in range(len(self.facts.vocabulary)))
        if self.facts.trimmed:
            return sizes if self.trims else (0,)
        if not self.trims:
            return (WHOLE,)
        everything = bool(sizes) and self.facts.vocabulary[0].tokens == self.facts.tokens
        return sizes if everything else (WHOLE, *sizes)

    @cached_property
    def candidates(self) -> dict[str, Candidate]:
        """By name; main line and alternatives."""
        places = [(strength, level) for strength in self.strengths for level in self.levels]
        found = [candidate(self.facts, family, *place) for place in places for family in families(self.facts)]
        return {one.name: one for one in found if one is not None}

    @cached_property
    def baseline(self) -> Candidate:
        """What needs no training: the baseline, exported."""
        return _built(self.facts, MAIN, 0.0, 0, WHOLE, 0.0, {}, name="baseline", words="the baseline")


def families(facts: Facts) -> tuple[str, ...]:
    """The main line and what may be tried beside it, the most promising first."""
    longer = ("longer",) if facts.epochs else ()
    others = tuple(method for method in METHODS if method != main_method(facts))
    depth = ("shape", *others, "layers") if facts.drops_layers else others
    return (MAIN, *longer, *depth)


def main_method(facts: Facts) -> str:
    """The method of the recipe; movement where it prunes nothing."""
    return METHODS[0] if facts.method == "none" else facts.method


def candidate(facts: Facts, family: str, strength: float, level: int) -> Candidate | None:
    """One candidate, or None where the family has none of this strength."""
    trimmed = _size(facts, level) is not None
    dropped = _dropped(facts, family, strength)
    if dropped is None or (strength == 0 and (family != MAIN or not trimmed)):
        return None
    inner = 1 - (1 - strength) * facts.layers / (facts.layers - dropped)  # share of the layers that stay
    if family == "layers":
        strength, inner = dropped / facts.layers, 0.0
    if inner < -1e-9 or inner > facts.most_of_a_layer:
        return None
    alone = inner < 0.005  # a share that is not worth learning scores for
    method = family if family in METHODS else main_method(facts)
    fields: dict[str, Any] = {
        "prune_method": "none" if alone else method,
        "prune_sparsity": round(strength, 4),
        "prune_speedup": None,
        "prune_layers": dropped,
        "prune_layer_ids": None,
    }
    if trimmed:
        fields["vocab_size"] = _size(facts, level)
    if not facts.teacher:
        fields["distill_teacher"] = "self"
    if not facts.hidden_states or (trimmed and not _at(facts, level).alike):
        fields |= {"distill_hidden": 0.0, "distill_relations": 0.0}
    elif strength >= HIDDEN_FROM:
        fields |= {"distill_hidden": 1.0, "distill_cache_dir": None}
    if family == "longer":
        fields["num_train_epochs"] = LONGER * facts.epochs
    return _built(facts, family, strength, dropped, level, max(0.0, inner), fields)


def _built(facts, family, strength, dropped, level, inner, fields, *, name=None, words=None) -> Candidate:
    """A candidate with what arithmetic says of it; `inner` is the share that is gone of the layers that stay."""
    size = _size(facts, level)
    parameters = round(
        facts.prunable * (1 - strength)
        + facts.layer_rest * (facts.layers - dropped)
        + (size or facts.tokens) * facts.embedding_width
        + facts.rest
    )
    return Candidate(
        name=name or _name(family, strength, dropped, size),
        words=words or _words(facts, family, strength, dropped, size),
        family=family,
        strength=strength,
        layers=dropped,
        level=level,
        changed=0.0 if level == WHOLE else _at(facts, level).changed,
        fields=fields,
        bytes={runtime: file_bytes(parameters, facts.layers - dropped, runtime) for runtime in facts.runtimes},
        speedup=_operations(facts, 0, 0.0) / _operations(facts, dropped, inner),
    )


def _size(facts: Facts, level: int) -> int | None:
    """Tokens that stay; None where all do."""
    tokens = facts.tokens if level == WHOLE else _at(facts, level).tokens
    return tokens if tokens < facts.tokens else None


def _at(facts: Facts, level: int) -> VocabularyLevel:
    return facts.vocabulary[level + facts.first]


def file_bytes(parameters: int, layers: int, runtime: str) -> int:
    """Bytes of a model file: four per weight, in int8 one."""
    if runtime.endswith("int8"):
        return parameters + FILE_BYTES + layers * LAYER_BYTES
    return 4 * parameters + HEADER_BYTES


def _dropped(facts: Facts, family: str, strength: float) -> int | None:
    """Layers that go whole, or None where the family has no such candidate."""
    mixed = min(facts.layers - 1, int(facts.layers * strength), int(facts.layers * strength * DEPTH_SHARE + 0.5))
    mixed *= facts.drops_layers
    usual, other = (mixed, 0) if strength > WIDTH_ALONE else (0, mixed)
    if family == "layers":
        whole = round(facts.layers * strength)
        near = abs(whole / facts.layers - strength) < 0.05
        return whole if near and 0 < whole < facts.layers else None
    if family == "shape":
        return other if other != usual else None
    return usual


def _operations(facts: Facts, dropped: int, inner: float) -> float:
    """Floating-point operations per token of the encoder."""
    left = (facts.layers - dropped) / facts.layers * (1 - inner)
    heads = 1 - inner if facts.heads_may_go else 1.0
    scores = 4 * facts.length * facts.heads * facts.head_size * heads * (facts.layers - dropped)
    return facts.uses * (2 * facts.prunable * left + scores)


def _name(family: str, strength: float, dropped: int, tokens: int | None) -> str:
    parts = [f"s{100 * strength:02.0f}", f"d{dropped}" if dropped else "", f"v{tokens}" if tokens else ""]
    return "-".join(part for part in (*parts, "" if family == MAIN else family.replace("_", "-")) if part)


def _words(facts: Facts, family: str, strength: float, dropped: int, tokens: int | None) -> str:
    gone = f"{100 * strength:.0f} % of the encoder gone" if strength else "the encoder whole"
    layers = f"{dropped} of {facts.layers} layers dropped" if dropped else ""
    beside = {
        MAIN: "",
        "shape": "" if dropped else "no layer dropped",
        "layers": "nothing else pruned",
        "longer": f"{LONGER} times the epochs",
    }.get(family, f"by {family}")
    return ", ".join(part for part in (gone, layers, f"{tokens:,} tokens" if tokens else "", beside) if part)
