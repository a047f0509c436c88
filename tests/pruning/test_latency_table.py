"""Latency table: measured once and kept, and a run that ends about as fast as asked.

The tolerances are wide, because these tests run on busy machines.
"""

import copy
import json
from dataclasses import replace

import pytest
import torch

from tests.helpers.training import PRUNE, arguments, differing, make_trainer, new_model
from trainer_ext.benchmark.latency import measure_latency
from trainer_ext.models.architectures import layers_of
from trainer_ext.pruning import latency_table, masks
from trainer_ext.pruning.config import PruningSpec
from trainer_ext.pruning.latency_table import HEAD_SHARES, NEURON_SHARES, cached, machine, shaped
from trainer_ext.pruning.latency_target import LatencyTable
from trainer_ext.pruning.prepare import TABLE_NAME, prepare_model

PLACE = {"device": "cpu", "dtype": "float32", "batch_size": 8, "sequence_length": 32}
SIZES = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 512}
SPEED = {
    **PRUNE,
    "prune_speedup": 1.5,
    "prune_latency_batch_size": 8,
    "prune_latency_length": 32,
    "max_steps": 8,
    "save_strategy": "steps",
    "save_steps": 4,
}


def wide(layers=4):
    return new_model(**SIZES | {"num_hidden_layers": layers})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with a speed-up of 1.5, its folder, and the time when its table was written."""
    folder = tmp_path_factory.mktemp("speed")
    trainer = make_trainer(folder, model=wide(), **SPEED)
    written = (folder / TABLE_NAME).stat().st_mtime_ns
    trainer.train()
    return trainer, folder, written


# The shapes


@pytest.mark.parametrize("model_type", ["albert", "bert", "deberta-v2", "modernbert", "mpnet"])
def test_shaped_gives_a_model_of_the_given_sizes(tiny_model, tiny_batch, model_type):
    model = tiny_model(model_type)
    compact = shaped(model, [3, 0], [10, 1])
    assert [(layer.heads, layer.neurons) for layer in layers_of(compact)] == [(3, 10), (0, 1)]
    assert compact.eval()(**tiny_batch(model)).logits.shape == (6, 3)


@pytest.mark.parametrize("model_type", ["bert", "distilbert"])
def test_a_plain_shape_is_a_stock_model(tiny_model, model_type):
    width = "hidden_dim" if model_type == "distilbert" else "intermediate_size"
    plain = shaped(tiny_model(model_type), [4, 4], [7, 7], width=width)
    assert type(plain) is type(tiny_model(model_type))
    assert [(layer.heads, layer.neurons) for layer in layers_of(plain)] == [(4, 7), (4, 7)]


# The table


def numbers(**changes):
    """Return the times of two layers with 4 heads and 8 neurons: 10 ms fixed, and per layer 1 ms a head, 0.5 ms a neuron."""
    whole = 10 + 2 * (4 + 4)
    heads = {f"heads {x}": whole - 2 * (4 - int(4 * x)) for x in HEAD_SHARES}
    neurons = {f"neurons {x}": whole - 2 * 0.5 * (8 - int(8 * x)) for x in NEURON_SHARES}
    return {"dense": whole, "whole": whole, "empty": 10.0, **heads, **neurons, **changes}


def test_a_table_by_hand():
    table = latency_table._table(numbers(), 4, 8, 2, {"device": "cpu"})
    assert (table.heads, table.attention_ms) == ([0, 1, 2, 3, 4], [0.0, 1.0, 2.0, 3.0, 4.0])  # 0 and 0.1 fall together
    assert (table.neurons, table.ffn_ms) == ([0, 1, 2, 4, 6, 8], [0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
    assert (table.fixed_ms, table.correction, table.machine) == (10.0, 1.0, {"device": "cpu"})
    assert table.total_ms([4, 4], [8, 8], [1, 1]) == 26


def test_the_table_is_scaled_to_the_whole_and_the_empty_model():
    """Here the parts together seem to take half as much again as the whole model."""
    heads = {f"heads {x}": 26 - 3 * (4 - int(4 * x)) for x in HEAD_SHARES}
    table = latency_table._table(numbers(**heads), 4, 8, 2, {})
    assert table.fixed_ms == 10
    assert table.total_ms([4, 4], [8, 8], [1, 1]) == pytest.approx(26)
    assert table.attention_ms[-1] == pytest.approx(1.5 * table.ffn_ms[-1])


def test_times_never_fall():
    """Noise can make a smaller shape look slower."""
    table = latency_table._table(numbers(**{"heads 0.25": 25.0}), 4, 8, 2, {})
    assert table.attention_ms == sorted(table.attention_ms)
    assert table.attention_ms[1] == table.attention_ms[2] > 1.0
    assert table.total_ms([4, 4], [8, 8], [1, 1]) == pytest.approx(26)


@pytest.mark.slow
def test_the_table_of_this_machine(run):
    trainer, folder, _ = run
    latency = json.loads((folder / TABLE_NAME).read_text())
    table = LatencyTable(**latency["table"])
    assert table.heads == [0, 1, 2, 3, 4]
    assert table.neurons == [0, 15, 64, 128, 256, 384, 512]
    for times in (table.attention_ms, table.ffn_ms):
        assert times == sorted(times)
        assert times[0] == 0 < times[-1]
    assert table.fixed_ms >= 0
    assert latency["dense_ms"] > 0
    assert {"processor", "threads", "dtype", "batch_size", "speedup"} <= table.machine.keys()


def test_the_table_covers_layers_of_other_sizes(cut, make_spec):
    """A compact model whose first layer is its smallest."""
    model = cut(wide(2), [[0], [0, 1, 2]], [[1], list(range(400))])
    place = machine(model, **PLACE)
    latency = latency_table.measure_latency_table(model, model, make_spec(speedup=1.1), place)
    table = LatencyTable(**latency["table"])
    assert (table.heads[-1], table.neurons[-1]) == (3, 400)


# The file


def test_a_table_is_reused_on_the_same_machine_only(tmp_path):
    place = machine(wide(), **PLACE)
    file = tmp_path / "table.json"
    assert cached(file, place) is None
    table = latency_table._table(numbers(), 4, 8, 2, place)
    file.write_text(json.dumps({"table": vars(table), "dense_ms": 26.0}))
    assert cached(file, place)["dense_ms"] == 26.0
    for name, value in {"batch_size": 1, "dtype": "bfloat16", "processor": "other", "threads": 99}.items():
        assert cached(file, place | {name: value}) is None
    assert cached(file, machine(new_model(), **PLACE)) is None
    for broken in ("", "{", "[]", '{"table": 1}'):
        file.write_text(broken)
        assert cached(file, place) is None


def test_the_table_is_written_once_and_reused(run):
    trainer, folder, written = run
    again = make_trainer(folder, model=wide(), **SPEED)
    assert (folder / TABLE_NAME).stat().st_mtime_ns == written
    assert again.model.config.pruning["latency"] == json.loads((folder / TABLE_NAME).read_text())


@pytest.mark.slow
def test_another_target_is_measured_again(tmp_path):
    files = []
    for speedup in (1.1, 1.2):
        prepare_model(wide(2), arguments(tmp_path, **{**SPEED, "prune_speedup": speedup}))
        files.append(json.loads((tmp_path / TABLE_NAME).read_text()))
    assert [file["table"]["machine"]["speedup"] for file in files] == [1.1, 1.2]
    assert files[0]["dense_ms"] != files[1]["dense_ms"]


@pytest.mark.parametrize(("reads", "given", "timed"), [(40, None, 40), (300, None, 128), (300, 9, 9)])
def test_without_a_length_no_more_tokens_are_timed_than_the_model_reads(tmp_path, reads, given, timed):
    fields = {**SPEED, "prune_speedup": 1.1, "prune_latency_length": given}
    model = new_model(**SIZES | {"num_hidden_layers": 1, "max_position_embeddings": reads})
    prepare_model(model, arguments(tmp_path, **fields))
    assert json.loads((tmp_path / TABLE_NAME).read_text())["table"]["machine"]["sequence_length"] == timed


def test_measuring_does_not_change_the_random_state(tmp_path):
    args, model = arguments(tmp_path, **{**SPEED, "prune_speedup": 1.1}), wide(2)
    state = torch.get_rng_state()
    prepare_model(model, args)
    assert torch.equal(torch.get_rng_state(), state)


def test_second_order_corrects_the_table_when_it_prunes(tmp_path):
    fields = {**SPEED, "prune_method": "obs", "prune_speedup": 1.2, "num_train_epochs": 0, "max_steps": -1}
    trainer = make_trainer(tmp_path, model=wide(2), **fields)
    assert json.loads((tmp_path / TABLE_NAME).read_text())["table"]["correction"] == 1.0
    trainer.train()
    assert json.loads((tmp_path / latency_table.CORRECTION_FILE).read_text())["correction"] > 0
    assert trainer.compression.sparsity > 0.1


# The correction


def test_a_correction_that_puts_the_target_out_of_reach_is_not_taken():
    """Every structure turns out slower than the table says, so that the correction rises until nothing fits."""
    table = LatencyTable([0, 4], [0.0, 1.0], [0, 8], [0.0, 1.0], fixed_ms=1.0, correction=1.0, machine={})
    tried = []

    def find(table):
        tried.append(table.correction)
        table.budget(7.0, 6.5, least=0.0, more_room="")
        return tried[-1]

    found = latency_table._corrected(table, 6.5, find, lambda correction: 6.0)
    assert len(tried) == 2
    assert tried[1] > 7.0 / 6.5
    assert found.correction == 1.0
    with pytest.raises(ValueError, match=r"prune_speedup=6.5 cannot be reached: .* runs 6\.36 times as fast"):
        latency_table._corrected(replace(table, correction=1.1), 6.5, find, lambda correction: 6.0)


# The run


def test_the_run_ends_about_as_fast_as_asked(run):
    trainer, _, _ = run
    models = {"dense": wide(), "small": trainer.model}
    stats = measure_latency(models, batch_size=8, sequence_length=32, repeats=15)
    speedup = stats["dense"].median_ms / stats["small"].median_ms
    assert 0.6 * 1.5 < speedup < 1.6 * 1.5
    assert type(trainer.model).__name__.startswith("Compact")
    assert trainer.compression.sparsity > 0.1


def test_a_checkpoint_has_the_table(run):
    trainer, folder, _ = run
    opened = masks.load_masked(folder / "checkpoint-4")
    assert opened.config.pruning["latency"] == json.loads((folder / TABLE_NAME).read_text())
    assert opened.config.pruning["speedup"] == 1.5
    assert 0 < opened.config.pruning["sparsity"] < 1
    assert prepare_model(opened, arguments(folder, **SPEED)) is opened


def test_a_resumed_run_reuses_the_table(run):
    trainer, folder, written = run
    resumed = make_trainer(folder, model=wide(), **SPEED)
    resumed.train(resume_from_checkpoint=str(folder / "checkpoint-4"))
    assert (folder / TABLE_NAME).stat().st_mtime_ns == written
    assert differing(trainer.model.state_dict(), resumed.model.state_dict()) == []


def test_a_target_out_of_reach_is_an_error_before_training(tmp_path):
    with pytest.raises(ValueError, match=r"prune_speedup=1000.* cannot be reached: .*raise prune_layers"):
        make_trainer(tmp_path, model=new_model(), **{**SPEED, "prune_speedup": 1000.0})
    assert not (tmp_path / TABLE_NAME).exists()


def test_dropped_layers_count_towards_the_speed_up(tmp_path):
    """Half of the layers are dropped."""
    fields = {**SPEED, "prune_layers": 2, "prune_speedup": 1.1}
    student = prepare_model(wide(), arguments(tmp_path, **fields))
    spec = PruningSpec(**student.config.pruning)
    assert spec.dense_weights == 4 * (4 * 128 * 128 + 2 * 128 * 512)
    assert spec.sparsity == pytest.approx(latency_table.expected_sparsity(student, replace(spec, sparsity=0.0)))
    assert spec.sparsity >= 0.5


# The correction at the end of the ramp, which is kept for its structure only


def correction_of(model):
    return model.config.pruning["latency"]["table"]["correction"]


def scrambled(model, seed):
    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for group in other.pruning.groups.values():
            group.scores.copy_(torch.randn(group.scores.shape, generator=generator))
    return other


@pytest.fixture
def student(tmp_path):
    args = arguments(tmp_path, **{**SPEED, "prune_speedup": 1.05, "prune_latency_batch_size": 4})
    model = prepare_model(new_model(hidden_size=64, intermediate_size=1024, num_hidden_layers=3), args)
    # Times by hand: with measured ones, a busy machine may find nothing to remove, and then all scores give one structure.
    times = {"heads": [0, 4], "attention_ms": [0.0, 1.0], "neurons": [0, 1024], "ffn_ms": [0.0, 1.0], "fixed_ms": 0.5}
    model.config.pruning["latency"]["table"].update(times, correction=1.0)
    model.config.pruning["latency"]["dense_ms"] = 6.5
    return model, args


def test_a_resumed_run_finds_the_same_structure(student, tmp_path):
    model, args = student
    first, state = scrambled(model, 0), torch.get_rng_state()
    latency_table.recalibrate_and_freeze(first, args)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.pruning.is_frozen
    file = tmp_path / latency_table.CORRECTION_FILE
    kept = json.loads(file.read_text())
    assert kept["correction"] == correction_of(first)
    file.write_text(json.dumps(kept | {"correction": 0.5}))  # the control: a number that no clock gave, easy to meet
    again, other = scrambled(model, 0), scrambled(model, 1)
    latency_table.recalibrate_and_freeze(again, args)
    assert correction_of(again) == 0.5
    latency_table.recalibrate_and_freeze(other, args)
    assert correction_of(other) != 0.5
    assert json.loads(file.read_text())["key"] != kept["key"]


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"key": 1}'])
def test_a_broken_file_is_measured_again(student, tmp_path, broken):
    model, args = student
    (tmp_path / latency_table.CORRECTION_FILE).write_text(broken)
    model = scrambled(model, 0)
    latency_table.recalibrate_and_freeze(model, args)
    assert json.loads((tmp_path / latency_table.CORRECTION_FILE).read_text())["correction"] == correction_of(model)


def test_nothing_is_timed_without_a_speed_up(tmp_path):
    args = arguments(tmp_path, **PRUNE)
    model = prepare_model(new_model(), args)
    latency_table.recalibrate_and_freeze(model, args)
    assert model.pruning.is_frozen
    assert not (tmp_path / latency_table.CORRECTION_FILE).exists()
