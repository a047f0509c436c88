"""Verify: the chain holds for a finished run, and breaks if one form of the model is another function."""

import hashlib
import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.helpers.commands import run_command
from tests.helpers.precision import bf16_products
from trainer_ext.errors import InputError
from trainer_ext.pruning import masks, verify
from trainer_ext.pruning.scores import METHODS, Method
from trainer_ext.pruning.shrinking import shrink
from trainer_ext.pruning.verify import check, shrink_and_verify
from trainer_ext.report.run_directory import RunDirectory


@pytest.fixture
def run(tmp_path, tiny_model, make_spec):
    """A finished run: the masked checkpoint and the shrunk model."""
    model = masks.attach(tiny_model("bert"), make_spec())
    with torch.no_grad():
        for group in model.pruning.groups.values():
            group.scores.normal_(generator=torch.Generator().manual_seed(1))
    masks.freeze_structure(model)
    model.save_pretrained(tmp_path / "masked")
    shrink(masks.merge(model))[0].save_pretrained(tmp_path / "compressed")
    return tmp_path


def _change(file, key_end):
    state = load_file(file)
    key = next(key for key in state if key.endswith(key_end))
    state[key] = state[key] + 0.01
    save_file(state, file, metadata={"format": "pt"})


def test_the_chain_holds(run, monkeypatch, capsys):
    status, out, err = run_command(monkeypatch, capsys, "check", run)
    assert status == 0, err
    assert out.count("yes") == 3
    assert "NO" not in out


@pytest.mark.parametrize("recipe", ["[1]", "a: [", "prune_recovery_epochs: many"])
def test_a_recipe_that_cannot_be_read_is_refused_before_a_model_is_loaded(run, recipe, monkeypatch):
    (run / "recipe.yaml").write_text(recipe)
    monkeypatch.setattr(verify, "load_model", lambda *_, **__: pytest.fail("a model is loaded"))
    with pytest.raises(InputError, match="recipe.yaml"):
        check(run)


@pytest.mark.parametrize("name", [*METHODS, "a new one"])
def test_the_table_of_methods_says_whether_the_training_follows_the_pruning(name, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "a new one", Method(second_order=True))
    (tmp_path / "masked").mkdir()
    (tmp_path / "masked" / "config.json").write_text(json.dumps({"pruning": {"method": name}}))
    for fields, trains in (("num_train_epochs: 0", False), ("num_train_epochs: 1", True), ("max_steps: 2", True)):
        (tmp_path / "recipe.yaml").write_text(fields)
        assert verify._is_recovered(RunDirectory(tmp_path)) == (trains and METHODS[name].second_order)


@pytest.mark.parametrize("structure", [{}, {"structure": "plain", "attention": "none", "sparsity": 0.3}])
def test_a_process_with_rounded_products_shrinks_and_checks_in_full_precision(masked, structure):
    with bf16_products():
        _, expected = shrink_and_verify(masked(**structure))
        with pytest.raises(RuntimeError, match="differs from the masked one"):  # the control
            shrink_and_verify.__wrapped__(masked(**structure))
    assert shrink_and_verify(masked(**structure))[1] == expected


@pytest.mark.slow
def test_a_process_with_rounded_products_finds_the_same_links(run):
    expected = check(run)
    with bf16_products():
        assert check(run) == expected
        assert not all(link.holds for link in check.__wrapped__(run))  # the control


def rounding(masked, offset):
    """A model with masks whose feed-forward layers add the same to all numbers, which the norms behind them take off again.

    That changes nothing, but in fp32 the sums lose digits, others with other neurons.
    """
    model = masked(config={"intermediate_size": 3000})
    for path, linear in model.named_modules():
        if path.endswith("output.dense") and "attention" not in path:
            linear.parametrizations.weight.original.data += offset
    return model


def refused(model):
    try:
        shrink_and_verify(model)
    except RuntimeError:
        return True
    return False


