"""Check: the chain masked = shrunk = reloaded, each link computed from what lies on disk.

Proven: a model with masks becomes the small one, and both are shown to compute the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import Diverged, InputError, one_line
from ..models import outputs, outputs as equivalence
from ..models.compact import fresh_process, modeling_compact
from ..models.loading import head_of, load_model
from ..report.run_directory import RunDirectory
from ..report.schema import Equivalence
from ..utils.finite import DIVERGED_HINT, check_trained
from . import masks
from .shrinking import shrink, shrink_plain
from .units import PruningSpec

ROWS = 64


@dataclass(frozen=True)
class Link:
    """One link of the chain: two forms of the model, the largest difference of their logits, and what is allowed."""

    name: str
    difference: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether the two compute the same function."""
        return self.difference <= self.allowed  # false for NaN


@outputs.full_precision()
def check(path: str | Path, *, trust_remote_code: bool = False, copy: Path | None = None) -> list[Link]:
    """Compare every form of a model that a folder holds, on 64 texts of random tokens.

    Args:
        path: a run, or the folder of one model (then only the last link can be made).
        trust_remote_code: run a code file beside the weights even if it differs from the one this package writes.
        copy: a folder that must hold the same model; it is what the fresh process opens.

    Returns:
        The links, in the order of the chain.

    Raises:
        InputError: no model there, or a code file that this package did not write.
    """
    run = RunDirectory(Path(path).expanduser())
    folder = run.compressed if run.compressed.is_dir() else run.root
    if not (folder / "config.json").is_file():
        raise InputError(f"{path} holds no model (no config.json) and no finished run (no compressed/).")
    for place in filter(None, (folder, copy)):
        _check_code(place, trust_remote_code)
    way_out = "name a finished run or the folder of a classifier"
    reloaded = load_model(folder, option="The model", way_out=way_out, trust_remote_code=trust_remote_code).eval()
    if head_of(reloaded.config) is None:
        raise InputError(f"{folder} was saved as {reloaded.config.architectures}, which is no classifier; {way_out}.")
    batch = equivalence.synthetic_batch(reloaded, rows=ROWS)
    proof, recovered = _masked_and_shrunk(run.masked, batch) if run.masked.is_dir() else None, run.recovered
    answers = {
        "reloaded here": equivalence.logits(reloaded, batch),
        "reloaded in a fresh process": fresh_logits((copy or folder).resolve(), batch, HF_HUB_OFFLINE="1"),
    }
    if proof is None:
        return _chain(answers)
    if recovered:  # trained after it was shrunk: these are two functions, each with its own proof
        return _chain(proof) + _chain(answers)
    return _chain({**proof, **answers})


def _chain(answers: dict) -> list[Link]:
    """Each form of a model against the next."""
    names = list(answers)
    return [
        Link(
            f"{first} = {second}",
            (answers[first] - answers[second]).abs().max().item(),
            equivalence.allowed_difference(answers[first]),
        )
        for first, second in zip(names, names[1:], strict=False)
    ]


def as_equivalence(links: list[Link]) -> Equivalence:
    """The links of a whole run as the report states them."""
    return Equivalence(
        masked_vs_shrunk=links[0].difference, shrunk_vs_reloaded=max(x.difference for x in links[1:]), rows=ROWS
    )


def _masked_and_shrunk(folder: Path, batch) -> dict:
    from . import masks

    try:
        masked = masks.load_masked(folder)
        before = equivalence.logits(masked, batch)
        smaller, _, _ = smaller_of(masked)
    except Exception as error:  # what lies there may be anything
        raise InputError(
            f"The proof {folder} cannot be opened ({type(error).__name__}: {one_line(error)}); the run must be made anew."
        ) from error
    return {"masked": before, "shrunk": equivalence.logits(smaller, batch)}


