"""Calibration: the statistics of texts, against brute force on a tiny model."""

import copy
from types import SimpleNamespace

import datasets
import pytest
import torch

from tests.helpers.tiny_models import build
from trainer_ext import InputError
from trainer_ext.distillation.losses import (
    curvature_output,
    curvature_sigmoid,
    curvature_softmax,
    curvature_span,
    soft_target_binary_kl,
    soft_target_kl,
    soft_target_mse,
    soft_target_span_kl,
)
from trainer_ext.models.architectures import ARCHITECTURES, layers_of
from trainer_ext.models.outputs import synthetic_batch
from trainer_ext.pruning import calibration
from trainer_ext.pruning.calibration import collect, matrices_of, training_batches

SIGNS = torch.tensor([[1.0 if index >> bit & 1 else -1.0 for bit in range(4)] for index in range(16)])


@pytest.mark.parametrize(
    ("curvature", "loss"),
    [
        (curvature_softmax, soft_target_kl),
        (curvature_sigmoid, soft_target_binary_kl),
        (curvature_output, soft_target_mse),
        (curvature_span, soft_target_span_kl),
    ],
)
def test_over_all_signs_the_outer_products_are_the_second_derivative_of_the_loss(curvature, loss):
    teacher = torch.tensor([[0.3, -1.0, 2.0, 0.1]], dtype=torch.float64)
    directions = torch.cat([curvature(teacher, signs[None].double(), None) for signs in SIGNS])
    found = directions.T @ directions / len(SIGNS)
    options = {"mask": torch.ones(1, 4, dtype=torch.bool)} if loss is soft_target_span_kl else {}
    exact = torch.autograd.functional.hessian(
        lambda logits: loss(logits[None], teacher, temperature=1.0, **options), teacher[0]
    )
    scale = exact.diagonal().sum() / found.diagonal().sum()  # losses are means over outputs, or twice the half
    assert scale > 0.1
    torch.testing.assert_close(found * scale, exact.to(found), atol=1e-6, rtol=1e-5)


def test_masked_tokens_and_positions_count_for_nothing():
    logits, mask = torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 0, 0]], dtype=torch.bool)
    assert (curvature_softmax(logits, torch.ones_like(logits), mask)[~mask] == 0).all()
    span = curvature_span(logits[..., 0], torch.ones(2, 3), mask)
    assert (span[~mask] == 0).all()
    assert span.isfinite().all()


def batches_of(model, sizes=(8,), seed=3):
    batch = synthetic_batch(model, rows=sum(sizes), length=10, seed=seed)
    parts = [tensor.split(list(sizes)) for tensor in batch.values()]
    return [dict(zip(batch, part, strict=True)) for part in zip(*parts, strict=True)]


