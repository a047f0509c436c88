"""Score group: the scores of the masks in an optimizer, with a learning rate of their own and no weight decay."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def scores_of(model) -> dict:
    """The learned scores of a model with masks, by identity."""
    ends = ("pruning.attention.scores", "pruning.ffn.scores")
    return {id(p): p for name, p in model.named_parameters() if name.endswith(ends)}


def add_scores(optimizer: Optimizer, scores: dict, *, lr: float, ours: bool, scheduler=None) -> None:
    """Give the scores a group of their own; nothing is done where they have one.

    Args:
        optimizer: changed in place.
        scores: what `scores_of` found.
        lr: their learning rate.
        ours: whether the trainer made the optimizer just now, from the model with masks.
        scheduler: made before for this optimizer, if any.

    Raises:
        ValueError: a scheduler that cannot take one more group.
    """
    if ours:
        for group in optimizer.param_groups:
            group["params"] = [p for p in group["params"] if id(p) not in scores]
    # An optimizer of the user's was made from the model without masks.
    if scores and not any(id(p) in scores for group in optimizer.param_groups for p in group["params"]):
        optimizer.add_param_group({"params": list(scores.values()), "lr": lr, "weight_decay": 0.0})
        if scheduler is not None:
            _schedule(optimizer, scheduler, lr)


def _schedule(optimizer: Optimizer, scheduler, lr: float) -> None:
    """Let a scheduler that counted the groups before that of the scores move it like the last of them."""
    if not isinstance(scheduler, LambdaLR):
        raise ValueError(
            f"The {type(scheduler).__name__} in `optimizers` cannot take the scores of the masks as one more "
            "group. Use a LambdaLR, such as transformers.get_scheduler makes; or give optimizers=(optimizer, None) and "
            "choose lr_scheduler_type; or use prune_method=magnitude, which learns no scores."
        )
    scheduler.base_lrs.append(lr)
    scheduler.lr_lambdas.append(scheduler.lr_lambdas[-1])
    optimizer.param_groups[-1]["lr"] *= scheduler.lr_lambdas[-1](scheduler.last_epoch)
