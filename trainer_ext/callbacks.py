"""Callbacks: the sparsity of every step, computed from the step alone.

Emissions callback: the energy of a training, written into its log as it goes, so that a resumed run adds up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import TrainerCallback

from .benchmark.energy import Meter, check_country
from .pruning import latency_table, masks, schedules
from .pruning.config import PruningSpec

logger = logging.getLogger(__name__)


class PruningCallback(TrainerCallback):
    """Moves the masks of a model along its schedule. Works with any Trainer whose model has masks (`attach`).

    It remembers nothing: the target follows from `state.global_step` and `state.max_steps`, and what it did is in the
    buffers of `model.pruning`, so a resumed run goes on exactly where it was.

    While the sparsity rises every evaluation is one of another network, so no metric counts as the best one until the
    structure is fixed: `load_best_model_at_end` would take the densest checkpoint, and `EarlyStoppingCallback` would
    stop a ramp that loses accuracy, which leaves no steps to win it back. Its patience starts after the ramp.
    """

    def on_step_begin(self, args, state, control, model=None, **kwargs):
        """Set the sparsity of this step; at the end of the ramp, fix the final structure."""
        if not hasattr(model, "pruning") or model.pruning.is_frozen:
            return
        spec = PruningSpec(**model.config.pruning)
        first, last = schedules.phase_steps(state.max_steps, start=spec.start, end=spec.end)
        if state.global_step < last:
            sparsity = schedules.cubic_ramp(state.global_step, first=first, last=last, final=spec.sparsity)
            masks.set_sparsity(model, sparsity)
        else:
            _close(model, args, state)

    def on_step_end(self, args, state, control, model=None, **kwargs):
        """Compare no evaluation of the ramp; fix the structure of a run that ends with it, before its last evaluation."""
        if not hasattr(model, "pruning") or model.pruning.is_frozen:
            return
        if state.global_step >= state.max_steps:
            _close(model, args, state)
        else:
            # Without a best metric EarlyStoppingCallback counts no failure, whichever callback comes first.
            _forget_best(state)

    def on_train_end(self, args, state, control, model=None, **kwargs):
        """Fix the final structure of a run that was stopped in its ramp."""
        if hasattr(model, "pruning") and not model.pruning.is_frozen:
            logger.warning(
                "Training stopped at step %d of %d, before the end of the ramp: the model is cut to its final size now, "
                "and no step is left to recover from that.",
                state.global_step,
                state.max_steps,
            )
            _close(model, args, state)


def _close(model, args, state) -> None:
    latency_table.recalibrate_and_freeze(model, args)
    _forget_best(state)


def _forget_best(state) -> None:
    state.best_metric = state.best_global_step = state.best_model_checkpoint = None


class EmissionsCallback(TrainerCallback):
    """Measures the energy of a training. Works with any Trainer; needs codecarbon (`trainer-ext[emissions]`).

    It holds nothing but a running clock: before each save and at the end, the energy since the entry before becomes an
    entry of `state.log_history`, which every checkpoint holds. `training_energy` adds them up, over resumed parts too.
    What a killed run drew after its last checkpoint is lost with the rest of that work. No file is written.

    Args:
        country: ISO 3166 alpha-3 code for grams of CO2; None measures kWh alone.

    Raises:
        InputError: codecarbon is not installed, or has no such country.
    """

    def __init__(self, country: str | None = None):
        check_country(country)
        self._country, self._meter = country, None

    def on_train_begin(self, args, state, control, **kwargs):
        """Start the clock, on the main process only; where there are several, it counts the whole machine."""
        if not state.is_world_process_zero:
            return
        if args.world_size > 1:
            logger.warning(
                "%d processes train: the energy is that of everything on the main process's machine; other machines "
                "are not counted.",
                args.world_size,
            )
        self._meter = Meter(self._country, whole_machine=args.world_size > 1)
        self._meter.start()

    def on_step_end(self, args, state, control, **kwargs):
        """Write the energy down before the checkpoint that follows."""
        if control.should_save:
            self._write(state, go_on=True)

    def on_epoch_end(self, args, state, control, **kwargs):
        """Write the energy down before the checkpoint that follows."""
        if control.should_save:
            self._write(state, go_on=True)

    def on_evaluate(self, args, state, control, **kwargs):
        """Write the energy down where the evaluation decides whether a checkpoint follows."""
        if args.save_strategy == "best":
            self._write(state, go_on=True)

    def on_train_end(self, args, state, control, **kwargs):
        """Write down what is left, and stop."""
        self._write(state, go_on=False)

    def _write(self, state, *, go_on: bool) -> None:
        if self._meter is None:
            return
        energy = self._meter.stop()
        entry = {"energy_kwh": energy.energy_kwh, "emissions_g": energy.emissions_g}
        about = {"country": energy.country, "energy_estimated": energy.estimated, "step": state.global_step}
        state.log_history.append(entry | about)
        if go_on:
            self._meter.start()
        else:
            self._meter = None


def training_energy(log_history: Iterable[Mapping[str, Any]]) -> tuple[float | None, float | None]:
    """What a training drew, over all its parts: kWh and grams of CO2 equivalent; None where it was not measured."""
    entries = [entry for entry in log_history if "energy_kwh" in entry]
    if not entries:
        return None, None
    grams = [entry["emissions_g"] for entry in entries]
    return sum(entry["energy_kwh"] for entry in entries), None if None in grams else sum(grams)
