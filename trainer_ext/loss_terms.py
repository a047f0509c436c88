"""Loss terms: what a loss is made of, summed on the device step by step and averaged when it is logged."""

from __future__ import annotations

import torch


class LossTerms:
    """Sums of named loss terms since the last log; nothing is read from the device until `means`."""

    def __init__(self):
        self._values: dict[str, list[torch.Tensor]] = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, terms: dict[str, torch.Tensor], share: torch.Tensor | float) -> None:
        """Note the terms of one batch.

        Args:
            terms: scalars by name.
            share: of this batch in the whole batch of its step.
        """
        for name, term in {"share": torch.ones(()), **terms}.items():
            self._values.setdefault(name, []).append(torch.as_tensor(term.detach() * share))

    def means(self, accelerator) -> dict[str, float]:
        """The mean of each term over what was noted in all processes, which is then forgotten.

        Args:
            accelerator: sums over the processes; each has its part of a batch.
        """
        device = self._values[next(reversed(self._values))][0].device
        sums = torch.stack([torch.stack([x.to(device) for x in values]).sum() for values in self._values.values()])
        sums = accelerator.reduce(sums)
        # The shares come first, and divide: those of one whole batch make 1, those of batches without labels 0.
        share = torch.where(sums[0] > 0, sums[0], 1.0)
        means = dict(zip(self._values, (sums / share).tolist(), strict=True))
        del means["share"]
        self._values = {}
        return means
