"""Ensembles: the softened distribution of several teachers is the mean of theirs, and pulls as all their losses do."""

import pytest
import torch

from tests.distillation.test_soft_targets import answer, batch_of
from tests.helpers.distilling import KINDS, TaskRows, model_for
from tests.helpers.training import logged, make_trainer
from trainer_ext.distillation import losses as ensembles
from trainer_ext.distillation.losses import SOFT_TARGETS

LOGITS = 3 * torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
MASK = torch.arange(5) < torch.tensor([[5], [3], [1], [2]])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_distribution_is_the_mean(temperature):
    found = ensembles.mean_softmax(LOGITS, temperature, None)
    expected = (LOGITS / temperature).softmax(-1).mean(0)
    torch.testing.assert_close((found / temperature).softmax(-1), expected)
    found = ensembles.mean_sigmoid(LOGITS, temperature, None)
    torch.testing.assert_close((found / temperature).sigmoid(), (LOGITS / temperature).sigmoid().mean(0))
    assert torch.equal(ensembles.mean_output(LOGITS, temperature, None), LOGITS.mean(0))


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_padding_takes_no_part_in_the_mean_of_spans(temperature):
    found = ensembles.mean_span(LOGITS, temperature, MASK) / temperature
    for row, read in enumerate(MASK.sum(1).tolist()):
        expected = (LOGITS[:, row, :read] / temperature).softmax(-1).mean(0)
        torch.testing.assert_close(found[row, :read].softmax(-1), expected)
    unmasked = ensembles.mean_span(LOGITS, temperature, None) / temperature
    assert not torch.allclose(unmasked[1, :3].softmax(-1), found[1, :3].softmax(-1))


@pytest.mark.parametrize("kind", SOFT_TARGETS)
def test_it_pulls_as_the_mean_of_the_losses_and_is_zero_at_the_mean(kind):
    target, batch = SOFT_TARGETS[kind], batch_of(kind)
    teachers = [answer(kind, seed) for seed in (1, 2, 3)]
    gradients, losses = [], []
    for together in (True, False):
        student = {name: value.requires_grad_() for name, value in answer(kind, 0).items()}
        groups = [teachers] if together else [[teacher] for teacher in teachers]
        loss = torch.stack([target(student, group, batch, temperature=2.0) for group in groups]).mean()
        loss.backward()
        losses.append(loss.item())
        gradients.append([value.grad for value in student.values()])
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)
    assert losses[0] < losses[1]  # by a constant, without which agreement would cost
    mask = None if target.counts is None else target.counts(batch)
    mean = {name: target.average(torch.stack([t[name] for t in teachers]), 2.0, mask) for name in target.outputs}
    assert target(mean, teachers, batch, temperature=2.0).item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_trainer_averages_its_teachers(tmp_path, kind):
    teachers = [model_for(kind, seed=seed) for seed in (1, 2)]
    for seed, teacher in enumerate(teachers):
        teacher.save_pretrained(tmp_path / str(seed))
    rows = TaskRows(8, kind)
    fields = {"model": model_for(kind), "rows": rows, "max_steps": 2}
    given = make_trainer(tmp_path, teacher=teachers, **fields)
    given.train()
    with torch.no_grad():
        student, *answers = (model.eval()(**rows.batch()) for model in (model_for(kind), *teachers))
        expected = SOFT_TARGETS[kind](student, answers, rows.batch(), temperature=2.0).item()
    assert logged(given, "loss_distill")[0] == pytest.approx(expected, rel=1e-4)

    names = [str(tmp_path / "0"), str(tmp_path / "1")]
    fields["model"] = model_for(kind)
    cache = {"distill_cache_dir": str(tmp_path / "cache")}
    named = make_trainer(tmp_path, distill_teachers=names, **cache, **fields)
    named.train()
    assert logged(named, "loss_distill") == logged(given, "loss_distill")
    assert len(list((tmp_path / "cache").glob("*.sqlite"))) == 2  # each teacher has a file of its own


def test_inner_states_are_those_of_the_first_teacher(tmp_path):
    kind, found = KINDS[0], []
    for seeds in ((1,), (1, 2), (2, 1)):
        teachers = [model_for(kind, seed=seed) for seed in seeds]
        fields = {"model": model_for(kind), "rows": TaskRows(8, kind), "max_steps": 1, "distill_hidden": 1.0}
        trainer = make_trainer(tmp_path, teacher=teachers, **fields)
        trainer.train()
        found.append(logged(trainer, "loss_hidden")[0])
    assert found[0] == found[1] != found[2]
