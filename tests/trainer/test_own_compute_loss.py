"""A `compute_loss` of a script's own keeps its task loss, and the terms of teacher and masks are added to it, once."""

import copy

import pytest
import torch
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments
from transformers.tokenization_utils_base import BatchEncoding

from tests.helpers.distilling import TaskRows, model_for
from tests.helpers.training import PRUNE, Rows, differing, logged, make_trainer, new_model
from trainer_ext import DistillPruneMixin, DistillPruneTrainer
from trainer_ext.distillation import hidden_state_mse, soft_target_kl

WEIGHTS = torch.tensor([0.2, 1.0, 3.0])
SGD = {"optim": "sgd", "learning_rate": 0.1, "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "max_steps": 2}


def weighted(logits, labels):
    return F.cross_entropy(logits, labels, weight=WEIGHTS)


class Popped:
    """The commonest one: takes the labels out of the inputs."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = weighted(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss


class Named:
    """Names the inputs itself, returns logits only, and takes what else there is."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        logits = model(inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        loss = weighted(logits, inputs["labels"])
        return (loss, {"logits": logits}) if return_outputs else loss


class Old:
    """As in scripts for transformers 4.45 and older."""

    def compute_loss(self, model, inputs, return_outputs=False):
        outputs = model(**inputs)
        loss = weighted(outputs["logits"], inputs.get("labels"))
        return (loss, outputs) if return_outputs else loss


class Summed:
    """Divides a sum by the number of items, as Trainer asks it to."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        share = WEIGHTS[labels].sum() / len(labels)  # so that the result is the mean of `weighted`
        loss = F.cross_entropy(outputs.logits, labels, weight=WEIGHTS, reduction="sum") / num_items_in_batch / share
        return (loss, outputs) if return_outputs else loss


class Added:
    """Calls `super()`, for its outputs."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        labels = inputs["labels"]
        _, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        loss = weighted(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss


OWN = {cls.__name__.lower(): cls for cls in (Popped, Named, Old, Summed, Added)}
ORDERS = {
    "above": lambda own: type("Above", (own, DistillPruneTrainer), {}),
    "below": lambda own: type("Below", (DistillPruneMixin, type("Stock", (own, Trainer), {})), {}),
}


def assigned(own):
    """Defined after the class, as a function."""
    cls = type("Assigned", (DistillPruneTrainer,), {})
    cls.compute_loss = own.compute_loss
    return cls


def first_losses(trainer, **options):
    """What the first step must log, computed by hand from the model as it is given."""
    model = copy.deepcopy(trainer.model).train()
    teacher = copy.deepcopy(trainer.distillation.teachers[0].model).eval()
    rows = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        seen = model(**rows, output_hidden_states=True)
        taught = teacher(**rows, output_hidden_states=True)
    task = weighted(seen.logits, rows["labels"]).item()
    distill = soft_target_kl(seen.logits, taught.logits, temperature=2.0).item()
    mask = rows["attention_mask"].ne(0)
    pairs = zip(seen.hidden_states, taught.hidden_states, strict=True)
    hidden = torch.stack([hidden_state_mse(a, b, mask=mask) for a, b in pairs]).mean().item()
    return task, distill, hidden


FIELDS = {"distill_alpha": 0.7, "distill_hidden": 0.5, "max_steps": 1}


@pytest.mark.parametrize("order", [*ORDERS, "assigned"])
@pytest.mark.parametrize("own", OWN)
def test_task_loss_is_the_scripts_and_the_teachers_terms_are_added_once(tmp_path, own, order):
    if order == "assigned" and own == "added":
        pytest.skip("a function outside of a class has no super()")
    cls = ORDERS.get(order, assigned)(OWN[own])
    model, teacher = new_model(dropout=0.0), new_model(seed=1)
    trainer = make_trainer(tmp_path, cls, model=model, teacher=teacher, **FIELDS)
    task, distill, hidden = first_losses(trainer)
    trainer.train()
    assert logged(trainer, "loss_task")[0] == pytest.approx(task, rel=1e-5)
    assert logged(trainer, "loss_distill")[0] == pytest.approx(distill, rel=1e-5)
    assert logged(trainer, "loss_hidden")[0] == pytest.approx(hidden, rel=1e-5)
    assert logged(trainer, "loss")[0] == pytest.approx(0.3 * task + 0.7 * distill + 0.5 * hidden, rel=1e-4)
    rows = trainer.data_collator([trainer.eval_dataset[index] for index in range(8)])
    with torch.no_grad():
        expected = weighted(trainer.model.eval()(rows["input_ids"], rows["attention_mask"]).logits, rows["labels"])
    loss, logits, _ = trainer.prediction_step(trainer.model, rows, prediction_loss_only=False)
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    assert logits.shape == (8, 3)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("own", OWN)
def test_splitting_a_batch_changes_nothing(tmp_path, own, order):
    """A weighted mean depends on the split by itself: with weights that are all equal it does not."""
    weights = []
    for size, steps in ((8, 1), (4, 2)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(globals(), "WEIGHTS", torch.ones(3))
            split = {"per_device_train_batch_size": size, "gradient_accumulation_steps": steps}
            fields = {**SGD, **split, "teacher": new_model(seed=1), "model": new_model(dropout=0.0)}
            trainer = make_trainer(tmp_path, ORDERS[order](OWN[own]), **fields)
            trainer.train()
        weights.append(torch.cat([p.detach().flatten() for p in trainer.model.parameters()]))
    assert torch.allclose(*weights, atol=1e-6)
    start = torch.cat([p.detach().flatten() for p in new_model(dropout=0.0).parameters()])
    assert (weights[0] - start).abs().max() > 1e-3


@pytest.mark.parametrize("order", ORDERS)
def test_penalty_of_soft_movement_is_added(tmp_path, order):
    fields = {**PRUNE, "prune_method": "soft_movement"}
    trainer = make_trainer(tmp_path, ORDERS[order](Popped), **fields)
    trainer.train()
    assert len(logged(trainer, "loss_penalty")) == 6  # until the structure is frozen
    assert logged(trainer, "loss")[2] > logged(trainer, "loss_penalty")[2] > 1
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


def test_every_forward_pass_of_the_batch_counts_the_same(tmp_path):
    """R-Drop makes two, whose dropout differs; one under no_grad and one of other rows do not count."""
    passes = []

    class RDrop(DistillPruneTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            labels = inputs.pop("labels")
            with torch.no_grad():
                model(**inputs)
            model(**{name: value[:3] for name, value in inputs.items()})
            logits = [model(**inputs).logits for _ in range(2)]
            passes.append([each.detach() for each in logits])
            return sum(F.cross_entropy(each, labels) for each in logits) / 2

    teacher = new_model(seed=1)
    trainer = make_trainer(tmp_path, RDrop, model=new_model(dropout=0.3), teacher=teacher, max_steps=1)
    rows = next(iter(trainer.get_train_dataloader()))
    trainer.train()
    with torch.no_grad():
        taught = teacher.eval()(rows["input_ids"], rows["attention_mask"]).logits
    first, second = (soft_target_kl(each, taught, temperature=2.0).item() for each in passes[0])
    assert first != pytest.approx(second, rel=1e-3)
    assert logged(trainer, "loss_distill")[0] == pytest.approx((first + second) / 2, rel=1e-5)


def test_inputs_keep_their_class(tmp_path):
    """The tokenizer's collators return BatchEncoding, whose entries scripts read as attributes."""

    class Attributes(DistillPruneTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(inputs.input_ids, inputs.attention_mask)
            loss = F.cross_entropy(outputs.logits, inputs.labels)
            return (loss, outputs) if return_outputs else loss

    def collate(rows):
        return BatchEncoding({name: torch.stack([row[name] for row in rows]) for name in rows[0]})

    trainer = make_trainer(tmp_path, Attributes, data_collator=collate, distill_teacher="self")
    trainer.train()
    assert len(logged(trainer, "loss_distill")) == 10


@pytest.mark.parametrize("kind", ["token_classification", "question_answering"])
def test_tokens_and_spans(tmp_path, kind):
    class Parts(DistillPruneTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            names = [name for name in inputs if name.startswith(("labels", "start_", "end_"))]
            labels = [inputs.pop(name) for name in names]
            outputs = model(**inputs)
            if kind == "token_classification":
                loss = F.cross_entropy(outputs.logits.transpose(1, 2), labels[0])
            else:
                logits = (outputs.start_logits, outputs.end_logits)
                loss = sum(map(F.cross_entropy, logits, labels)) / 2
            return (loss, outputs) if return_outputs else loss

    runs = []
    for cls in (Parts, DistillPruneTrainer):
        rows, model = TaskRows(32, kind), model_for(kind)
        trainer = make_trainer(tmp_path, cls, rows=rows, eval_dataset=rows, model=model, distill_teacher="self")
        trainer.train()
        runs.append([*logged(trainer, "loss"), *logged(trainer, "loss_distill"), trainer.evaluate()["eval_loss"]])
    assert runs[0] == pytest.approx(runs[1], rel=1e-4)


def test_a_loss_without_the_model_is_refused(tmp_path):
    class Parts(DistillPruneTrainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            hidden = model.bert(inputs["input_ids"]).pooler_output
            return F.cross_entropy(model.classifier(hidden), inputs["labels"])

    with pytest.raises(ValueError, match=r"compute_loss did not call model\(\.\.\.\)"):
        make_trainer(tmp_path, Parts, distill_teacher="self").train()
    make_trainer(tmp_path, Parts, **PRUNE).train()


def test_a_training_step_that_never_computes_the_loss_is_refused(tmp_path):
    class Bare(DistillPruneTrainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            loss = model(**self._prepare_inputs(inputs)).loss
            self.accelerator.backward(loss)
            return loss.detach()

    with pytest.raises(ValueError, match="Bare made a training step without self.compute_loss"):
        make_trainer(tmp_path, Bare, distill_teacher="self").train()
    make_trainer(tmp_path, Bare).train()


def test_a_training_step_that_computes_it_twice_is_fine(tmp_path):
    """Adversarial training: once as it is, once with other embeddings."""

    class Twice(DistillPruneTrainer):
        def training_step(self, model, inputs, num_items_in_batch=None):
            first = super().training_step(model, dict(inputs), num_items_in_batch)
            return (first + super().training_step(model, inputs, num_items_in_batch)) / 2

    trainer = make_trainer(tmp_path, Twice, distill_teacher="self")
    trainer.train()
    assert len(logged(trainer, "loss_distill")) == 10


class Loose(Trainer):
    """Overrides that hand on what they get, by name or by position, and signatures of older versions."""

    def compute_loss(self, model, inputs, return_outputs=False, **kwargs):
        return super().compute_loss(model, inputs, return_outputs=return_outputs, **kwargs)

    def train(self, **kwargs):
        return super().train(**kwargs)

    def log(self, logs):
        super().log(logs)

    def create_optimizer(self):
        return super().create_optimizer()

    def _save(self, output_dir=None, **kwargs):
        super()._save(output_dir, **kwargs)

    def create_model_card(self, **kwargs):
        super().create_model_card(**kwargs)


class OnlyResume(Trainer):
    """The others of them."""

    def train(self, resume_from_checkpoint=None):
        return super().train(resume_from_checkpoint)

    def log(self, logs, *arguments):
        super().log(logs, *arguments)

    def create_optimizer(self, *arguments, **named):
        return super().create_optimizer(*arguments, **named)

    def _save(self, *arguments, **named):
        super()._save(*arguments, **named)


@pytest.mark.parametrize("below", [Loose, OnlyResume])
@pytest.mark.parametrize("fields", [{}, {**PRUNE, "distill_teacher": "self"}], ids=["plain", "compressed"])
def test_overrides_with_other_signatures_below_the_mixin(tmp_path, below, fields):
    cls = type("Mine", (DistillPruneMixin, below), {})
    saving = {"save_strategy": "steps", "save_steps": 4, "eval_strategy": "steps", "eval_steps": 4}
    trainer = make_trainer(tmp_path / "a", cls, **saving, **fields)
    trainer.train()
    trainer.create_model_card()
    expected = make_trainer(tmp_path / "b", **saving, **fields)
    expected.train()
    assert differing(trainer.model.state_dict(), expected.model.state_dict()) == []
    assert logged(trainer, "loss") == logged(expected, "loss")


def test_with_nothing_asked_the_loss_is_called_as_trainer_calls_it(tmp_path):
    seen = []

    class Mine(DistillPruneTrainer):
        def compute_loss(self, *arguments, **named):
            seen.append((len(arguments), sorted(named)))
            return super().compute_loss(*arguments, **named)

    trainer = make_trainer(tmp_path, Mine, rows=Rows(8), args_class=TrainingArguments, max_steps=1)
    trainer.train()
    trainer.evaluate()
    assert seen == [(2, ["num_items_in_batch"]), *[(2, ["num_items_in_batch", "return_outputs"])] * 2]


class Binary:
    """One sigmoid per label, however the labels are written."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = F.binary_cross_entropy_with_logits(outputs.logits, labels.float().view_as(outputs.logits))
        return (loss, outputs) if return_outputs else loss


class Entropy:
    """Needs no label."""

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        inputs.pop("labels")
        outputs = model(**inputs)
        loss = torch.special.entr(outputs.logits.softmax(-1)).sum(-1).mean()
        return (loss, outputs) if return_outputs else loss


OBS = {"prune_method": "obs", "prune_sparsity": 0.5}


@pytest.mark.parametrize("fields", [OBS, PRUNE | {"distill_teacher": "self"}], ids=["obs", "movement and a teacher"])
@pytest.mark.parametrize("labels", ["whole numbers for each label", "one for each text"])
def test_labels_for_a_loss_of_ones_own_are_not_given_to_the_head(tmp_path, fields, labels):
    """The head would refuse them, or take the problem for another one and write that into the config of the small model."""
    rows, count = Rows(32), 3 if labels.startswith("whole") else 1
    rows.labels = F.one_hot(rows.labels, 3) if count == 3 else (rows.labels > 0).long()
    cls = ORDERS["above"](Binary)
    trainer = make_trainer(tmp_path, cls, rows=rows, model=new_model(num_labels=count), max_steps=4, **fields)
    trainer.train()
    assert trainer.model.config.problem_type is None
    assert all(loss > 0 for loss in logged(trainer, "loss"))


def test_labels_that_are_no_tensor_reach_a_loss_of_ones_own(tmp_path):
    def loss(outputs, labels, num_items_in_batch=None):
        return F.cross_entropy(outputs.logits, labels["topic"])

    class Pairs(Rows):
        def __getitem__(self, index):
            row = super().__getitem__(index)
            return {**row, "labels": {"topic": row["labels"], "weight": torch.ones(())}}

    given = {"data_collator": torch.utils.data.default_collate, "compute_loss_func": loss, "max_steps": 3}
    stock = make_trainer(tmp_path, Trainer, args_class=TrainingArguments, rows=Pairs(32), **given)
    stock.train()
    for fields in ({"distill_teacher": "self"}, OBS, PRUNE | {"distill_teacher": "self"}):
        trainer = make_trainer(tmp_path, rows=Pairs(32), **given, **fields)
        trainer.train()
        if fields.keys() == {"distill_teacher"}:
            assert logged(trainer, "loss_task")[0] == pytest.approx(logged(stock, "loss")[0], rel=1e-5)


@pytest.mark.parametrize("steps", [1, 2], ids=["whole batches", "split ones"])
def test_a_loss_of_ones_own_learns_from_rows_without_labels(tmp_path, steps):
    rows = Rows(32)
    rows.labels = torch.full_like(rows.labels, -100)
    fields = {"rows": rows, "distill_teacher": "self", "distill_alpha": 0.0, **SGD}
    split = {"per_device_train_batch_size": 8 // steps, "gradient_accumulation_steps": steps}
    losses = []
    for cls, options in (
        (type("Stock", (Entropy, Trainer), {}), {"rows": rows, "args_class": TrainingArguments, **SGD}),
        (ORDERS["above"](Entropy), fields | split),
    ):
        trainer = make_trainer(tmp_path, cls, model=new_model(dropout=0.0), **options)
        trainer.train()
        losses.append(logged(trainer, "loss"))
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert losses[0][0] > 0.1
