"""Export a model to files that run without torch, and check each file against the model before it is kept.

To add a format, add a row to `FORMATS`. Its `write` function belongs to the module of its runtime (`onnx.py`,
`openvino.py`). A new runtime also needs a row in `models/runtimes.py`, which opens the file, and one in
`classify_script.py`. The command line, the checks and the report then know the format by its name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .. import report
from ..benchmark.size import weight_bytes
from ..data.records import listed
from ..errors import ExportRefused, InputError
from ..models.runtimes import open_runtime
from ..report.run_directory import RunDirectory
from ..report.schema import Export
from ..report.tables import BUSY_NOTE, findings
from ..tasks.evaluate import Answers
from ..utils.files import scratch_in, writing_to
from ..utils.imports import require
from ..utils.progress import progress_bar
from . import onnx, openvino, repair
from .classify_script import write_usage
from .onnx import quantise_onnx, write_onnx
from .openvino import quantise_openvino, quietly, write_openvino
from .source import ExportSource, model_folder, open_source
from .verify import Findings, check_exact, check_quality, judged_answers, judged_rows, judged_split, run_model


@dataclass(frozen=True)
class Format:
    """One file format.

    Attributes:
        name: name on the command line and in reports.
        file: path below the folder of the model.
        needs: modules of optional packages.
        write: `write(source, file, exact, keep)` writes the model to `file`. Its argument `exact` is the
            fp32 file to quantize, or `file` itself for an fp32 format; `keep` names what stays in fp32.
        exact: name of the format that it is quantized from; None if it is exact itself.
        companions: suffixes of further files that belong to it.
        calibrated: whether quantization needs texts.
        damages: `damages(source, exact, file)` measures what each int8 matrix of `file` does to the logits: a function
            by the name of its module. From these names those to keep in fp32 are chosen.
    """

    name: str
    file: str
    needs: tuple[str, ...]
    write: Callable[[ExportSource, Path, Path, Sequence[str]], None]
    exact: str | None = None
    companions: tuple[str, ...] = ()
    calibrated: bool = False
    damages: Callable[[ExportSource, Path, Path], dict[str, Callable[[], float]]] = lambda source, exact, file: {}

    def files(self, folder: Path) -> list[Path]:
        """Return the files of the format below the folder of a model; the one to open is the last."""
        main = folder / self.file
        return [*(main.with_suffix(ending) for ending in self.companions), main]


FORMATS = {
    row.name: row
    for row in (
        Format(
            "onnx",
            "onnx/model.onnx",
            ("onnx", "onnxruntime"),
            lambda source, file, _, keep: write_onnx(source.traceable(), file),
        ),
        Format(
            "onnx-int8",
            "onnx/model_int8.onnx",
            ("onnx", "onnxruntime"),
            lambda source, file, exact, keep: quantise_onnx(exact, file, keep),
            exact="onnx",
            damages=lambda source, exact, file: repair.damages(
                source, repair.matrices(source.model, onnx.int8_nodes(file))
            ),
        ),
        Format(
            "openvino",
            "openvino/openvino_model.xml",
            ("openvino",),
            lambda source, file, _, keep: write_openvino(source.traceable(), file),
            companions=(".bin",),
        ),
        Format(
            "openvino-int8",
            "openvino/openvino_model_int8.xml",
            ("openvino", "nncf"),
            lambda source, file, exact, keep: quantise_openvino(exact, file, source.calibration_batches(), keep),
            exact="openvino",
            companions=(".bin",),
            calibrated=True,
            damages=lambda source, exact, file: openvino.damages(
                exact, source.calibration_batches(), repair.ranking_batches(source)
            ),
        ),
    )
}


def usable_formats(names: Sequence[str], option: str = "--format") -> list[Format]:
    """Return the formats with these names.

    Args:
        names: names of `FORMATS`.
        option: where they were given, for the error.

    Raises:
        InputError: A name is unknown or none is given, or a package that writes the format is not installed.
    """
    unknown = [name for name in names if name not in FORMATS]
    if unknown or not names:
        raise InputError(f"{option} is {listed(unknown) or 'not given'}; it must be one of {listed(FORMATS)}.")
    chosen = [row for name, row in FORMATS.items() if name in names]
    with quietly():
        for module in dict.fromkeys(module for row in chosen for module in row.needs):
            require(module, extra="export")
    return chosen


def export(
    path: str | Path,
    formats: Sequence[str],
    *,
    data_dir: str | None = None,
    calibration: str | Path | None = None,
    calibration_rows: int = 300,
    max_drop: float = 0.01,
    force: bool = False,
    console: Console | None = None,
    answers: Answers | None = None,
) -> list[report.Export]:
    """Export a model below its folder, check each file, and add the results to the report of the run.

    Args:
        path: a finished run (for its compressed model), one of its two models (`RUN/baseline` to see the effect of int8
            alone), or the folder of a single model with its tokenizer.
        formats: names of `FORMATS`.
        data_dir: new folder of the data files or of the texts of the run; None for the one in its recipe.
        calibration: a file of one text per line to quantize with; a single model is compared on them too. None for
            training texts of the run.
        calibration_rows: most texts to quantize with.
        max_drop: how far the main metric of an int8 file may fall below that of the model, as a fraction.
        force: whether to keep an int8 file that falls further.
        console: for progress; standard error by default.
        answers: those of the run that are known, as `compress` gave them; the ones that are computed here are added. None to
            compute all. Not with `data_dir`, whose texts may be others.

    Returns:
        One row of the report per format; `path` is relative to the folder of the run or of the single model.

    Raises:
        InputError: An argument is invalid; nothing is written.
        ExportRefused: A file does not predict as the model does. It is not kept; the files before it are.
        ValueError: `answers` and `data_dir` are both given.
    """
    if answers is not None and data_dir is not None:
        raise ValueError(
            "Can't take both answers and data_dir: the texts of data_dir may be others. Give one of them."
        )
    chosen = usable_formats(formats)
    if not 0 <= max_drop <= 1:
        raise InputError(f"--max-drop must be in [0, 1], a fraction (0.01 is one point); it is {max_drop}.")
    if calibration_rows < 1:
        raise InputError(f"--calibration-rows must be 1 or more; it is {calibration_rows}.")
    source = open_source(path, data_dir=data_dir, calibration=calibration, calibration_rows=calibration_rows)
    if any(row.exact for row in chosen) and not source.calibration:
        raise InputError(
            f"{source.folder} is a model without a run, so there are no texts to quantize with; "
            "give a file of one text per line with --calibration."
        )
    known: Answers = answers if answers is not None and source.run else {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        with (
            progress_bar(*columns, console=console or Console(stderr=True)) as progress,
            scratch_in(source.folder, ".export-") as scratch,
        ):
            baseline = None
            if (
                source.run
                and source.folder == source.run.compressed
                and source.has_labels
                and any(row.exact for row in chosen)
            ):
                baseline = _baseline_answers(source, source.run, data_dir, known, progress)
            return _export(source, chosen, scratch, progress, known, baseline=baseline, max_drop=max_drop, force=force)
    except OSError as error:
        raise InputError(
            f"Cannot write to {source.folder}: {error.strerror or error}; export a copy in a folder that can be written to."
        ) from error


def _baseline_answers(
    source: ExportSource, run: RunDirectory, data_dir: str | None, answers: Answers, progress: Progress
) -> Any:
    """Return what the baseline of a run answers to the first test set; it is opened only if that is not known."""
    key = (run.baseline.name, judged_split(source))
    if key not in answers:
        dense = open_source(run.baseline, data_dir=data_dir)
        bar = progress.add_task("baseline: the same texts", total=len(judged_rows(dense)))
        answers[key] = judged_answers(dense, run_model(dense), on_rows=partial(progress.advance, bar))
    return answers[key]


def _export(
    source: ExportSource,
    formats: Sequence[Format],
    scratch: Path,
    progress: Progress,
    answers: Answers,
    *,
    baseline: Any,
    max_drop: float,
    force: bool,
) -> list[report.Export]:
    rows: list[report.Export] = []
    model = (source.folder.name, judged_split(source))
    for format_ in formats:
        bar = progress.add_task(f"{format_.name}: written", total=None)
        file = _write(source, format_, scratch)
        progress.update(bar, description=f"{format_.name}: checked")

        advance = partial(progress.advance, bar)
        cost = None
        if format_.exact:
            if model not in answers:
                answers[model] = judged_answers(source, run_model(source), on_rows=advance)
            check = partial(_check_int8, source, expected=answers[model], baseline=baseline, max_drop=max_drop)
            findings = check(file, on_rows=advance)
            if not findings.holds and not force:
                findings, cost = repair.repair(
                    source, format_, scratch, scratch / FORMATS[format_.exact].file, findings, check, progress
                )
        else:
            findings = check_exact(source, open_runtime(file), on_rows=advance)
        if not findings.holds and not (force and format_.exact):
            raise ExportRefused(
                f"{format_.name} is refused: {findings.reason}."
                + (" Pass --force to keep it" if format_.exact else "")
                + ("" if not format_.exact else ", or a larger --max-drop." if findings.quality else ".")
            )
        row = _keep(source, format_, scratch, findings, cost)
        if findings.answers is not None:
            answers[row.path, model[1]] = findings.answers
        rows.append(row)
        progress.update(bar, total=findings.rows, completed=findings.rows)
    return rows


def _check_int8(source: ExportSource, file: Path, *, expected: Any, **given: Any) -> Findings:
    return check_quality(source, open_runtime(file), expected, **given)


def _write(source: ExportSource, format_: Format, scratch: Path) -> Path:
    """Write the file of a format in the scratch folder, unless another format already needed it."""
    file = scratch / format_.file
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        exact = _write(source, FORMATS[format_.exact], scratch) if format_.exact else file
        with writing_to(scratch):
            format_.write(source, file, exact, ())
    return file


def _keep(
    source: ExportSource, format_: Format, scratch: Path, findings: Findings, cost: report.Int8Repair | None
) -> report.Export:
    """Move the files below the folder of the model, add tokenizer and script, and return the row of the report."""
    run, target = source.run, source.folder / format_.file
    copies = [part.with_name(f"{part.name}.kept") for part in format_.files(scratch)]
    for part, copy in zip(format_.files(scratch), copies, strict=True):
        shutil.copyfile(part, copy)  # the next format may be quantized from the original
    target.parent.mkdir(exist_ok=True)
    write_usage(source, target)
    if format_.companions:
        target.unlink(missing_ok=True)  # an earlier file must not be opened with new companions
    for copy, final in zip(copies, format_.files(source.folder), strict=True):
        copy.replace(final)
    row = report.Export(
        format=format_.name,
        path=str(target.relative_to(run.root if run else source.folder)),
        bytes=sum(file.stat().st_size for file in format_.files(source.folder)),
        max_abs_difference=findings.max_abs_difference,
        split=findings.split,
        rows=findings.rows,
        quality=findings.quality,
        difference=findings.difference,
        from_baseline=findings.from_baseline,
        agreement=findings.agreement,
        calibration_rows=len(source.calibration) if format_.calibrated else None,
        repair=cost,
    )
    if run:
        numbers = report.load(run.root)
        equivalence = numbers.equivalence or report.Equivalence()
        if row.format == "onnx" and source.folder == run.compressed:
            equivalence = replace(equivalence, shrunk_vs_onnx=row.max_abs_difference)
        others = [other for other in numbers.exports if other.path != row.path]
        report.save(replace(numbers, exports=[*others, row], equivalence=equivalence), run.root)
    return row


HEADINGS = ("format, file", "MiB", "of weights", "check", "same")


def export_table(path: str | Path, rows: Sequence[Export]) -> Table:
    """Return one row per exported file.

    Args:
        path: the run or the folder of the model.
        rows: the result of `export`.
    """
    weights = weight_bytes(model_folder(path))
    caption = f"weights: {weights / 2**20:.1f} MiB in its folder; [low, high]: 95 % interval; same: equal predictions"
    for row in rows:
        if row.repair:
            caption += f"\n{row.format} in fp32: {', '.join(row.repair.kept_fp32)}"
            caption += f"\n{BUSY_NOTE}" if row.repair.busy else ""
    result = Table(title=Text(f"{path}: exports"), title_justify="left", caption=Text(caption), caption_justify="left")
    for heading in HEADINGS:
        result.add_column(
            heading, justify="left" if heading in ("format, file", "check") else "right", overflow="fold"
        )
    for row in rows:
        agreement = "" if row.agreement is None else f"{100 * row.agreement:.1f} %"
        file = "/".join(Path(row.path).parts[-2:])
        size = row.bytes or 0
        cells = (f"{row.format}\n{file}", f"{size / 2**20:.1f}", f"{100 * size / weights:.0f} %")
        result.add_row(*(Text(cell) for cell in (*cells, findings(row), agreement)))
    return result
