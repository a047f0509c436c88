"""Groups of an optimizer for what is learned beside the model, in an optimizer of the user's too."""

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
    add_missing(optimizer, scores, scheduler=scheduler, lr=lr, weight_decay=0.0)


def add_missing(optimizer: Optimizer, parameters: dict, *, scheduler=None, **options) -> None:
    """Give parameters a group of their own if the optimizer, made from the model without them, knows none of them.

    Args:
        optimizer: changed in place.
        parameters: by identity.
        scheduler: made before for this optimizer, if any; it moves the new group like the last one that it knows.
        **options: of the group; the others are the defaults of the optimizer.

    Raises:
        ValueError: a scheduler that cannot take one more group.
    """
    if not parameters or any(id(p) in parameters for group in optimizer.param_groups for p in group["params"]):
        return
    optimizer.add_param_group({"params": list(parameters.values()), **options})
    if scheduler is None:
        return
    if not isinstance(scheduler, LambdaLR):
        raise ValueError(
            f"The {type(scheduler).__name__} in `optimizers` cannot take one more group, which the scores of the masks "
            "and the map to a teacher of another width need. Use a LambdaLR, such as transformers.get_scheduler makes; or "
            "give optimizers=(optimizer, None) and choose lr_scheduler_type; or do without: prune_method=magnitude."
        )
    group = optimizer.param_groups[-1]
    scheduler.base_lrs.append(group["lr"])
    scheduler.lr_lambdas.append(scheduler.lr_lambdas[-1])
    group["lr"] *= scheduler.lr_lambdas[-1](scheduler.last_epoch)
