"""The arms of the benchmark of peers: every method with its settings, the cheapest arms first.

Each function trains one small model from the shared baseline, with the same teacher, data and training settings.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader

from recipes.benchmarks.nn_pruning_hybrid import HybridTrainer
from recipes.benchmarks.peers_training import Setting, taught, untrained
from trainer_ext.errors import InputError
from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning import masks
from trainer_ext.pruning.calibration import matrices_of
from trainer_ext.pruning.config import PruningSpec
from trainer_ext.pruning.layer_dropping import drop_layers
from trainer_ext.pruning.one_shot import choose_structure
from trainer_ext.pruning.second_order import Curve
from trainer_ext.pruning.shrinking import compact_outline, filled, shrink

OURS = "trainer_ext"
BASELINE = "baseline"
INT8_ALONE = "int8 alone"
GRADIENT_ROWS = 1024  # training texts for the importance of Torch-Pruning and of the masks of Kwon et al.
ROUND_TO = 8  # widths of Torch-Pruning are multiples of this


def hybrid(setting: Setting, *, penalty: float):
    """Train nn_pruning's hybrid with its own distillation, and remove its empty heads and neurons.

    It distils only logits, with the weight and temperature of all arms. The penalty decides how much is pruned, so the
    sparsity is a result. Our `shrink` removes what its own optimizer of finished models would, and every empty neuron.

    Args:
        setting: What the arms share.
        penalty: Final weight of the L1 penalty on the scores; its recipes use 5 to 40 for much longer runs.
    """
    asked = setting.recipe.training
    trainer = HybridTrainer(
        setting.dense(),
        setting.arguments(),
        teacher=setting.dense(),
        penalty=penalty,
        score_lr=asked.prune_score_lr,
        start=asked.prune_start,
        end=asked.prune_end,
        block_size=asked.prune_block_size,
        **setting.rows,
    )
    trainer.train()
    return shrink(trainer.compile())[0]


def evenly_spaced(depth: int, layers: int) -> list[int]:
    """Return the layers that a student starts from, counted from 0: the last layer of each of `layers` equal spans."""
    if not 1 <= layers <= depth:
        raise ValueError(f"layers={layers} must be in [1, {depth}].")
    return [(index + 1) * depth // layers - 1 for index in range(layers)]


def shallow(setting: Setting, *, layers: int):
    """Train a student of evenly spaced layers of the baseline, as TextBrewer does (Yang et al. 2020, arXiv 2002.12620).

    The student learns from soft labels and from the hidden states of matched layers (mean squared error, with a linear
    map between different widths): our distill_* fields have the same losses.
    """
    dense = setting.dense()
    depth = dense.config.num_hidden_layers
    dropped = [index for index in range(depth) if index not in evenly_spaced(depth, layers)]
    return taught(setting, drop_layers(dense, len(dropped), dropped))


def narrow(setting: Setting, *, layers: int, width: int):
    """Train a narrow student with random weights, with the head size of the baseline and four neurons per unit of width.

    There is no small pre-trained model with the teacher's tokenizer. The learning rate is `scratch_learning_rate`.
    """
    dense = setting.dense()
    config = copy.deepcopy(dense.config)
    head_size = config.hidden_size // config.num_attention_heads
    config.update({"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width})
    config.num_attention_heads = width // head_size
    return taught(setting, type(dense)(config), learning_rate=setting.recipe.model.scratch_learning_rate)


def torch_pruning(setting: Setting, *, ratio: float, importance: str = "taylor"):
    """Prune with Torch-Pruning in one shot, then train as all arms.

    Torch-Pruning (Fang et al. 2023, arXiv 2301.12900) with its settings for transformers: whole heads and feed-forward
    neurons, ranked over all layers by kind of part (isomorphic pruning, Fang et al. 2024, arXiv 2407.04616).

    Args:
        setting: What the arms share.
        ratio: Fraction of the heads and of the neurons to remove, in (0, 1).
        importance: `taylor`, of the loss on training texts, or `magnitude`.

    Raises:
        InputError: Torch-Pruning is not installed.
    """
    model = setting.dense()
    if importance == "taylor":
        add_gradients(model, setting)
    return taught(setting, cut(model, ratio=ratio, importance=importance))


def cut(model, *, ratio: float, importance: str):
    """Return the compact model that Torch-Pruning makes of a classifier; it changes `model` in place.

    Args:
        model: A model of a known architecture, on the CPU; for `taylor` with gradients.
        ratio: Fraction of the heads and of the neurons to remove.
        importance: `taylor` or `magnitude`.
    """
    try:
        import torch_pruning
    except ImportError as error:
        raise InputError(f"torch_pruning is not installed ({error}): pip install torch-pruning==1.6.1") from error
    kinds = {
        "taylor": torch_pruning.importance.GroupTaylorImportance,
        "magnitude": torch_pruning.importance.GroupMagnitudeImportance,
    }
    dense, layers = type(model)(model.config), layers_of(model)
    linears = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    parts = [(part.path, layer) for layer in layers for part in (layer.query, layer.key, layer.value)]
    heads = {model.base_model.get_submodule(path): layer.heads for path, layer in parts}
    inner = {model.base_model.get_submodule(layer.ffn_in.path) for layer in layers}
    example = {"input_ids": torch.full((2, 8), 5), "attention_mask": torch.ones(2, 8, dtype=torch.long)}
    attention = model.config._attn_implementation
    model.set_attn_implementation("eager")  # with the fused kernel, the dependency graph is incomplete
    pruner = torch_pruning.pruner.BasePruner(
        model.eval(),
        example,
        importance=kinds[importance](),
        global_pruning=True,
        isomorphic=True,
        pruning_ratio=ratio,
        head_pruning_ratio=ratio,
        num_heads=heads,
        prune_num_heads=True,
        prune_head_dims=False,
        round_to=ROUND_TO,
        root_module_types=[torch.nn.Linear],
        ignored_layers=[linear for linear in linears.values() if linear not in heads and linear not in inner],
        output_transform=lambda output: output.logits.sum(),
    )
    pruner.step()
    model.set_attn_implementation(attention)
    prefix = f"{model.base_model_prefix}."
    sizes = {
        name.removeprefix(prefix): list(linear.weight.shape)
        for name, linear in linears.items()
        if linear.weight.shape != dense.get_submodule(name).weight.shape
    }
    return filled(compact_outline(dense, sizes, {}), model.zero_grad() or model, model.state_dict())


def fisher_masks(setting: Setting, *, sparsity: float):
    """Remove the heads and neurons whose masks have the least Fisher information, without compensation or training.

    The first step of Kwon et al. (2022, arXiv 2204.09656): each head and neuron has a mask of 1, and the squared gradient of
    the task loss by it, summed over labelled training texts, says what removing it costs (section 4.2).

    Args:
        setting: What the arms share.
        sparsity: Fraction of the encoder to remove.
    """
    model = setting.dense()
    layers = layers_of(model)
    spec = PruningSpec("obs", sparsity, "head", 1, "neuron", 0.0, 1.0)
    curves = [_mask_curve(scores) for scores in mask_information(model, layers, setting)]
    structure = choose_structure(layers, curves, spec)
    masks.freeze(masks.attach(model, spec), structure)
    return shrink(masks.merge(model))[0]


def _mask_curve(scores: torch.Tensor) -> Curve:
    """Return a curve that removes the lowest scores first; their sum is the error."""
    ordered, order = scores.sort()
    return Curve(order.tolist(), torch.cat([ordered.new_zeros(1), ordered.cumsum(0)]))


def mask_information(model, layers, setting: Setting) -> list[torch.Tensor]:
    """Return the summed squared gradients by the masks of the heads, then of the neurons, of each layer in turn."""
    found = []
    for layer in layers:
        found += [torch.zeros(layer.heads), torch.zeros(layer.neurons)]
    inputs: dict[int, torch.Tensor] = {}

    def hook(index):
        def keep(module, given):
            inputs[index] = given[0].requires_grad_() if not given[0].requires_grad else given[0]
            inputs[index].retain_grad()

        return keep

    matrices = matrices_of(layers)
    handles = [matrix.linear.register_forward_pre_hook(hook(index)) for index, matrix in enumerate(matrices)]
    for batch in _labelled_batches(setting):
        model.eval()(**batch).loss.backward()
        for index, total in enumerate(found):
            product = (inputs[index] * inputs[index].grad).detach().unflatten(-1, (len(total), -1))
            total += product.sum((1, 3)).square().sum(0)  # [texts, tokens, heads, size of a head]
    for handle in handles:
        handle.remove()
    return found


def _labelled_batches(setting: Setting):
    """Return batches of the training texts that gradients are taken from."""
    rows = setting.encoded.train
    rows = rows.shuffle(seed=setting.recipe.training.seed).select(range(min(GRADIENT_ROWS, len(rows))))
    size = setting.recipe.training.per_device_train_batch_size
    return DataLoader(rows, batch_size=size, collate_fn=setting.rows["data_collator"])


def add_gradients(model, setting: Setting) -> None:
    """Sum the gradients of the task loss over training texts, without dropout."""
    for batch in _labelled_batches(setting):
        model.eval()(**batch).loss.backward()


@dataclass(frozen=True)
class Arm:
    """One model of the benchmark.

    Attributes:
        name: Its name in tables and folders.
        method: The method that it belongs to.
        make: The function that trains the small model.
        fields: Arguments of `make`, besides the setting.
    """

    name: str
    method: str
    make: Callable[..., Any]
    fields: dict[str, Any] = field(default_factory=dict)

    def run(self, setting: Setting):
        """Train the small model."""
        return partial(self.make, **self.fields)(setting)


def compressed(setting: Setting, **fields):
    """Train a model with our own trainer; `fields` are its arguments."""
    return taught(setting, setting.dense(), **fields)


_ours = partial(Arm, method=OURS, make=compressed)
_movement = partial(Arm, method="movement", make=compressed)
_layers = partial(Arm, method="layers dropped", make=compressed)
_magnitude = partial(Arm, method="magnitude", make=compressed)
_torch_pruning = partial(Arm, method="Torch-Pruning", make=torch_pruning)
_small = partial(Arm, method="small BERT")
_fisher_masks = partial(Arm, method="masks alone", make=fisher_masks)
_nn_pruning = partial(Arm, method="nn_pruning", make=hybrid)

ARMS = {
    arm.name: arm
    for arm in (
        _small("narrow-4x192", make=narrow, fields={"layers": 4, "width": 192}),
        _layers("layers-4", fields={"prune_layers": 4}),
        _small("spaced-2", make=shallow, fields={"layers": 2}),
        _ours("obs-50-untrained", make=untrained, fields={"sparsity": 0.5}),
        _ours("obs-75-untrained", make=untrained, fields={"sparsity": 0.75}),
        _fisher_masks("masks-50", fields={"sparsity": 0.5}),
        _fisher_masks("masks-75", fields={"sparsity": 0.75}),
        _ours("obs-85", fields={"prune_method": "obs", "prune_sparsity": 0.85}),
        _ours("obs-75", fields={"prune_method": "obs", "prune_sparsity": 0.75}),
        _ours("obs-50", fields={"prune_method": "obs", "prune_sparsity": 0.5}),
        _movement("mixed-4-85", fields={"prune_method": "movement", "prune_layers": 4, "prune_sparsity": 0.85}),
        _torch_pruning("torch-pruning-75", fields={"ratio": 0.75}),
        _movement("mixed-3-75", fields={"prune_method": "movement", "prune_layers": 3, "prune_sparsity": 0.75}),
        _layers("layers-3", fields={"prune_layers": 3}),
        _small("spaced-3", make=shallow, fields={"layers": 3}),
        _movement("mixed-2-60", fields={"prune_method": "movement", "prune_layers": 2, "prune_sparsity": 0.6}),
        _torch_pruning("torch-pruning-50", fields={"ratio": 0.5}),
        _movement("movement-75", fields={"prune_method": "movement", "prune_sparsity": 0.75}),
        _magnitude("magnitude-75", fields={"prune_method": "magnitude", "prune_sparsity": 0.75}),
        _nn_pruning("nn-pruning-60", fields={"penalty": 60.0}),
        _movement("movement-50", fields={"prune_method": "movement", "prune_sparsity": 0.5}),
        _magnitude("magnitude-50", fields={"prune_method": "magnitude", "prune_sparsity": 0.5}),
        _layers("layers-2", fields={"prune_layers": 2}),
        _nn_pruning("nn-pruning-200", fields={"penalty": 200.0}),
        _movement("movement-25", fields={"prune_method": "movement", "prune_sparsity": 0.25}),
    )
}
