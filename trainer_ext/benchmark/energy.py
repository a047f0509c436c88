"""Measure the energy of a block of code or of 1,000 predictions in kWh, and in grams of CO2 for a known country.

Only the offline tracker of codecarbon is used: the online one looks up its location in the network, and assumes Canada
without an answer. Nothing is written or sent, and no lock is taken, so that several runs can measure at once.
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
from .size import evaluating, input_embeddings, random_inputs

Model = nn.Module | Callable[[Any], Any]
EXTRA = "emissions"
# How codecarbon describes processors with an energy counter; the energy of others is estimated from their load.
_COUNTERS = ("CPU(Intel Rapl)", "CPU(Intel Power Gadget)", "CPU(Windows Emi)", "AppleSiliconChip", "Raspberry")


@dataclass(frozen=True)
class Energy:
    """The energy of processor, memory and accelerators.

    Attributes:
        energy_kwh: kilowatt-hours.
        emissions_g: grams of CO2 equivalent, `energy_kwh * grid_g_per_kwh`; None without a country.
        seconds: length of the measurement.
        grid_g_per_kwh: carbon intensity of the grid of the country; None without one.
        country: ISO 3166 alpha-3 code.
        estimated: whether the processor has no readable energy counter. Memory is always estimated.
        hardware: processor, accelerators, and how codecarbon measures each.
    """

    energy_kwh: float
    emissions_g: float | None
    seconds: float
    grid_g_per_kwh: float | None
    country: str | None
    estimated: bool
    hardware: str


def check_country(country: str | None) -> None:
    """Check before any work that energy can be measured and the grid of the country is known.

    Args:
        country: ISO 3166 alpha-3 code; None to measure kWh only.

    Raises:
        InputError: codecarbon is not installed, or does not know the country.
    """
    mixes = require("codecarbon", extra=EXTRA).input.DataSource().get_global_energy_mix_data()
    if country is None or country in mixes:
        return
    words = {word.lower(): code for code, mix in mixes.items() for word in (code, mix["country_name"])}
    near = difflib.get_close_matches(country.lower(), words, n=1)
    hint = f"did you mean {words[near[0]]}?" if near else "use a code like IND, DEU or USA."
    raise InputError(f"Unknown country {country!r}, expected an ISO 3166 alpha-3 code; {hint}")


class Meter:
    """Measure energy from `start` to `stop`; the result is then in `energy`.

    Args:
        country: ISO 3166 alpha-3 code for grams of CO2; None to measure kWh only. It is never guessed.
        whole_machine: whether to count all processes of the machine. By default only the processor time of this process
            and its children counts. A hardware counter and accelerators always count all processes.

    Raises:
        InputError: codecarbon is not installed, or does not know the country.
    """

    def __init__(self, country: str | None = None, *, whole_machine: bool = False):
        check_country(country)
        self.country = country
        self.energy: Energy | None = None
        self._mode = "machine" if whole_machine else "process"
        self._tracker: Any = None

    def start(self) -> None:
        """Start a measurement; the first one of a process detects the hardware, some seconds that do not count."""
        codecarbon = require("codecarbon", extra=EXTRA)
        logging.getLogger("codecarbon").setLevel(logging.ERROR)  # it logs before it reads log_level
        # A configuration file may describe the hardware, but the location and what is sent are set here.
        self._tracker = codecarbon.OfflineEmissionsTracker(
            country_iso_code=self.country,
            tracking_mode=self._mode,
            output_methods=[],
            log_level="error",
            allow_multiple_runs=True,  # otherwise it creates a lock file and replaces the handlers of SIGINT and SIGTERM
            electricitymaps_api_token="",
            **dict.fromkeys(
                (
                    *("cloud_provider", "cloud_region", "region", "country_2letter_iso_code"),
                    *("emissions_endpoint", "force_carbon_intensity_g_co2e_kwh"),
                )
            ),
        )
        self._tracker.get_detected_hardware()  # `start` would hide the error
        self._tracker.start()

    def stop(self) -> Energy:
        """Stop, and return the energy since `start`."""
        self._tracker.stop()
        data = self._tracker.final_emissions_data
        parts = [
            part.description() for part in self._tracker._hardware
        ]  # no public attribute tells how it is measured
        grams = None if self.country is None else 1000 * data.emissions
        energy = Energy(
            energy_kwh=data.energy_consumed,
            emissions_g=grams,
            seconds=data.duration,
            grid_g_per_kwh=grams / data.energy_consumed if grams else None,
            country=self.country,
            estimated=not any(part.startswith(_COUNTERS) for part in parts),
            hardware=", ".join(filter(None, [data.cpu_model, data.gpu_model, *parts])),
        )
        self._tracker, self.energy = None, energy
        return energy


@contextlib.contextmanager
def measured(country: str | None = None, *, whole_machine: bool = False) -> Iterator[Meter]:
    """Measure the energy of the block; the arguments are those of `Meter`.

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
WARMUP = 3  # calls per model
SAMPLE_SECONDS, FEWEST_SAMPLES = 1.0, 10  # codecarbon reads the power once a second


