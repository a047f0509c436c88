"""Energy: what a stretch of work drew, in kWh, and in grams of CO2 where the country is given; by codecarbon, offline.

Only its offline tracker is used: the online one asks the network where it is and, without an answer, says Canada.
Nothing is written, nothing is sent, and no lock is taken, so that several runs may measure at once.

Inference energy: what a thousand predictions draw, models measured in turn, and when a compression has paid back.
"""

from __future__ import annotations

import contextlib
import difflib
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..errors import InputError
from ..report.schema import Inference, Pair
from ..utils.imports import require
from .size import evaluating, random_inputs

EXTRA = "emissions"
# How codecarbon describes hardware that counts its own energy; any other processor is estimated from its load.
_COUNTERS = ("CPU(Intel Rapl)", "CPU(Intel Power Gadget)", "CPU(Windows Emi)", "AppleSiliconChip", "Raspberry")


@dataclass(frozen=True)
class Energy:
    """What was drawn by processor, memory and accelerators.

    Attributes:
        energy_kwh: kilowatt-hours.
        emissions_g: grams of CO2 equivalent, `energy_kwh * grid_g_per_kwh`; None without a country.
        seconds: how long it was measured.
        grid_g_per_kwh: the grid intensity of the country that was used; None without one.
        country: ISO 3166 alpha-3 code, as it was given.
        estimated: the processor has no counter that can be read. Memory is estimated everywhere.
        hardware: the processor, accelerators, and how codecarbon read each.
    """

    energy_kwh: float
    emissions_g: float | None
    seconds: float
    grid_g_per_kwh: float | None
    country: str | None
    estimated: bool
    hardware: str


def check_country(country: str | None) -> None:
    """See before any work that energy can be measured and that the country's grid is known.

    Args:
        country: ISO 3166 alpha-3 code; None measures kWh alone.

    Raises:
        InputError: codecarbon is not installed, or has no such country.
    """
    mixes = require("codecarbon", extra=EXTRA).input.DataSource().get_global_energy_mix_data()
    if country is None or country in mixes:
        return
    words = {word.lower(): code for code, mix in mixes.items() for word in (code, mix["country_name"])}
    near = difflib.get_close_matches(country.lower(), words, n=1)
    hint = f"did you mean {words[near[0]]}?" if near else "use a code like IND, DEU or USA."
    raise InputError(f"Unknown country {country!r}, expected an ISO 3166 alpha-3 code; {hint}")


class Meter:
    """Measures from `start` to `stop`; `energy` is then what was drawn in between.

    Args:
        country: ISO 3166 alpha-3 code for grams; None measures kWh alone. It is never guessed.
        whole_machine: count every process of this machine. The default counts this process and its children: on a
            shared machine it is charged for its own processor time and not for what others do. A hardware counter knows
            no processes and always counts all of them; accelerators likewise.

    Raises:
        InputError: see `check_country`.
    """

    def __init__(self, country: str | None = None, *, whole_machine: bool = False):
        check_country(country)
        self.country, self.energy = country, None
        self._mode = "machine" if whole_machine else "process"
        self._tracker = None

    def start(self) -> None:
        """Start anew; the first time in a process it takes some seconds to look at the hardware, which do not count."""
        codecarbon = require("codecarbon", extra=EXTRA)
        logging.getLogger("codecarbon").setLevel(logging.ERROR)  # it speaks before it reads log_level
        # Settings that lie on the machine may describe the hardware; where it stands and what is sent is decided here.
        self._tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=self.country,
            tracking_mode=self._mode,
            output_methods=[],
            log_level="error",
            allow_multiple_runs=True,  # else it takes a lock file and the handlers of SIGINT and SIGTERM
            electricitymaps_api_token="",
            **dict.fromkeys(
                (
                    *("cloud_provider", "cloud_region", "region", "country_2letter_iso_code"),
                    *("emissions_endpoint", "force_carbon_intensity_g_co2e_kwh"),
                )
            ),
        )
        self._tracker.get_detected_hardware()  # `start` would swallow the error
        self._tracker.start()

    def stop(self) -> Energy:
        """Stop, and say what was drawn since `start`."""
        self._tracker.stop()
        data = self._tracker.final_emissions_data
        parts = [part.description() for part in self._tracker._hardware]  # no public name says how it was read
        grams = None if self.country is None else 1000 * data.emissions
        self.energy = Energy(
            energy_kwh=data.energy_consumed,
            emissions_g=grams,
            seconds=data.duration,
            grid_g_per_kwh=grams / data.energy_consumed if grams else None,
            country=self.country,
            estimated=not any(part.startswith(_COUNTERS) for part in parts),
            hardware=", ".join(filter(None, [data.cpu_model, data.gpu_model, *parts])),
        )
        self._tracker = None
        return self.energy


@contextlib.contextmanager
def measured(country: str | None = None, *, whole_machine: bool = False) -> Iterator[Meter]:
    """Measure what happens inside; the arguments are those of `Meter`.

    Example:
        >>> with measured(country="IND") as meter:
        ...     work()
        >>> meter.energy.energy_kwh
    """
    meter = Meter(country, whole_machine=whole_machine)
    meter.start()
    try:
        yield meter
    finally:
        meter.stop()


BLOCKS = 4
WARMUP = 3
SAMPLE_SECONDS, FEWEST_SAMPLES = 1.0, 10  # codecarbon looks at the power once a second


