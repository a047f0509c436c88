"""Second-order pruning: remove heads and neurons, and let those that stay make up for them by least squares.

A head or a neuron is a group of input columns of one Linear: of the output projection of the attention, or of the last
feed-forward matrix. Let `x` be the inputs of that Linear on some texts, with a 1 appended for the bias, `W` its weight
with the bias as last column, and `H` the second moments `E[x x^T]`. Removing the columns `S`, the output changes least in
the mean square if the other columns change to

    W - W_S (inv(H)_SS)^-1 inv(H)_S:            with the error  tr(W_S (inv(H)_SS)^-1 W_S^T)

This is the Optimal Brain Surgeon (Hassibi and Stork 1993) for a linear layer and for groups of weights, as in ZipLM
(Kurtic, Frantar and Alistarh 2023, arXiv 2302.04089, section 3.1). To weigh the outputs by how much they matter, `W` is
multiplied by a root of the second moments of their gradients: half the error is then the divergence from the answers of
the whole model that is to be expected, in nats, so that all layers have a common scale (van der Ouderaa et al. 2023,
arXiv 2312.17244, section 3). The best update of the other columns is the same with or without it. No labels are needed.
Everything here is computed in fp64 on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

DAMPING = 1e-3  # share of the mean second moment that is added to each one, so that dead inputs do no harm
OUTPUT_DAMPING = 1.0  # the same for gradients: a direction that these texts never use may matter to others


@dataclass(frozen=True)
class Curve:
    """What removing the groups of a Linear costs, one after the other.

    Attributes:
        order: the ids of the groups, those that are removed first at the front.
        errors: `[groups + 1]`, mean squared change of the output, summed over the outputs, after removing 0, 1, ... groups.
    """

    order: list[int]
    errors: torch.Tensor

    def kept(self, count: int) -> list[int]:
        """Return the ids of the `count` groups that stay, in ascending order."""
        return sorted(self.order[len(self.order) - count :])


def damped(moments: torch.Tensor, share: float = DAMPING) -> torch.Tensor:
    """Return second moments with a small multiple of the identity added, except for the constant input.

    Args:
        moments: `[inputs + 1, inputs + 1]`, the last input is the constant 1.
        share: of the mean second moment, which is added to each one.
    """
    result = moments.double().cpu().clone()
    diagonal = result.diagonal()[:-1]
    diagonal += share * diagonal.mean().clamp(min=torch.finfo(torch.float32).tiny)
    return result


def root_of(gradients: torch.Tensor) -> torch.Tensor:
    """Return an upper triangular R with `R^T R` = these second moments of gradients, damped, in fp64 on the processor.

    Args:
        gradients: `[outputs, outputs]`. All zero if nothing depends on these outputs.
    """
    result = gradients.double().cpu().clone()
    diagonal = result.diagonal()
    diagonal += OUTPUT_DAMPING * diagonal.mean().clamp(min=torch.finfo(torch.float32).tiny)
    return torch.linalg.cholesky(result).T


def with_bias(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return `[outputs, inputs + 1]`: the weight, and the bias as its last column."""
    last = torch.zeros(len(weight)) if bias is None else bias
    return torch.cat([weight, last.to(weight)[:, None]], dim=1).double().cpu()


@torch.no_grad()
def removal_curve(weight: torch.Tensor, moments: torch.Tensor, *, group: int, at_once: int = 1) -> Curve:
    """Remove all groups of columns greedily, always those whose removal changes the output least.

    Args:
        weight: `[outputs, inputs + 1]`, with the bias.
        moments: `[inputs + 1, inputs + 1]`, damped.
        group: columns of a group: the head size, or 1.
        at_once: groups that are removed together before the others are judged again.
    """
    weight, inverse = weight.clone(), torch.linalg.inv(moments)
    ids = torch.arange((weight.shape[1] - 1) // group)  # of the groups whose columns are still in the matrices
    gone = torch.zeros(len(ids), dtype=torch.bool)
    order: list[int] = []
    errors = [0.0]
    while not gone.all():
        if gone.sum() > len(ids) // 8:  # smaller matrices are faster
            stays = torch.cat([(~gone).repeat_interleave(group), torch.ones(1, dtype=torch.bool)])
            weight, inverse, ids = weight[:, stays], inverse[stays][:, stays], ids[~gone]
            gone = torch.zeros(len(ids), dtype=torch.bool)
        columns = torch.arange(len(ids) * group).view(len(ids), group)
        costs = _costs(weight, inverse, columns).masked_fill(gone, torch.inf)
        chosen = costs.argsort()[: min(at_once, int((~gone).sum()))]
        error = _remove(weight, inverse, columns[chosen].flatten())
        gone[chosen] = True
        order += ids[chosen].tolist()
        share = costs[chosen].cumsum(0) / costs[chosen].sum().clamp(min=torch.finfo(torch.float64).tiny)
        errors += (errors[-1] + share * error).tolist()
    return Curve(order, torch.tensor(errors, dtype=torch.float64))


def _costs(weight: torch.Tensor, inverse: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return the error of removing each group alone, `[groups]`; `columns` is `[groups, group]`."""
    if columns.shape[1] == 1:  # the same as below, without thousands of systems of one equation
        return weight[:, columns[:, 0]].square().sum(0) / inverse.diagonal()[columns[:, 0]]
    blocks = inverse[columns[:, :, None], columns[:, None, :]]  # [groups, group, group]
    parts = weight[:, columns].permute(1, 2, 0)  # [groups, group, outputs]
    return (parts * torch.linalg.solve(blocks, parts)).sum((1, 2))


def _remove(weight: torch.Tensor, inverse: torch.Tensor, columns: torch.Tensor) -> float:
    """Remove columns: update the weight and the inverse moments in place, and return the error that it makes."""
    across = torch.linalg.solve(inverse[columns][:, columns], inverse[columns])  # [removed, inputs + 1]
    error = (weight[:, columns] @ torch.linalg.inv(inverse[columns][:, columns]) * weight[:, columns]).sum().item()
    weight.addmm_(weight[:, columns], across, alpha=-1)
    inverse.addmm_(inverse[:, columns], across, alpha=-1)
    weight[:, columns] = 0
    inverse[columns], inverse[:, columns] = 0, 0
    inverse[columns, columns] = 1  # a column that is gone: nothing depends on it
    return error


@torch.no_grad()
def compensated(weight: torch.Tensor, moments: torch.Tensor, kept: Sequence[int]) -> torch.Tensor:
    """Return the weight whose kept columns reproduce the output of all of them best, in the mean square.

    Args:
        weight: `[outputs, inputs + 1]`, with the bias: what is to be reproduced.
        moments: `[inputs + 1, inputs + 1]`, damped.
        kept: the columns that stay, without the constant.

    Returns:
        `[outputs, inputs + 1]`, with zeros in the columns that go.
    """
    ids = torch.tensor([*kept, weight.shape[1] - 1])
    result = torch.zeros_like(weight)
    result[:, ids] = torch.linalg.solve(moments[ids][:, ids], weight @ moments[:, ids], left=False)
    return result
