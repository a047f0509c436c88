"""Race: time both models on the same inputs in turns, and report the times after every few rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from transformers import PreTrainedModel

from core.captions import Refused
from core.models import Pair
from trainer_ext.benchmark.latency import LatencyStats, accelerator_name, processor_name, summarise, take_turns, timed
from trainer_ext.benchmark.size import random_inputs
from trainer_ext.models.loading import rows_of

LARGEST_BATCH = 64
MOST_TOKENS = 4096  # per call; more would make other visitors wait
ROUNDS, ROUNDS_PER_STEP = 40, 4  # timed rounds; the page shows the times after each step
REST = 0.1  # seconds after the exported files, whose threads stay awake and would slow PyTorch
SECONDS = 20.0  # after which a race ends, with fewer rounds
WORDS = {
    "en": {
        "batch": "batch_size is {value!r}; enter a whole number from 1 to {most}.",
        "length": "sequence_length is {value!r}; enter a whole number from 1 to {most}.",
        "heavy": "{batch} texts of {length} tokens are {tokens:,} tokens per call; this page takes at most {most:,}. Lower "
        "one of the two.",
    },
    "mr": {
        "batch": "batch_size {value!r} आहे; 1 ते {most} मधील पूर्णांक द्या.",
        "length": "sequence_length {value!r} आहे; 1 ते {most} मधील पूर्णांक द्या.",
        "heavy": "{length} टोकनचे {batch} मजकूर म्हणजे प्रत्येक वेळी {tokens:,} टोकन; येथे जास्तीत जास्त {most:,} चालतात. "
        "दोन्हीपैकी एक कमी करा.",
    },
}


@dataclass(frozen=True)
class Race:
    """The times so far.

    Attributes:
        processor: Name of the processor or accelerator.
        threads: Number of threads that PyTorch uses.
        batch_size: Texts per call.
        sequence_length: Tokens per text.
        milliseconds: The time of every call, by model and exported file; the same number of calls for each.
        done: Fraction of the rounds that have run, in [0, 1].
    """

    processor: str
    threads: int
    batch_size: int
    sequence_length: int
    milliseconds: dict[str, list[float]]
    done: float

    @property
    def rounds(self) -> int:
        """Number of calls of each model."""
        return len(self.milliseconds["baseline"])

    @property
    def stats(self) -> dict[str, LatencyStats]:
        """Median, 95th percentile and throughput, by model; there must be at least one round."""
        return {name: summarise(values, self.batch_size) for name, values in self.milliseconds.items()}

    @property
    def speedup(self) -> float:
        """Median of the baseline divided by the median of the compressed model."""
        return self.stats["baseline"].median_ms / self.stats["compressed"].median_ms


def longest(pair: Pair) -> int:
    """Return the largest allowed number of tokens per text: what both models can read, at most `MOST_TOKENS`."""
    return min(MOST_TOKENS, *(side.max_tokens for side in pair.sides.values()))


def check_size(batch_size: int, sequence_length: int, *, most: int) -> None:
    """Check the size of a call.

    Args:
        batch_size: Texts per call.
        sequence_length: Tokens per text.
        most: Tokens that both models can read.

    Raises:
        Refused: A size is not a whole number in its range, or a call has more than `MOST_TOKENS` tokens.
    """
    for name, value, highest in (("batch", batch_size, LARGEST_BATCH), ("length", sequence_length, most)):
        if type(value) is not int or not 1 <= value <= highest:
            raise Refused(WORDS, name, value=value, most=highest)
    tokens = batch_size * sequence_length
    if tokens > MOST_TOKENS:
        raise Refused(WORDS, "heavy", batch=batch_size, length=sequence_length, tokens=tokens, most=MOST_TOKENS)


def race(pair: Pair, batch_size: int, sequence_length: int) -> Iterator[Race]:
    """Time both models in turns on the same random tokens, then the exported files; raises as :func:`check_size` does.

    Each step starts with a round that does not count, so that the page's own work between steps is not timed.

    Yields:
        The times so far: first before any call, last when the race is over.
    """
    check_size(batch_size, sequence_length, most=longest(pair))
    models = {name: side.model for name, side in pair.sides.items()}
    rows = same_rows(models, batch_size, sequence_length)
    calls = {name: _call(models[name], values) for name, values in rows.items()}
    device = pair.compressed.model.device
    processor = processor_name() if device.type == "cpu" else accelerator_name(device)
    milliseconds: dict[str, list[float]] = {name: [] for name in [*models, *(one.name for one in pair.exports)]}

    def found(done: float) -> Race:
        so_far = {name: list(values) for name, values in milliseconds.items()}
        return Race(processor, torch.get_num_threads(), batch_size, sequence_length, so_far, done)

    yield found(0.0)
    end = time.monotonic() + SECONDS
    batch = {name: values.cpu().numpy() for name, values in rows["compressed"].items()}
    files: list[dict[str, Callable[[int], float]]] = [{one.name: partial(_timed, one, batch)} for one in pair.exports]
    for before in range(0, ROUNDS, ROUNDS_PER_STEP):
        began = time.monotonic()
        times: dict[str, list[float]] = {}
        with torch.inference_mode():  # not around the yield: the next step may run in another thread
            for group in (calls, *files):
                limit = max(end - time.monotonic(), 1e-9)
                times |= take_turns(group, repeats=ROUNDS_PER_STEP, warmup=1, seconds_limit=limit)
        if files:
            time.sleep(REST)
        for name, values in times.items():
            milliseconds[name] += values
        now = time.monotonic()
        last = before + ROUNDS_PER_STEP == ROUNDS or now + (now - began) > end  # another step would take as long
        yield found(1.0 if last else (before + ROUNDS_PER_STEP) / ROUNDS)
        if last:
            return


def same_rows(
    models: dict[str, PreTrainedModel], batch_size: int, sequence_length: int
) -> dict[str, dict[str, torch.Tensor]]:
    """Return the same inputs for every model, on its device: random tokens of the smallest vocabulary."""
    smallest = min(models.values(), key=rows_of)
    rows = random_inputs(smallest, batch_size, sequence_length=sequence_length)
    return {name: {key: value.to(model.device) for key, value in rows.items()} for name, model in models.items()}


def benchmark(pair: Pair, batch_size: int, sequence_length: int) -> dict[str, Any]:
    """Run a whole race, and return its result with the time of every call; raises as :func:`check_size` does."""
    *_, found = race(pair, batch_size, sequence_length)
    sides = {name: vars(stats) | {"milliseconds": found.milliseconds[name]} for name, stats in found.stats.items()}
    files = {one.name: sides.pop(one.name) for one in pair.exports}
    return {
        "processor": found.processor,
        "threads": found.threads,
        "batch_size": batch_size,
        "sequence_length": sequence_length,
        "speedup": found.speedup,
        **sides,
        **({"exports": files} if files else {}),
    }


def _timed(one: Any, batch: dict[str, Any], _: int) -> float:
    return timed(lambda: one.logits(batch), torch.device("cpu"))


def _call(model: PreTrainedModel, rows: dict[str, torch.Tensor]) -> Callable[[int], float]:
    return lambda _: timed(lambda: model(**rows), model.device)
