"""The mixin on a Trainer of somebody's own: question answering with its own `evaluate` and `predict`."""

import pytest
import torch
from torch.utils.data import Dataset
from transformers import AutoConfig, AutoModelForQuestionAnswering, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import PredictionOutput

from tests.helpers.training import LENGTH, PRUNE, VOCABULARY, arguments, differing, logged, new_model
from trainer_ext import DistillPruneMixin, DistillPruneTrainer


class Answers(Dataset):
    """Token ids with one special pair: the answer is what lies between the two."""

    def __init__(self, count, *, seed=0, with_answers=True):
        generator = torch.Generator().manual_seed(seed)
        self.ids = torch.randint(3, VOCABULARY, (count, LENGTH), generator=generator)
        self.starts = torch.randint(0, LENGTH - 2, (count,), generator=generator)
        self.ids[torch.arange(count), self.starts] = 1
        self.ids[torch.arange(count), self.starts + 2] = 2
        self.with_answers = with_answers

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        row = {"input_ids": self.ids[index], "attention_mask": torch.ones(LENGTH, dtype=torch.long)}
        if self.with_answers:
            row |= {"start_positions": self.starts[index], "end_positions": self.starts[index] + 2}
        return row


class QuestionAnsweringTrainer(Trainer):
    """Evaluates examples, not rows: rows go through the model, answers are made of them, and those are scored."""

    def __init__(self, *args, eval_examples=None, make_answers=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.eval_examples, self.make_answers = eval_examples, make_answers

    def evaluate(self, eval_dataset=None, eval_examples=None, ignore_keys=None, metric_key_prefix="eval"):
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        examples = self.eval_examples if eval_examples is None else eval_examples
        outputs = self._run(rows, "Evaluation", ignore_keys)
        scores = self.compute_metrics(self.make_answers(outputs.predictions), examples)
        metrics = outputs.metrics | {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def predict(self, predict_dataset, predict_examples, ignore_keys=None, metric_key_prefix="test"):
        outputs = self._run(predict_dataset, "Prediction", ignore_keys)
        answers = self.make_answers(outputs.predictions)
        scores = self.compute_metrics(answers, predict_examples)
        return PredictionOutput(answers, None, {f"{metric_key_prefix}_{name}": v for name, v in scores.items()})

    def _run(self, rows, description, ignore_keys):
        scorer, self.compute_metrics = self.compute_metrics, None  # it is for answers, not for logits
        try:
            loader = self.get_eval_dataloader(rows)
            return self.evaluation_loop(loader, description, prediction_loss_only=False, ignore_keys=ignore_keys)
        finally:
            self.compute_metrics = scorer


class SmallQuestionAnsweringTrainer(DistillPruneMixin, QuestionAnsweringTrainer):
    """All that a user writes."""


def answer_model(model_type="bert"):
    """A tiny model with start and end logits."""
    config = new_model(model_type=model_type, dropout=0.0).config.to_dict()
    for name in ("model_type", "architectures", "id2label", "label2id"):
        config.pop(name, None)
    set_seed(0)
    return AutoModelForQuestionAnswering.from_config(AutoConfig.for_model(model_type, **config))


def make_answers(predictions):
    starts, ends = predictions
    return list(zip(starts.argmax(-1).tolist(), ends.argmax(-1).tolist(), strict=True))


def exact(answers, examples):
    return {"exact": sum(a == b for a, b in zip(answers, examples, strict=True)) / len(examples)}


def examples_of(rows):
    return [(start, start + 2) for start in rows.starts.tolist()]


def train(folder, trainer_class=SmallQuestionAnsweringTrainer, args_class=None, model=None, rows=64, **fields):
    seen, unseen = Answers(rows), Answers(16, seed=1)
    args = arguments(folder, **({"cls": args_class} if args_class else {}), **fields)
    trainer = trainer_class(
        answer_model() if model is None else model,
        args,
        train_dataset=seen,
        eval_dataset=unseen,
        eval_examples=examples_of(unseen),
        make_answers=make_answers,
        compute_metrics=exact,
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize("method", ["movement", "magnitude"])
def test_a_question_answering_trainer_prunes(tmp_path, method):
    fields = {**PRUNE, "prune_method": method, "eval_strategy": "steps", "eval_steps": 5}
    trainer = train(tmp_path / "run", **fields)
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)
    assert trainer.compression.masked_vs_shrunk <= 1e-5
    assert len(logged(trainer, "eval_exact")) == 2

    rows = Answers(24, seed=2, with_answers=False)
    metrics = trainer.evaluate(rows, examples_of(rows))
    outputs = trainer.predict(rows, examples_of(rows))
    assert len(outputs.predictions) == 24
    assert outputs.metrics["test_exact"] == metrics["eval_exact"]

    trainer.save_model(tmp_path / "small")
    loaded = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "small")
    assert differing(trainer.model.state_dict(), loaded.state_dict()) == []
    assert loaded.num_parameters() < 0.9 * answer_model().num_parameters()


def test_it_learns_to_answer_while_it_is_pruned(tmp_path):
    fields = {"max_steps": 80, "learning_rate": 5e-3, "per_device_train_batch_size": 32, "logging_steps": 50}
    trainer = train(tmp_path, rows=512, **PRUNE, **fields)
    assert trainer.evaluate()["eval_exact"] > 0.5
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.005)


def test_splitting_a_batch_changes_nothing(tmp_path):
    """Answers have no `labels` to count, so every micro-batch is an equal share."""
    losses = []
    for batch_size, steps in ((8, 1), (4, 2)):
        fields = {"per_device_train_batch_size": batch_size, "gradient_accumulation_steps": steps, "max_steps": 6}
        trainer = train(tmp_path, **PRUNE, **fields, optim="sgd", learning_rate=0.1, prune_score_lr=1.0)
        losses.append(logged(trainer, "loss"))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_with_nothing_asked_it_is_the_other_trainer_to_the_last_bit(tmp_path):
    fields = {"args_class": TrainingArguments, "eval_strategy": "steps", "eval_steps": 5}
    ours = train(tmp_path, **fields)
    theirs = train(tmp_path, QuestionAnsweringTrainer, **fields)
    assert differing(ours.model.state_dict(), theirs.model.state_dict()) == []
    for name in ("loss", "grad_norm", "eval_exact"):
        assert logged(ours, name) == logged(theirs, name)
    pruned = train(tmp_path, **PRUNE)
    assert differing(pruned.model.state_dict(), theirs.model.state_dict())  # the control


def test_the_trainer_of_the_package_is_the_mixin_on_trainer():
    order = DistillPruneTrainer.__mro__
    ours = order[1 : order.index(Trainer)]
    assert ours[0] is DistillPruneMixin
    assert set(ours) == {each for each in DistillPruneMixin.__mro__ if each is not object}
    assert [name for name in vars(DistillPruneTrainer) if not name.startswith("__")] == []
    assert not issubclass(DistillPruneMixin, Trainer)
