"""Publication: the folder that goes to the Hub, put together from a run; what is not named here never goes up."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from . import report
from .errors import InputError
from .files import write_json
from .report import CompressionReport
from .run_directory import RunDirectory

# Everything that a published model may consist of, by its path in the repository. No pickle is among them.
MODEL_FILES = (
    *("config.json", "*.safetensors", "*.safetensors.index.json", "modeling_compact.py"),
    *(
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
    ),
    *("vocab.txt", "vocab.json", "merges.txt", "*.model"),
)
EXPORTS = {
    "onnx": ("*.onnx", "*.onnx_data", "config.json", "tokenizer.json", "classify.py"),
    "openvino": ("*.xml", "*.bin", "config.json", "tokenizer.json", "classify.py"),
}
CARD, PICTURE = "README.md", "parameters.svg"
# What transformers notes down of where something was opened.
WHEREABOUTS = ("_name_or_path", "name_or_path", "tokenizer_file", "is_local", "local_files_only")


@dataclass(frozen=True)
class Source:
    """What is to be published: the folder of a model, and the report on it."""

    folder: Path
    report: CompressionReport
    run: RunDirectory | None  # None for a folder that a trainer filled

    @property
    def root(self) -> Path:
        """The folder that the user named."""
        return self.run.root if self.run else self.folder

    @property
    def is_baseline(self) -> bool:
        """Whether this is the model that the compressed one is compared with."""
        return self.run is not None and self.folder == self.run.baseline

    @property
    def baseline(self) -> Source:
        """The other model of a run."""
        return replace(self, folder=self.run.baseline)


def find_source(path: str | Path) -> Source:
    """A finished run, or the folder to which a `DistillPruneTrainer` wrote its model and report.

    Raises:
        InputError: neither lies there; the message says what does.
    """
    run = RunDirectory(Path(path).expanduser())
    if not run.root.is_dir():
        raise InputError(f"There is no folder {run.root}; name a finished run.")
    if not run.report.exists():
        if run.recipe.exists():
            raise InputError(f"{run.root} is a run that is not finished; continue it with compress --resume.")
        raise InputError(f"{run.root} holds no run (no {report.FILE_NAME}); make one with trainer-ext compress.")
    numbers = report.load(run.root)
    if (run.compressed / "config.json").is_file():
        return Source(run.compressed, numbers, run)
    if (run.root / "config.json").is_file():
        return Source(run.root, numbers, None)
    raise InputError(f"{run.root} holds a report, but no model (no compressed/ and no config.json).")


def files_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """`(published, left out)`: the files of a model's folder, relative to it and sorted.

    Links that lead out of the folder are left out.
    """
    published, left_out = [], []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            part = file.relative_to(folder)
            inside = file.resolve().is_relative_to(folder.resolve())
            (published if inside and _belongs(part) else left_out).append(part)
    return published, left_out


def stage(source: Source, target: Path) -> list[Path]:
    """Copy what is published of a model into an empty folder, without what tells of this machine.

    Weights are linked where the file system can, else copied.

    Args:
        source: the model.
        target: the folder to fill; made if absent.

    Returns:
        The files that were left out, relative to the model's folder.

    Raises:
        InputError: there are no weights among what is published.
    """
    published, left_out = files_of(source.folder)
    if not any(part.suffix == ".safetensors" for part in published):
        raise InputError(
            f"{source.folder} has no weights to publish, no model.safetensors that lies in it (links to elsewhere and pickles "
            "do not go up)."
        )
    for part in published:
        copy = target / part
        if part.name in ("config.json", "tokenizer_config.json"):
            write_json(copy, _anonymous(json.loads((source.folder / part).read_text(encoding="utf-8"))))
        else:
            link(source.folder / part, copy)
    return [part for part in left_out if part.name not in (CARD, PICTURE, report.FILE_NAME)]


def published_report(source: Source) -> CompressionReport:
    """The report without exports of another model and of files that are not there."""
    numbers = source.report
    here = [export for export in numbers.exports if export.path.partition("/")[0] == source.folder.name]
    exports = [export for export in here if (source.folder / export.path.partition("/")[2]).exists()]
    return replace(numbers, exports=exports)


def stale(remote: Iterator[str], folder: Path) -> list[str]:
    """Files of an earlier publication that the folder no longer holds: to be deleted on the Hub.

    Args:
        remote: paths in the repository.
        folder: what is about to go up.
    """
    return [name for name in remote if _replaced(Path(name)) and not (folder / name).exists()]


def link(source: Path, target: Path) -> None:
    """The same file under another name, where the file system can; else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, target)


def _belongs(part: Path) -> bool:
    if len(part.parts) == 1:
        return any(fnmatch(part.name, pattern) for pattern in MODEL_FILES)
    return len(part.parts) == 2 and any(fnmatch(part.name, pattern) for pattern in EXPORTS.get(part.parts[0], ()))


def _replaced(part: Path) -> bool:
    """Whether a file on the Hub is one that a publication writes, or the pickles that it exists to avoid."""
    return _belongs(part) or part.name in (PICTURE, "training_args.bin") or part.name.startswith("pytorch_model")


def _anonymous(values: dict) -> dict:
    return {name: value for name, value in values.items() if name not in WHEREABOUTS}
