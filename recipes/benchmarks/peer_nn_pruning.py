"""Peer nn_pruning: its hybrid, opened through the shim, trained with its own distillation from the same teacher.

Its own distillation knows logits alone; weight and temperature are those of all arms. Its penalty decides how much goes,
so that the sparsity is found out and not asked for. Heads and neurons without weights are then removed by our `shrink`,
which removes all that nn_pruning's own optimizer of finished models would, and every neuron.
"""

from __future__ import annotations

from recipes.benchmarks.nn_pruning_hybrid import HybridTrainer
from recipes.benchmarks.peers_training import Setting
from trainer_ext.pruning.shrinking import shrink


def hybrid(setting: Setting, *, penalty: float):
    """The small model.

    Args:
        setting: what the arms share.
        penalty: final weight of the L1 penalty on the scores; its recipes use 5 to 40 for far longer runs.
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