@dataclass(frozen=True)
class InferenceEnergy:
    """The energy and the number of predictions of one model, by block."""

    blocks: tuple[tuple[Energy, int], ...]

    @property
    def kwh_per_1000(self) -> float:
        """Kilowatt-hours per 1,000 predictions over all blocks."""
        kwh = sum(energy.energy_kwh for energy, _ in self.blocks)
        return per_1000(kwh, sum(predictions for _, predictions in self.blocks))

    @property
    def range_per_1000(self) -> tuple[float, float]:
        """Kilowatt-hours per 1,000 predictions of the lowest and the highest block."""
        values = [per_1000(energy.energy_kwh, predictions) for energy, predictions in self.blocks]
        return min(values), max(values)


def per_1000(kwh: float, predictions: int) -> float:
    """Return the energy of 1,000 predictions."""
    return 1000 * kwh / predictions


def break_even(extra_training_kwh: float | None, baseline_per_1000: float, compressed_per_1000: float) -> float | None:
    """Return after how many predictions the extra training energy is saved; None if it is unknown or nothing is saved.

    Args:
        extra_training_kwh: energy of the compression; None if unknown.
        baseline_per_1000: kWh of 1,000 predictions of the baseline.
        compressed_per_1000: kWh of 1,000 predictions of the compressed model.
    """
    saved = (baseline_per_1000 - compressed_per_1000) / 1000
    return None if extra_training_kwh is None or saved <= 0 else extra_training_kwh / saved


def check_seconds(seconds: float) -> None:
    """Check that a measurement is long enough.

    Raises:
        InputError: `seconds` per model is less than ten readings of the power take.
    """
    least = FEWEST_SAMPLES * SAMPLE_SECONDS
    if not least <= seconds < float("inf"):
        raise InputError(f"seconds must be at least {least:g} per model, got {seconds}: power is read once a second.")


def measure_inference(
    models: Mapping[str, Model],
    batches: Sequence[Mapping[str, Any]],
    *,
    seconds: float = 60.0,
    country: str | None = None,
    on_block: Callable[[], None] | None = None,
) -> dict[str, InferenceEnergy]:
    """Measure predictions without a pause; models alternate in four blocks each: A B B A A B B A.

    Args:
        models: by name. A module is called in evaluation mode with the tensors of a batch by name, a function with the
            batch itself.
        batches: used in turn; the length of the first value of a batch is its number of predictions.
        seconds: per model, over all its blocks; at least 10.
        country: ISO 3166 alpha-3 code for grams of CO2; None to measure kWh only.
        on_block: called after each of the `4 * len(models)` blocks.

    Returns:
        The energy by name of the model.

    Raises:
        InputError: Too few seconds, or codecarbon is not installed or does not know the country.
    """
    check_seconds(seconds)
    blocks: dict[str, list[tuple[Energy, int]]] = {name: [] for name in models}
    modules = [model for model in models.values() if isinstance(model, nn.Module)]
    with evaluating(*modules), torch.inference_mode():
        for name in models:
            for _ in range(WARMUP):
                _call(models[name], batches[0])
        for index in range(BLOCKS):
            for name in list(models) if index % 2 == 0 else reversed(list(models)):
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
    """Measure two models on random tokens, and return the row of the report.

    Args:
        baseline: the model before compression.
        compressed: the model after compression.
        batch_size: texts per call.
        sequence_length: tokens per text.
        extra_training_kwh: energy of the compression; None if it was not measured.
        seconds: see `measure_inference`.
        country: see `measure_inference`.
        on_block: see `measure_inference`.
    """
    # Only tokens that both models have: a trimmed vocabulary is smaller.
    smaller = min(baseline, compressed, key=lambda model: input_embeddings(model).weight.shape[0])
    batches = [random_inputs(smaller, batch_size, sequence_length=sequence_length)]
    models = {"baseline": baseline, "compressed": compressed}
    found = measure_inference(models, batches, seconds=seconds, country=country, on_block=on_block)
    before, after = found["baseline"], found["compressed"]
    about = before.blocks[0][0]
    grid = about.grid_g_per_kwh
    return Inference(
        energy_kwh_per_1000=Pair(before.kwh_per_1000, after.kwh_per_1000),
        range_kwh_per_1000=Pair(before.range_per_1000, after.range_per_1000),
        emissions_g_per_1000=None if grid is None else Pair(before.kwh_per_1000 * grid, after.kwh_per_1000 * grid),
        grid_g_per_kwh=grid,
        country=country,
        break_even_inferences=break_even(extra_training_kwh, before.kwh_per_1000, after.kwh_per_1000),
        estimated=about.estimated,
        hardware=about.hardware,
        batch_size=batch_size,
        sequence_length=sequence_length,
        seconds=seconds,
    )


def _block(
    model: Model, batches: Sequence[Mapping[str, Any]], seconds: float, country: str | None
) -> tuple[Energy, int]:
    predictions = 0
    meter = Meter(country)
    meter.start()
    try:
        end = time.perf_counter() + seconds
        for batch in itertools.cycle(batches):
            _call(model, batch)
            predictions += len(next(iter(batch.values())))
            if time.perf_counter() >= end:
                break
    finally:
        energy = meter.stop()
    return energy, predictions


def _call(model: Model, batch: Mapping[str, Any]) -> None:
    """Make one prediction, and wait until an accelerator has finished it."""
    if isinstance(model, nn.Module):
        model(**batch)
    else:
        model(batch)
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
