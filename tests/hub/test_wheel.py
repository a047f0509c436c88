"""The wheel of a Space: built without a network, the same bytes each time, complete, and without local paths."""

import fnmatch
import hashlib
import io
import json
import shutil
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

pytestmark = pytest.mark.slow

ROOT = Path(trainer_ext.__file__).parents[1]
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
import hashlib
from trainer_ext.hub import space
name, content = space.build_wheel()
print(space.__file__, name, hashlib.sha256(content).hexdigest())
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


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of the checkout, which the wheel is built from; wheels are not cached."""
    for name in space._PROJECT_FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    monkeypatch.setattr(space, "_PACKAGE", tmp_path / "trainer_ext")
    monkeypatch.setattr(space, "build_wheel", space.build_wheel.__wrapped__)
    return tmp_path


def test_the_same_files_give_the_same_bytes(built, checkout):
    for path in checkout.rglob("*.py"):
        path.chmod(0o600)
        path.touch()
    assert space.build_wheel() == built
    assert not {"build", "trainer_ext.egg-info"} & {path.name for path in checkout.iterdir()}
    with (checkout / "space/app.py").open("a") as page:
        page.write("# changed\n")
    assert space.build_wheel() != built


def test_a_failed_build_is_one_line(checkout):
    (checkout / "pyproject.toml").write_text("[project]\nname = 3\n")
    with pytest.raises(InputError, match="cannot be built"):
        space.build_wheel()


def test_it_holds_the_package_and_the_page_and_nothing_else(content):
    inside = {name for name in content if not name.startswith(INFO)}
    package = {path.relative_to(ROOT).as_posix() for path in (ROOT / "trainer_ext").rglob("*") if path.is_file()}
    page = {f"trainer_ext/space/{name}" for name in space.page_files()}
    assert inside == {name for name in package if "__pycache__" not in name} | page
    assert {f"trainer_ext/space/{name}" for name in ("app.py", "README.md", "requirements.txt")} < inside
    about = {name.partition("/")[2] for name in content if name.startswith(INFO)}
    assert about == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}


def test_no_tests_are_inside(content):
    assert {name.partition("/")[0] for name in content} == {"trainer_ext", INFO}
    assert content[f"{INFO}/top_level.txt"].split() == [b"trainer_ext"]
    assert not [name for name in content if "loopback" in name or Path(name).name.startswith(("test_", "conftest"))]


def test_its_requirements_are_those_of_the_project(content):
    metadata = BytesParser().parsebytes(content[f"{INFO}/METADATA"])
    assert metadata["Name"] == "trainer-ext"
    assert metadata["Version"] == trainer_ext.__version__
    needed = {line for line in map(Requirement, metadata.get_all("Requires-Dist")) if "extra" not in str(line.marker)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert needed == set(map(Requirement, project["dependencies"]))
    assert "trainer_ext.cli.main:main" in content[f"{INFO}/entry_points.txt"].decode()


def test_requirements_of_one_extra(built):
    lines = space.requirements(built[1], "demo")
    assert [line for line in lines if line.startswith("gradio")] == ["gradio<7,>=6.31"]
    assert any(line.startswith("transformers") for line in lines)
    assert not [line for line in lines if "extra" in line or line.startswith(("pytest", "onnx"))]


def test_no_local_path_is_inside(content):
    def mentions(files):
        return [name for name, value in files.items() if str(ROOT).encode() in value or b"file://" in value]

    assert not mentions({name: value for name, value in content.items() if name.startswith(INFO)})
    assert not [name for name, value in content.items() if str(ROOT).encode() in value]
    assert mentions({"direct_url.json": json.dumps({"url": ROOT.as_uri()}).encode()}), "the check must be able to fail"


def test_an_installed_package_builds_the_same_wheel(built, installed):
    place, name, digest = run(only(installed), BUILD_AGAIN).split()
    assert Path(place).is_relative_to(installed)
    assert (name, digest) == (built[0], hashlib.sha256(built[1]).hexdigest())


def test_an_installation_without_metadata_is_refused(checkout, monkeypatch):
    shutil.move(checkout / "space", checkout / "trainer_ext/space")
    monkeypatch.setattr(space, "distributions", lambda **_: [])
    with pytest.raises(InputError, match="install it with pip"):
        space.build_wheel()


@pytest.mark.parametrize("place", ["file", "installed"])
def test_it_can_be_imported(place, request):
    """Also from the archive itself; that models load from there is proved by the test of the page."""
    where = request.getfixturevalue(place)
    assert run(only(where), "import trainer_ext; print(trainer_ext.__file__)").strip() == str(
        where / "trainer_ext/__init__.py"
    )


def test_a_compact_model_loads_without_trusting_code(installed, tiny_model, cut, tmp_path):
    folder = write_pair(tmp_path, tiny_model, cut) / "compressed"
    origin, module, logits = json.loads(run(only(installed), OPEN, folder))
    assert Path(origin).is_relative_to(installed)
    assert module == "trainer_ext.models.compact.modeling_compact"
    with torch.inference_mode():
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        expected = model(torch.arange(2, 12)[None]).logits[0]
    torch.testing.assert_close(torch.tensor(logits), expected)


def test_the_project_names_every_package_and_every_file():
    """setuptools packs only what pyproject.toml lists; anything else would be missing after pip install."""
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    files = [path for folder in ("trainer_ext", "space") for path in (ROOT / folder).rglob("*") if path.is_file()]
    paths = [path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts]
    modules = {Path(path).parent.as_posix() for path in paths if path.endswith(".py")}
    packages = {name: name.replace(".", "/").replace("trainer_ext/space", "space") for name in tool["packages"]}
    assert modules == set(packages.values())
    assert tool["package-dir"] == {"trainer_ext.space": "space"}
    patterns = [f"{packages[name]}/{rule}" for name, rules in tool["package-data"].items() for rule in rules]
    others = [path for path in paths if not path.endswith((".py", "models.json"))]
    assert [path for path in others if not any(fnmatch.fnmatch(path, rule) for rule in patterns)] == []
