"""The sweep command in real processes: started twice on one folder and killed in the middle, it repeats and loses nothing,
shares the baseline and the teacher cache, and reports a failed run without stopping the others."""

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.storages.journal import JournalFileBackend, JournalStorage

from tests.helpers.commands import recipe_fields, run_command, write_recipe, write_task
from trainer_ext import report
from trainer_ext.sweep.config import read_sweep_file
from trainer_ext.sweep.output import read_sweep_json
from trainer_ext.sweep.results import BASELINE
from trainer_ext.sweep.storage import VARIANTS, SweepDirectory

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # on a busy machine: its fixture starts four sweeps
GRID = {
    "axes": {
        "sparsity": {"0 %": {"prune_method": "none"}, "50 %": {"prune_sparsity": 0.5}},
        "blocks": {"of 8": {}, "of 7": {"prune_block_size": 7}},  # heads are 8 wide
    },
    "skip": [{"sparsity": "0 %", "blocks": "of 7"}],
}


@pytest.fixture(scope="module")
def start():
    """`start(file, *words)`: the command in a process of its own; one that is left over is ended, and fails no other test."""
    with contextlib.ExitStack() as left:

        def run(file: Path, *words: str) -> subprocess.Popen:
            command = [sys.executable, "-m", "trainer_ext", "sweep", str(file), *words]
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            process = left.enter_context(subprocess.Popen(command, **pipes, text=True))
            left.callback(process.kill)
            return process

        yield run


def children(pid: int, about: str = "") -> list[int]:
    """Processes that this one started and that still run, with these words on their command line."""
    text = subprocess.run(["ps", "-o", "pid=,args=", "-ww", "--ppid", str(pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in text.splitlines() if about in line]


def wait_for(what, *, seconds: float = 600.0):
    """Wait until `what()` is true, and return what it says."""
    end = time.monotonic() + seconds
    while not (said := what()):
        assert time.monotonic() < end, "timed out"
        time.sleep(0.1)
    return said


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def swept(start, tmp_path_factory):
    """A grid of three runs, of which one cannot work, started twice at once. When one of the two that can was finished, the
    command that worked on the other was killed, and a third one joined the one that was left; at the end it was started
    once more."""
    folder = tmp_path_factory.mktemp("sweep")
    fields = recipe_fields(write_task(folder / "data"), folder / "unused", num_train_epochs=3, scratch_epochs=10)
    write_recipe(folder / "tiny.yaml", {name: value for name, value in fields.items() if name != "output_dir"})
    file = folder / "grid.yaml"
    file.write_text(yaml.safe_dump({"base": "tiny.yaml", "output_dir": str(folder / "out"), **GRID}, sort_keys=False))
    place, jobs = SweepDirectory(folder / "out"), read_sweep_file(file).jobs()
    both = [start(file), start(file)]

    def finished_and_at_work():
        """The run that ended first, and the command that works on the other; they go on side by side."""
        assert any(command.poll() is None for command in both), both[0].stdout.read()
        for first, other in ((jobs[0], jobs[1]), (jobs[1], jobs[0])):
            if place.is_finished(first) and place.is_busy(other.folder):
                for command in both:
                    if children(command.pid, f"{other.folder}.json"):
                        return first, command
        return None

    finished, victim = wait_for(finished_and_at_work)
    orphans = children(victim.pid)
    os.kill(victim.pid, signal.SIGKILL)
    victim.communicate()
    finished_at = report.load(place.run(finished).root).created
    left = [one for one in both if one is not victim]
    left.append(start(file, "--resume"))
    wait_for(lambda: not any(map(alive, orphans)), seconds=10)
    words = [one.communicate(timeout=600)[0] for one in left]
    measured_at = (place.root / "sweep.json").stat().st_mtime_ns
    last = start(file)
    last.communicate(timeout=600)
    return {
        "folder": folder,
        "file": file,
        "place": place,
        "jobs": jobs,
        "finished": finished,
        "orphans": orphans,
        "finished_at": finished_at,
        "measured_at": measured_at,
        "words": words,
        "status": [one.returncode for one in (*left, last)],
    }


def test_a_killed_sweep_ends_its_child_processes_and_repeats_nothing(swept):
    place, job = swept["place"], swept["finished"]
    assert swept["orphans"]
    assert report.load(place.run(job).root).created == swept["finished_at"]
    assert place.log(job.folder).read_text().count("Check and measurement") == 1


def test_several_commands_share_the_runs(swept):
    """No run was done twice, and none is missing: the study has each once, and one of the two measured all."""
    place, jobs = swept["place"], swept["jobs"]
    assert all(place.is_finished(job) for job in jobs[:2])
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(place.journal))))
    done = Counter(trial.user_attrs["run"] for trial in study.get_trials() if trial.state.name == "COMPLETE")
    # The run that was finished may have been that of the command that was killed, before it wrote that down.
    assert done | Counter([swept["finished"].name]) == Counter(["0 %, of 8", "50 %, of 8"])
    assert sorted("All models in turn" in words for words in swept["words"]) == [False, True]


def test_the_baseline_is_trained_once_and_shared(swept):
    place, (dense, small, _) = swept["place"], swept["jobs"]
    assert sum(log.read_text().count("Baseline: ") for log in place.log("x").parent.iterdir()) == 1
    files = [place.run(job).baseline / "model.safetensors" for job in (dense, small)]
    assert files[0].samefile(files[1])
    numbers = report.load(place.run(small).root)
    assert numbers.training.baseline.seconds > 0
    assert numbers.sparsity.achieved == pytest.approx(0.5, abs=0.05)


