"""The files of a Space: the page, its models, its front matter and its requirements."""

import json
import re

import pytest
import yaml
from packaging.requirements import Requirement

from trainer_ext.errors import InputError
from trainer_ext.hub import space
from trainer_ext.hub.space import page_files, space_files, space_folder

IDS = {"space_id": "user/news-demo", "baseline": "user/news", "compressed": "user/news-small"}


def front_matter(files):
    block, rest = re.fullmatch(r"---\n(.*?)\n---\n(.*)", files["README.md"].decode(), re.DOTALL).groups()
    return yaml.safe_load(block), rest


def requirements(files):
    """What pip is asked for, and the comments."""
    lines = files["requirements.txt"].decode().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    return [Requirement(line) for line in lines if not line.startswith("#")], comments


def test_the_same_arguments_give_the_same_bytes():
    assert space_files(**IDS) == space_files(**IDS)
    assert space_files(**IDS) != space_files(**IDS | {"baseline": "user/other"})


def test_it_holds_the_page_the_models_and_the_wheel():
    files = space_files(**IDS)
    name, content = space.build_wheel()
    assert files.keys() == page_files().keys() | {"models.json", name}
    assert files[name] == content
    assert json.loads(files["models.json"]) == {"baseline": "user/news", "compressed": "user/news-small"}
    assert {path: files[path] for path in files if path.endswith((".py", ".css"))} == {
        path.relative_to(space_folder()).as_posix(): path.read_bytes()
        for path in space_folder().rglob("*")
        if path.suffix in (".py", ".css")
    }


def test_the_page_may_have_folders(tmp_path, monkeypatch):
    for name in ("app.py", "tabs/text.py", "tabs/__pycache__/text.pyc", "models.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(space, "space_folder", lambda: tmp_path)
    assert page_files() == {"app.py": b"app.py", "tabs/text.py": b"tabs/text.py"}
    monkeypatch.setattr(space, "space_folder", lambda: tmp_path / "missing")
    with pytest.raises(FileNotFoundError, match="install trainer_ext again"):
        page_files()


@pytest.mark.parametrize(
    "title",
    ["बातम्या: आधी आणि नंतर", "A \"quoted\" 'title'", "yes", "- list: [a, {b", "two\nlines ---\n", "# no comment"],
)
def test_any_title_is_valid_in_the_front_matter(title):
    fields, rest = front_matter(space_files(**IDS, title=title))
    assert fields["title"] == title
    assert fields["sdk"] == "gradio"
    assert rest.lstrip().startswith("# Before and after compression")


def test_the_front_matter_of_a_public_space():
    fields, rest = front_matter(space_files(**IDS, license="apache-2.0", hardware="zero-a10g"))
    assert fields["models"] == fields["preload_from_hub"] == ["user/news", "user/news-small"]
    assert (fields["license"], fields["suggested_hardware"]) == ("apache-2.0", "zero-a10g")
    assert fields["python_version"] == "3.12"  # text: the number 3.10 would be 3.1
    assert fields["app_file"] in page_files()
    assert len(fields["short_description"]) <= 60
    gradio = next(
        found
        for found in map(Requirement, space.requirements(space.build_wheel()[1], "demo"))
        if found.name == "gradio"
    )
    assert gradio.specifier.contains(fields["sdk_version"])
    assert fields["sdk_version"].count(".") == 2
    assert "USER/NAME" not in rest
    assert 'Client("user/news-demo")' in rest


def test_settings_that_are_not_given_are_left_out():
    fields, _ = front_matter(space_files(**IDS))
    assert not {"license", "suggested_hardware"} & fields.keys()
    assert fields["title"] == "news-small: before and after"


def test_a_public_space_installs_the_wheel_by_its_address():
    files = space_files(**IDS, endpoint="http://127.0.0.1:99/")
    (package,), _ = requirements(files)
    name = space.build_wheel()[0]
    assert (package.name, package.extras) == ("trainer-ext", {"demo"})
    assert package.url == f"http://127.0.0.1:99/spaces/user/news-demo/resolve/main/{name}"


def test_a_new_wheel_of_the_same_name_makes_another_requirements_file(monkeypatch):
    """The Hub installs again only if this file changes."""
    before = space_files(**IDS)
    name, content = space.build_wheel()
    monkeypatch.setattr(space, "build_wheel", lambda: (name, content + b"x"))
    assert space_files(**IDS)["requirements.txt"] != before["requirements.txt"]


def test_a_private_space_needs_no_address_that_pip_cannot_download():
    files = space_files(**IDS, private=True)
    found, comments = requirements(files)
    assert not any(one.url for one in found)
    assert {"gradio", "torch", "transformers"} <= {one.name for one in found}
    assert "trainer-ext" not in {one.name for one in found}
    assert any(space.build_wheel()[0] in comment for comment in comments)
    assert "preload_from_hub" not in front_matter(files)[0]


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("hardware", [None, "cpu-basic", "zero-a10g"])
def test_torch_is_not_pinned(hardware, private):
    files = space_files(**IDS, hardware=hardware, private=private)
    assert b"index-url" not in files["requirements.txt"]
    assert "==" not in str([one.specifier for one in requirements(files)[0] if one.name == "torch"])


def test_no_token_is_inside(monkeypatch):
    token = "hf_" + "Planted" * 5
    monkeypatch.setenv("HF_TOKEN", token)
    files = space_files(**IDS, private=True)
    assert not [name for name, content in files.items() if token.encode() in content]


@pytest.mark.parametrize("field", IDS)
@pytest.mark.parametrize("value", ["", "/somewhere/runs/baseline", "a/b/c", "user/na me", "user/x\ny: z"])
def test_an_invalid_id_is_refused(field, value):
    with pytest.raises(InputError, match=f"{field}=.*give USER/NAME"):
        space_files(**IDS | {field: value})
