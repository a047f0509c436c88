"""Race: both models answer the same rows in turns, and after every few rounds it is told how fast each of them is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from captions import Refused
from models import Pair

from trainer_ext.benchmark.latency import LatencyStats, accelerator_name, processor_name, summarise, take_turns, timed
from trainer_ext.benchmark.size import random_inputs

LARGEST_BATCH = 64
MOST_TOKENS = 4096  # of a call; more would keep other visitors waiting
ROUNDS, AT_ONCE = 40, 4  # timed; how many of them before what was found is shown
SECONDS = 20.0  # of a race of slow models, which then has fewer rounds
WORDS = {
    "en": {
        "batch": "batch_size is {value!r}; give a whole number from 1 to {most}.",
        "length": "sequence_length is {value!r}; give a whole number from 1 to {most}.",
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
    """What has been timed so far.

    Attributes:
        processor: that the models ran on.
        threads: that PyTorch used on it.
        batch_size: texts per call.
        sequence_length: tokens per text.
        milliseconds: of every call, by model; both have made equally many.
        done: the share of the rounds that has been run, in [0, 1].
    """

    processor: str
    threads: int
    batch_size: int
    sequence_length: int
    milliseconds: dict[str, list[float]]
    done: float

    @property
    def rounds(self) -> int:
        """Calls of each model."""
        return len(self.milliseconds["baseline"])

    @property
    def stats(self) -> dict[str, LatencyStats]:
        """Median, 95th percentile and throughput, by model; from the first round on."""
        return {name: summarise(values, self.batch_size) for name, values in self.milliseconds.items()}

    @property
    def speedup(self) -> float:
        """Median of the baseline over that of the compressed model."""
        return self.stats["baseline"].median_ms / self.stats["compressed"].median_ms


def longest(pair: Pair) -> int:
    """Tokens that a text of the race may have: what both models read, and a call holds."""
    return min(MOST_TOKENS, *(side.longest for side in pair.sides.values()))


def check_size(batch_size: int, sequence_length: int, *, most: int) -> None:
    """See that a call of this size can be made.

    Args:
        batch_size: texts per call.
        sequence_length: tokens per text.
        most: tokens that both models read.

    Raises:
        Refused: a size that is no whole number in its range, or a call of more than `MOST_TOKENS`.
    """
    for name, value, highest in (("batch", batch_size, LARGEST_BATCH), ("length", sequence_length, most)):
        if type(value) is not int or not 1 <= value <= highest:
            raise Refused(WORDS, name, value=value, most=highest)
    tokens = batch_size * sequence_length
    if tokens > MOST_TOKENS:
        raise Refused(WORDS, "heavy", batch=batch_size, length=sequence_length, tokens=tokens, most=MOST_TOKENS)


def race(pair: Pair, batch_size: int, sequence_length: int) -> Iterator[Race]:
    """Time both models in turns on the same rows of random tokens; raises as :func:`check_size` does.

    Each of the steps begins with a round that is not counted: what the page does in between is not timed.

    Yields:
        What has been found, first before any call and last when all is done.
    """
    check_size(batch_size, sequence_length, most=longest(pair))
    models = {name: side.model for name, side in pair.sides.items()}
    calls = {name: _call(models[name], rows) for name, rows in same_rows(models, batch_size, sequence_length).items()}
    device = pair.compressed.model.device
    processor = processor_name() if device.type == "cpu" else accelerator_name(device)
    milliseconds: dict[str, list[float]] = {name: [] for name in models}

    def found(done: float) -> Race:
        so_far = {name: list(values) for name, values in milliseconds.items()}
        return Race(processor, torch.get_num_threads(), batch_size, sequence_length, so_far, done)

    yield found(0.0)
    end = time.monotonic() + SECONDS
    for before in range(0, ROUNDS, AT_ONCE):
        began = time.monotonic()
        with torch.inference_mode():  # not around the yield: the next step may run in another thread
            times = take_turns(calls, repeats=AT_ONCE, warmup=1, seconds_limit=end - began)
        for name, values in times.items():
            milliseconds[name] += values
        now = time.monotonic()
        last = before + AT_ONCE == ROUNDS or now + (now - began) > end  # another step would take as long
        yield found(1.0 if last else (before + AT_ONCE) / ROUNDS)
        if last:
            return


def same_rows(models: dict[str, Any], batch_size: int, sequence_length: int) -> dict[str, dict[str, torch.Tensor]]:
    """The same inputs for every model, on its device: tokens of the smallest vocabulary, which all of them have."""
    smallest = min(models.values(), key=lambda model: model.get_input_embeddings().weight.shape[0])
    rows = random_inputs(smallest, batch_size, sequence_length=sequence_length)
    return {name: {key: value.to(model.device) for key, value in rows.items()} for name, model in models.items()}


def benchmark(pair: Pair, batch_size: int, sequence_length: int) -> dict[str, Any]:
    """The whole race as plain values, every call's time included; raises as :func:`check_size` does."""
    *_, found = race(pair, batch_size, sequence_length)
    sides = {name: vars(stats) | {"milliseconds": found.milliseconds[name]} for name, stats in found.stats.items()}
    return {
        "processor": found.processor,
        "threads": found.threads,
        "batch_size": batch_size,
        "sequence_length": sequence_length,
        "speedup": found.speedup,
        **sides,
    }


def _call(model, rows: dict[str, torch.Tensor]) -> Callable[[int], float]:
    return lambda _: timed(lambda: model(**rows), model.device)
