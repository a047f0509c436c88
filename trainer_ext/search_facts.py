"""Search facts: what is known of the baseline and of the recipe before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass

from .budgets import floor_of
from .errors import InputError


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