@pytest.fixture
def offset(masked, monkeypatch):
    """An offset with which fp32 alone would refuse the shrunk model, by a little."""
    with monkeypatch.context() as fp32_alone:
        fp32_alone.setattr(verify, "ROUNDED", 0)
        return next(one for one in (0.25, 0.5, 1.0, 2.0, 4.0) if refused(rounding(masked, one)))


def test_where_fp32_rounds_too_much_fp64_decides(masked, offset, shrink_wrongly):
    assert not refused(rounding(masked, offset))
    shrink_wrongly()
    with pytest.raises(RuntimeError, match="differs from the masked one by 1.0e-04"):
        shrink_and_verify(rounding(masked, offset))


def test_where_fp32_rounds_too_much_the_files_are_compared_in_fp64(masked, offset, tmp_path, monkeypatch):
    model = rounding(masked, offset)
    masks.freeze_structure(model)
    model.save_pretrained(tmp_path / "masked")
    shrink(masks.merge(model))[0].save_pretrained(tmp_path / "compressed")
    assert all(link.holds for link in check(tmp_path))
    monkeypatch.setattr(verify, "ROUNDED", 0)
    assert [link.holds for link in check(tmp_path)] == [False, True, True], "in fp32 alone"


def test_what_cannot_compute_in_fp64_is_judged_in_fp32():
    class Narrow(torch.nn.Linear):
        def forward(self, x):
            return {"logits": super().forward(x) @ torch.eye(3)}

    model, batch = Narrow(2, 3), {"x": torch.ones(4, 2)}
    assert verify._difference_in_fp64(model, model, batch) is None
    assert model.weight.dtype == torch.float32
    plain = torch.nn.Linear(2, 3)
    assert verify._difference_in_fp64(plain, plain, {"input": batch["x"]}) == 0.0


@pytest.mark.parametrize("part", ["compressed", "masked"])
def test_a_changed_weight_breaks_it_with_status_1(run, part, monkeypatch, capsys):
    end = "classifier.bias"
    _change(run / part / "model.safetensors", end)
    status, out, _ = run_command(monkeypatch, capsys, "check", run)
    assert status == 1
    assert "NO" in out


def test_one_model_alone_is_reloaded_in_a_fresh_process(run, monkeypatch, capsys):
    status, out, _ = run_command(monkeypatch, capsys, "check", run / "compressed")
    assert status == 0
    assert out.count("yes") == 1


def test_code_of_others_runs_only_with_the_flag(run, monkeypatch, capsys):
    code = run / "compressed" / "modeling_compact.py"
    code.write_text(code.read_text() + f"\nopen({str(run / 'ran')!r}, 'w').close()\n")
    status, _, err = run_command(monkeypatch, capsys, "check", run)
    assert (status, len(err.strip().splitlines())) == (2, 1)
    assert "--trust-remote-code" in err
    assert not (run / "ran").exists()
    status, _, _ = run_command(monkeypatch, capsys, "check", run, "--trust-remote-code")
    assert status == 0
    assert (run / "ran").exists(), "the flag must really let it run, or the refusal shows nothing"


@pytest.mark.slow
def test_code_that_an_earlier_version_wrote_is_accepted(run, monkeypatch):
    code = run / "compressed" / "modeling_compact.py"
    code.write_text(code.read_text() + "\n")
    with pytest.raises(InputError, match="differs from the code"):
        check(run)
    monkeypatch.setattr(verify, "EARLIER_CODE", (hashlib.sha256(code.read_bytes()).hexdigest(),))
    assert all(link.holds for link in check(run))


@pytest.mark.parametrize("what", ["nothing", "no weights", "cut weights"])
def test_a_folder_without_a_sound_model_is_a_one_line_error(run, what, monkeypatch, capsys):
    if what == "nothing":
        shutil.rmtree(run / "compressed")
    elif what == "no weights":
        (run / "compressed" / "model.safetensors").unlink()
    else:
        file = run / "compressed" / "model.safetensors"
        file.write_bytes(file.read_bytes()[:200])
    status, _, err = run_command(monkeypatch, capsys, "check", run)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