@dataclass(frozen=True)
class InferenceEnergy:
    """One model's predictions and what they drew, block by block."""

    blocks: tuple[tuple[Energy, int], ...]

    @property
    def kwh_per_1000(self) -> float:
        """Kilowatt-hours per thousand predictions, over all blocks."""
        kwh = sum(energy.energy_kwh for energy, _ in self.blocks)
        return per_1000(kwh, sum(predictions for _, predictions in self.blocks))

    @property
    def range_per_1000(self) -> tuple[float, float]:
        """The lowest and the highest of the blocks, kilowatt-hours per thousand predictions."""
        values = [per_1000(energy.energy_kwh, predictions) for energy, predictions in self.blocks]
        return min(values), max(values)


def per_1000(kwh: float, predictions: int) -> float:
    """What a thousand predictions draw, if so many drew so much."""
    return 1000 * kwh / predictions


def break_even(extra_training_kwh: float | None, baseline_per_1000: float, compressed_per_1000: float) -> float | None:
    """After how many predictions the extra training energy is paid back; None if it is unknown or nothing is saved."""
    saved = (baseline_per_1000 - compressed_per_1000) / 1000
    return None if extra_training_kwh is None or saved <= 0 else extra_training_kwh / saved


def check_seconds(seconds: float) -> None:
    """Refuse a loop that is too short to mean something.

    Raises:
        InputError: fewer seconds per model than ten looks at the power take.
    """
    least = FEWEST_SAMPLES * SAMPLE_SECONDS
    if not least <= seconds < float("inf"):
        raise InputError(f"seconds must be at least {least:g} per model, got {seconds}: power is read once a second.")


def measure_inference(
    models: Mapping[str, nn.Module | Callable[[Any], Any]],
    batches: Sequence[Mapping[str, Any]],
    *,
    seconds: float = 60.0,
    country: str | None = None,
    on_block: Callable[[], None] | None = None,
) -> dict[str, InferenceEnergy]:
    """Predict without a pause, each model in four blocks that alternate: A B B A A B B A.

    Args:
        models: by name; a module is called with a batch's tensors by name, in evaluation mode, any function with the
            batch itself.
        batches: taken in turn; the length of a batch's first value is its number of predictions.
        seconds: for each model, over all its blocks; at least 10.
        country: ISO 3166 alpha-3 code for grams of CO2; None measures kWh alone.
        on_block: called after each of the `4 * len(models)` blocks.

    Raises:
        InputError: too few seconds; codecarbon is not installed, or has no such country.
    """
    check_seconds(seconds)
    blocks: dict[str, list] = {name: [] for name in models}
    modules = [model for model in models.values() if isinstance(model, nn.Module)]
    with evaluating(*modules), torch.inference_mode():
        for name in models:
            for _ in range(WARMUP):
                _call(models[name], batches[0])
        for index in range(BLOCKS):
            for name in list(models) if index % 2 == 0 else reversed(models):
                blocks[name].append(_block(models[name], batches, seconds / BLOCKS, country))
                if on_block is not None:
                    on_block()
    return {name: InferenceEnergy(tuple(values)) for name, values in blocks.items()}


def compare_inference(
    baseline: nn.Module,
    compressed: nn.Module,
    *,
    batch_size: int,
    sequence_length: int,
    extra_training_kwh: float | None,
    seconds: float = 60.0,
    country: str | None = None,
    on_block: Callable[[], None] | None = None,
) -> Inference:
    """Both models on texts of random tokens, as the report states it.

    Args:
        baseline: the model before.
        compressed: the model after.
        batch_size: texts per call.
        sequence_length: tokens per text.
        extra_training_kwh: what the compression drew; None if it was not measured.
        seconds: see `measure_inference`, as the rest.
        country: see there.
        on_block: see there.
    """
    # Tokens that both have: a trimmed vocabulary is the smaller one.
    smaller = min(baseline, compressed, key=lambda model: model.get_input_embeddings().weight.shape[0])
    batches = [random_inputs(smaller, batch_size, sequence_length=sequence_length)]
    models = {"baseline": baseline, "compressed": compressed}
    found = measure_inference(models, batches, seconds=seconds, country=country, on_block=on_block)
    before, after = found["baseline"], found["compressed"]
    about = before.blocks[0][0]
    kwh, grid = Pair(before.kwh_per_1000, after.kwh_per_1000), about.grid_g_per_kwh
    return Inference(
        energy_kwh_per_1000=kwh,
        range_kwh_per_1000=Pair(before.range_per_1000, after.range_per_1000),
        emissions_g_per_1000=None if grid is None else Pair(kwh.baseline * grid, kwh.compressed * grid),
        grid_g_per_kwh=grid,
        country=country,
        break_even_inferences=break_even(extra_training_kwh, kwh.baseline, kwh.compressed),
        estimated=about.estimated,
        hardware=about.hardware,
        batch_size=batch_size,
        sequence_length=sequence_length,
        seconds=seconds,
    )


def _block(model, batches: Sequence, seconds: float, country: str | None) -> tuple[Energy, int]:
    predictions = 0
    with measured(country) as meter:
        end = time.perf_counter() + seconds
        for batch in itertools.cycle(batches):
            _call(model, batch)
            predictions += len(next(iter(batch.values())))
            if time.perf_counter() >= end:
                break
    return meter.energy, predictions


def _call(model, batch) -> None:
    """One answer, complete: work that an accelerator has only queued is waited for."""
    if isinstance(model, nn.Module):
        model(**batch)
    else:
        model(batch)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
