"""`torch_compile`: the same weights, and one graph for the whole ramp."""

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import TrainerCallback

from tests.helpers.training import PRUNE, make_trainer, new_model
from trainer_ext.pruning.scores import Pruning

# Compiling looks for the gradient of everything that enters a graph, and the masks of a step are no leaves.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
]


class FullSize(TrainerCallback):
    """Keeps the weights and scores of the last step, before the model is cut."""

    def on_step_end(self, args, state, control, model=None, **kwargs):
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}


def run(folder, **fields):
    """A run of one layer, four fifths of it a ramp; returns the trainer, the weights and how many graphs were made."""
    torch._dynamo.reset()
    counters.clear()
    keeper = FullSize()
    model = new_model(num_hidden_layers=1, problem_type="single_label_classification")
    fields = {**PRUNE, "distill_teacher": "self", "prune_start": 0.0, "prune_end": 0.8, "max_steps": 6, **fields}
    trainer = make_trainer(folder, model=model, callbacks=[keeper], **fields)
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    return trainer, keeper.weights, counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiling_changes_no_weight(tmp_path, backend):
    plain, expected, none = run(tmp_path)
    trainer, found, graphs = run(tmp_path, torch_compile=True, torch_compile_backend=backend)
    assert (none, graphs) == (0, 2)  # learning scores, and frozen ones: the ramp is not compiled at every step
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert trainer.compression.neurons == plain.compression.neurons
    if backend == "eager":  # the small model is compiled in its turn
        assert trainer.evaluate()["eval_loss"] == pytest.approx(plain.evaluate()["eval_loss"], abs=1e-5)


@pytest.mark.filterwarnings("ignore:.*autograd.function.Function.* should not be instantiated:DeprecationWarning")
def test_traced_masks_would_be_compiled_at_every_step(tmp_path, monkeypatch):
    """The control: how many units are open is a constant of the graph."""
    monkeypatch.setattr(Pruning, "begin_forward", Pruning.begin_forward._torchdynamo_orig_callable)
    assert run(tmp_path, torch_compile=True, torch_compile_backend="eager")[2] > 4
