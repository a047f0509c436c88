"""Hidden states: mapped layers, masked differences, and a map to another width that lives only while training does."""

import copy

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification

from tests.distillation.test_tasks import SPLITS, run
from tests.helpers.distilling import KINDS, TaskRows, model_for
from tests.helpers.training import PRUNE, differing, logged, make_trainer
from trainer_ext.distillation import hidden_states
from trainer_ext.distillation.hidden_states import hidden_state_mse, layer_pairs
from trainer_ext.pruning import masks

KIND = "single_label_classification"
WIDER = {"hidden_size": 48, "num_hidden_layers": 4, "intermediate_size": 96}
HIDDEN = {"distill_hidden": 1.0, "max_steps": 6}


def wider_teacher(**config):
    return model_for(KIND, seed=1, **{**WIDER, **config})


@pytest.mark.parametrize(
    ("depths", "layers", "expected"),
    [
        ((2, 2), None, [(0, 0), (1, 1), (2, 2)]),
        ((3, 6), None, [(0, 0), (1, 2), (2, 4), (3, 6)]),
        ((4, 6), None, [(0, 0), (1, 2), (2, 3), (3, 5), (4, 6)]),  # 1.5 and 4.5 both go up
        ((6, 3), None, [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3)]),
        ((2, 12), [0, 12], [(0, 0), (2, 12)]),
        ((6, 12), [4, 8], [(2, 4), (4, 8)]),
        ((6, 12), [5], [(3, 5)]),
    ],
)
def test_layers_are_paired_by_their_relative_depth(depths, layers, expected):
    assert layer_pairs(*depths, layers) == expected


STUDENT, TEACHER = (torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
MASK = torch.arange(5) < torch.tensor([[5], [2], [1]])


def test_the_difference_by_hand():
    rows = [(STUDENT[i, :n] - TEACHER[i, :n]).pow(2).mean() for i, n in enumerate((5, 2, 1))]
    weights = torch.tensor([1, 0, 3])
    expected = (rows[0] + 3 * rows[2]) / 4
    torch.testing.assert_close(hidden_state_mse(STUDENT, TEACHER, mask=MASK, weights=weights), expected)
    torch.testing.assert_close(hidden_state_mse(STUDENT, TEACHER, mask=MASK), torch.stack(rows).mean())
    torch.testing.assert_close(hidden_state_mse(STUDENT, TEACHER), (STUDENT - TEACHER).pow(2).mean())
    assert hidden_state_mse(STUDENT, STUDENT, mask=MASK) == 0
    assert hidden_state_mse(STUDENT, TEACHER, mask=MASK, weights=0 * weights) == 0


def test_padding_gets_no_gradient_and_half_precision_is_computed_in_fp32():
    student = STUDENT.double().requires_grad_()
    hidden_state_mse(student, TEACHER, mask=MASK).backward()
    assert student.grad[MASK].ne(0).all()
    assert student.grad[~MASK].eq(0).all()
    half = STUDENT.bfloat16(), TEACHER.bfloat16()
    assert hidden_state_mse(*half, mask=MASK) == hidden_state_mse(*(x.float() for x in half), mask=MASK)


def test_other_widths_need_a_map():
    with pytest.raises(ValueError, match=r"student \[3, 5, 4\] and of the teacher \[3, 5, 2\].*attach a projection"):
        hidden_state_mse(STUDENT, TEACHER[..., :2])


def test_the_map_starts_orthogonal_and_always_the_same():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = (hidden_states.projection(4, 6).weight.detach() for _ in range(2))
    assert torch.equal(first, second)
    torch.testing.assert_close(first.T @ first, torch.eye(4))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_map_acts_only_while_training_and_goes_without_a_trace():
    model, batch = model_for(KIND), TaskRows(4, KIND).batch()
    before, hooks = copy.deepcopy(model.state_dict()), len(model._forward_hooks)
    plain = model(**batch, output_hidden_states=True).hidden_states
    for _ in range(2):  # idempotent
        hidden_states.attach(model, hidden_states.projection(32, 48))
    assert len(model._forward_hooks) == hooks + 1
    assert [x.shape[-1] for x in model.train()(**batch, output_hidden_states=True).hidden_states] == [48] * 3
    assert [x.shape[-1] for x in model.eval()(**batch, output_hidden_states=True).hidden_states] == [32] * 3
    assert model.train()(**batch).hidden_states is None
    hidden_states.detach(model)
    hidden_states.detach(model)
    assert len(model._forward_hooks) == hooks
    assert differing(before, model.state_dict()) == []
    again = model(**batch, output_hidden_states=True).hidden_states
    assert all(torch.equal(*pair) for pair in zip(plain, again, strict=True))


@pytest.mark.parametrize("model_type", ["bert", "roberta", "distilbert", "electra", "albert"])
def test_the_loss_is_the_one_of_the_formula(tmp_path, model_type):
    """Families name and number their hidden states alike: embeddings, then one of each layer."""
    config = {} if model_type != "distilbert" else {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64}
    off = {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0, "classifier_dropout_prob": 0.0}
    student = model_for(KIND, model_type=model_type, embedding_size=16, **config, **off)
    teacher = wider_teacher()
    rows = TaskRows(8, KIND)
    with torch.no_grad():
        outputs, soft = (m(**rows.batch(), output_hidden_states=True) for m in (student.eval(), teacher.eval()))
    linear = hidden_states.projection(32, 48)
    mask = rows.mask
    pairs = [(0, 0), (1, 2), (2, 4)]
    expected = [hidden_state_mse(linear(outputs.hidden_states[i]), soft.hidden_states[j], mask=mask) for i, j in pairs]
    trainer = make_trainer(
        tmp_path, model=student, teacher=teacher, rows=rows, distill_hidden=0.25, distill_alpha=0.4, max_steps=1
    )
    trainer.train()
    total, task, distill, hidden = (logged(trainer, f"loss{n}")[0] for n in ("", "_task", "_distill", "_hidden"))
    assert hidden == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)
    assert total == pytest.approx(0.6 * task + 0.4 * distill + 0.25 * hidden, rel=1e-5)


