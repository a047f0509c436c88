"""Assess: both models answer every test set, and what they answered becomes quality with its uncertainty."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader

from .intervals import bootstrap_interval, paired_difference_interval, wilson_interval
from .report import ClassPair, ClassScores, Difference, Quality, Scores


def predict(model, dataset, *, collator, batch_size: int = 64, on_rows=None) -> np.ndarray:
    """Predicted label ids `[rows]`, in fp32 and evaluation mode.

    Args:
        model: a classifier; its mode is left at evaluation.
        dataset: tokenized rows with `labels`.
        collator: pads a list of rows into a batch.
        batch_size: rows per forward pass.
        on_rows: called with the number of rows after each batch, for a progress bar.
    """
    model.eval()
    answers = []
    with torch.inference_mode():
        for batch in DataLoader(dataset, batch_size=batch_size, collate_fn=collator):
            inputs = {name: value.to(model.device) for name, value in batch.items() if name != "labels"}
            answers.append(model(**inputs).logits.argmax(-1).cpu())
            if on_rows is not None:
                on_rows(len(answers[-1]))
    return torch.cat(answers).numpy()


def quality(
    split: str,
    baseline: np.ndarray,
    compressed: np.ndarray,
    references: Sequence[int],
    *,
    labels: Sequence[str],
    metrics: Sequence[str] = (),
) -> Quality:
    """What two models' answers on one split are worth.

    Args:
        split: its name.
        baseline: predicted label ids of the baseline, `[rows]`.
        compressed: those of the compressed model, `[rows]`.
        references: true label ids, `[rows]`.
        labels: names by id.
        metrics: further metrics, by the name that `evaluate.load` knows.
    """
    from .metrics import Agreement, ClassificationQuality, load_metric

    references = np.asarray(references)
    found, scores = [], []
    for answers in (baseline, compressed):
        values = ClassificationQuality().compute(predictions=answers, references=references, num_classes=len(labels))
        found.append(values)
        other = {}
        for name in metrics:
            result = load_metric(name).compute(predictions=answers, references=references)
            other |= {key: float(value) for key, value in result.items() if np.isscalar(value)}
        scores.append(
            Scores(
                accuracy=values["accuracy"],
                macro_f1=values["macro_f1"],
                other=other,
                ci95=_intervals(answers, references),
            )
        )
    compared = Agreement().compute(predictions1=baseline, predictions2=compressed, references=references)
    rows = len(references)
    return Quality(
        split=split,
        rows=rows,
        baseline=scores[0],
        compressed=scores[1],
        difference=Difference(
            accuracy=(compared["won"] - compared["lost"]) / rows,
            ci95=paired_difference_interval(compared["lost"], compared["won"], rows=rows),
        ),
        per_class=[
            ClassPair(
                label=labels[before["label"]], support=before["support"], baseline=_of(before), compressed=_of(after)
            )
            for before, after in zip(found[0]["per_class"], found[1]["per_class"], strict=True)
        ],
        **compared,
    )


def _intervals(answers: np.ndarray, references: np.ndarray) -> dict[str, tuple[float, float]]:
    from .metrics import macro_f1

    return {
        "accuracy": wilson_interval(int((answers == references).sum()), len(references)),
        "macro_f1": bootstrap_interval(macro_f1, answers, references),
    }


def _of(row: dict) -> ClassScores:
    return ClassScores(precision=row["precision"], recall=row["recall"], f1=row["f1"])
