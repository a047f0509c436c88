"""Relations: 0 at agreement, blind to padding, and the same for every width, number of heads and family."""

import math

import pytest
import torch
from safetensors.torch import load_file

from tests.distillation.test_tasks import SPLITS, run
from tests.helpers.distilling import KINDS, TaskRows, model_for
from tests.helpers.training import PRUNE, differing, logged, make_trainer
from trainer_ext import InputError
from trainer_ext.distillation.relations import heads_of, projection_outputs, relation_heads, relation_kl
from trainer_ext.models.architectures import ARCHITECTURES, layers_of
from trainer_ext.pruning import shrinking

KIND = "single_label_classification"
STUDENT, TEACHER = (torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
MASK = torch.arange(4) < torch.tensor([[4], [2]])


def by_hand(student, teacher, heads):
    """KL of one text without padding, head by head and token by token."""
    total = 0.0
    tokens = len(student)
    sizes = student.shape[1] // heads, teacher.shape[1] // heads
    for head in range(heads):
        ours, theirs = (
            x[:, head * size : (head + 1) * size] for x, size in zip((student, teacher), sizes, strict=True)
        )
        p = (ours @ ours.T / math.sqrt(sizes[0])).softmax(-1)
        q = (theirs @ theirs.T / math.sqrt(sizes[1])).softmax(-1)
        total += (q * (q / p).log()).sum() / tokens / heads
    return total


@pytest.mark.parametrize("heads", [1, 2, 3])
@pytest.mark.parametrize("width", [6, 12])
def test_the_divergence_by_hand(heads, width):
    teacher = torch.cat([TEACHER, 2 * TEACHER], -1)[..., :width]
    rows = [by_hand(STUDENT[i, :n], teacher[i, :n], heads) for i, n in enumerate((4, 2))]
    options = {"heads": heads, "mask": MASK}
    torch.testing.assert_close(relation_kl(STUDENT, teacher, **options), (rows[0] + rows[1]) / 2)
    weighted = relation_kl(STUDENT, teacher, **options, weights=torch.tensor([1, 3]))
    torch.testing.assert_close(weighted, (rows[0] + 3 * rows[1]) / 4)
    assert relation_kl(STUDENT, STUDENT, **options) == 0


def test_gradients_are_finite_and_padding_gets_none():
    student = STUDENT.double().requires_grad_()
    relation_kl(student, TEACHER, heads=2, mask=MASK).backward()
    assert student.grad.isfinite().all()
    assert student.grad[MASK].ne(0).all()
    assert student.grad[~MASK].eq(0).all()
    assert torch.autograd.gradcheck(
        lambda x: relation_kl(x, TEACHER, heads=2, mask=MASK).double(), student, eps=1e-2, atol=2e-3, rtol=2e-2
    )


def test_nothing_left_of_a_width_relates_all_tokens_alike():
    empty = torch.zeros(2, 4, 0)
    flat = torch.zeros(2, 4, 6)
    expected = relation_kl(flat, TEACHER, heads=2, mask=MASK)
    assert relation_kl(empty, TEACHER, heads=2, mask=MASK) == expected > 0


@pytest.mark.parametrize(
    ("widths", "most", "expected"),
    [((768, 768), 12, 12), ((384, 768), 12, 12), ((320, 768), 12, 8), ((64, 768), 12, 8), ((0, 768), 12, 12),
     ((768, 1024), 16, 16), ((5, 7), 4, 1)],
)  # fmt: skip
def test_as_many_heads_as_both_widths_allow(widths, most, expected):
    assert relation_heads(*widths, most) == expected


# Where queries, keys and values come from


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_projections_are_those_of_the_layer(tiny_model, tiny_batch, model_type):
    model = tiny_model(model_type)
    batch, depth = tiny_batch(model), len(heads_of(model))
    with torch.no_grad(), projection_outputs(model, range(1, depth + 1)) as seen:
        states = model(**batch, output_hidden_states=True).hidden_states
    assert depth == len(states) - 1 >= 2
    layers = [layer for layer in layers_of(model) for _ in range(layer.uses)]  # ALBERT runs some of them again
    for number, layer in enumerate(layers, start=1):
        found = seen(number)
        for matrix, output in zip((layer.query, layer.key, layer.value), found, strict=True):
            assert output.shape == (*batch["input_ids"].shape, matrix.out_features)
            if model_type != "modernbert":  # which normalizes its input first
                expected = torch.nn.functional.linear(states[number - 1], matrix.weight, matrix.bias)
                torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
        assert not torch.equal(found[0], found[1])
    assert not torch.equal(seen(1)[0], seen(2)[0])
    assert not any(module._forward_hooks for module in model.base_model.modules() if "Linear" in type(module).__name__)


def test_asked_for_nothing_any_architecture_will_do():
    with projection_outputs(torch.nn.Linear(2, 2), []) as seen, pytest.raises(KeyError):
        seen(1)
    with pytest.raises(ValueError, match="holds no encoder"), projection_outputs(torch.nn.Linear(2, 2), [1]):
        pass


# In the trainer

RELATIONS = {"distill_relations": 1.0, "max_steps": 4}
WIDER = {"hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 6, "intermediate_size": 96}


def expected_loss(student, teacher, batch, pairs, heads):
    mask, terms = batch["attention_mask"].bool(), []
    with torch.no_grad():
        with projection_outputs(student, [ours for ours, _ in pairs]) as seen:
            student.eval()(**batch)
        with projection_outputs(teacher, [theirs for _, theirs in pairs]) as taught:
            teacher.eval()(**batch)
        for ours, theirs in pairs:
            three = zip(seen(ours), taught(theirs), strict=True)
            terms.append(sum(relation_kl(*pair, heads=heads, mask=mask) for pair in three))
    return torch.stack(terms).mean().item()


@pytest.mark.parametrize(
    ("layers", "pairs"), [(None, [(2, 4)]), ([2, 4], [(1, 2), (2, 4)]), ([0, 3], [(2, 3)])], ids=str
)
def test_the_loss_is_the_one_of_the_formula(tmp_path, layers, pairs):
    rows, student, teacher = TaskRows(8, KIND), model_for(KIND), model_for(KIND, seed=1, **WIDER)
    expected = expected_loss(student, teacher, rows.batch(), pairs, heads=4)  # of 32 and 48, at most 6
    fields = {**RELATIONS, "distill_relations": 0.25, "distill_layers": layers, "learning_rate": 1e-2}
    trainer = make_trainer(tmp_path, model=student, teacher=teacher, rows=rows, **fields)
    trainer.train()
    total, task, distill, relations = (logged(trainer, f"loss{n}") for n in ("", "_task", "_distill", "_relations"))
    assert relations[0] == pytest.approx(expected, rel=1e-4)
    assert total[0] == pytest.approx(0.1 * task[0] + 0.9 * distill[0] + 0.25 * relations[0], rel=1e-5)
    assert relations[-1] < relations[0]


def test_the_model_itself_relates_alike(tmp_path):
    trainer = make_trainer(tmp_path, model=model_for(KIND), distill_teacher="self", learning_rate=0.0, **RELATIONS)
    trainer.train()
    assert logged(trainer, "loss_relations") == pytest.approx([0] * 4, abs=1e-6)


def test_queries_keys_and_values_all_learn(tmp_path):
    model = model_for(KIND)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fields = {**RELATIONS, "distill_alpha": 1.0, "distill_temperature": 1e6, "max_steps": 1, "weight_decay": 0.0}
    trainer = make_trainer(tmp_path, model=model, teacher=model_for(KIND, seed=1), rows=TaskRows(8, KIND), **fields)
    trainer.train()
    changed = differing(before, trainer.model.state_dict())
    for part in ("query", "key", "value"):
        assert f"bert.encoder.layer.1.attention.self.{part}.weight" in changed


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize("fields", [{"gradient_checkpointing": True}, {"bf16": True}, PRUNE], ids=str)
def test_beside_other_features(tmp_path, fields):
    plain, other = (
        make_trainer(
            tmp_path,
            **{"model": model_for(KIND), "teacher": model_for(KIND, seed=1, **WIDER), "rows": TaskRows(8, KIND)},
            **{**RELATIONS, **changes},
        )
        for changes in ({}, fields)
    )
    plain.train()
    other.train()
    rel = 0.1 if "bf16" in fields else 1e-4
    assert logged(other, "loss_relations")[0] == pytest.approx(logged(plain, "loss_relations")[0], rel=rel)
    assert len(logged(other, "loss_relations")) == 4


@pytest.mark.parametrize("kind", [KIND, *(pytest.param(one, marks=pytest.mark.slow) for one in KINDS if one != KIND)])
def test_splitting_a_batch_changes_nothing(tmp_path, kind):
    teacher = model_for(kind, seed=1, **WIDER)
    whole, *others = (run(tmp_path, kind, split, teacher=teacher, distill_relations=1.0) for split in SPLITS)
    for other in others:
        assert logged(other[0], "loss_relations") == pytest.approx(logged(whole[0], "loss_relations"), rel=1e-5)
        for before, after in zip(whole[1].gradients, other[1].gradients, strict=True):
            torch.testing.assert_close(after, before, atol=1e-6, rtol=1e-4)


def test_a_shrunk_student_learns_from_the_dense_one(tmp_path):
    """Layers of other widths, as after pruning."""
    dense = model_for(KIND, seed=1)
    cut = model_for(KIND)
    with torch.no_grad():
        for layer, dead in zip(layers_of(cut), (slice(0, 8), slice(8, 32)), strict=True):
            layer.value.weight[dead] = 0
            layer.value.bias[dead] = 0
    small, heads, _ = shrinking.shrink(cut)
    assert [len(ids) for ids in heads] == [3, 1]
    trainer = make_trainer(tmp_path, model=small, teacher=dense, distill_layers=[1, 2], **RELATIONS)
    trainer.train()
    assert logged(trainer, "loss_relations")[-1] < logged(trainer, "loss_relations")[0]


def two_layers(tiny_model, model_type):
    """A model of two layers that share no weights, and the ids of all heads and neurons of a layer."""
    model = tiny_model(model_type, num_hidden_layers=2)
    layer = layers_of(model)[0]
    return model, [*range(layer.heads)], [*range(layer.neurons)]


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_teacher_layer_without_heads_is_refused(tmp_path, tiny_model, cut, model_type):
    model, heads, neurons = two_layers(tiny_model, model_type)
    teacher = cut(model, [heads, []], [neurons, neurons])
    student = tiny_model(model_type)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.mul_(1.5)
    options = {"model": student, "teacher": teacher, **RELATIONS}
    for layers in (None, [1, 2]):
        with pytest.raises(
            InputError, match=r"layer 2 of the teacher has no attention heads.*distill_layers.*: \[1\]"
        ):
            make_trainer(tmp_path, distill_layers=layers, **options)
    trainer = make_trainer(tmp_path, distill_layers=[1], **options)
    trainer.train()
    assert all(loss > 0 for loss in logged(trainer, "loss_relations"))


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_teacher_without_any_heads_is_refused(tmp_path, tiny_model, cut, model_type):
    model, _, neurons = two_layers(tiny_model, model_type)
    teacher = cut(model, [[], []], [neurons, neurons])
    with pytest.raises(InputError, match="has no attention heads in any layer.*distill_relations to 0"):
        make_trainer(tmp_path, model=tiny_model(model_type), teacher=teacher, **RELATIONS)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_student_layer_without_heads_learns_from_the_others(tmp_path, tiny_model, cut, model_type):
    model, heads, neurons = two_layers(tiny_model, model_type)
    student, teacher = cut(model, [heads, []], [neurons, neurons]), two_layers(tiny_model, model_type)[0]
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.mul_(1.5)
    trainer = make_trainer(tmp_path, model=student, teacher=teacher, distill_layers=[1, 2], **RELATIONS)
    trainer.train()
    losses = logged(trainer, "loss_relations")
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_student_without_any_heads_trains(tmp_path, tiny_model, cut, model_type):
    model, _, neurons = two_layers(tiny_model, model_type)
    student, teacher = cut(model, [[], []], [neurons, neurons]), two_layers(tiny_model, model_type)[0]
    trainer = make_trainer(tmp_path, model=student, teacher=teacher, **RELATIONS)
    trainer.train()
    assert all(math.isfinite(loss) for loss in logged(trainer, "loss_relations"))


def test_resuming_gives_the_same_bits(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 2, **RELATIONS, "distill_hidden": 0.5}
    whole, resumed = (
        make_trainer(
            tmp_path / name,
            **{"model": model_for(KIND, hidden_dropout_prob=0.1), "teacher": model_for(KIND, seed=1, **WIDER)},
            **options,
        )
        for name in ("whole", "resumed")
    )
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    last = [load_file(tmp_path / name / "checkpoint-4" / "model.safetensors") for name in ("whole", "resumed")]
    assert differing(*last) == []
    assert logged(whole, "loss_relations") == logged(resumed, "loss_relations")


# What is refused, before training


@pytest.mark.filterwarnings("ignore:.gradient_checkpointing:FutureWarning")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"teacher": None}, "distill_relations=1.0 needs a teacher"),
        ({"distill_layers": [0]}, r"distill_layers=\[0\] names the embeddings only"),
        ({"torch_compile": True}, "torch_compile hides"),
        (
            {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": True}},
            "use_reentrant to false",
        ),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, fields, message):
    options = {"model": model_for(KIND), "teacher": model_for(KIND, seed=1), **RELATIONS}
    make_trainer(tmp_path, **options)
    with pytest.raises(ValueError, match=message):
        make_trainer(tmp_path, **{**options, **fields})
