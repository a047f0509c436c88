"""The comparison with stock Trainer itself: it sees the last bit, and what is wrong with each wrong Trainer runs."""

import numpy as np
import pytest
import torch

from tests.helpers import wrong_trainers
from tests.helpers.as_stock import Kind, differences


def test_a_comparison_tells_values_and_types():
    """To the last bit: what is nearly equal, or equal as a number only, is another value."""
    nan = float("nan")
    assert not differences({"a": [1.0, nan, np.zeros(2)]}, {"a": [1.0, nan, np.zeros(2)]})
    for first, second in [
        (1.0, 1),
        (1.0, 1.0 + 1e-15),
        (nan, 0.0),
        ([1], (1,)),
        ([1], [1, 2]),
        ({"a": 1}, {"b": 1}),
        (np.zeros(2), np.zeros(2, np.float32)),
        (torch.zeros(2), torch.zeros(2).double()),
        (np.zeros((2, 1)), np.zeros(2)),
    ]:
        assert differences([first], [second]), (first, second)


WRONG = [
    value
    for value in vars(wrong_trainers).values()
    if isinstance(value, type) and value.__module__ == "wrong_trainers"
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_trainer_trains(tmp_path, wrong):
    """It is wrong in one way, and does not merely fail."""
    trainer = Kind(wrong).train(tmp_path, save_strategy="steps", save_steps=2)
    assert trainer.state.global_step == 4
    assert "eval_loss" in {name.rstrip("_") for name in trainer.evaluate()}
