"""Which data and models a run reads: refuse models that cannot be opened, and tell other contents apart.

Two folders may have the same name, and files may change while their folder keeps its name. So a sweep remembers digests of
what its runs read. Nothing in them depends on where the files lie.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..models.loading import load_config, load_tokenizer
from ..models.stored_weights import weight_files
from ..pipeline.recipe import SCRATCH, Recipe
from ..tasks.registry import task_of

MODEL_FIELDS = ("model_name_or_path", "distill_teacher", "distill_teachers")
MODEL = "--model_name_or_path"
TEXT_FIELDS = ("texts", "vocab_corpus")
SELF = "self"  # the teacher that is the baseline
_ENDS = 2**20  # bytes at each end of a large file that are read
# Of the files beside the weights, those that say what a model computes.
_ABOUT_MODEL = ("config.json", "*token*.json", "vocab.*", "merges.txt", "*.model")


class Sources:
    """Compute what tells the contents of data and models apart; each file is read once.

    A name that is no file or folder, such as a Hub id, stands for itself.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Path, bool], str] = {}

    def of(self, recipe: Recipe) -> dict[str, str]:
        """Return a digest of what each field with a path names.

        Args:
            recipe: of a run; its files are there.

        Raises:
            InputError: A file cannot be read.
        """
        found = {}
        try:
            for field in (*MODEL_FIELDS, *TEXT_FIELDS):
                given = recipe.resolved.get(field)
                names = given if isinstance(given, list) else [given] if given else []
                if names:
                    found[field] = _joined(self._of_name(str(name), is_model=field in MODEL_FIELDS) for name in names)
            if recipe.data.data_dir:
                found["data_dir"] = _joined(self._of_file(file, whole=True) for file in _data_files(recipe))
        except OSError as error:
            raise InputError(f"{error.filename} cannot be read ({error.strerror}); give a file that can.") from error
        return found

    def _of_name(self, name: str, *, is_model: bool) -> str:
        if is_model and name in (SCRATCH, SELF):
            return name
        path = Path(name).expanduser()
        try:
            is_file, is_folder = path.is_file(), path.is_dir()
        except (OSError, ValueError):  # a name that no file can have
            return name
        if is_file:
            return self._of_file(path, whole=not is_model)
        if not is_folder:
            return name
        if not is_model:
            return _joined(self._of_file(file, whole=False) for file in sorted(path.rglob("*")) if file.is_file())
        about = sorted({file for pattern in _ABOUT_MODEL for file in path.glob(pattern) if file.is_file()})
        return _joined(
            [
                *(self._of_file(file, whole=True) for file in about),
                *(self._of_file(file, whole=False) for file in weight_files(path)),
            ]
        )

    def _of_file(self, file: Path, *, whole: bool) -> str:
        """Return a digest of the name and the size of a file with its content, or with both ends of its content."""
        key = file.resolve(), whole
        if key not in self._known:
            size = file.stat().st_size
            with file.open("rb") as opened:
                if whole:
                    content = hashlib.file_digest(opened, "sha256")
                else:
                    content = hashlib.sha256(opened.read(_ENDS))
                    opened.seek(max(0, size - _ENDS))
                    content.update(opened.read(_ENDS))
            self._known[key] = _joined([str(size), content.hexdigest()])
        return _joined([file.name, self._known[key]])


def check_models(recipes: Iterable[Recipe]) -> None:
    """Refuse a model or a teacher that cannot be opened; its weights are not read.

    Args:
        recipes: of all runs.

    Raises:
        InputError: The config or the tokenizer of a model, or the config of a teacher, cannot be read.
    """
    seen: set[tuple[str, str]] = set()
    for recipe in recipes:
        asked = [("distill_teacher", name) for name in recipe.training.teacher_names if name != SELF]
        if not recipe.from_scratch:
            asked.insert(0, (MODEL, str(recipe.model.model_name_or_path)))
        for option, name in asked:
            if (option, name) in seen:
                continue
            seen.add((option, name))
            way_out = "give a folder or a Hub id that can be reached"
            load_config(name, option=option, way_out=way_out)
            if option == MODEL:
                load_tokenizer(name, way_out=way_out, **dict(task_of(recipe.data).tokenizer))


def _data_files(recipe: Recipe) -> list[Path]:
    """Return the files in `data_dir` that a recipe reads, as `load_data` finds them."""
    data = recipe.data
    folder = Path(data.data_dir or "").expanduser()
    train = [name for name in data.train_files if (folder / name).is_file()][:1]
    names = [
        *(train if data.texts is None else []),
        *([] if data.test_share else [data.test_file]),
        *data.more_test_files,
    ]
    return [folder / name for name in names if (folder / name).is_file()]


def _joined(parts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
