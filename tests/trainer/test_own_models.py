"""Models of the user's own class are pruned and saved so that they open again, or refused before the first step."""

import subprocess
import sys

import pytest
import torch
from torch.utils.data import Dataset, IterableDataset
from transformers import AutoModelForSequenceClassification, BertForMaskedLM, set_seed

from tests.helpers.tiny_models import SPEC
from tests.helpers.training import LENGTH, PRUNE, Rows, arguments, new_model
from tests.scripts import own_classes
from trainer_ext import DistillPruneTrainer, load_compact, shrink
from trainer_ext.models.architectures import layers_of
from trainer_ext.models.outputs import allowed_difference, answers
from trainer_ext.pruning import masks

STEPS = {"max_steps": 4, "prune_start": 0.0, "prune_end": 0.5}


class Featured(Dataset):
    """Rows with token types and a feature beside the text."""

    def __init__(self, count, seed=0):
        self.rows = Rows(count, seed=seed)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return row | {"token_type_ids": torch.zeros(LENGTH, dtype=torch.long), "length": torch.tensor(index % 5)}


def trainer_for(model, folder, *, rows=None, **fields):
    fields = PRUNE | STEPS | {"distill_teacher": "self"} | fields
    return DistillPruneTrainer(model, arguments(folder, **fields), train_dataset=rows or Rows(32))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Every class trained, compressed, saved, and opened again in one fresh process: `{name: (trainer, answers here, there)}`."""
    folder = tmp_path_factory.mktemp("own")
    batch = {
        name: torch.stack([row[name] for row in map(Featured(8).__getitem__, range(8))]) for name in Featured(1)[0]
    }
    torch.save(batch, folder / "batch.pt")
    here = {}
    for name, make in own_classes.MAKE.items():
        set_seed(0)
        trainer = trainer_for(make(), folder / "out", rows=Featured(32) if name == "Features" else None)
        trainer.train()
        trainer.save_model(str(folder / name))
        inputs = batch if name == "Features" else {k: batch[k] for k in ("input_ids", "attention_mask", "labels")}
        here[name] = trainer, answers(trainer.model, inputs)
    command = [sys.executable, "-m", "tests.scripts.open_own_classes", str(folder), *here]
    subprocess.run(command, check=True, capture_output=True)
    return {name: (*found, torch.load(folder / f"{name}.pt", weights_only=True)) for name, found in here.items()} | {
        "folder": folder
    }


@pytest.mark.parametrize("name", own_classes.MAKE)
def test_the_encoder_inside_is_pruned_and_the_model_keeps_its_class(trained, name):
    trainer, *_ = trained[name]
    assert type(trainer.model).__name__ == name
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.02)
    assert sum(layer.neurons for layer in layers_of(trainer.model)) < 2 * 64
    assert trainer.compression.masked_vs_shrunk <= 1e-5
    assert any(key.startswith("loss_distill") for key in trainer.state.log_history[0])


@pytest.mark.parametrize("name", own_classes.MAKE)
def test_it_opens_in_a_fresh_process_with_the_same_answers(trained, name):
    _, here, there = trained[name]
    assert (here - there).abs().max() <= allowed_difference(here)  # its number of threads may differ


def test_the_auto_class_refuses_what_a_class_of_the_user_saved(trained):
    with pytest.raises(ValueError, match=r"saved as MLPHead.*open it with MLPHead\.from_pretrained"):
        AutoModelForSequenceClassification.from_pretrained(trained["folder"] / "MLPHead")


def test_a_plain_module_is_filled_only_by_its_own_folder(trained):
    with pytest.raises(ValueError, match=r"compact encoder was at 'bert' of a MLPHead"):
        load_compact(own_classes.Net(), trained["folder"] / "MLPHead")
    with pytest.raises(ValueError, match="cannot be loaded into this Net"):
        load_compact(own_classes.Net(), trained["folder"])


def test_a_saved_model_trains_and_is_saved_again(trained, tmp_path):
    again = own_classes.MLPHead.from_pretrained(trained["folder"] / "MLPHead")
    trainer = trainer_for(again, tmp_path / "out", prune_method="none")
    trainer.train()
    trainer.save_model(str(tmp_path / "again"))
    reloaded = own_classes.MLPHead.from_pretrained(tmp_path / "again")
    batch = {"input_ids": torch.arange(1, 9)[None]}
    assert torch.equal(answers(reloaded, batch), answers(trainer.model, batch))


@pytest.mark.parametrize("structure", ["compact", "plain"])
def test_the_small_model_is_saved_without_a_warning(tmp_path, caplog, structure):
    """The method that a model with masks is saved with is none of the small one's."""
    fields = {"prune_structure": structure, "prune_sparsity": 0.3}
    trainer = trainer_for(own_classes.MAKE["MLPHead"](), tmp_path / "out", **fields)
    trainer.train()
    trainer.save_model(str(tmp_path / "small"))
    trainer.model.save_pretrained(tmp_path / "again")
    assert "not the small one" not in caplog.text
    assert "save_pretrained" not in vars(trainer.model)


def test_load_compact_finds_tied_weights_which_are_stored_once(tmp_path):
    class OwnMaskedLM(BertForMaskedLM):
        pass

    masked = masks.attach(OwnMaskedLM(own_classes.bert_config()), SPEC)
    masks.freeze_structure(masked)
    small = shrink(masks.merge(masked))[0].eval()
    small.save_pretrained(tmp_path)
    opened = load_compact(OwnMaskedLM(own_classes.bert_config()), tmp_path)
    batch = {"input_ids": torch.arange(1, 9)[None]}
    assert torch.equal(answers(opened, batch), answers(small, batch))