def test_a_teacher_of_the_same_shape_needs_no_map(tmp_path):
    trainer = make_trainer(tmp_path, model=model_for(KIND), distill_teacher="self", learning_rate=0.0, **HIDDEN)
    assert not hasattr(trainer.model, "distillation")
    trainer.train()
    assert logged(trainer, "loss_hidden") == pytest.approx([0] * 6, abs=1e-10)
    other = make_trainer(tmp_path, model=model_for(KIND), teacher=model_for(KIND, seed=1), **HIDDEN)
    other.train()
    assert logged(other, "loss_hidden")[0] > 0.1


def test_the_student_comes_nearer_and_the_map_learns(tmp_path):
    fields = {"save_strategy": "steps", "save_steps": 6, **HIDDEN, "learning_rate": 1e-2}
    trainer = make_trainer(tmp_path, model=model_for(KIND), teacher=wider_teacher(), rows=TaskRows(8, KIND), **fields)
    trainer.train()
    losses = logged(trainer, "loss_hidden")
    assert losses[-1] < 0.9 * losses[0]
    saved = load_file(tmp_path / "checkpoint-6" / "model.safetensors")["distillation.weight"]
    assert not torch.equal(saved, hidden_states.projection(32, 48).weight)


def test_only_the_layers_asked_for_are_compared(tmp_path):
    found = {}
    for layers in (None, [0, 1, 2, 3, 4], [4], [0]):
        trainer = make_trainer(
            tmp_path, model=model_for(KIND), teacher=wider_teacher(), rows=TaskRows(8, KIND), distill_layers=layers, **HIDDEN
        )  # fmt: skip
        trainer.train()
        found[str(layers)] = logged(trainer, "loss_hidden")[0]
    assert len(set(found.values())) == 4


@pytest.mark.parametrize("kind", [KIND, *(pytest.param(one, marks=pytest.mark.slow) for one in KINDS if one != KIND)])
def test_splitting_a_batch_changes_nothing(tmp_path, kind):
    unlabelled = {"rows": TaskRows(10, kind, unlabelled=True)} if kind == KIND else {}
    teacher = model_for(kind, seed=1, **WIDER)
    whole, *others = (
        run(tmp_path, kind, split, teacher=teacher, **unlabelled, distill_hidden=1.0) for split in SPLITS
    )
    for other in others:
        assert logged(other[0], "loss_hidden") == pytest.approx(logged(whole[0], "loss_hidden"), rel=1e-5)
        for before, after in zip(whole[1].gradients, other[1].gradients, strict=True):
            assert "distillation.weight" in before
            torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("fields", [{}, PRUNE], ids=["distil", "distil and prune"])
