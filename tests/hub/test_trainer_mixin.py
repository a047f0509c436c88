"""The Hub hooks of the Trainer: only the small model is published, checkpoints on a branch, and never a token."""

import json

import pytest
import torch
from huggingface_hub import HfApi, snapshot_download
from transformers import AutoModelForSequenceClassification, Trainer, TrainingArguments

from tests.helpers.publishing import CLIENT_WARNS
from tests.helpers.training import PRUNE, Rows, arguments, new_model
from trainer_ext import DistillPruneMixin, DistillPruneTrainer, DistillPruneTrainingArguments
from trainer_ext.errors import HubError
from trainer_ext.hub.staging import CARD

REPO = "user/trained"
pytestmark = [CLIENT_WARNS, pytest.mark.usefixtures("client_here")]
SECRET = "correct-horse-battery-staple"


def make(folder, hub, cls=DistillPruneTrainer, kind=DistillPruneTrainingArguments, model=None, **fields):
    """Return a trainer of ten steps with `push_to_hub`; its token is in the arguments."""
    options = {"push_to_hub": True, "hub_model_id": REPO, "hub_token": hub.token, "hub_strategy": "end", **fields}
    args = arguments(folder / "out", kind, **options)
    return cls(
        model or new_model(),
        args,
        train_dataset=Rows(80),
        eval_dataset=Rows(40, seed=1),
        compute_metrics=lambda found: {"accuracy": (found.predictions.argmax(-1) == found.label_ids).mean()},
    )


def tokens_in(hub):
    bodies = b"\n".join(hub.uploaded)
    return hub.token.encode() in bodies or SECRET.encode() in bodies


@pytest.mark.slow
@pytest.mark.parametrize("fields", [PRUNE, {"distill_teacher": "self"}], ids=["pruned", "distilled"])
def test_no_token_is_uploaded(fields, tmp_path, hub, monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    trainer = make(tmp_path, hub, **fields)
    (tmp_path / "out").mkdir(exist_ok=True)
    for name in ("emissions.csv", "notes.txt", "training_args.bin"):
        (tmp_path / "out" / name).write_text(f"{hub.token} {SECRET}")
    trainer.train()
    trainer.evaluate()
    trainer.push_to_hub(license="mit", language="mr", tags="topics")
    names = hub.files(REPO).keys() - {".gitattributes"}
    code = {"modeling_compact.py"} if "prune_method" in fields else set()
    assert names == {"README.md", "compression.json", "config.json", "model.safetensors", "parameters.svg"} | code
    assert not tokens_in(hub)


def test_the_stock_trainer_leaks(tmp_path, hub, monkeypatch):
    """The control: the stock classes publish their arguments with the token."""
    monkeypatch.setenv("SOME_API_KEY", SECRET)
    trainer = make(tmp_path, hub, Trainer, TrainingArguments)
    trainer.train()
    trainer.push_to_hub()
    assert "training_args.bin" in hub.files(REPO)
    assert tokens_in(hub)


def test_the_published_model_is_the_one_that_was_trained(tmp_path, hub):
    trainer = make(tmp_path, hub, **PRUNE)
    trainer.train()
    trainer.evaluate()
    trainer.push_to_hub(finetuned_from="owner/base", dataset_tags=["owner/data"])
    loaded = AutoModelForSequenceClassification.from_pretrained(REPO, cache_dir=tmp_path / "cache")
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in trainer.model.state_dict().items())
    numbers = json.loads(hub.files(REPO)["compression.json"])
    assert numbers["sparsity"]["achieved"] == pytest.approx(0.5, abs=0.01)
    assert numbers["parameters"]["compressed"]["total"] == trainer.model.num_parameters()
    assert numbers["parameters"]["baseline"]["total"] == new_model().num_parameters()
    assert numbers["quality"]["rows"] == 40
    assert numbers["quality"]["compressed"]["accuracy"] == pytest.approx(trainer.evaluate()["eval_accuracy"])
    assert str(tmp_path) not in json.dumps(numbers)
    card = hub.files(REPO)[CARD].decode()
    assert "base_model: owner/base" in card
    assert "owner/data" in card
    assert not (tmp_path / "out/_hub").exists()


@pytest.mark.slow
def test_pushing_again_changes_nothing_and_keeps_edits(tmp_path, hub):
    trainer = make(tmp_path, hub, **PRUNE)
    trainer.train()
    trainer.push_to_hub()
    words = hub.files(REPO)[CARD] + "\nमाहिती\n".encode()
    HfApi().upload_file(path_or_fileobj=words, path_in_repo=CARD, repo_id=REPO)
    HfApi().upload_file(path_or_fileobj=b"old", path_in_repo="onnx/model.onnx", repo_id=REPO)
    trainer.push_to_hub()
    assert "माहिती" in hub.files(REPO)[CARD].decode()
    assert "onnx/model.onnx" not in hub.files(REPO), "it belongs to other weights"
    before = hub.files(REPO), len(hub.commits(REPO))
    trainer.push_to_hub()
    assert (hub.files(REPO), len(hub.commits(REPO))) == before


