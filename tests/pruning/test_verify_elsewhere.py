"""`check --transformers`: the model gives the same logits with another release of transformers."""

import json
import subprocess
import sys
import zipfile

import pytest
from safetensors.torch import save_file

from tests.helpers.commands import run_command
from tests.helpers.masking import choose
from trainer_ext.models import outputs
from trainer_ext.models.loading import save_tokenizer
from trainer_ext.pipeline.scratch import train_tokenizer
from trainer_ext.pruning import masks
from trainer_ext.pruning.selection import Structure
from trainer_ext.pruning.shrinking import shrink
from trainer_ext.pruning.verify import ROWS
from trainer_ext.utils.environments import check_release, folder_of, python_with

RELEASE = "4.57.6"
TEXTS = ["Mango and guava", "the River ganga is long", "größer", "long " * 50, "[HEAD] mango"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of the user's cache, which does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def plant(monkeypatch, tmp_path):
    """`plant(**answers)`: Pythons that only run a line of sh: this one, and that of an environment that is kept already."""

    def make(here, there):
        kept = folder_of(check_release(RELEASE)) / "bin/python"  # its name has the Python of this environment
        kept.parent.mkdir(parents=True)
        for file, line in ((tmp_path / "python", here), (kept, there)):
            file.write_text(f"#!/bin/sh\n{line}\n")
            file.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    return make


@pytest.fixture
def small(tmp_path, tiny_model, make_spec):
    """`small(model_type)`: a compact model, and the folder that it is saved in."""

    def make(model_type="bert"):
        masked = masks.attach(tiny_model(model_type), make_spec())
        choose(masked, Structure([[], [1, 3]], [[], [0, 5, 9]]))
        model = shrink(masks.merge(masked))[0].eval()
        model.save_pretrained(tmp_path / model_type)
        return model, tmp_path / model_type

    return make


@pytest.mark.parametrize("release", ["4.50.3", "3", "4.51.0.dev0", "newest", "", "4.57.6; rm"])
def test_a_release_that_cannot_do_is_refused_before_any_work(release, cache, tmp_path, monkeypatch, capsys):
    status, _, err = run_command(monkeypatch, capsys, "check", tmp_path / "nowhere", f"--transformers={release}")
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert "4.5" in err  # the way out
    assert "nowhere" not in err
    assert not cache.exists()


def test_a_folder_without_a_model_builds_no_environment(cache, tmp_path, monkeypatch, capsys):
    status, _, err = run_command(monkeypatch, capsys, "check", tmp_path / "nowhere", "--transformers", RELEASE)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert "nowhere" in err
    assert not cache.exists()


@pytest.mark.parametrize(("factor", "expected"), [(1, 0), (1.01, 1)], ids=["equal", "other"])
def test_its_logits_are_compared(factor, expected, small, plant, tmp_path, monkeypatch, capsys):
    """Both Pythons answer with logits that were written before."""
    model, folder = small()
    logits = outputs.full_precision()(outputs.logits)(model, outputs.synthetic_batch(model, rows=ROWS))
    for name, values in (("here", logits), ("there", logits * factor)):
        save_file({"logits": values}, tmp_path / f"{name}.safetensors")
    plant(
        *(f'[ "$3" = "{folder.resolve()}" ] && cp "{tmp_path}/{name}.safetensors" "$5"' for name in ("here", "there"))
    )
    status, out, err = run_command(monkeypatch, capsys, "check", folder, "--transformers", RELEASE)
    assert status == expected, err
    assert (out.count("yes"), out.count("NO")) == ((2, 0) if factor == 1 else (1, 1))
    assert RELEASE in out


def test_a_release_that_cannot_load_it_is_a_failed_check(small, plant, tmp_path, monkeypatch, capsys):
    model, folder = small()
    logits = outputs.full_precision()(outputs.logits)(model, outputs.synthetic_batch(model, rows=ROWS))
    save_file({"logits": logits}, tmp_path / "here.safetensors")
    plant(f'cp "{tmp_path}/here.safetensors" "$5"', "echo 'ValueError: needs a newer one' >&2; exit 1")
    status, _, err = run_command(monkeypatch, capsys, "check", folder, "--transformers", RELEASE)
    assert (status, len(err.strip().splitlines())) == (1, 1), err
    assert RELEASE in err
    assert "needs a newer one" in err


@pytest.mark.slow
def test_a_release_that_does_not_exist_leaves_nothing(cache, small, tmp_path, monkeypatch, capsys):
    _, folder = small()
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    status, _, err = run_command(monkeypatch, capsys, "check", folder, "--transformers", RELEASE)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert "reaches no package index" in err
    for release in ("4.56.0", "4.57.0"):
        name = f"transformers-{release}"
        with zipfile.ZipFile(wheels / f"{name}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(
                f"{name}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: transformers\nVersion: {release}\n"
            )
    status, _, err = run_command(monkeypatch, capsys, "check", folder, "--transformers", RELEASE)
    assert (status, len(err.strip().splitlines())) == (2, 1), err
    assert f"no transformers {RELEASE}; the nearest that pip finds is 4.57.0" in err
    assert not list(cache.rglob("bin"))


OPEN = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
texts = json.loads(sys.argv[2])
print(json.dumps([dict(tokenizer(*each)) for each in ([texts], [texts, texts[::-1]])]))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_another_release_gives_the_same_logits_and_ids(small, monkeypatch, capsys):
    """Once for every way in which heads are counted; the tokenizer opens without a question."""
    release = check_release(RELEASE)
    try:
        python = python_with(release)
    except ValueError as error:
        if "reaches no package index" not in str(error):
            raise
        pytest.skip(str(error))
    assert python_with(release) == python  # kept
    tokenizer = train_tokenizer(TEXTS, vocab_size=128)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[HEAD]", "[TAIL]"]})
    for model_type in ("bert", "deberta-v2", "distilbert", "modernbert", "mpnet"):
        _, folder = small(model_type)
        save_tokenizer(tokenizer, folder)
        status, out, err = run_command(monkeypatch, capsys, "check", folder, "--transformers", RELEASE)
        assert (status, out.count("yes")) == (0, 2), err + out
        monkeypatch.delenv("PYTHONPATH", raising=False)
        words = [python, "-I", "-c", OPEN, folder, json.dumps(TEXTS)]
        done = subprocess.run(words, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        assert "custom code" not in done.stderr + done.stdout
        here = [dict(tokenizer(*each)) for each in ([TEXTS], [TEXTS, TEXTS[::-1]])]
        assert json.loads(done.stdout.splitlines()[-1]) == here
    version = [python, "-I", "-c", "import transformers, torch; print(transformers.__version__, torch.__file__)"]
    found = subprocess.run(version, capture_output=True, text=True, check=True).stdout.split()
    assert found[0] == RELEASE
    assert found[1].startswith(sys.prefix), "torch of this environment"
