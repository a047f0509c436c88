"""Calls of the real client in a child process: `python hub_client.py NAME JSON` runs one function and prints its result.

In a child, because the client reads its settings when it is imported, and in the tests they say "offline".
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def ask(hub, home: Path, name: str, *, without: str = "", **arguments):
    """Run a function of this file or of hub_models in a child process that uses this Hub, and return its result.

    `without` is a variable of `LoopbackHub.environment` that the child does not get.
    """
    environment = {**os.environ, **hub.environment(home), "PYTHONPATH": os.getcwd(), "OMP_NUM_THREADS": "1"}
    environment.pop(without, None)
    command = [sys.executable, "-W", "error::ResourceWarning", __file__, name, json.dumps(arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def refused(function, *args, **kwargs) -> list:
    """Return exception, status and message of a call that must fail."""
    try:
        function(*args, **kwargs)
    except Exception as error:
        response = getattr(error, "response", None)
        return [type(error).__name__, getattr(response, "status_code", None), str(error)]
    raise AssertionError("it did not fail")


def repositories():
    """Create, describe, hide, show and delete repositories."""
    from huggingface_hub import HfApi

    api = HfApi()
    found = {"who": api.whoami()["name"], "url": str(api.create_repo("user/a"))}
    found["again"] = refused(api.create_repo, "user/a")
    found["exist_ok"] = api.create_repo("a", exist_ok=True).repo_id
    found["foreign"] = refused(api.create_repo, "somebody/a")
    info = api.model_info("user/a", files_metadata=True)
    found["info"] = [info.id, info.private, len(info.sha), [s.size > 100 for s in info.siblings]]
    found["revision"] = api.model_info("user/a", revision=info.sha[:8]).sha == info.sha
    api.create_repo("user/hidden", private=True)
    found["hidden"] = api.model_info("user/hidden").private
    found["hidden from strangers"] = refused(HfApi(token=False).model_info, "user/hidden")
    api.update_repo_settings("user/hidden", private=False)
    found["shown"] = HfApi(token=False).model_info("user/hidden").private
    api.auth_check("user/a", write=True)
    api.delete_repo("user/a")
    found["deleted"] = refused(api.model_info, "user/a")
    found["delete again"] = refused(api.delete_repo, "user/a")
    api.delete_repo("user/a", missing_ok=True)
    return found


def uploads(folder):
    """Upload a folder, the same again and with changes, and download it."""
    from huggingface_hub import HfApi, snapshot_download

    api, folder = HfApi(), Path(folder)
    api.create_repo("user/a")
    first = api.upload_folder(repo_id="user/a", folder_path=folder)
    second = api.upload_folder(repo_id="user/a", folder_path=folder)
    found = {"same commit": first.oid == second.oid}
    snapshot = Path(snapshot_download("user/a"))
    files = [path for path in folder.rglob("*") if path.is_file()]
    found["down"] = all((snapshot / f.relative_to(folder)).read_bytes() == f.read_bytes() for f in files)
    found["sha"] = snapshot.name == first.oid
    found["folder"] = [row.path for row in api.list_repo_tree("user/a")]
    found["below"] = [row.path for row in api.list_repo_tree("user/a", "onnx")]
    found["no folder"] = refused(lambda: list(api.list_repo_tree("user/a", "none")))
    large, small, nothing = (api.get_paths_info("user/a", p) for p in ("model.safetensors", "config.json", "no"))
    found["paths"] = [large[0].lfs.size, small[0].lfs, nothing]

    (folder / "config.json").write_text('{"changed": true}')
    (folder / "notes.txt").unlink()
    third = api.upload_folder(repo_id="user/a", folder_path=folder, delete_patterns=["*.txt"], commit_message="third")
    found["after deletion"] = sorted(api.list_repo_files("user/a"))
    found["left at the first"] = "notes.txt" in api.list_repo_files("user/a", revision=first.oid)
    found["pages"] = {row.path: row.last_commit.title for row in api.list_repo_tree("user/a", "many", expand=True)}
    found["last"] = {row.path: row.last_commit.title for row in api.list_repo_tree("user/a", expand=True)}
    found["commits"] = [commit.title for commit in api.list_repo_commits("user/a")]

    sent = {"path_or_fileobj": b"1", "path_in_repo": "a.txt", "repo_id": "user/a"}
    found["outdated"] = refused(api.upload_file, parent_commit=first.oid, **sent)
    api.upload_file(parent_commit=third.oid, **sent)
    api.upload_file(path_or_fileobj=folder / "model.safetensors", path_in_repo="same.bin", repo_id="user/a")
    return found


def refs():
    """Use branches, tags, copies, deletions and `.gitignore`."""
    from huggingface_hub import CommitOperationCopy, HfApi

    api, found = HfApi(), {}
    api.create_repo("user/a")
    start = api.model_info("user/a").sha
    api.create_branch("user/a", branch="checkpoints")
    api.create_branch("user/a", branch="checkpoints", exist_ok=True)
    found["branch again"] = refused(api.create_branch, "user/a", branch="checkpoints")
    there = {"repo_id": "user/a", "revision": "checkpoints"}
    api.upload_file(path_or_fileobj=b"x" * 99, path_in_repo="sub/step.pt", **there)
    copy = CommitOperationCopy(src_path_in_repo="sub/step.pt", path_in_repo="copy.pt")
    api.create_commit(operations=[copy], commit_message="copied", **there)
    api.delete_folder("sub", **there)
    api.upload_file(path_or_fileobj=b"*.log\n", path_in_repo=".gitignore", **there)
    api.upload_file(path_or_fileobj=b"1", path_in_repo="left.log", **there)
    found["on the branch"] = api.list_repo_files("user/a", revision="checkpoints")
    found["on main"] = api.list_repo_files("user/a")
    found["missing"] = refused(api.delete_file, "never.txt", "user/a")
    api.create_tag("user/a", tag="v1")
    listed = api.list_repo_refs("user/a")
    found["refs"] = [
        sorted(b.name for b in listed.branches),
        [[t.name, t.target_commit == start] for t in listed.tags],
    ]
    found["tagged"] = api.model_info("user/a", revision="v1").sha == start
    api.delete_tag("user/a", tag="v1")
    found["no tag"] = refused(api.model_info, "user/a", revision="v1")
    api.delete_branch("user/a", branch="checkpoints")
    found["no branch"] = refused(api.delete_branch, "user/a", branch="checkpoints")
    found["main stays"] = refused(api.delete_branch, "user/a", branch="main")
    return found


def refusals(reader, other):
    """Try everything that these tokens, or all tokens, may not do."""
    from huggingface_hub import HfApi, hf_hub_download

    api, content = HfApi(), {"path_or_fileobj": b"{}", "path_in_repo": "config.json"}
    api.create_repo("user/a")
    api.create_repo("user/hidden", private=True)
    api.upload_file(repo_id="user/hidden", path_or_fileobj=b"w" * 64, path_in_repo="model.safetensors")
    found = {}
    for name, token in (("wrong", "hf_wrong"), ("reader", reader), ("other", other), ("none", False)):
        who = HfApi(token=token)
        found[name] = {
            "create": refused(who.create_repo, "user/new"),
            "upload": refused(who.upload_file, repo_id="user/a", **content),
            "delete": refused(who.delete_repo, "user/a"),
        }
        if name != "reader":
            get = {"filename": "model.safetensors", "token": token}
            found[name]["hidden"] = refused(who.model_info, "user/hidden")
            found[name]["hidden file"] = refused(hf_hub_download, "user/hidden", **get)
    found["reader sees"] = Path(hf_hub_download("user/hidden", "model.safetensors", token=reader)).read_text()
    found["other's own"] = HfApi(token=other).create_repo("other/a").repo_id
    found["whoami"] = refused(HfApi(token="hf_wrong").whoami)
    found["revision"] = refused(hf_hub_download, "user/a", "config.json", revision="no-branch")
    found["upload to no branch"] = refused(api.upload_file, repo_id="user/a", revision="no-branch", **content)
    found["entry"] = refused(hf_hub_download, "user/a", "no.json")
    found["no repository"] = refused(api.upload_file, repo_id="user/none", **content)
    found["one part"] = refused(api.model_info, "bert-base-uncased")
    found["pull request"] = refused(api.upload_file, repo_id="user/a", create_pr=True, **content)
    leak = f"token = {os.environ['HF_TOKEN']}".encode()
    found["leak"] = refused(api.upload_file, path_or_fileobj=leak, path_in_repo="notes.md", repo_id="user/a")
    api.upload_file(path_or_fileobj=leak, path_in_repo="training_args.bin", repo_id="user/a")
    for name, card in (("yaml", "tags: [a"), ("type", "tags: 3"), ("fine", "tags: [a]")):
        sent = {"path_or_fileobj": f"---\n{card}\n---\n".encode(), "path_in_repo": "README.md", "repo_id": "user/a"}
        found[f"card {name}"] = api.upload_file(**sent).oid if name == "fine" else refused(api.upload_file, **sent)
    return found


def spaces(other):
    """Create a Space with hardware, a secret and a variable."""
    from huggingface_hub import HfApi

    api = HfApi()
    made = api.create_repo(
        "user/demo",
        repo_type="space",
        space_sdk="gradio",
        space_hardware="zero-a10g",
        private=True,
        space_secrets=[{"key": "FIRST", "value": "first-secret-value"}],
    )
    found = {"url": str(made), "runtime": api.get_space_runtime("user/demo").requested_hardware}
    api.upload_file(path_or_fileobj=b"print()", path_in_repo="app.py", repo_id="user/demo", repo_type="space")
    found["stage"] = api.space_info("user/demo").runtime.stage
    found["files"] = api.list_repo_files("user/demo", repo_type="space")
    found["hardware"] = api.request_space_hardware("user/demo", "cpu-upgrade", sleep_time=300).requested_hardware
    found["sleep"] = api.set_space_sleep_time("user/demo", 600).sleep_time
    api.add_space_secret("user/demo", "SECOND", "second-secret-value", description="for the models")
    found["secrets"] = {key: secret.description for key, secret in api.get_space_secrets("user/demo").items()}
    api.delete_space_secret("user/demo", "SECOND")
    found["one secret"] = list(api.get_space_secrets("user/demo"))
    api.add_space_variable("user/demo", "MODEL", "user/a")
    found["variables"] = {key: item.value for key, item in api.get_space_variables("user/demo").items()}
    found["no variables"] = api.delete_space_variable("user/demo", "MODEL")
    found["paused"] = api.pause_space("user/demo").stage
    found["restarted"] = api.restart_space("user/demo").stage
    found["stranger"] = refused(HfApi(token=other).get_space_runtime, "user/demo")
    return found


def attempt(names):
    """Run the steps in `names`: upload a regular file of 3 MB or a large one of 12 MB, download it, and others."""
    from huggingface_hub import HfApi, hf_hub_download

    api = HfApi()
    steps = {
        "create": lambda: str(api.create_repo("user/a", exist_ok=True)),
        "create space": lambda: str(api.create_repo("user/s", repo_type="space", space_sdk="gradio", exist_ok=True)),
        "text": lambda: api.upload_file(repo_id="user/a", path_or_fileobj=b"t" * 3_000_000, path_in_repo="a.txt").oid,
        "weights": lambda: (
            api.upload_file(repo_id="user/a", path_or_fileobj=b"w" * 12_000_000, path_in_repo="a.bin").oid
        ),
        "down": lambda: Path(hf_hub_download("user/a", "a.bin")).stat().st_size,
        "whoami": lambda: api.whoami()["name"],
    }
    results = []
    for name in names:
        try:
            results.append(steps[name]())
        except Exception as error:
            results.append(
                [type(error).__name__, getattr(getattr(error, "response", None), "status_code", None), str(error)]
            )
    return results


if __name__ == "__main__":
    from tests.hub.loopback import hub_models

    function = globals().get(sys.argv[1]) or vars(hub_models)[sys.argv[1]]
    print(json.dumps(function(**json.loads(sys.argv[2]))))
