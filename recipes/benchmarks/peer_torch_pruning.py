"""Peer Torch-Pruning: heads and neurons chosen by its dependency graph, in one shot, before the common training.

Torch-Pruning (Fang et al. 2023, arXiv 2301.12900; `pip install torch-pruning`) as it is recommended for transformers:
whole heads and feed-forward neurons, ranked over all layers by kind of part (isomorphic pruning, Fang et al. 2024, arXiv
2407.04616), by the Taylor importance of the loss on train texts or by magnitude. Widths are multiples of eight, as fast
as they can be. It cuts the Linears of the model in place; the sizes that are left make a compact model of ours, which is
then trained as all arms are.
"""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader

from recipes.benchmarks.peers_training import Setting, taught
from trainer_ext.errors import InputError
from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning.shrinking import compact_outline, filled

GRADIENT_ROWS = 1024  # train texts that the Taylor importance is estimated on
ROUND_TO = 8


def torch_pruning(setting: Setting, *, ratio: float, importance: str = "taylor"):
    """The small model.

    Args:
        setting: what the arms share.
        ratio: fraction of the heads and of the neurons that goes, in (0, 1).
        importance: `taylor` or `magnitude`.

    Raises:
        InputError: Torch-Pruning is not installed.
    """
    model = setting.dense()
    if importance == "taylor":
        add_gradients(model, setting)
    return taught(setting, cut(model, ratio=ratio, importance=importance))


def cut(model, *, ratio: float, importance: str):
    """The compact model that Torch-Pruning leaves of a classifier; `model` itself is cut as well.

    Args:
        model: of a known family, on the processor; for `taylor` with gradients.
        ratio: fraction of the heads and of the neurons that goes.
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
    model.set_attn_implementation("eager")  # the fused kernel hides from its graph which Linears belong together
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


def add_gradients(model, setting: Setting) -> None:
    """Sum the gradients of the task loss over train texts, without dropout."""
    rows = setting.encoded.train
    rows = rows.shuffle(seed=setting.recipe.training.seed).select(range(min(GRADIENT_ROWS, len(rows))))
    size = setting.recipe.training.per_device_train_batch_size
    for batch in DataLoader(rows, batch_size=size, collate_fn=setting.rows["data_collator"]):
        model.eval()(**batch).loss.backward()