def test_plain_structure_needs_no_package_to_open(tmp_path):
    fields = {"prune_structure": "plain", "prune_attention": "none", "prune_sparsity": 0.25}
    trainer = trainer_for(own_classes.MAKE["MLPHead"](), tmp_path / "out", **fields)
    trainer.train()
    trainer.save_model(str(tmp_path / "small"))
    assert not hasattr(trainer.model.config, "quantization_config")
    reloaded = own_classes.MLPHead.from_pretrained(tmp_path / "small")
    batch = {"input_ids": torch.arange(1, 9)[None]}
    assert torch.equal(answers(reloaded, batch), answers(trainer.model, batch))
    assert reloaded.config.intermediate_size < 64


REFUSED = {
    "Siamese": (own_classes.Siamese, {}, r"holds 2 encoders \(encoder, second\)"),
    "Asks": (lambda: own_classes.Asks(own_classes.bert_config(), 5), {}, "build the same model from its config alone"),
    "Locked": (own_classes.Locked, {"distill_teacher": None}, r"cannot be copied \(copy.deepcopy\)"),
    "Nameless": (own_classes.Nameless, {}, "each head's logits have a name that ends in 'logits'"),
    "Loose": (own_classes.Loose, {"distill_teacher": None}, "cannot be shrunk"),
    "layers": (own_classes.Net, {"prune_layers": 1}, "prune_layers drops layers of models of transformers"),
    "cache": (own_classes.Net, {"distill_cache_dir": "cache"}, "leave distill_cache_dir out"),
    "no encoder": (
        lambda: torch.nn.Linear(4, 3),
        {"distill_teacher": None},
        "Linear holds no encoder that can be pruned",
    ),
}


@pytest.mark.parametrize(("make", "fields", "message"), REFUSED.values(), ids=REFUSED)
def test_what_would_fail_after_the_training_is_refused_before(tmp_path, make, fields, message):
    steps = []

    def run():
        trainer = trainer_for(make(), tmp_path / "out", **fields)
        trainer.get_batch_samples = lambda *args: steps.append(args)
        trainer.train()

    with pytest.raises(ValueError, match=message):
        run()
    assert not steps


def test_a_class_of_ones_own_is_not_published(tmp_path):
    with pytest.raises(ValueError, match=r"Net is a class of its own.*upload_folder"):
        trainer_for(own_classes.Net(), tmp_path, push_to_hub=True)


class Once(IterableDataset):
    """A stream that gives its rows once."""

    def __init__(self, count):
        self.rows = iter(Rows(count))

    def __iter__(self):
        yield from self.rows


def test_a_stream_that_runs_once_loses_no_row_and_no_run(tmp_path):
    trainer = trainer_for(own_classes.Net(), tmp_path, rows=Once(32))
    trainer.train()
    assert trainer.state.global_step == 4
    assert trainer.compression.masked_vs_shrunk <= 1e-5


def test_names_do_not_matter_without_a_teacher(tmp_path):
    trainer = trainer_for(own_classes.Nameless(), tmp_path, distill_teacher=None)
    trainer.train()
    assert trainer.compression.masked_vs_shrunk <= 1e-5


def test_a_stock_model_with_another_head_is_refused(tmp_path):
    model = new_model()
    model.classifier = torch.nn.Sequential(torch.nn.Linear(32, 16), torch.nn.Linear(16, 3))
    with pytest.raises(ValueError, match=r"another classifier.*class MyBertForSequenceClassification"):
        trainer_for(model, tmp_path)


def test_the_trial_draws_no_random_number_and_leaves_the_model_alone(tmp_path):
    set_seed(0)
    model = own_classes.Net()
    trainer = trainer_for(model, tmp_path)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    trainer._try_before_training(trainer.model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert model.training


def lora(model):
    from peft import LoraConfig, get_peft_model

    return get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"]))


old_names_in_peft = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@old_names_in_peft
def test_a_lora_model_is_distilled(tmp_path):
    trainer = trainer_for(lora(new_model()), tmp_path, prune_method="none")
    trainer.train()
    assert "loss_distill" in trainer.state.log_history[0]
    trainer.save_model(str(tmp_path / "adapter"))
    assert (tmp_path / "adapter/adapter_model.safetensors").is_file()


@old_names_in_peft
def test_a_lora_model_is_pruned_after_merging(tmp_path):
    model = lora(new_model())
    with pytest.raises(ValueError, match=r"query is a peft\..*model\.merge_and_unload\(\)"):
        trainer_for(model, tmp_path)
    trainer = trainer_for(model.merge_and_unload().requires_grad_(True), tmp_path)
    trainer.train()
    assert trainer.compression.sparsity == pytest.approx(0.5, abs=0.02)


def test_frozen_parameters_stay_frozen_in_the_small_model(tmp_path):
    model = new_model()
    for parameter in model.bert.encoder.layer[0].parameters():
        parameter.requires_grad = False
    trainer = trainer_for(model, tmp_path, prune_method="magnitude")
    trainer.train()
    frozen = {name for name, parameter in trainer.model.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name, _ in trainer.model.named_parameters() if ".layer.0." in name}
