"""Faults in training: killed at any step or in the middle of any file, a run goes on to the bits of one that was not."""

import itertools
import random

import pytest

from tests.helpers.damage import bytes_of, unequal
from tests.helpers.killing import KILLED
from trainer_ext.utils.checkpoints import is_complete
from trainer_ext.utils.compat import cpu_has_bf16

SEED = 8
EVENTS = ("on_step_begin", "on_pre_optimizer_step", "on_optimizer_step", "on_step_end", "on_log", "on_save")
METHODS = ("movement", "soft_movement", "magnitude")
TEACHERS = ("none", "live", "cached")
PRECISIONS = ("fp32", "bf16") if cpu_has_bf16() else ("fp32",)
ALL = list(itertools.product(METHODS, TEACHERS, PRECISIONS))


def fields_of(configuration, folder):
    """The fields of a run; each has a cache of its own, so that a kill finds it half full."""
    method, teacher, precision = configuration
    fields = {"prune_method": method, "bf16": precision == "bf16"}
    if teacher != "none":
        fields["distill_teacher"] = "self"
    if teacher == "cached":
        fields["distill_cache_dir"] = str(folder / "answers")
    return fields


def draw_kill(draw: random.Random) -> tuple[str, int]:
    """Some event of some of 20 steps, by the number of steps that are done then."""
    event = draw.choice(EVENTS)
    done = {"on_save": range(2, 21, 2), "on_step_end": range(1, 21), "on_log": range(1, 21)}.get(event, range(20))
    return event, draw.choice(done)


def kill_and_resume(forks, folder, configuration, kill) -> None:
    """One run in two processes."""
    fields = fields_of(configuration, folder)
    killed = forks.run("train", folder, fields, kill_at=kill)
    assert killed.status in KILLED, killed.errors[-2000:]
    assert not (folder / "result.pt").exists()
    resume = any(is_complete(checkpoint) for checkpoint in folder.glob("checkpoint-*"))
    ended = forks.run("train", folder, fields, resume=resume)
    assert ended.status == 0, ended.errors[-2000:]


def chosen():
    """A method, a teacher and a precision of each kind, drawn with a seed; `make faults` takes all of them."""
    draw = random.Random(SEED)
    methods, teachers = draw.sample(METHODS, 3), draw.sample(TEACHERS, 3)
    return list(zip(methods, teachers, (PRECISIONS * 3)[:3], strict=True))


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """Per configuration the folder of a run that nothing disturbs."""
    found = {}
    for configuration in (*chosen(), CHAIN):
        folder = found[configuration] = tmp_path_factory.mktemp("whole")
        ended = forks.run("train", folder, fields_of(configuration, folder))
        assert ended.status == 0, ended.errors[-2000:]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("configuration", chosen(), ids=" ".join)
def test_killed_at_some_step_it_ends_with_the_same_bits(forks, whole, tmp_path, configuration, number):
    draw = random.Random(f"{SEED} {configuration} {number}")
    kill_and_resume(forks, tmp_path, configuration, draw_kill(draw))
    assert unequal(whole[configuration], tmp_path) == []


def test_the_comparison_sees_another_run(whole):
    """The control: every part that is compared differs between any two configurations."""
    for one, other in itertools.combinations(chosen(), 2):
        parts = {name.partition(":")[0] for name in unequal(whole[one], whole[other])}
        assert {"checkpoint", "optimizer", "small", "log"} <= parts


CHAIN = ("movement", "cached", "fp32")
# A place, and a file that lies there afterwards, cut off behind so many bytes. Each start goes on from the last.
PLACES = [
    ({"connect": "*.sqlite", "bytes": 9_000}, None),  # the log of the teacher's answers
    ({"connect": "*.sqlite", "bytes": 0}, None),
    ({"open": "*/checkpoint-2/config.json"}, None),
    ({"open": "*/checkpoint-2/config.json", "bytes": 50_000}, None),  # model.safetensors, whose name comes at its end
    ({"open": "*/checkpoint-4/config.json", "bytes": 180_000}, ("checkpoint-4/optimizer.pt", 180_000)),
    ({"open": "*/checkpoint-6/trainer_state.json", "bytes": 90}, ("checkpoint-6/trainer_state.json", 90)),
    ({"open": "*/checkpoint-20/trainer_state.json"}, ("checkpoint-20/rng_state.pth", None)),
    ({"call": ["pruning/shrinking.py", 1]}, ("checkpoint-20/trainer_state.json", None)),
    ({"call": ["pruning/shrinking.py", 12]}, ("checkpoint-20/trainer_state.json", None)),
]


def test_killed_in_the_middle_of_a_file_it_ends_with_the_same_bits(forks, whole, tmp_path):
    """Many times in one run; whatever was complete before a start is the same afterwards."""
    fields = fields_of(CHAIN, tmp_path)
    for place, proof in PLACES:
        complete = [folder for folder in tmp_path.glob("checkpoint-*") if is_complete(folder)]
        before = bytes_of(*complete)
        ended = forks.run("train", tmp_path, fields, resume=bool(complete), die=place)
        assert ended.status in KILLED, (place, ended.errors[-2000:])
        assert bytes_of(*complete) == before, place
        if proof:
            name, size = proof
            assert size in (None, (tmp_path / name).stat().st_size)
    assert not (tmp_path / "small").exists()
    ended = forks.run("train", tmp_path, fields, resume=True)
    assert ended.status == 0, ended.errors[-2000:]
    assert unequal(whole[CHAIN], tmp_path) == []


def test_a_checkpoint_that_is_written_over_is_no_mixture(forks, tmp_path):
    """Whoever goes back to an earlier step writes over later checkpoints; of one that is cut off nothing is taken."""
    fields = fields_of(("magnitude", "none", "fp32"), tmp_path)
    assert forks.run("train", tmp_path, fields).status == 0
    going_back = {
        "resume": str(tmp_path / "checkpoint-4"),
        "die": {"open": "*/checkpoint-6/config.json", "bytes": 180_000},
    }
    assert forks.run("train", tmp_path, fields, **going_back).status in KILLED
    assert not is_complete(tmp_path / "checkpoint-6")
    assert is_complete(tmp_path / "checkpoint-4")
