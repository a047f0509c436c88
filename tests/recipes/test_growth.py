"""Growth: a process that gains memory and handles is told from one that does not, within seconds."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from recipes.benchmarks import endurance, endurance_table
from recipes.benchmarks.growth import BOUNDS, Growth, Sample, growth, slope, watch
from recipes.tools.markdown import replace_part

# In steps of a twentieth of a second: 1 MiB and 1 file handle a second, and a thread of each tenth step.
LEAK = """
import tempfile, threading, time
kept = []
for step in range(1000):
    kept.append(bytearray(b"x" * (2**20 // 20)))
    if step % 20 == 0:
        kept.append(tempfile.TemporaryFile())
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    time.sleep(0.05)
"""
STEADY = """
import tempfile, time
for step in range(1000):
    with tempfile.TemporaryFile() as file:
        file.write(bytearray(2**20 // 20))
    time.sleep(0.05)
"""


def watched(code):
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        samples = watch(process.pid, seconds=6, every=0.05)
        process.kill()
    return samples


@pytest.fixture(scope="module")
def seen():
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(("leak", "steady"), pool.map(watched, (LEAK, STEADY)), strict=True))


@pytest.mark.slow
def test_a_leak_is_seen(seen):
    found = growth(seen["leak"])
    assert {name: what.verdict for name, what in found.items()} == dict.fromkeys(BOUNDS, "GROWS")
    assert found["memory_mib"].per_hour == pytest.approx(3600, rel=0.5)
    assert found["handles"].per_hour == pytest.approx(3600, rel=0.5)
    assert found["handles"].end > found["handles"].start


def test_no_leak_is_seen_where_none_is(seen):
    assert not [name for name, what in growth(seen["steady"]).items() if what.verdict == "GROWS"]


def test_a_process_that_ends_is_watched_to_its_end():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5)"]) as process:
        samples = watch(process.pid, seconds=60, every=0.05)
    assert 0 < samples[-1].seconds < 30


def test_a_slope_is_exact_and_its_interval_covers_noise():
    times = np.arange(1000.0)
    assert slope(times, 3 * times + 1) == pytest.approx((3, 3, 3))
    assert slope(times, np.ones(1000)) == (0, 0, 0)
    noisy = [slope(times, np.random.default_rng(seed).normal(size=1000)) for seed in range(200)]
    assert np.mean([low <= 0 <= high for _, low, high in noisy]) == pytest.approx(0.95, abs=0.04)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="measure for longer"):
        growth([Sample(second, 1, 1, 1) for second in range(10)])


@pytest.mark.parametrize(
    ("per_hour", "low", "high", "verdict"),
    [
        (1, -1, 3, "steady"),
        (20, -20, 60, "below the noise"),
        (5, 1, 9, "below the bound"),
        (-5, -9, -1, "falls"),
        (20, 1, 39, "GROWS"),
    ],
)
def test_what_a_slope_is_called(per_hour, low, high, verdict):
    assert Growth(0, 0, 0, per_hour, low, high, bound=10).verdict == verdict


@pytest.mark.parametrize(("rate", "errors", "status"), [(0, 0, 0), (1, 0, 1), (0, 1, 1)])
def test_the_exit_status_says_whether_something_grows_or_fails(rate, errors, status, tmp_path, monkeypatch):
    """Samples that rise so fast, and so many errors, stand in for an hour of training."""
    found = {"samples": [Sample(second, rate * second, 5, 3) for second in range(100)], "did": {"errors": errors}}
    monkeypatch.setattr(endurance, "make_run", lambda folder: (folder, folder))
    monkeypatch.setattr(endurance, "measure", lambda *_: {"training": found})
    app = typer.Typer()
    app.command()(endurance.main)
    done = CliRunner().invoke(app, ["--output", str(tmp_path)])
    assert done.exit_code == status, done.output
    written = json.loads((tmp_path / "endurance.json").read_text())
    assert (written["training"]["growth"]["memory_mib"]["verdict"] == "GROWS") == bool(rate)
    assert (tmp_path / "endurance.png").stat().st_size > 1000


def test_the_table_on_the_page_is_what_the_result_file_gives():
    page = endurance_table.README.read_text(encoding="utf-8")
    found = json.loads(endurance_table.FILE.read_text(encoding="utf-8"))
    assert replace_part(page, endurance_table.NAME, endurance_table.summary(found)) == page
    found["serving"]["growth"]["memory_mib"]["per_hour"] += 1
    assert replace_part(page, endurance_table.NAME, endurance_table.summary(found)) != page


def test_a_run_is_kept_without_samples_and_words(tmp_path, monkeypatch):
    grown = Growth(500.0, 520.0, 530.0, 1.5, -2.0, 5.0, 30.0)
    arm = {"did": {"errors": 1_234, "which": {"a secret": 1}}, "samples": [1], "growth": {"memory_mib": asdict(grown)}}
    arm["growth"]["memory_mib"]["verdict"] = grown.verdict
    (tmp_path / "run.json").write_text(json.dumps({"machine": "one core", "serving": arm}))
    (tmp_path / "README.md").write_text("before\n<!-- endurance: start -->\n<!-- endurance: end -->\nafter\n")
    monkeypatch.setattr(endurance_table, "FILE", tmp_path / "kept.json")
    monkeypatch.setattr(endurance_table, "README", tmp_path / "README.md")
    endurance_table.main(tmp_path / "run.json")
    page = (tmp_path / "README.md").read_text()
    assert "| serving | MiB | 500 | 520 | 530 | +1.5 | -2.0 to +5.0 | 30 | steady |" in page
    assert "serving: 1,234 errors; one core; 20" in page
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "samples" not in (kept := (tmp_path / "kept.json").read_text())
    assert "secret" not in kept
    endurance_table.main(None)
    assert (tmp_path / "README.md").read_text() == page
