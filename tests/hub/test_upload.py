"""Push: the verified model is published and nothing else; a second push changes nothing; errors lose nothing."""

import json
import shutil

import pytest
from huggingface_hub import HfApi

from tests.helpers.publishing import CLIENT_WARNS, QUIET, make_run, run_python
from trainer_ext.errors import CheckFailed, HubError, InputError
from trainer_ext.hub.plan import PushOptions
from trainer_ext.hub.staging import CARD
from trainer_ext.hub.upload import push

REPO = "user/small"
pytestmark = [CLIENT_WARNS, pytest.mark.slow, pytest.mark.usefixtures("client_here")]


def publish(run, **options):
    return push(run, REPO, PushOptions(**options), console=QUIET)


# Loads a model by its name, as any user would, and prints the logits of a text.
LOAD = """
import json, sys, torch
repo, how = sys.argv[1:]
if how == "package":
    import trainer_ext
else:
    sys.modules["trainer_ext"] = None
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
flags = {"trust_remote_code": True} if how == "flag" else {}
model = AutoModelForSequenceClassification.from_pretrained(repo, **flags).eval()
tokenizer = AutoTokenizer.from_pretrained(repo, **flags)
with torch.inference_mode():
    logits = model(**tokenizer("more mango for everyone", return_tensors="pt")).logits
label = pipeline("text-classification", repo, **flags)("more mango for everyone")[0]["label"]
print(json.dumps([logits.tolist(), label]))
"""


