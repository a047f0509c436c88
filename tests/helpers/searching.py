"""A search without training: facts about a small encoder, and simulated results."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from trainer_ext.sweep.search.goal import Finished, Goal, Variant
from trainer_ext.sweep.search.planner import MOST_RUNS, Stop, next_step, space_for
from trainer_ext.sweep.search.space import Candidate, Facts, VocabularyLevel

HIDDEN, NEURONS, LAYERS = 384, 1536, 6
SPEED = {"torch": 1.0, "openvino-int8": 3.7}
# all-MiniLM-L6-v2 with a head for six classes.
MINILM = Facts(
    method="movement",  # the measured losses are its
    layers=LAYERS,
    heads=12,
    head_size=32,
    hidden=HIDDEN,
    neurons=NEURONS,
    attention_weights=LAYERS * 4 * HIDDEN**2,
    ffn_weights=LAYERS * 2 * HIDDEN * NEURONS,
    layer_rest=4 * HIDDEN + NEURONS + HIDDEN + 4 * HIDDEN,
    embedding_width=HIDDEN,
    tokens=30_522,
    rest=512 * HIDDEN + 4 * HIDDEN + HIDDEN * (HIDDEN + 1) + 6 * (HIDDEN + 1),
    length=32,
    vocabulary=tuple(VocabularyLevel(*level) for level in ((8600, 0.1), (4300, 0.3), (2150, 0.6))),
    runtimes=tuple(SPEED),
    epochs=6.0,
)


@dataclass(frozen=True)
class Surface:
    """Simulated losses, in points.

    Attributes:
        scale: at 60 % gone.
        power: how steep the loss rises with the strength.
        vocabulary: if all texts are cut otherwise.
        int8: in int8 besides.
        offset: of everything.
        luck: standard deviation of a training, fixed by `seed` and the name of the candidate.
        factors: of the loss, by family.
        broken: names of candidates whose run fails.
    """

    scale: float = 0.7
    power: float = 3.0
    vocabulary: float = 1.0
    int8: float = 0.1
    offset: float = 0.0
    luck: float = 0.0
    seed: int = 0
    rows: int = 818
    factors: dict = field(default_factory=dict)
    broken: tuple[str, ...] = ()

    def loss(self, one: Candidate, runtime: str) -> float:
        """Return the loss without noise."""
        curve = one.strength**self.power / (1 - one.strength) / (0.6**self.power / 0.4)
        int8 = self.int8 if runtime.endswith("int8") else 0.0
        return (
            self.scale * self.factors.get(one.family, 1.0) * curve + self.vocabulary * one.changed + int8 + self.offset
        )

    def run(self, one: Candidate) -> Finished:
        """Return a simulated result of a run."""
        if one.name in self.broken:
            return Finished(one, error="out of memory")
        luck = self.luck * np.random.default_rng([self.seed, *one.name.encode()]).normal()
        variants = []
        for runtime, factor in SPEED.items():
            lost = -round((self.loss(one, runtime) + luck * bool(one.fields)) / 100 * self.rows) / self.rows
            half = 0.009 * (818 / self.rows) ** 0.5
            speed = factor / (0.1 + 0.9 / one.speedup)
            variants.append(
                Variant(runtime, int(1.01 * one.bytes[runtime]), speed, lost, lost - half, lost + half, self.rows)
            )
        return Finished(one, tuple(variants))


def search(
    goal: Goal,
    surface: Surface,
    facts: Facts = MINILM,
    *,
    known: tuple[Finished, ...] = (),
    most_runs: int = MOST_RUNS,
) -> tuple[Stop, list[Finished]]:
    """Run a search to its end, given some results."""
    space, results = space_for(goal, replace(facts, rows=surface.rows)), list(known)
    while not isinstance(step := next_step(goal, space, results, most_runs), Stop):
        assert step.candidate.name not in {result.candidate.name for result in results}, "trained twice"
        assert len(results) < most_runs + 1
        results.append(surface.run(step.candidate))
    return step, results