def fresh_logits(name: str | Path, batch, **variables: str):
    """The logits of a model that a process of its own opens, which cannot import this package.

    Args:
        name: a folder, or a Hub id.
        batch: inputs by name.
        **variables: of the environment of that process.

    Raises:
        InputError: it does not open there.
    """
    from safetensors.torch import load_file, save_file

    with tempfile.TemporaryDirectory() as scratch:
        inputs, outputs = Path(scratch) / "batch.safetensors", Path(scratch) / "logits.safetensors"
        save_file({name: value.cpu().contiguous() for name, value in batch.items()}, inputs)
        command = [sys.executable, "-I", fresh_process.__file__, str(name), str(inputs), str(outputs)]
        # Its own module cache: a copy of the code file left by another model must not answer for this one.
        environment = {**os.environ, **variables, "HF_MODULES_CACHE": scratch, "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise InputError(f"{name} does not open in a fresh process: {reason}")
        return load_file(outputs)["logits"].to(next(iter(batch.values())).device)


def _check_code(folder: Path, trust_remote_code: bool) -> None:
    """Refuse code that this package did not write: beside the weights, or elsewhere, where the configuration points."""
    if trust_remote_code:
        return
    way_out = "and checking would run it; read it, then pass --trust-remote-code."
    ours = Path(modeling_compact.__file__)
    for code in sorted(folder.glob("*.py")):
        if code.read_bytes() != ours.read_bytes():
            raise InputError(f"{code} differs from the code that this version of trainer_ext writes, {way_out}")
    try:
        named = json.loads((folder / "config.json").read_text(encoding="utf-8"))["auto_map"]
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RecursionError,
    ):  # none; what opens it says what is wrong with it
        return
    for name in named.values() if isinstance(named, dict) else [named]:
        if not re.fullmatch(rf"{ours.stem}\.\w+", str(name)):
            raise InputError(f"auto_map in {folder / 'config.json'} names {name!r}, code that is not ours, {way_out}")


SHRINK = {"compact": shrink, "plain": shrink_plain}


@dataclass(frozen=True)
class CompressionResult:
    """What `train()` made of the model: heads and neurons that stayed per layer, sparsity, and the equality found.

    `masked_vs_shrunk` is the largest difference of logits over `rows` texts of random tokens.
    """

    heads: list[list[int]]
    neurons: list[list[int]]
    sparsity: float
    masked_vs_shrunk: float
    rows: int


def smaller_of(masked) -> tuple:
    """`(smaller, heads, neurons)` of a model with masks, which loses them, by the structure that its spec asks for."""
    structure = PruningSpec(**masked.config.pruning).structure
    return SHRINK[structure](masks.merge(masked))


@outputs.full_precision()
def shrink_and_verify(masked) -> tuple:
    """Fix the structure where that has not happened, merge the masks, shrink, and compare the logits.

    Args:
        masked: a model with masks; it loses them, and is left in fp32.

    Returns:
        `(smaller, compression)`; the smaller model has the precision that `masked` had.

    Raises:
        Diverged: if the model is left with NaN or infinite numbers.
        RuntimeError: if the outputs differ by more than rounding explains.
    """
    # In fp32: other shapes sum in another order, and rounding to half precision is far above the tolerance.
    precision = masked.dtype
    masked.float()
    if not masked.pruning.is_frozen:
        masks.freeze_structure(masked)
    sparsity = masks.current_sparsity(masked)
    batch = outputs.synthetic_batch(masked)
    before = outputs.logits(masked, batch)
    if not before.isfinite().all():
        check_trained(masked, "The training")
        raise Diverged(f"The model with masks answers NaN or infinite logits; {DIVERGED_HINT}.")
    smaller, heads, neurons = smaller_of(masked)
    difference = (outputs.logits(smaller, batch) - before).abs().max().item()
    allowed = outputs.allowed_difference(before)
    if not difference <= allowed:
        raise RuntimeError(
            f"The shrunk model differs from the masked one by {difference:.1e}, above {allowed:.0e}; "
            "the last checkpoint still holds the masked one (trainer_ext.load_masked)."
        )
    return smaller.to(precision), CompressionResult(heads, neurons, sparsity, difference, len(before))
