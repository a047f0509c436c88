"""Verify: shrink a model and show that it computes the same, then show it again from the files of a run.

The chain is masked = shrunk = reloaded = reloaded in a fresh process. Each link is the largest difference of the logits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckFailed, Diverged, InputError, one_line
from ..models import outputs
from ..models.architectures import find_encoder
from ..models.compact import modeling_compact
from ..models.compact.fresh_process import fresh_logits
from ..models.loading import head_of, load_model
from ..report.run_directory import RunDirectory
from ..report.schema import Equivalence
from ..utils import yaml
from ..utils.environments import check_release, python_with
from ..utils.finite import DIVERGED_HINT, check_trained
from . import masks
from .config import spec_of
from .scores import METHODS
from .shrinking import in_precision, shrink, shrink_plain

ROWS = 64  # texts that the files of a run are compared on
ROUNDED = 10  # times the difference allowed: what fp32 may round in a deep model, and fp64 then decides
# SHA-256 of `modeling_compact.py` as earlier versions saved it beside the weights.
EARLIER_CODE = (
    "eb4a0a9164ad8f607fd04ab98c1af102a17afcae18498f090dbabfaad9771520",
    "de236b087173044b7a9c5e870e44327f3f061d46ca451fa56cb5f50f9868229a",
)
SHRINK = {"compact": shrink, "plain": shrink_plain}


@dataclass(frozen=True)
class CompressionResult:
    """How `train()` compressed the model.

    Attributes:
        heads: ids of the heads that stay, per layer.
        neurons: ids of the feed-forward neurons that stay, per layer.
        sparsity: fraction of the prunable weights that was removed.
        masked_vs_shrunk: largest difference of the logits of the masked and the shrunk model.
        rows: number of texts that they were compared on.
    """

    heads: list[list[int]]
    neurons: list[list[int]]
    sparsity: float
    masked_vs_shrunk: float
    rows: int


def smaller_of(masked) -> tuple:
    """Merge the masks of a model and shrink it to the structure that its spec asks for.

    Args:
        masked: a model with masks; it loses them.

    Returns:
        `(smaller, heads, neurons)`, as `shrink`.
    """
    structure = spec_of(masked).structure
    return SHRINK[structure](masks.merge(masked))


@outputs.full_precision()
def shrink_and_verify(masked, batch: Mapping[str, Any] | None = None) -> tuple:
    """Freeze the structure if it is still open, merge the masks, shrink, and compare the logits in full fp32.

    Args:
        masked: a model with masks; it loses them, and is left in fp32.
        batch: the inputs to compare them on. Defaults to 8 texts of random tokens.

    Returns:
        `(smaller, result)`: the smaller model in the precision that `masked` had, and its `CompressionResult`.

    Raises:
        Diverged: If weights or logits are NaN or infinite.
        CheckFailed: If the logits differ by more than rounding explains.
    """
    # In fp32: matrices of another shape sum in another order, and half precision rounds far above the tolerance.
    precision, buffers = find_encoder(masked)[1].dtype, {name: each.dtype for name, each in masked.named_buffers()}
    masked.float()
    if not masked.pruning.is_frozen:
        masks.freeze_structure(masked)
    sparsity = masks.current_sparsity(masked)
    batch = outputs.synthetic_batch(masked) if batch is None else batch
    before = outputs.answers(masked, batch)
    if not before.isfinite().all():
        check_trained(masked, "The training")
        raise Diverged(f"The logits of the model with masks are NaN or infinite; {DIVERGED_HINT}.")
    smaller, heads, neurons = smaller_of(masked)
    difference = _difference(outputs.answers(smaller, batch), before)
    allowed = outputs.allowed_difference(before)
    if allowed < difference <= ROUNDED * allowed:  # `masked` has its masks merged now, which rounds nothing
        merged, exact = (
            _difference(outputs.answers(masked, batch), before),
            _difference_in_fp64(masked, smaller, batch),
        )
        difference = difference if exact is None else max(merged, exact)
    if not difference <= allowed:
        raise CheckFailed(
            f"The shrunk model differs from the masked one by {difference:.1e}, above {allowed:.1e}; "
            "if the training wrote checkpoints, the last one holds the masked one (trainer_ext.load_masked)."
        )
    return in_precision(smaller, precision, buffers), CompressionResult(
        heads, neurons, sparsity, difference, _rows(batch)
    )


def _difference(one: torch.Tensor, other: torch.Tensor) -> float:
    return (one - other).abs().max().item()


def _difference_in_fp64(one, other, batch: Mapping[str, Any]) -> float | None:
    """Return the largest difference of what two fp32 models answer in fp64; None if they cannot compute in fp64."""
    wide = {
        name: value.double() if isinstance(value, torch.Tensor) and value.is_floating_point() else value
        for name, value in batch.items()
    }
    try:
        return _difference(outputs.answers(one.double(), wide), outputs.answers(other.double(), wide))
    except (RuntimeError, TypeError):  # not every device has fp64, and not every class of the user's
        return None
    finally:
        one.float()
        other.float()


def _rows(batch: Mapping[str, Any]) -> int:
    return len(next(value for value in batch.values() if isinstance(value, torch.Tensor) and value.dim()))


@dataclass(frozen=True)
class Link:
    """One link of the chain: two forms of a model, the largest difference of their logits, and the difference allowed."""

    name: str
    difference: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the two forms compute the same function."""
        return self.difference <= self.allowed  # false for NaN


