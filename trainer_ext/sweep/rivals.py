"""Rivals that are no transformers: a linear classifier on words, and averaged token vectors that a model taught.

Who only sorts texts by topic may need no transformer. Both learn in seconds from the training set and run in microseconds,
so they show what a small transformer is worth on a task.

`compare_rivals` does both for a recipe with one class per text, beside its baseline.

- `train_linear`: TF-IDF of words, pairs of words and letters, and a linear support vector machine.
- `train_static`: one vector per token, averaged over the text, and a linear layer. The vectors start as what the encoder
  gives for each token alone (as in Model2Vec, Tulkens and van Dongen 2024), then learn the answers of the model.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC
from torch import nn
from torch.nn import functional as F

from ..benchmark.size import evaluating
from ..errors import InputError
from ..models.architectures import find_encoder
from ..models.loading import load_model, load_tokenizer
from ..pipeline.recipe import Recipe
from ..report.formatting import interval, number
from ..tasks.dataset import load_data, tokenize
from ..tasks.evaluate import compare_on, predict
from ..tasks.registry import task_of
from .collect import required

CHOICES = {"linearsvc__C": [0.1, 0.3, 1.0]}  # of the penalty, by cross-validation on the training set
FOLDS = 3
TOKENS_AT_ONCE = 512
STEPS, BATCH_SIZE, LEARNING_RATE = 500, 64, 1e-2  # more steps learn the training set by heart
TEMPERATURE = 2.0
MARK = "Without a transformer"  # how the notes about rivals begin


@dataclass(frozen=True)
class Rival:
    """A classifier of texts that is no transformer.

    Attributes:
        name: `linear` or `static`.
        title: what it is, in a few words.
        predict: from a list of texts to the index of the class of each.
        bytes: size of what has to be shipped.
        seconds: time that it took to make.
    """

    name: str
    title: str
    predict: Callable[[Sequence[str]], np.ndarray]
    bytes: int
    seconds: float


def train_linear(texts: Sequence[str], labels: Sequence[int]) -> Rival:
    """Train TF-IDF and a linear support vector machine; the strength of its penalty is chosen by cross-validation.

    Args:
        texts: the training set.
        labels: the index of the class of each text.
    """
    start = time.perf_counter()
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+", dtype=np.float32)
    letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=2, dtype=np.float32)
    pipeline = make_pipeline(make_union(words, letters), LinearSVC())
    folds = min(FOLDS, np.bincount(labels)[np.unique(labels)].min())
    if folds >= 2:
        pipeline = GridSearchCV(pipeline, CHOICES, cv=folds).fit(texts, labels).best_estimator_
    else:  # a class with a single text
        pipeline.fit(texts, labels)
    seconds = time.perf_counter() - start
    return Rival(
        "linear", "a linear classifier of words and letters", pipeline.predict, len(pickle.dumps(pipeline)), seconds
    )


class StaticClassifier(nn.Module):
    """The mean of one vector per token, and a linear layer.

    Args:
        vectors: the first value of the vectors, `[tokens, width]`.
        classes: number of classes.
    """

    def __init__(self, vectors: torch.Tensor, classes: int):
        super().__init__()
        self.vectors = nn.EmbeddingBag.from_pretrained(vectors.clone(), mode="mean", freeze=False, sparse=True)
        self.classify = nn.Linear(vectors.shape[1], classes)

    def forward(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Return logits `[texts, classes]` for the ids of all texts in a row and where each text begins."""
        return self.classify(self.vectors(ids, offsets))


def train_static(model, tokenizer, texts: Sequence[str], logits: torch.Tensor, *, seed: int = 0) -> Rival:
    """Teach averaged token vectors to answer like a model.

    Args:
        model: the fine-tuned model.
        tokenizer: of the model.
        texts: training texts; labels are not used.
        logits: the answers of the model to them, `[texts, classes]`.
        seed: of the order of the texts.
    """
    start = time.perf_counter()

    def bags(rows: Sequence[str]) -> list[list[int]]:
        unknown = [tokenizer.unk_token_id or 0]
        encoded = tokenizer(list(rows), add_special_tokens=False, verbose=False)["input_ids"]
        return [ids or unknown for ids in encoded]

    student = StaticClassifier(token_vectors(model, tokenizer), logits.shape[1])
    _teach(student, bags(texts), logits.float(), torch.Generator().manual_seed(seed))

    @torch.no_grad()
    def predict(rows: Sequence[str]) -> np.ndarray:
        return student(*_joined(bags(rows))).argmax(-1).numpy()

    size = sum(parameter.numel() * 2 for parameter in student.parameters())  # in half precision
    return Rival("static", "the mean of token vectors", predict, size, time.perf_counter() - start)


@torch.no_grad()
def token_vectors(model, tokenizer) -> torch.Tensor:
    """Return what the encoder gives for each token alone, `[tokens, width]`, on the processor; rarer tokens are longer.

    The mean over the token and the special tokens around it is centred and divided by its deviation, then weighted by the
    logarithm of its rank, up to 1: most vocabularies begin with their most frequent tokens.

    Args:
        model: a model with an encoder.
        tokenizer: of the model.
    """
    encoder = find_encoder(model)[1]
    before, after = _around(tokenizer)
    found = []
    with evaluating(encoder):
        for ids in torch.arange(len(tokenizer)).split(TOKENS_AT_ONCE):
            rows = [torch.full_like(ids, token) for token in before]
            rows += [ids, *(torch.full_like(ids, token) for token in after)]
            found.append(encoder(torch.stack(rows, 1).to(encoder.device)).last_hidden_state.mean(1).float().cpu())
    vectors = torch.cat(found)
    vectors = (vectors - vectors.mean(0)) / vectors.std(0).clamp_min(1e-6)
    ranks = torch.arange(2, 2 + len(vectors)).log()
    return vectors * (ranks / ranks[-1])[:, None]


