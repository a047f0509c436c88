"""Search space: the candidates of a search, with the size and the speed that arithmetic alone promises of them.

The main line is a ladder of strengths: width alone up to half of the encoder, depth and width mixed beyond. Beside each
step lie its alternatives: the other shape, other methods, layers alone, and a longer training.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .search_facts import Facts, VocabularyLevel

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