@pytest.mark.slow
def test_saving_publishes_too(tmp_path, hub):
    trainer = make(tmp_path, hub, **PRUNE)
    trainer.train()
    trainer.save_model()
    assert "model.safetensors" in hub.files(REPO)
    assert not tokens_in(hub)


@pytest.mark.slow
def test_in_the_background(tmp_path, hub):
    trainer = make(tmp_path, hub, **PRUNE)
    trainer.train()
    trainer.push_to_hub(blocking=False).result(timeout=60)
    assert "model.safetensors" in hub.files(REPO)


@pytest.mark.parametrize(
    ("strategy", "folders"),
    [("end", None), ("every_save", {"last-checkpoint"}), ("checkpoint", {"last-checkpoint"})]
    + [("all_checkpoints", {"checkpoint-4", "checkpoint-8", "checkpoint-10"})],
)
def test_checkpoints_go_to_a_branch_from_which_training_resumes(strategy, folders, tmp_path, hub):
    save = {"hub_strategy": strategy, "hub_always_push": True, "save_strategy": "steps", "save_steps": 4}
    trainer = make(tmp_path, hub, **PRUNE, **save)
    trainer.train()
    assert hub.files(REPO).keys() == {".gitattributes"}, "nothing on main before the model is small"
    assert not tokens_in(hub)
    if folders is None:
        return
    files = hub.files(REPO, revision="checkpoints")
    assert {name.partition("/")[0] for name in files} - {".gitattributes"} == folders
    assert "training_args.bin" not in {name.rpartition("/")[2] for name in files}
    copy = snapshot_download(REPO, revision="checkpoints", cache_dir=tmp_path / "cache")
    name = "checkpoint-4" if "checkpoint-4" in folders else "last-checkpoint"
    resumed = make(tmp_path / "again", hub, **PRUNE, save_strategy="no")
    resumed.train(resume_from_checkpoint=f"{copy}/{name}")
    assert all(
        torch.equal(value, resumed.model.state_dict()[key]) for key, value in trainer.model.state_dict().items()
    )


def test_a_failed_upload_of_a_checkpoint_does_not_stop_training(tmp_path, hub):
    fault = hub.fail("POST", "/commit/", status=500, times=9)
    save = {"hub_strategy": "every_save", "save_strategy": "steps", "save_steps": 4}
    trainer = make(tmp_path, hub, **PRUNE, **save)
    trainer.train()
    assert fault.happened
    assert trainer.state.global_step == 10
    assert (tmp_path / "out/checkpoint-10/model.safetensors").is_file()


def test_a_card_needs_no_hub(tmp_path, hub):
    args = arguments(tmp_path / "out", **PRUNE)
    trainer = DistillPruneTrainer(new_model(), args, train_dataset=Rows(80), teacher=new_model(seed=1))
    trainer.train()
    trainer.create_model_card(license="mit", tags=["topics"])
    card = (tmp_path / "out" / CARD).read_text("utf-8")
    assert {"- knowledge-distillation", "- pruned", "- topics", "license: mit"} <= set(card.splitlines())
    assert "checked on 8 texts" in card
    assert not hub.requests


class OwnPush(Trainer):
    """A script's class for a Trainer that did not know `private` yet."""

    def push_to_hub(self, commit_message="mine", blocking=True, token=None, revision=None):
        return super().push_to_hub(commit_message, blocking, token, revision)


class OwnPushThatCompresses(DistillPruneMixin, OwnPush):
    pass


@pytest.mark.parametrize("cls", [DistillPruneTrainer, OwnPushThatCompresses])
@pytest.mark.parametrize(
    "fields", [{}, pytest.param({"distill_teacher": "self"}, marks=pytest.mark.slow)], ids=["plain", "distilled"]
)
def test_the_wish_for_a_private_repository_is_never_dropped(tmp_path, hub, cls, fields):
    trainer = make(tmp_path, hub, cls, push_to_hub=False, **fields)
    if fields:
        trainer.train()
    trainer.push_to_hub(private=True)
    assert HfApi().model_info(REPO).private
    assert "model.safetensors" in hub.files(REPO)
    assert trainer.args.hub_private_repo is None


def test_masks_are_not_published(tmp_path, hub):
    trainer = make(tmp_path, hub, **PRUNE)
    with pytest.raises(ValueError, match="masks"):
        trainer.push_to_hub()


@pytest.mark.slow
def test_after_an_error_the_same_call_finishes_the_upload(tmp_path, hub):
    trainer = make(tmp_path, hub, **PRUNE)
    trainer.train()
    fault = hub.fail("POST", "/commit/main", status=500, times=9)
    with pytest.raises(HubError, match="nothing was lost"):
        trainer.push_to_hub()
    fault.times = 0
    trainer.push_to_hub()
    assert "model.safetensors" in hub.files(REPO)


def test_a_token_in_the_model_is_refused(tmp_path, hub):
    model = new_model()
    model.config.note = hub.token
    trainer = make(tmp_path, hub, model=model, **PRUNE)
    trainer.train()
    with pytest.raises(ValueError, match=r"config\.json holds") as error:
        trainer.push_to_hub()
    assert hub.token not in str(error.value)
    assert not tokens_in(hub)