def _around(tokenizer) -> tuple[list[int], list[int]]:
    """Return the special tokens before and after the tokens of a text."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    outer = tokenizer("a")["input_ids"]
    start = next(at for at in range(len(outer)) if outer[at : at + len(inner)] == inner)
    return outer[:start], outer[start + len(inner) :]


def _joined(bags: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(bag) for bag in bags])
    return torch.tensor([one for bag in bags for one in bag]), lengths.cumsum(0) - lengths


def _teach(student: StaticClassifier, bags: list[list[int]], logits: torch.Tensor, generator: torch.Generator) -> None:
    """Train a student on the soft answers of a teacher (Hinton et al. 2015, arXiv 1503.02531)."""
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.SparseAdam(student.vectors.parameters(), lr=LEARNING_RATE),
        torch.optim.Adam(student.classify.parameters(), lr=LEARNING_RATE),
    ]
    target = (logits / TEMPERATURE).log_softmax(-1)
    schedules = [torch.optim.lr_scheduler.LinearLR(each, 1.0, 0.0, total_iters=STEPS) for each in optimizers]
    for _ in range(STEPS):
        chosen = torch.randint(len(bags), (BATCH_SIZE,), generator=generator)
        answers = student(*_joined([bags[index] for index in chosen.tolist()])) / TEMPERATURE
        loss = F.kl_div(answers.log_softmax(-1), target[chosen], reduction="batchmean", log_target=True)
        student.zero_grad()
        loss.backward()
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()


def milliseconds(predict: Callable[[Sequence[str]], object], texts: Sequence[str], *, repeats: int = 30) -> float:
    """Return the median time of a call in milliseconds, from texts to classes."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        predict(texts)
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def check_rivals(recipe: Recipe) -> None:
    """Refuse a recipe that rivals cannot learn.

    Raises:
        InputError: The task is not one class per text, or the texts are pairs, or have no labels.
    """
    task = task_of(recipe.data)
    if recipe.data.texts is not None:
        raise InputError(
            "--rivals: they learn from labels, and texts has none: leave it out, or give data_dir instead."
        )
    if task.right != "accuracy":
        raise InputError(
            f"--rivals: they learn one class per text, and this recipe is for {task.title}; leave it out."
        )
    if recipe.data.text_pair_column:
        raise InputError("--rivals: they read one text per row, and this recipe has pairs; leave it out.")


def rivals_of(load: Callable[[], Any], train, encoded, tokenizer, *, seed: int) -> list[Callable[[], Rival]]:
    """Return functions that make the two rivals of a model.

    Args:
        load: loads the fine-tuned model; only the second rival needs it.
        train: the training set, with `text` and `label`.
        encoded: the same, tokenized.
        tokenizer: of the model.
        seed: of the order of the texts.
    """
    texts = list(train["text"])

    def static() -> Rival:
        model = load()
        answers = torch.tensor(np.stack(predict(model, encoded, tokenizer)))
        return train_static(model, tokenizer, texts, answers, seed=seed)

    return [lambda: train_linear(texts, list(train["label"])), static]


def compare_rivals(recipe: Recipe, baseline: Path) -> list[str]:
    """Make the rivals from the data of a recipe, and say in a sentence each how they compare with its baseline.

    Args:
        recipe: one for which `check_rivals` passes.
        baseline: the folder of the fine-tuned model.
    """
    model = load_model(str(baseline), option="The baseline", way_out="train it again").eval()
    tokenizer = load_tokenizer(str(baseline), way_out="train it again")
    data = load_data(recipe.data, labels=[model.config.id2label[index] for index in range(model.config.num_labels)])
    encoded = tokenize(data, tokenizer, recipe.data)
    split, rows = next(iter(data.tests.items()))
    dense = np.stack(predict(model, encoded.tests[split], tokenizer)).argmax(-1)
    lines, best = [], -1.0
    for make in rivals_of(lambda: model, data.train, encoded.train, tokenizer, seed=recipe.training.seed):
        rival = make()
        found = compare_on(
            split,
            rows,
            dense,
            rival.predict(list(rows["text"])),
            task=task_of(recipe.data),
            args=recipe.data,
            labels=data.labels,
        )
        scores, lost = required(found.compressed, "quality"), required(found.difference, "difference")
        accuracy = number("accuracy", required(scores.accuracy, "accuracy"))
        bounds = required(lost.ci95, "interval of the difference")
        difference = number("accuracy", required(lost.main, "difference"), "+z")
        best = max(best, bounds[1])
        lines.append(
            f"{MARK}: {rival.title} gets {accuracy} % of {split}, {difference} {interval('accuracy', bounds, '+z')} points "
            f"beside the baseline; {rival.bytes / 1e6:.1f} MB, made in {rival.seconds:.0f} s."
        )
    worth = (
        "none of them is as good as the baseline" if best < 0 else "one is within noise of the baseline, so it may do"
    )
    return [*lines, f"{MARK}: {worth}."]