@outputs.full_precision()
def check(
    path: str | Path,
    *,
    trust_remote_code: bool = False,
    copy: Path | None = None,
    transformers: str | None = None,
    say: Callable[[str], None] = lambda step: None,
) -> list[Link]:
    """Compare every form of a model that a folder holds, on 64 texts of random tokens, in full fp32.

    A shrunk model sums in another order than the masked one. If those two differ by a little more than is allowed, they are
    compared in fp64 instead, where rounding cannot reach it.

    Args:
        path: a run, or the folder of one model (then only the last link can be made).
        trust_remote_code: run the code file of the model even if it differs from the one that this package writes.
        copy: another folder with the same model, which the fresh process loads instead.
        transformers: a release of transformers, such as "4.57.6", that must load the model too.
        say: called with each step of what takes long.

    Returns:
        The links, in the order of the chain.

    Raises:
        InputError: If there is no model, if its code file was not written by this package, or if the release of
            transformers is too old or cannot be installed.
        CheckFailed: If that release cannot load the model.
    """
    release = None if transformers is None else check_release(transformers)
    run = RunDirectory(Path(path).expanduser())
    folder = run.compressed if run.compressed.is_dir() else run.root
    if not (folder / "config.json").is_file():
        raise InputError(f"{path} holds no model (no config.json) and no finished run (no compressed/).")
    recovered = _is_recovered(run)  # a recipe that cannot be read is refused before a model is loaded
    if not trust_remote_code:
        for each in filter(None, (folder, copy)):
            _check_code(each)
    way_out = "name a finished run or the folder of a classifier"
    reloaded = load_model(folder, option="The model", way_out=way_out, trust_remote_code=trust_remote_code).eval()
    if head_of(reloaded.config) is None:
        raise InputError(
            f"{folder} was saved as {reloaded.config.architectures}, which is not a classifier; {way_out}."
        )
    python = python_with(release, say=say) if release else None
    say("comparing logits")
    batch = outputs.synthetic_batch(reloaded, rows=ROWS)
    before = _masked_and_shrunk(run.masked, batch) if run.masked.is_dir() else {}
    after = {
        "reloaded here": outputs.logits(reloaded, batch),
        "reloaded in a fresh process": fresh_logits((copy or folder).resolve(), batch, HF_HUB_OFFLINE="1"),
    }
    if python:
        say(f"loading the model with transformers {release}")
        try:
            found = fresh_logits((copy or folder).resolve(), batch, python=python, HF_HUB_OFFLINE="1")
        except InputError as error:
            raise CheckFailed(f"With transformers {release}: {error}") from error
        after[f"reloaded with transformers {release}"] = found
    # Recovery changed the weights, so logits before and after it differ.
    links = _chain(before) + _chain(after) if recovered else _chain(before | after)
    if before and links[0].allowed < links[0].difference <= ROUNDED * links[0].allowed:
        links[:1] = _chain(_masked_and_shrunk(run.masked, batch, torch.float64))
    return links


def _chain(logits: dict[str, torch.Tensor]) -> list[Link]:
    """Compare each form of a model with the next."""
    links = []
    for (first, expected), (second, found) in pairwise(logits.items()):
        links.append(Link(f"{first} = {second}", _difference(expected, found), outputs.allowed_difference(expected)))
    return links


def as_equivalence(links: list[Link]) -> Equivalence:
    """Return the links of a complete run in the form of the report."""
    return Equivalence(
        masked_vs_shrunk=links[0].difference, shrunk_vs_reloaded=max(x.difference for x in links[1:]), rows=ROWS
    )


def _masked_and_shrunk(folder: Path, batch, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    try:
        masked = masks.load_masked(folder).to(dtype)
        before = outputs.logits(masked, batch)
        smaller, _, _ = smaller_of(masked)
    except Exception as error:  # a damaged file can raise anything
        raise InputError(
            f"The masked model in {folder} cannot be loaded ({type(error).__name__}: {one_line(error)}); "
            "start the run again."
        ) from error
    return {"masked": before, "shrunk": outputs.logits(smaller, batch)}


def _is_recovered(run: RunDirectory) -> bool:
    """Return whether the shrunk model of a run was trained further, so that its logits differ from those of the masked one."""
    if not run.recipe.exists():
        return False
    fields = yaml.read_yaml(run.recipe)
    if _number(run, fields, "prune_recovery_epochs") > 0:
        return True
    method = METHODS.get(_pruned_by(run.masked))
    if method is None or not method.second_order:
        return False
    # It prunes before the training.
    epochs = _number(run, {"num_train_epochs": 3, **fields}, "num_train_epochs")
    return _number(run, fields, "max_steps") > 0 or epochs > 0


def _pruned_by(masked: Path) -> str:
    """Return the method that a folder with masks names; empty if there is none."""
    try:
        config = json.loads((masked / "config.json").read_text(encoding="utf-8"))
        return str(config["pruning"]["method"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""  # opening the model says what is wrong


def _number(run: RunDirectory, fields: Mapping[str, Any], name: str) -> float:
    value = fields.get(name)
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        raise InputError(f"{run.recipe}: {name} is {value!r}, which is not a number.") from None


def _check_code(folder: Path) -> None:
    """Raise an error if loading the model would run code that this package did not write."""
    way_out = "and checking would run it; read it, then pass --trust-remote-code."
    ours = Path(modeling_compact.__file__)
    for code in sorted(folder.glob("*.py")):
        if code.read_bytes() != ours.read_bytes() and sha256(code.read_bytes()).hexdigest() not in EARLIER_CODE:
            raise InputError(f"{code} differs from the code that this version of trainer_ext writes, {way_out}")
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8"))["auto_map"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return  # it names no code, or loading it says what is wrong
    for name in named.values() if isinstance(named, dict) else [named]:
        if not re.fullmatch(rf"{ours.stem}\.\w+", str(name)):
            raise InputError(
                f"auto_map in {folder / 'config.json'} names {name!r}, code that is not written by trainer_ext, {way_out}"
            )
