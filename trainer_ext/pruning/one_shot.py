"""One-shot pruning: a smaller model in minutes, from a fine-tuned one and texts without labels, with no training.

1. One forward and backward pass over the texts collects the statistics of each block, and how much an error there changes
   the answers (`calibration`).
2. `second_order` ranks the heads and neurons of each block, and says what removing them costs.
3. `budget` chooses how many stay in each block, so that the sum of the costs is smallest.
4. `closing` removes the other units layer by layer and adjusts those that stay by least squares; `shrinking` then cuts the
   matrices.

`prune` does this for a model and a list of texts; `prune_for_training` for a model with masks and the data of a training, where
`prune_method="obs"` prunes.
"""

from __future__ import annotations

import copy
import math
import numbers
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from accelerate.utils import broadcast, send_to_device
from rich.console import Console
from rich.progress import Progress, TaskID

from ..benchmark.size import evaluating
from ..distillation.losses import named_outputs
from ..distillation.teachers import ChanceCheck
from ..errors import InputError, one_line
from ..models.architectures import find_encoder, layers_of, prunable_weights
from ..models.layers import EncoderLayer
from ..models.loading import LONGEST, longest_input, longest_text, rows_of
from ..models.outputs import answers, full_precision, inputs_of
from ..utils.finite import check_given
from ..utils.progress import progress_bar
from ..utils.training import known_arguments
from . import masks
from .budget import Levels, choose
from .calibration import FEWEST_TEXTS, Batch, Statistics, collect, encode, matrices_of, spread, training_batches
from .closing import close_in_turn
from .config import PruningSpec
from .latency_table import corrected_structure, machine
from .latency_target import LatencyTable
from .preflight import check_class, same_random_state
from .prepare import USUAL_LENGTH, latency_for
from .second_order import Curve, removal_curve, with_bias
from .selection import OutOfReach, Structure, more_room, whole_vectors
from .shrinking import in_precision
from .structure import CHOICES, select_structure
from .verify import shrink_and_verify

if TYPE_CHECKING:
    from transformers import TrainingArguments

T = TypeVar("T")
AT_RANDOM = (
    "The model gives %d of the first %d labels, no better than chance, and what it has not learned yet decides what is removed. "
    "Fine-tune it first (dense_epochs=2 does so), with the labels in the order of the data."
)
NEURON_LEVELS = 64  # levels of a feed-forward block
STEPS = 256  # neurons are removed in so many steps, or more


