"""Wheel: made without a network, the same bytes each time, complete, and nothing of this machine in it."""

import base64
import csv
import fnmatch
import hashlib
import io
import json
import subprocess
import sys
import tomllib
import zipfile
from email.parser import BytesParser
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from transformers import AutoModelForSequenceClassification

import trainer_ext
from tests.helpers.paging import only, run, write_pair
from trainer_ext.errors import InputError
from trainer_ext.hub import space

ROOT = Path(trainer_ext.__file__).parents[2]
INFO = f"trainer_ext-{trainer_ext.__version__}.dist-info"

OPEN = """
import sys, json, torch, trainer_ext
from transformers import AutoModelForSequenceClassification
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()
with torch.inference_mode():
    logits = model(torch.arange(2, 12)[None]).logits[0].tolist()
print(json.dumps([trainer_ext.__file__, type(model).__module__, logits]))
"""
BUILD_AGAIN = """
import sys, hashlib
from trainer_ext import wheel
name, content = wheel.build_wheel()
print(wheel.__file__, name, hashlib.sha256(content).hexdigest())
"""


@pytest.fixture(scope="module")
def built():
    return space.build_wheel()


@pytest.fixture(scope="module")
def content(built):
    with zipfile.ZipFile(io.BytesIO(built[1])) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def file(built, tmp_path_factory):
    path = tmp_path_factory.mktemp("wheel") / built[0]
    path.write_bytes(built[1])
    return path


@pytest.fixture(scope="module")
def installed(file, tmp_path_factory):
    """A folder into which pip installed the wheel."""
    target = tmp_path_factory.mktemp("target")
    words = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, file]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def test_it_is_the_same_each_time(built, monkeypatch):
    assert space.build_wheel() == built
    changed = {**space.page_files(), "app.py": b"another"}
    monkeypatch.setattr(space, "page_files", lambda: changed)
    assert space.build_wheel() != built


def test_its_record_is_right(content):
    rows = {path: (digest, size) for path, digest, size in csv.reader(content[f"{INFO}/RECORD"].decode().splitlines())}
    assert list(rows) == list(content), "every file, in the order of the archive"
    assert rows.pop(f"{INFO}/RECORD") == ("", "")
    for path, (digest, size) in rows.items():
        expected = base64.urlsafe_b64encode(hashlib.sha256(content[path]).digest()).decode().rstrip("=")
        assert (digest, int(size)) == (f"sha256={expected}", len(content[path])), path


def test_everything_is_inside_and_nothing_else(content):
    inside = {name for name in content if not name.startswith(INFO)}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "trainer_ext").rglob("*") if path.is_file()}
    page = {f"trainer_ext/space/{path.name}" for path in (ROOT / "space").iterdir() if path.is_file()}
    unwanted = {name for name in package | page if "__pycache__" in name or name.endswith("models.json")}
    assert inside == (package | page) - unwanted
    assert {f"trainer_ext/space/{name}" for name in ("app.py", "README.md", "requirements.txt")} < inside
    about = {name.partition("/")[2] for name in content if name.startswith(INFO)}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}


def test_what_it_needs_is_kept(content):
    metadata = BytesParser().parsebytes(content[f"{INFO}/METADATA"])
    assert metadata["Name"] == "trainer-ext"
    assert metadata["Version"] == trainer_ext.__version__
    needed = {line for line in map(Requirement, metadata.get_all("Requires-Dist")) if "extra" not in str(line.marker)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert needed == set(map(Requirement, project["dependencies"]))
    assert "trainer_ext.cli.main:main" in content[f"{INFO}/entry_points.txt"].decode()


def test_requirements_are_those_of_one_extra():
    lines = space.requirements("demo")
    assert [line for line in lines if line.startswith("gradio")] == ["gradio<7,>=6.31"]
    assert any(line.startswith("transformers") for line in lines)
    assert not [line for line in lines if "extra" in line or line.startswith(("pytest", "onnx"))]


def test_no_path_of_this_machine_is_inside(content):
    def mentions(files):
        return [name for name, value in files.items() if str(ROOT).encode() in value or b"file://" in value]

    assert not mentions({name: value for name, value in content.items() if name.startswith(INFO)})
    assert not [name for name, value in content.items() if str(ROOT).encode() in value]
    assert mentions({"direct_url.json": json.dumps({"url": ROOT.as_uri()}).encode()}), "the check must be able to fail"


def test_what_pip_installs_builds_the_same_wheel(built, installed):
    place, name, digest = run(only(installed), BUILD_AGAIN).split()
    assert Path(place).is_relative_to(installed)
    assert (name, digest) == (built[0], hashlib.sha256(built[1]).hexdigest())


@pytest.mark.parametrize("place", ["file", "installed"])
def test_it_can_be_imported(place, request):
    """Also from the archive itself; that models open from there is shown by the test of the page."""
    where = request.getfixturevalue(place)
    assert run(only(where), "import trainer_ext; print(trainer_ext.__file__)").strip() == str(
        where / "trainer_ext/__init__.py"
    )


def test_a_compact_model_opens_without_trusting_code(installed, tiny_model, cut, tmp_path):
    folder = write_pair(tmp_path, tiny_model, cut) / "compressed"
    origin, module, logits = json.loads(run(only(installed), OPEN, folder))
    assert Path(origin).is_relative_to(installed)
    assert module == "trainer_ext.models.compact.modeling_compact"
    with torch.inference_mode():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        expected = model(torch.arange(2, 12)[None]).logits[0]
    torch.testing.assert_close(torch.tensor(logits), expected)


def test_a_package_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setattr(space, "distributions", lambda **_: [])
    with pytest.raises(InputError, match=r"pip install -e \.\[demo\]"):
        space.build_wheel()


def test_the_project_names_every_package_and_every_file():
    """What setuptools packs: a folder or a kind of file that it is not told of would be missing after pip install."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    package = ROOT / "trainer_ext"
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in package.rglob("__init__.py")}
    assert set(tool["packages"]) == {*folders, "trainer_ext.space"}
    places = {name: tool["package-dir"].get(name, name.replace(".", "/")) for name in tool["packages"]}
    patterns = [f"{places[name]}/{rule}" for name, rules in tool["package-data"].items() for rule in rules]
    files = [path for folder in (package, ROOT / "space") for path in folder.rglob("*") if path.is_file()]
    names = [path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts]
    left = [name for name in names if not name.endswith((".py", "models.json"))]
    assert [name for name in left if not any(fnmatch.fnmatch(name, rule) for rule in patterns)] == []
