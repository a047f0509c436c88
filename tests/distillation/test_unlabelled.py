"""Rows without labels: a student learns from its teacher alone, as from the same rows with labels of no weight."""

import pytest

from tests.helpers.training import Rows, differing, logged, make_trainer, new_model

ALONE = {"distill_alpha": 1.0, "distill_temperature": 2.0}


class Unlabelled(Rows):
    """The same rows without labels."""

    def __getitem__(self, index):
        row = super().__getitem__(index)
        del row["labels"]
        return row


def run(folder, rows, **fields):
    model, teacher = new_model(dropout=0.0), new_model(seed=1)
    trainer = make_trainer(folder, rows=rows, model=model, teacher=teacher, **{**ALONE, **fields})
    trainer.train()
    return trainer


@pytest.mark.parametrize("fields", [{}, {"gradient_accumulation_steps": 2, "max_steps": 4}])
def test_labels_of_no_weight_change_nothing(tmp_path, fields):
    with_labels, without = run(tmp_path, Rows(32), **fields), run(tmp_path, Unlabelled(32), **fields)
    assert not differing(with_labels.model.state_dict(), without.model.state_dict())
    assert logged(without, "loss_distill") == pytest.approx(logged(with_labels, "loss_distill"))
    assert logged(without, "loss") == pytest.approx(logged(without, "loss_distill"), rel=1e-3)
    assert not any("loss_task" in row for row in without.state.log_history)


def test_labels_that_have_a_weight_are_missed(tmp_path):
    with pytest.raises(ValueError, match="did not return a loss"):
        run(tmp_path, Unlabelled(32), distill_alpha=0.9)


def test_a_loss_of_the_user_is_called_all_the_same(tmp_path):
    seen = []

    def loss(outputs, labels, num_items_in_batch=None):
        seen.append(labels)
        return outputs.logits.sum()

    run(tmp_path, Rows(32), compute_loss_func=loss, max_steps=1)
    assert len(seen) == 1