def curves_of(layers: Sequence[EncoderLayer], statistics: Sequence[Statistics]) -> Iterator[Curve]:
    """Yield the removal curve of the heads and of the neurons of each layer, two per layer."""
    for index, (matrix, found) in enumerate(zip(matrices_of(layers), statistics, strict=True)):
        layer = layers[index // 2]
        group = layer.head_size if matrix is layer.attention_output else 1
        at_once = max(1, layer.neurons // STEPS) if group == 1 else 1
        weight = found.importance @ with_bias(matrix.weight, matrix.bias)
        yield removal_curve(weight, found.moments, group=group, at_once=at_once)


def choose_structure(layers: Sequence[EncoderLayer], curves: Sequence[Curve], spec: PruningSpec) -> Structure:
    """Return the heads and neurons that stay: the smallest sum of errors within the target.

    Args:
        layers: the layers of the model.
        curves: from `curves_of`.
        spec: what may go, and the target: a fraction of the prunable weights, or a speed-up with its latency table.

    Raises:
        ValueError: If the target is out of reach.
    """
    if spec.structure == "plain":  # one width for all layers: the curves decide which neurons stay
        ranks = [torch.tensor(curve.order).argsort().float() for curve in curves]  # what goes last has the highest
        return select_structure(list(layers), spec, ranks[::2], ranks[1::2])
    table = LatencyTable(**spec.latency["table"]) if spec.latency is not None else None
    blocks = []
    for index, curve in enumerate(curves):
        layer, heads = layers[index // 2], index % 2 == 0
        counts = _head_counts(layer, spec) if heads else _neuron_counts(layer, spec)
        errors = [curve.errors[len(curve.order) - count].item() for count in counts]
        if table is None:
            cost = layer.head_cost if heads else layer.neuron_cost
            costs = [float(count * cost) for count in counts]
        else:
            price = table.attention if heads else table.ffn
            costs = [float(layer.uses * price(count)) for count in counts]
        blocks.append(Levels(counts, costs, errors))
    if table is not None and spec.latency is not None and spec.speedup is not None:
        least = sum(min(block.costs) for block in blocks)
        room = more_room(spec.attention != "none", spec.ffn != "none")
        budget = table.budget(spec.latency["dense_ms"], spec.speedup, least=least, more_room=room)
    else:
        weights = prunable_weights(list(layers))
        budget = (1 - spec.sparsity_of(weights)) * weights
    kept = choose(blocks, budget)
    ids = [curve.kept(count) for curve, count in zip(curves, kept, strict=True)]
    return Structure(ids[::2], ids[1::2])


def _head_counts(layer: EncoderLayer, spec: PruningSpec) -> list[int]:
    return [layer.heads] if spec.attention == "none" else list(range(layer.heads + 1))


def _neuron_counts(layer: EncoderLayer, spec: PruningSpec) -> list[int]:
    if spec.ffn == "none":
        return [layer.neurons]
    shares = (round(layer.neurons * level / NEURON_LEVELS) for level in range(NEURON_LEVELS + 1))
    return sorted({whole_vectors(count, layer.neurons) for count in shares})


@torch.no_grad()
@full_precision()
def prune_masked(model, batches: Sequence[Batch], *, folder: str | Path, is_main: bool, progress: bool) -> None:
    """Choose the final structure of a model with masks by second order, and let what stays make up for the rest.

    Args:
        model: a model with open masks, on the device that it is trained on; changed in place.
        batches: inputs of its forward pass, on its device. In several processes, all have the same.
        folder: where the correction of a latency table is kept.
        is_main: whether this is the main process.
        progress: whether to show a progress bar on standard error.

    Raises:
        InputError: If the weights are NaN or infinite.
        ValueError: If the target is out of reach.
    """
    check_given(model, "The model")
    layers = layers_of(model)
    bar = progress_bar(console=Console(stderr=True), disable=not (progress and is_main))
    with bar:
        task = bar.add_task("texts", total=len(batches))
        statistics = collect(model, _counted(batches, bar, task), matrices_of(layers))
        task = bar.add_task("blocks", total=2 * len(layers))
        curves = list(_counted(curves_of(layers, statistics), bar, task))
    structure = corrected_structure(model, partial(choose_structure, layers, curves), folder=folder, is_main=is_main)
    with bar:
        task = bar.add_task("layers", total=len(layers))
        close_in_turn(model, batches, statistics, structure, advance=lambda: bar.advance(task))
    # Devices round differently, and DistributedDataParallel does not compare weights.
    for matrix in matrices_of(layers):
        broadcast([matrix.original] if matrix.bias is None else [matrix.original, matrix.bias])
    masks.freeze(model, structure)


def prune_for_training(model, loader: Any, args: TrainingArguments) -> None:
    """Prune a model with masks with rows of a training set; no random number is drawn, as when a run is resumed.

    If the model answers no better than chance, a warning says so.

    Args:
        model: as for `prune_masked`.
        loader: the data loader of the training.
        args: its arguments.

    Raises:
        InputError: If the rows cannot be read, are too few, or the weights are NaN or infinite.
        ValueError: If the target is out of reach.
    """
    with same_random_state():
        batches = training_batches(loader, find_encoder(model)[1].device)
        if "self" not in getattr(args, "teacher_names", ()):  # else the teacher is judged, which is the same model
            _judge(model, batches)
        folder, is_main = str(args.output_dir), args.process_index == 0
        prune_masked(model, batches, folder=folder, is_main=is_main, progress=not args.disable_tqdm)


def _judge(model, batches: Sequence[Batch]) -> None:
    """Warn if a model answers no better than chance: what it has not learned cannot decide what goes."""
    check = ChanceCheck(AT_RANDOM)
    with evaluating(model), torch.inference_mode():
        for batch in batches:
            if not check.is_done:
                check.see(named_outputs(model(**inputs_of(model, batch))), batch)


def _counted(steps: Iterable[T], bar: Progress, task: TaskID) -> Iterator[T]:
    for step in steps:
        yield step
        bar.advance(task)


@torch.inference_mode(False)
@full_precision()
@same_random_state()
def prune(
    model,
    texts: Iterable[str],
    tokenizer,
    *,
    sparsity: float | None = None,
    speedup: float | None = None,
    structure: str = "compact",
    max_length: int | None = None,
    batch_size: int = 32,
    progress: bool = True,
):
    """Return a smaller model from a fine-tuned one, with texts but without labels and without training.

    Heads and neurons are removed by second order (see `second_order`), as many in each layer as costs least in all, and
    the others make up for them by least squares.

    Args:
        model: a fine-tuned model with one encoder whose architecture is in `ARCHITECTURES`; not changed.
        texts: texts such as the model will read; about a thousand are enough. Of many or long ones a part is read, spread
            over all lengths: about 49,000 tokens.
        tokenizer: of the model.
        sparsity: fraction of the encoder's attention and feed-forward weights to remove, in (0, 1).
        speedup: instead of it, how many times faster the small model runs on this machine, above 1. The layers are timed
            first, with `batch_size` texts of `max_length` tokens (128 by default), or of as many as the model reads.
        structure: `compact`, or `plain`: all heads stay and every layer keeps the same number of neurons, so that the result is
            a stock model of the class of `model`.
        max_length: tokens of a text; longer ones are cut. Defaults to what the model and its tokenizer allow, or to 512 if
            neither has a limit, as DeBERTa.
        batch_size: texts of a batch.
        progress: whether to show a progress bar on standard error.

    Returns:
        The small model, on the device and in the dtype of `model`.

    Raises:
        InputError: If there are too few texts, the model cannot read them, or it has NaN weights.
        ValueError: If `model` is no model, its architecture is unknown, a stock model has a part that its class does not
            build, or the target is out of range or of reach.

    Example:
        >>> small = trainer_ext.prune(model, texts, tokenizer, sparsity=0.5)
        >>> small.save_pretrained("small")
    """
    _check_model(model, tokenizer)
    _check_numbers(sparsity, speedup, max_length, batch_size)
    if structure not in CHOICES["structure"]:
        raise ValueError(f"structure={structure!r} must be {' or '.join(map(repr, CHOICES['structure']))}.")
    texts = _texts_in(texts)
    check_given(model, "The model")
    if hasattr(model, "pruning"):
        raise ValueError("The model has masks; prune a dense model, or call trainer_ext.merge(model) first.")
    encoder = find_encoder(model)[1]
    check_class(model)
    longest = longest_input(tokenizer, longest_text(encoder.config), default=max_length or LONGEST)
    longest = min(longest, max_length or longest)
    batches = _readable(model, texts, tokenizer, max_length=longest, batch_size=batch_size)
    attention = "head" if structure == "compact" else "none"
    spec = PruningSpec("obs", float(sparsity or 0.0), attention, 1, "neuron", 0.0, 1.0, structure, speedup=speedup)
    student = copy.deepcopy(model).float()
    try:
        with tempfile.TemporaryDirectory() as folder:
            if speedup is not None:
                place = machine(
                    student,
                    device=str(encoder.device),
                    dtype="float32",
                    batch_size=batch_size,
                    sequence_length=min(max_length or USUAL_LENGTH, longest),
                )
                latency = latency_for(
                    *(student, student, spec, place), folder=Path(folder), is_main=True, progress=progress
                )
                spec = replace(spec, latency=latency)
            prune_masked(masks.attach(student, spec), batches, folder=folder, is_main=True, progress=progress)
    except OutOfReach as error:  # its message names the fields of the training arguments
        raise ValueError(
            f"{error.target}={error.asked:.6g} cannot be reached: {error.most}. Lower it, or start from fewer layers: "
            "trainer_ext.drop_layers(model, 1)."
        ) from error
    smaller, _ = shrink_and_verify(student, batches[0])
    buffers = {name: buffer.dtype for name, buffer in model.named_buffers()}
    return in_precision(smaller, encoder.dtype, buffers)


def _check_model(model, tokenizer) -> None:
    if not isinstance(model, torch.nn.Module):
        raise ValueError(
            f"model must be a model, got {type(model).__name__} ({one_line(model, most=80)}): open it first, such as with "
            "AutoModelForSequenceClassification.from_pretrained(...)."
        )
    if not callable(tokenizer):
        raise ValueError(
            f"tokenizer must be a tokenizer, got {one_line(tokenizer, most=80)!r}: open it with AutoTokenizer.from_pretrained(...)."
        )


def _check_numbers(sparsity: float | None, speedup: float | None, max_length: int | None, batch_size: int) -> None:
    if (sparsity is None) == (speedup is None):
        raise ValueError("Give either sparsity, such as 0.5, or speedup, such as 2.0.")
    for name, value in (("sparsity", sparsity), ("speedup", speedup)):
        if not isinstance(value, numbers.Real | None):
            raise ValueError(f"{name}={value!r} must be a number.")
    if sparsity is not None and not 0 < sparsity < 1:
        raise ValueError(f"sparsity={sparsity} must be above 0 and below 1: the fraction of the encoder that goes.")
    if speedup is not None and not 1 < speedup < math.inf:
        raise ValueError(f"speedup={speedup} must be above 1: how many times faster the small model runs.")
    for name, count, what in (("max_length", max_length, "tokens"), ("batch_size", batch_size, "texts")):
        if count is None and name == "max_length":
            continue
        if not isinstance(count, numbers.Integral) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{name}={count!r} must be a whole number of {what}, 1 or more.")


def _texts_in(given: Any) -> list[str]:
    """Return the texts that are not empty, or raise an InputError if there are too few or something else."""
    wanted = "texts must be strings, such as the model will read, without labels"
    if isinstance(given, str | Mapping) or hasattr(given, "columns") or not isinstance(given, Iterable):
        raise InputError(f"{wanted}; got {type(given).__name__}: give a list, or one column, such as data['text'].")
    texts = list(given)
    for number, text in enumerate(texts):
        if isinstance(text, tuple | list | Mapping):
            raise InputError(
                f"{wanted}; number {number} is {type(text).__name__}: give one column, such as data['text']. Pairs of texts are "
                "pruned by DistillPruneTrainer, or by trainer-ext compress with --text_pair_column."
            )
        if not isinstance(text, str):
            raise InputError(f"{wanted}; number {number} is {text!r}: leave it out.")
    texts = [text for text in texts if text.strip()]
    if len(texts) < FEWEST_TEXTS:
        raise InputError(
            f"Got {len(texts)} texts, and their statistics decide what can go: give at least {FEWEST_TEXTS}, better a thousand."
        )
    return texts


def _readable(model, texts: Sequence[str], tokenizer, *, max_length: int, batch_size: int) -> list[Batch]:
    """Return texts as inputs of a model, on its device, of which it has read the first and the longest."""
    known, device = known_arguments(type(model).forward), find_encoder(model)[1].device
    try:
        batches = [
            send_to_device({name: ids for name, ids in batch.items() if known is None or name in known}, device)
            for batch in encode(texts, tokenizer, max_length=max_length, batch_size=batch_size)
        ]
        rows = rows_of(find_encoder(model)[1])
        if (highest := max(int(batch["input_ids"].max()) for batch in batches)) >= rows:
            raise ValueError(f"the tokenizer gives token {highest}, and the model has {rows:,}: it is another model's")
        for batch in (batches[-1], batches[0]):
            answers(model, batch)
        batches = spread(batches, [batch["input_ids"].numel() for batch in batches])
    except Exception as error:  # tokenizers and the code of users raise what they like
        raise InputError(
            f"The {type(model).__name__} cannot read these texts with this tokenizer ({type(error).__name__}: "
            f"{one_line(error)}); give the tokenizer of the model, with a padding token, and max_length if texts are long."
        ) from error
    return batches
