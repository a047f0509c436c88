"""The endpoint `/compare_batch` of a running page: its results, its errors, and the same scores as the command line."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from core import batch_input, models, startup
from core.batch import compare_texts
from core.batch_input import arguments

from recipes.benchmarks import page_process
from tests.helpers.commands import recipe_fields, write_recipe
from tests.helpers.paging import LABELS, environment, started, used_in, write_pair
from tests.helpers.vocabularies import MARATHI
from trainer_ext.hub.space import space_folder
from trainer_ext.pipeline.compress import compress
from trainer_ext.pipeline.recipe import read_recipe
from trainer_ext.report.io import to_dict

pytestmark = pytest.mark.slow

ASK = """
import json, sys
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
client = Client(sys.argv[1], verbose=False, analytics_enabled=False)
for request in json.load(sys.stdin):
    if "file" in request:
        request["file"] = handle_file(request["file"])
    try:
        answer = client.predict(**request, api_name="/compare_batch")
    except AppError as error:
        answer = str(error)
    print(json.dumps(answer))
"""
DATA = Path(os.environ.get("TRAINER_EXT_DATA", Path(__file__).parents[3] / "shared/data")) / "mahanews_shc"


def ask(address: str, *requests: dict) -> list:
    """Return the answers or error messages of `/compare_batch`."""
    words = [sys.executable, "-c", ASK, address]
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, input=json.dumps(requests))
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def page(run: Path):
    """Run the page of a run, and yield its address."""
    command = [sys.executable, str(space_folder() / "app.py"), str(run)]
    with started(command, cwd=run.parent, PYTHONPATH=str(space_folder().parent)) as address:
        yield address
    assert "Traceback" not in (run.parent / "page.log").read_text()


def test_a_page_answers_many_texts_and_refuses_what_it_cannot_read(tiny_model, cut, tmp_path):
    files = {
        "good.csv": "text,label\n" + "".join(f"{text},{LABELS[0]}\n" for text in (*MARATHI[:3], "<b>x</b>")),
        "many.csv": "text\n" + "x\n" * 5_001,
        "large.csv": "text\n" + "x" * 4_000_001,
        "long.csv": f"text\nx\n{'क' * 100_000}\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")
    (tmp_path / "mixed.csv").write_bytes("text\nसामना\n".encode() + b"caf\xe9\n")

    def of(name: str, **columns: str) -> dict:
        return {"file": str(tmp_path / name), **columns}

    refused = {
        "5,001 texts": of("many.csv"),
        "4,000,006 bytes": of("large.csv"),
        "text 2: The text has 100,000 characters": of("long.csv"),
        "picture.csv is not a text file": of("picture.csv"),
        "mixed.csv, line 3: byte 0xe9": of("mixed.csv"),
        "no column 'headline', only 'text', 'label'": of("good.csv", text_column="headline"),
        "no column 'topic', only 'text', 'label'": of("good.csv", label_column="topic"),
        "There is no text; paste some": {"texts": ""},
        "There is no text; paste": {"texts": " \n\t\u00a0\n"},
        "the pasted texts, text 1: The text has 100,000": {"texts": "क" * 100_000},
        "remove one of them": of("good.csv", texts="x"),
    }
    good = [of("good.csv", label_column="label"), of("good.csv"), {"texts": "\n".join([*MARATHI[:3], "<b>x</b>"])}]
    with page(write_pair(tmp_path / "run", tiny_model, cut)) as address:
        first, *messages, unlabelled, pasted = ask(address, good[0], *refused.values(), *good[1:])
    for expected, message in zip(refused, messages, strict=True):
        assert isinstance(message, str), expected
        assert expected in message
        assert str(tmp_path) not in message
    assert first["quality"]["rows"] == 4
    assert first["rows"][3]["text"] == "<b>x</b>"
    assert (unlabelled["quality"], pasted["quality"]) == (None, None)
    for found in (unlabelled, pasted):
        assert [row["baseline"] for row in found["rows"]] == [row["baseline"] for row in first["rows"]]
    assert list(pasted["rows"][0]["compressed"]["probabilities"]) == list(LABELS)


CANCEL = """
import concurrent.futures, json, sys, time
from gradio_client import Client
client = Client(sys.argv[1], verbose=False, analytics_enabled=False)
job = client.submit(texts=sys.stdin.readline().replace("|", "\\n"), api_name="/compare_batch")
while job.status().code.name != "PROCESSING":
    time.sleep(0.05)
time.sleep(1)
assert not job.done(), "too short to be cancelled"
job.cancel()
try:
    print(json.dumps(bool(job.result())), flush=True)
except (concurrent.futures.CancelledError, KeyError):  # or the stream ends first, with an empty message
    print(json.dumps("cancelled"), flush=True)
sys.stdin.readline()
print(json.dumps(client.predict(texts="a", api_name="/compare_batch")), flush=True)
"""


def test_a_program_can_cancel_its_job_and_the_models_stop(tiny_model, cut, tmp_path):
    run = write_pair(tmp_path / "run", partial(tiny_model, intermediate_size=8192), cut)  # wide, so that it takes long
    command = [sys.executable, str(space_folder() / "app.py"), str(run)]
    variables = environment(PYTHONPATH=str(space_folder().parent))
    client = [sys.executable, "-c", CANCEL]
    with page_process.started(command, cwd=tmp_path, environment=variables) as (address, process):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([*client, address], env=environment(), **pipes) as asking:
            asking.stdin.write("|".join(f"{number} {' '.join(MARATHI[:6])}" for number in range(5_000)) + "\n")
            asking.stdin.flush()
            assert json.loads(asking.stdout.readline()) == "cancelled"
            # A batch of rows that has begun is finished; all of them would take minutes.
            assert any(used_in(process, seconds=2.0) < 0.2 for _ in range(10)), "the models must not go on"
            asking.stdin.write("\n")
            asking.stdin.flush()
            assert len(json.loads(asking.stdout.readline())["rows"]) == 1, "the next one is answered"
    assert "Traceback" not in (tmp_path / "page.log").read_text()


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no MahaNews headlines in {DATA}")
def test_the_numbers_on_real_headlines_are_those_of_the_command_line(tmp_path):
    """2,772 rows, 11 of them stray headers."""
    fields = recipe_fields(
        DATA,
        tmp_path / "run",
        train_files=["SHC_Valid.csv"],
        test_file="SHC_Test.csv",
        text_column="Text",
        label_column="Label",
        max_train_rows=240,
        scratch_epochs=10,
        num_train_epochs=2,
        save_strategy="epoch",
    )
    report, run = compress(read_recipe(write_recipe(tmp_path / "recipe.yaml", fields)))
    official = next(quality for quality in report.other_quality if quality.split == "official")
    request = {"file": str(DATA / "SHC_Test.csv"), "text_column": "Text", "label_column": "Label"}
    with page(run.root) as address:
        (found,) = ask(address, request)
    assert found["left_out"] == {"stray header": 11}
    assert len(found["rows"]) == official.rows == 2_761
    assert official.lost + official.won > 0, "the models must differ, or this shows little"
    told = to_dict(report)["other_quality"][report.other_quality.index(official)]
    assert found["quality"] == json.loads(json.dumps(told)) | {"split": "SHC_Test.csv"}

    pair = models.open_pair(startup.choose([str(run.root)], beside=tmp_path))
    name, table = batch_input.test_split(batch_input.data_of_run(pair.compressed.name), pair.baseline.labels)
    prepared = compare_texts(table, pair, arguments(pair.report, None), name=name)
    assert name == "clean, mahanews_shc/SHC_Test.csv"
    assert replace(prepared.quality, split="clean") == report.quality