def test_inputs_and_gradients_are_those_of_a_plain_backward_pass():
    model = build("bert").eval()
    matrices, (batch,) = matrices_of(layers_of(model)), batches_of(model)
    found = collect(model, [batch], matrices)
    seen = {}

    def keep(module, inputs, output):
        output.retain_grad()
        seen[module] = inputs[0], output

    handles = [matrix.linear.register_forward_hook(keep) for matrix in matrices]
    logits = model(**batch).logits
    generator = torch.Generator().manual_seed(0)
    signs = torch.stack([torch.randint(0, 2, row.shape, generator=generator) for row in logits]) * 2.0 - 1
    (logits * curvature_softmax(logits.detach(), signs, None)).sum().backward()
    for handle in handles:
        handle.remove()
    real = batch["attention_mask"].bool()
    for matrix, statistics in zip(matrices, found, strict=True):
        inputs, output = seen[matrix.linear]
        values = torch.cat([inputs[real], torch.ones(int(real.sum()), 1)], 1)
        torch.testing.assert_close(statistics.inputs, values.T @ values)
        torch.testing.assert_close(statistics.outputs, output.grad[real].T @ output.grad[real])
        assert statistics.tokens == real.sum()
        assert statistics.texts == len(real)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_size_of_the_batches_does_not_matter_and_the_model_stays_as_it_is(model_type):
    model = build(model_type).train()
    model.requires_grad_(True)
    next(model.parameters()).requires_grad_(False)
    before, trained = copy.deepcopy(model.state_dict()), [p.requires_grad for p in model.parameters()]
    matrices = matrices_of(layers_of(model))
    whole, parts = (collect(model, batches_of(model, sizes), matrices) for sizes in ((8,), (3, 5)))
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one.inputs, other.inputs, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.outputs, other.outputs, rtol=1e-3, atol=1e-6)
        assert one.outputs.abs().max() > 0
    assert model.training
    assert [p.requires_grad for p in model.parameters()] == trained
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_importance_is_a_root_and_survives_outputs_that_do_not_matter():
    statistics = calibration.Statistics(
        torch.zeros(3, 3), torch.diag(torch.tensor([4.0, 0.0])), True, tokens=1, texts=2
    )
    root = statistics.importance
    torch.testing.assert_close(root.T @ root, torch.diag(torch.tensor([3.0, 1.0], dtype=torch.float64)))
    statistics.outputs.zero_()
    assert statistics.importance.isfinite().all()
    assert (statistics.importance.diagonal() > 0).all()


def loader_of(dataset, collate=lambda rows: {"input_ids": torch.tensor([row["input_ids"] for row in rows])}):
    return SimpleNamespace(dataset=dataset, collate_fn=collate)


def test_training_rows_are_spread_over_the_whole_set():
    rows = [{"input_ids": [number]} for number in range(5000)]
    read = torch.cat(
        [batch["input_ids"].flatten() for batch in training_batches(loader_of(rows), torch.device("cpu"))]
    )
    assert len(read) == calibration.TEXTS
    assert read.min() == 0
    assert read.max() >= 4990
    assert read.diff().float().mean().item() == pytest.approx(5000 / calibration.TEXTS, rel=0.01)


@pytest.mark.parametrize(
    ("tokens", "count"), [([48] * 1024, 1024), ([512] * 1000, 91), ([100_000] * 40, 20), ([5], 1)]
)
def test_long_texts_are_read_in_part(tokens, count):
    found = calibration.spread(range(len(tokens)), tokens)
    assert len(found) == count
    assert found[0] == 0
    assert found[-1] >= len(tokens) - len(tokens) // count


def test_a_stream_gives_its_first_rows_and_one_that_may_run_once_is_refused():
    stream = datasets.Dataset.from_dict({"input_ids": [[number] for number in range(40)]}).to_iterable_dataset()
    (first, second) = training_batches(loader_of(stream), torch.device("cpu"))
    assert len(first["input_ids"]) + len(second["input_ids"]) == 40

    class Once(torch.utils.data.IterableDataset):
        def __iter__(self):
            raise AssertionError("read")

    with pytest.raises(InputError, match="a stream that may run only once"):
        training_batches(loader_of(Once()), torch.device("cpu"))


def test_a_loader_of_ones_own_gives_its_first_batches():
    batches = [{"ids": torch.zeros(300, 2)} for _ in range(9)]
    assert [len(batch["ids"]) for batch in training_batches(batches, torch.device("cpu"))] == [300] * 4


def test_inputs_of_any_name_and_without_a_mask_count_whole():
    model = build("bert").eval()
    matrices, (batch,) = matrices_of(layers_of(model)), batches_of(model)

    class Renamed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, ids):
            return self.inner(input_ids=ids).logits

    found = collect(Renamed(), [{"ids": batch["input_ids"]}], matrices)
    assert found[0].tokens == batch["input_ids"].numel()
    assert found[0].texts == len(batch["input_ids"])


def test_too_few_rows_are_refused():
    with pytest.raises(InputError, match="has 3 rows.*at least 16"):
        training_batches(loader_of([{"input_ids": [1]}] * 3), torch.device("cpu"))
