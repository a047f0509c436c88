"""Peer small BERT: a shallower or narrower student is taught logits and hidden states, as TextBrewer does it.

TextBrewer (Yang et al. 2020, arXiv 2002.12620) teaches a student of a smaller shape by soft labels and by the mean squared
error of hidden states of matched layers, with a linear map where widths differ: our distill_* fields with the same losses.
The student is either evenly spaced layers of the teacher, or a narrow BERT with random weights: there is no small
pre-trained one with the tokenizer of the teacher. From scratch it learns at the recipe's scratch_learning_rate.
"""

from __future__ import annotations

import copy

from recipes.benchmarks.peers_training import Setting, taught
from trainer_ext.pruning.layer_dropping import drop_layers


def evenly_spaced(depth: int, layers: int) -> list[int]:
    """Layers of a model of `depth` layers that a student of so many starts from: the last of equal spans, from 0."""
    if not 1 <= layers <= depth:
        raise ValueError(f"layers={layers} must be in [1, {depth}].")
    return [(index + 1) * depth // layers - 1 for index in range(layers)]


def shallow(setting: Setting, *, layers: int):
    """A student of evenly spaced layers of the baseline."""
    dense = setting.dense()
    depth = dense.config.num_hidden_layers
    dropped = [index for index in range(depth) if index not in evenly_spaced(depth, layers)]
    return taught(setting, drop_layers(dense, len(dropped), dropped))


def narrow(setting: Setting, *, layers: int, width: int):
    """A student with random weights, heads of the size that the baseline's have, four neurons per unit of width."""
    dense = setting.dense()
    config = copy.deepcopy(dense.config)
    head_size = config.hidden_size // config.num_attention_heads
    config.update({"num_hidden_layers": layers, "hidden_size": width, "intermediate_size": 4 * width})
    config.num_attention_heads = width // head_size
    return taught(setting, type(dense)(config), learning_rate=setting.recipe.model.scratch_learning_rate)
