"""The endpoint `/benchmark` of a running page: results, errors, and a broken sweep file."""

import json
import subprocess
import sys

import pytest
import torch
from core import race

from tests.helpers.paging import environment, started, write_pair
from trainer_ext.benchmark.latency import processor_name
from trainer_ext.hub.space import space_folder

pytestmark = pytest.mark.slow

ASK = """
import json, sys
from gradio_client import Client
from gradio_client.exceptions import AppError
client = Client(sys.argv[1], verbose=False, analytics_enabled=False)
for values in json.loads(sys.argv[2]):
    try:
        answer = client.predict(*values, api_name="/benchmark")
    except AppError as error:
        answer = str(error)
    print(json.dumps(answer))
print(json.dumps(list(client.view_api(print_info=False, return_format="dict")["named_endpoints"])))
"""


def ask(address: str, *sizes: list) -> list:
    """Return the answers or error messages for some sizes, and last the names of the endpoints."""
    words = [sys.executable, "-c", ASK, address, json.dumps(sizes)]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_program_gets_every_time_or_the_reason(tiny_model, cut, tmp_path):
    write_pair(tmp_path / "run", tiny_model, cut)
    (tmp_path / "sweep.csv").write_text("this is no sweep\n")  # beside the run: said on the page, which still serves
    command = [sys.executable, str(space_folder() / "app.py"), "run"]
    with started(command, cwd=tmp_path, PYTHONPATH=str(space_folder().parent)) as address:
        sizes = ([2, 16], [0, 16], [1, 41], [1, "long"], [65, 16], [])
        found, nothing, long, word, large, first, endpoints = ask(address, *sizes)
    assert (found["batch_size"], found["sequence_length"]) == (2, 16)
    assert found["processor"] == processor_name()
    assert found["threads"] >= 1
    for name in ("baseline", "compressed"):
        times = torch.tensor(found[name]["milliseconds"], dtype=torch.double)
        assert len(times) == found[name]["runs"] == race.ROUNDS
        assert found[name]["median_ms"] == pytest.approx(times.quantile(0.5).item())
        assert found[name]["p95_ms"] == pytest.approx(times.quantile(0.95).item())
        assert found[name]["throughput_per_s"] == pytest.approx(2000 / found[name]["median_ms"])
    assert found["speedup"] == pytest.approx(found["baseline"]["median_ms"] / found["compressed"]["median_ms"])
    assert "batch_size is 0; enter a whole number from 1 to 64" in nothing
    assert "sequence_length is 41; enter a whole number from 1 to 40" in long
    assert "sequence_length is 'long'" in word
    assert "batch_size is 65" in large
    assert (first["batch_size"], first["sequence_length"]) == (1, 32)
    assert "/benchmark" in endpoints
    assert "Traceback" not in (tmp_path / "page.log").read_text()