@pytest.mark.parametrize(
    ("structure", "ways"), [("compact", ("flag", "package")), ("plain", ("stock",))], ids=["compact", "plain"]
)
def test_a_stranger_gets_the_same_model(structure, ways, finished_run, tmp_path, hub):
    run = (
        finished_run
        if structure == "compact"
        else make_run(tmp_path / "plain", prune_structure="plain", prune_sparsity=0.4)
    )
    shutil.copytree(run, tmp_path / "run")
    publish(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    offline = {"HF_HUB_OFFLINE": "1"}
    expected = run_python(
        LOAD, run / "compressed", "package", environment=offline, cwd=tmp_path / "empty", package=True
    )
    for way in ways:
        environment = hub.environment(tmp_path / way)
        found = run_python(LOAD, REPO, way, environment=environment, cwd=tmp_path / "empty", package=way == "package")
        assert found == expected


def test_what_was_uploaded(run, hub):
    (run / "compressed/notes.txt").write_text("private")
    (run / "compressed/training_args.bin").write_bytes(b"pickle")
    done = publish(run, license="mit", language=("mr",), private=True)
    files = hub.files(REPO)
    assert files.keys() - {".gitattributes"} == {
        *("README.md", "compression.json", "config.json", "model.safetensors", "modeling_compact.py"),
        *("parameters.svg", "tokenizer.json", "tokenizer_config.json"),
    }
    assert files["model.safetensors"] == (run / "compressed/model.safetensors").read_bytes()
    assert json.loads(files["compression.json"])["model"]["compressed"] == REPO
    assert done.addresses == {"model": f"{hub.url}/{REPO}"}
    assert HfApi().model_info(REPO).private
    assert b"license: mit" in files[CARD]
    assert str(run).encode() not in b"".join(hub.uploaded)


def test_the_second_push_changes_nothing(run, hub):
    publish(run)
    before = hub.files(REPO), len(hub.commits(REPO))
    publish(run)
    assert (hub.files(REPO), len(hub.commits(REPO))) == before


def test_edits_on_the_hub_are_kept(run, hub):
    publish(run)
    api = HfApi()
    words = hub.files(REPO)[CARD].decode() + "\n## Ask us\n\nमाहिती: write to the library.\n"
    api.upload_file(path_or_fileobj=words.encode(), path_in_repo=CARD, repo_id=REPO)
    api.upload_file(path_or_fileobj=b"<svg/>", path_in_repo="logo.svg", repo_id=REPO)
    api.upload_file(path_or_fileobj=b"old", path_in_repo="onnx/model.onnx", repo_id=REPO)
    publish(run, language=("mr",))
    files = hub.files(REPO)
    assert "माहिती: write to the library." in files[CARD].decode()
    assert "language" in files[CARD].decode()
    assert files["logo.svg"] == b"<svg/>"
    assert "onnx/model.onnx" not in files, "it is from another publication"


def test_local_edits_after_the_last_push_are_kept(run, hub):
    publish(run)
    card = run / "compressed" / CARD
    card.write_text(card.read_text("utf-8") + "\nWritten here.\n", "utf-8")
    publish(run)
    assert "Written here." in hub.files(REPO)[CARD].decode()
    HfApi().upload_file(path_or_fileobj=hub.files(REPO)[CARD] + b"\nWritten there.\n", path_in_repo=CARD, repo_id=REPO)
    card.write_text(card.read_text("utf-8") + "\nWritten here again.\n", "utf-8")
    with pytest.raises(InputError, match="--card"):
        publish(run)
    publish(run, card="hub")
    assert "Written there." in hub.files(REPO)[CARD].decode()


def test_after_an_error_a_second_push_finishes_the_upload(run, hub):
    before = {file: file.read_bytes() for file in run.rglob("*") if file.is_file()}
    fault = hub.fail("POST", "/commit/", status=500)
    with pytest.raises(HubError, match="repeat the same command"):
        publish(run)
    assert fault.happened
    assert {file: file.read_bytes() for file in run.rglob("*") if file.is_file()} == before
    publish(run)
    assert hub.files(REPO)["model.safetensors"] == (run / "compressed/model.safetensors").read_bytes()


def test_a_private_space_gets_its_token_as_a_secret(run, hub):
    space = {"space": "user/demo", "private": True}
    hub.fail("POST", "repos/create", status=402, message="PRO only")
    with pytest.raises(InputError, match="python space/app.py"):
        publish(run, **space)
    assert hub.repositories == [], "the Space is asked for first, so nothing was sent"
    assert any("--space-token" in note for note in publish(run, **space).notes)
    token = hub.add_token(role="read")
    assert not any("--space-token" in note for note in publish(run, **space, secret=token).notes)
    files = hub.files("user/demo", repo_type="space")
    assert "resolve/main" not in files["requirements.txt"].decode(), "pip could not fetch the wheel"
    assert [*HfApi().get_space_secrets("user/demo")] == ["HF_TOKEN"]
    assert token.encode() not in b"".join(hub.uploaded)
    assert HfApi().model_info(f"{REPO}-baseline").private


def test_another_model_is_not_overwritten(run, hub):
    api = HfApi()
    api.create_repo(REPO)
    api.upload_file(path_or_fileobj=b"theirs", path_in_repo="model.safetensors", repo_id=REPO)
    with pytest.raises(InputError, match="--overwrite"):
        publish(run)
    assert hub.files(REPO)["model.safetensors"] == b"theirs"
    publish(run, overwrite=True)
    assert hub.files(REPO)["model.safetensors"] != b"theirs"


def test_weights_that_changed_after_the_run_are_refused(run, hub):
    weights = run / "compressed/model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-3] ^= 0x40  # a bit of the last number
    weights.write_bytes(content)
    with pytest.raises(CheckFailed, match="does not hold"):
        publish(run)
    assert not [request for request in hub.requests if "/commit/" in request.path]


@pytest.mark.parametrize("name", ["small", "user/", "user/a/b", "user/a b", "../x", "user/-x"])
def test_invalid_names_are_refused(name, run, hub):
    with pytest.raises(InputError):
        push(run, name, PushOptions(), console=QUIET)


@pytest.mark.parametrize("place", ["config.json", "tokenizer_config.json", "tokenizer.json"])
def test_a_token_in_a_file_is_refused(place, run, hub):
    file, token = run / "compressed" / place, "hf_" + "Zq7" * 12
    values = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**values, "note": token}), "utf-8")
    with pytest.raises(InputError, match=f"{place} holds a Hugging Face token") as error:
        publish(run)
    assert token not in str(error.value)
    assert token.encode() not in b"".join(hub.uploaded)