def test_the_teacher_runs_once(swept):
    stores = list(swept["place"].teacher_cache.glob("*.sqlite"))
    assert len(stores) == 1


def test_a_failed_run_is_reported_and_stops_nothing(swept):
    assert swept["status"] == [1, 1, 1]
    result = read_sweep_json(swept["place"].root)
    assert list(result.failed) == ["50 %, of 7"]
    assert "prune_block_size" in result.failed["50 %, of 7"]
    assert all("prune_block_size" in words for words in swept["words"])
    assert [row.name for row in result.rows] == [BASELINE, "0 %, of 8", "50 %, of 8"]


def test_the_results_are_complete_and_measured_once(swept):
    place, jobs = swept["place"], swept["jobs"]
    assert (place.root / "sweep.json").stat().st_mtime_ns == swept["measured_at"]
    for name in ("sweep.csv", "sweep.md", "pareto.png", "pareto.svg"):
        assert (place.root / name).stat().st_size > 0
    with (place.root / "sweep.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [BASELINE, "0 %, of 8", "50 %, of 8"]
    assert {row["folder"] for row in rows[1:]} == {job.folder for job in jobs[:2]}
    result = read_sweep_json(place.root)
    assert all(row.memory_mib > 0 and row.median_ms["4 x 8"] > 0 for row in result.rows)
    assert result.command == "trainer-ext sweep grid.yaml"
    assert (place.best / "compressed" / "config.json").is_file()
    assert (place.best / VARIANTS).is_file()
    # Which of the two is faster is the machine's to say; the folder must be that of the one that is named.
    chosen = next(row for row in result.rows if row.title == result.best["title"])
    assert report.load(place.best) == report.load(place.root / chosen.folder)


def test_the_study_holds_every_run(swept):
    place = swept["place"]
    study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(place.journal))))
    ended = {(trial.user_attrs["run"], trial.state.name) for trial in study.get_trials()}
    # A run may have been finished before its trial was written: then its folder alone says so.
    done = {(name, "COMPLETE") for name in ("0 %, of 8", "50 %, of 8")}
    assert ended | {(swept["finished"].name, "COMPLETE")} == {*done, ("50 %, of 7", "FAIL")}


def test_another_sweep_in_the_same_folder_is_refused(swept, monkeypatch, capsys):
    status, _, words = run_command(monkeypatch, capsys, "sweep", swept["file"], "--num_train_epochs", "4")
    assert status == 2
    assert "holds another sweep (common: num_train_epochs differs)" in words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--prune_sparsity", "0.3"], "because grid.yaml varies it"),
        (["--data_dir", "gone"], "--data_dir gone does not exist"),
        (["--max_train_rows", "1"], "--max_train_rows is 1, fewer than the 3 classes"),
        (["--scale", "huge"], "--scale huge: grid.yaml has no scales"),
        (["--num_train_epoch", "3"], "did you mean 'num_train_epochs'"),
        (["--workers", "0"], "--workers must be 1 or more"),
        (["--smallest-within", "0.5"], "a search with a goal takes a recipe"),
        (["--smallest-within", "0.5", "--best-at", "2"], "give one of them"),
        (["--storage", "nonsense://x", "--output_dir", "elsewhere"], "--storage nonsense://x: Optuna cannot open it"),
    ],
)
def test_bad_input_is_one_line(swept, monkeypatch, capsys, tmp_path, words, told):
    monkeypatch.chdir(tmp_path)
    status, _, said = run_command(monkeypatch, capsys, "sweep", swept["file"], *words)
    assert status == 2
    assert told in said
    assert len(said.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("compression.json"))


def test_a_recipe_is_not_a_sweep_file(swept, monkeypatch, capsys):
    status, _, words = run_command(monkeypatch, capsys, "sweep", swept["folder"] / "tiny.yaml")
    assert (status, "is a recipe; give a sweep file" in words) == (2, True)


def test_of_two_searches_one_continues_what_the_killed_one_has_left(start, swept):
    folder = swept["folder"]
    file = folder / "ranges.yaml"
    ranges = {"prune_sparsity": [0.2, 0.8], "prune_method": ["movement", "magnitude"]}
    file.write_text(yaml.safe_dump({"base": "tiny.yaml", "output_dir": "x", "ranges": ranges, "trials": 2}))
    place = SweepDirectory(folder / "ranged")
    words = ("--output_dir", str(place.root), "--storage", f"sqlite:///{folder / 'study.db'}")
    both = [start(file, *words), start(file, *words)]

    def at_work():
        assert any(command.poll() is None for command in both), both[0].stdout.read()
        return any(place.is_busy(name) for name in ("trial-0", "trial-1"))

    wait_for(at_work)
    os.kill(both[0].pid, signal.SIGKILL)
    both[0].communicate()
    said, _ = both[1].communicate(timeout=600)
    assert both[1].returncode == 0, said
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder / 'study.db'}")
    assert [trial.state.name for trial in study.get_trials()] == ["COMPLETE", "COMPLETE"]
    for trial in study.get_trials():
        recipe = json.loads(json.dumps(yaml.safe_load(place.run(_job(trial)).recipe.read_text())))
        assert recipe["prune_sparsity"] == pytest.approx(trial.params["prune_sparsity"])
        assert 0.2 <= trial.params["prune_sparsity"] <= 0.8
    assert [row.name for row in read_sweep_json(place.root).rows] == [BASELINE, "trial 0", "trial 1"]


def _job(trial):
    from trainer_ext.sweep.study import range_job

    return range_job(trial.number, trial.params)
