"""Callbacks for any Trainer: `PruningCallback` raises the sparsity, `EmissionsCallback` measures the energy."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from .benchmark.energy import Meter, check_country
from .pruning import latency_table, masks, one_shot, schedules
from .pruning.config import spec_of
from .pruning.scores import METHODS

logger = logging.getLogger(__name__)


class PruningCallback(TrainerCallback, ExportableState):
    """Raises the sparsity of a model with masks (`attach`) along its schedule. Works with any Trainer.

    The target follows from `state.global_step` and `state.max_steps`, and the masks are buffers of `model.pruning`, so a
    resumed run continues exactly. Checkpoints keep what `DistillPruneTrainer` pruned before the training.

    While the sparsity rises, each evaluation is of another network, so no metric counts as the best before the structure
    is frozen. Otherwise `load_best_model_at_end` would load the densest checkpoint, and `EarlyStoppingCallback` would stop
    a ramp that loses accuracy, with no steps left to recover it. Its patience starts after the ramp.

    `obs` has no ramp: at its first step it reads some of the training texts and freezes the structure.
    `DistillPruneTrainer` does so, and shrinks the model, before that step.
    """

    before_training: dict[str, Any] | None = None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"args": {}, "attributes": {"before_training": self.before_training}}

    def on_step_begin(self, args, state, control, model=None, train_dataloader=None, **kwargs):
        """Set the sparsity of this step; at the end of the ramp, freeze the structure."""
        if not _has_open_structure(model):
            return
        spec = spec_of(model)
        first, last = schedules.phase_steps(state.max_steps, start=spec.start, end=spec.end)
        at_once = METHODS[spec.method].second_order
        if state.global_step >= (first if at_once else last):
            _freeze(model, args, state, train_dataloader)
        elif not at_once:
            sparsity = schedules.cubic_ramp(state.global_step, first=first, last=last, final=spec.sparsity)
            masks.set_sparsity(model, sparsity)

    def on_step_end(self, args, state, control, model=None, train_dataloader=None, **kwargs):
        """Forget the best metric during the ramp; freeze the structure before the last evaluation of the run."""
        if not _has_open_structure(model):
            return
        if state.global_step >= state.max_steps:
            _freeze(model, args, state, train_dataloader)
        else:
            # Without a best metric EarlyStoppingCallback counts no failure, whichever callback comes first.
            _forget_best(state)

    def on_train_end(self, args, state, control, model=None, train_dataloader=None, **kwargs):
        """Freeze the structure of a run of no steps, or of one that was stopped during the ramp."""
        if not _has_open_structure(model):
            return
        if state.max_steps:
            logger.warning(
                "Training stopped at step %d of %d, before the end of the ramp: the model is cut to its final size now, "
                "and no step is left to recover from that.",
                state.global_step,
                state.max_steps,
            )
        _freeze(model, args, state, train_dataloader)


def _has_open_structure(model) -> bool:
    return hasattr(model, "pruning") and not model.pruning.is_frozen


def _freeze(model, args, state, loader) -> None:
    if METHODS[spec_of(model).method].second_order:
        one_shot.prune_for_training(model, loader, args)
    else:
        latency_table.recalibrate_and_freeze(model, args)
    _forget_best(state)


def _forget_best(state) -> None:
    state.best_metric = state.best_global_step = state.best_model_checkpoint = None


class EmissionsCallback(TrainerCallback):
    """Measures the energy of a training. Works with any Trainer; needs codecarbon (`trainer-ext[emissions]`).

    Before each save and at the end, the energy since the last entry becomes an entry of `state.log_history`, which is
    part of every checkpoint. `training_energy` adds the entries up, also those of a resumed run. The energy that a killed
    run used after its last checkpoint is not counted. No file is written.

    Args:
        country: ISO 3166 alpha-3 code for grams of CO2; None measures kWh alone.

    Raises:
        InputError: If codecarbon is not installed, or does not know the country.
    """

    def __init__(self, country: str | None = None):
        check_country(country)
        self._country = country
        self._meter: Meter | None = None

    def on_train_begin(self, args, state, control, **kwargs):
        """Start measuring, in the main process only; with several processes, measure the whole machine."""
        if not state.is_world_process_zero:
            return
        if args.world_size > 1:
            logger.warning(
                "%d processes train: the energy is that of the whole machine of the main process; other machines are "
                "not counted.",
                args.world_size,
            )
        self._meter = Meter(self._country, whole_machine=args.world_size > 1)
        self._meter.start()

    def on_step_end(self, args, state, control, **kwargs):
        """Add an entry before a checkpoint."""
        if control.should_save:
            self._write(state, go_on=True)

    on_epoch_end = on_step_end

    def on_evaluate(self, args, state, control, **kwargs):
        """Add an entry if this evaluation decides whether a checkpoint follows."""
        if args.save_strategy == "best":
            self._write(state, go_on=True)

    def on_train_end(self, args, state, control, **kwargs):
        """Add the last entry and stop measuring."""
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
    """Return the energy of a training over all its parts: kWh and grams of CO2 equivalent, each None if not measured.

    Args:
        log_history: the log of a training with `EmissionsCallback`, from `trainer.state`.
    """
    entries = [entry for entry in log_history if "energy_kwh" in entry]
    if not entries:
        return None, None
    grams = [entry["emissions_g"] for entry in entries]
    return sum(entry["energy_kwh"] for entry in entries), None if None in grams else sum(grams)
