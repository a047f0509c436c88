"""Ground: a folder with one good thing of each kind, in which a row of the catalogue makes one of them bad."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save_file

from tests.helpers.commands import recipe_fields, write_recipe, write_task
from trainer_ext.utils.compat import TRANSFORMERS

WORDED = TRANSFORMERS >= (5, 23)  # before, transformers puts some refusals in other words
FILES_OF_A_MODEL = (
    "config.json",
    "model.safetensors",
    "modeling_compact.py",
    "tokenizer.json",
    "tokenizer_config.json",
)


@dataclass(frozen=True)
class Bad:
    """One bad input.

    Attributes:
        make: lays it down in a ground, and gives the words of the command line that reads it.
        says: what the one line on standard error must hold; the value among it.
        status: of the exit.
    """

    make: Callable[[Ground], list[Any]]
    says: tuple[str, ...]
    status: int = 2


@dataclass
class Ground:
    """Where a command finds its input, and where it would write.

    Attributes:
        root: the folder; the data are in `data/`.
        finished: a finished run, to be copied.
    """

    root: Path
    finished: Path
    out: Path = field(init=False)

    def __post_init__(self):
        self.out = self.root / "out"
        write_task(self.root / "data")

    def file(self, name: str, content: str | bytes) -> Path:
        """A file with this text, or these bytes."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return path

    def recipe(self, **changes: Any) -> list[Any]:
        """Compress by a good recipe with some fields changed."""
        fields = recipe_fields(self.root / "data", self.out) | changes
        return ["compress", write_recipe(self.root / "recipe.yaml", fields)]

    def recipe_text(self, text: str | bytes) -> list[Any]:
        """Compress by a recipe file that holds this."""
        return ["compress", self.file("recipe.yaml", text), "--output_dir", self.out]

    def data(self, *, train: str | bytes | None = None, test: str | bytes | None = None, **changes: Any) -> list[Any]:
        """Compress with other data files; the recipe is good."""
        for name, content in (("train", train), ("test", test)):
            if content is not None:
                self.file(f"data/{changes.get(f'{name}_file', f'{name}.csv')}", content)
        return self.recipe(**changes)

    def sweep(self, **changes: Any) -> list[Any]:
        """Sweep by a good file with some keys changed; None takes a key out."""
        self.recipe()
        values = {"base": "recipe.yaml", "output_dir": str(self.out), "axes": {"prune_sparsity": [0.25, 0.5]}}
        values = {key: value for key, value in {**values, **changes}.items() if value is not None}
        return ["sweep", self.file("sweep.yaml", yaml.safe_dump(values, sort_keys=False))]

    @property
    def run(self) -> Path:
        """A finished run."""
        if not (self.root / "run").exists():
            shutil.copytree(self.finished, self.root / "run")
        return self.root / "run"

    def model(self, part: str = "compressed") -> Path:
        """The folder of one of its models."""
        for name in FILES_OF_A_MODEL:
            if (self.finished / part / name).exists():
                (self.root / "model").mkdir(exist_ok=True)
                shutil.copy2(self.finished / part / name, self.root / "model" / name)
        return self.root / "model"


def change_json(file: Path, **changes: Any) -> Path:
    """Change fields of a JSON file; None stays None, and `...` takes a field out."""
    values = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps({name: value for name, value in values.items() if value is not ...}), encoding="utf-8")
    return file


def change_weights(file: Path, change: Callable[[dict], dict]) -> Path:
    """Write the tensors of a file anew, as `change` makes them of what they were."""
    save_file({name: value.contiguous() for name, value in change(load_file(file)).items()}, file, {"format": "pt"})
    return file


def listing(root: Path) -> dict[str, str]:
    """Every file, folder and link below a folder, with what it holds as a hash."""
    found = {}
    for path in sorted(root.rglob("*")):
        held = str(path.readlink()) if path.is_symlink() else "folder"
        if path.is_file():
            held = hashlib.sha256(path.read_bytes()).hexdigest()
        found[str(path.relative_to(root))] = held
    return found