def test_resuming_gives_the_same_bits_and_the_result_has_no_map(tmp_path, fields):
    options = {"save_strategy": "steps", "save_steps": 2, **HIDDEN, "distill_hidden": 0.5, **fields}
    whole, resumed = (
        make_trainer(
            tmp_path / name, model=model_for(KIND, hidden_dropout_prob=0.1), teacher=wider_teacher(), **options
        )
        for name in ("whole", "resumed")
    )
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    last = [load_file(tmp_path / name / "checkpoint-6" / "model.safetensors") for name in ("whole", "resumed")]
    assert "distillation.weight" in last[0]
    assert differing(*last) == []
    assert differing(whole.model.state_dict(), resumed.model.state_dict()) == []
    assert logged(whole, "loss_hidden") == logged(resumed, "loss_hidden")
    start = load_file(tmp_path / "whole" / "checkpoint-2" / "model.safetensors")
    assert not torch.equal(start["distillation.weight"], last[0]["distillation.weight"])

    assert not [name for name in whole.model.state_dict() if name.startswith("distillation")]
    whole.save_model(tmp_path / "small")
    assert not [
        name for name in load_file(tmp_path / "small" / "model.safetensors") if name.startswith("distillation")
    ]
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "small")
    assert differing(whole.model.state_dict(), reloaded.state_dict()) == []


def test_a_checkpoint_with_masks_and_map_opens(tmp_path):
    fields = {"save_strategy": "steps", "save_steps": 6, **HIDDEN, **PRUNE}
    trainer = make_trainer(tmp_path, model=model_for(KIND), teacher=wider_teacher(), **fields)
    trainer.train()
    opened = masks.load_masked(tmp_path / "checkpoint-6")
    assert not hasattr(opened, "distillation")
    assert masks.current_sparsity(opened) == pytest.approx(trainer.compression.sparsity)


def test_training_again_goes_on_with_the_same_map(tmp_path):
    trainer = make_trainer(tmp_path, model=model_for(KIND), teacher=wider_teacher(), rows=TaskRows(8, KIND), **HIDDEN)
    trainer.train()
    first = trainer.distillation._projection.weight.clone()
    trainer.train()
    assert logged(trainer, "loss_hidden")[-1] > 0
    assert not torch.equal(first, trainer.distillation._projection.weight)


def test_every_model_of_model_init_gets_a_map_of_its_own(tmp_path):
    trainer = make_trainer(tmp_path, model_init=lambda: model_for(KIND), teacher=wider_teacher(), **HIDDEN)
    trainer.train()
    first = logged(trainer, "loss_hidden")
    trainer.train()
    assert logged(trainer, "loss_hidden") == first


def test_weights_are_read_for_every_run(tmp_path):
    """As a hyperparameter search changes them: each run is the one that its values would give by themselves."""
    init = {"model_init": lambda: model_for(KIND), "rows": TaskRows(8, KIND)}
    trainer = make_trainer(tmp_path, teacher=wider_teacher(), **init)
    for fields in ({"distill_hidden": 0.5}, {"distill_hidden": 0.0}, {"distill_hidden": 2.0, "distill_layers": [4]}):
        trainer.args.set_compression(fields)
        trainer.train()
        alone = make_trainer(tmp_path, teacher=wider_teacher(), **init, **fields)
        alone.train()
        assert logged(trainer, "loss") == logged(alone, "loss")
        assert logged(trainer, "loss_hidden") == logged(alone, "loss_hidden")
        assert differing(trainer.model.state_dict(), alone.model.state_dict()) == []


# What is refused, before training


def test_layers_that_the_teacher_does_not_have_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"distill_layers=\[1, 5\], but the teacher has 4 layers: .* in \[0, 4\]"):
        make_trainer(tmp_path, model=model_for(KIND), teacher=wider_teacher(), distill_layers=[1, 5], **HIDDEN)


def test_hidden_states_without_a_teacher_are_refused(tmp_path):
    with pytest.raises(ValueError, match="distill_hidden=1.0 needs a teacher"):
        make_trainer(tmp_path, **HIDDEN)
