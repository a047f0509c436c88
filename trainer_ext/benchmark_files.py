"""Benchmark files: where results are kept, seen to be possible before anything is measured."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from . import report
from .benchmark import Benchmark
from .benchmark_plot import check_plot
from .benchmark_plot import plot as draw
from .benchmark_tables import merged, report_rows
from .errors import InputError
from .files import write_json
from .run_directory import RunDirectory


def check_files(
    paths: Sequence[str], *, texts: Path | None, json: Path | None, plot: Path | None, run: Path | None
) -> None:
    """See that every result can be written.

    Args:
        paths: what is timed.
        texts: the file whose texts are read.
        json: where every number goes.
        plot: where the plot goes.
        run: whose report takes the times.

    Raises:
        InputError: a folder is not there or not writable, an ending is unknown, or there is no report to add to.
    """
    if plot:
        check_plot(plot)
    for option, file in (("--json", json), ("--plot", plot)):
        if file and (file.is_dir() or not os.access(file.parent, os.W_OK)):
            raise InputError(f"{option} {file}: cannot be written; name a file in a folder that is there.")
    if run is None:
        return
    if texts:
        raise InputError("--save keeps times of one length each, and --texts has many; leave one of them out.")
    found = RunDirectory(run.expanduser())
    if len(paths) > 1 or not (found.holds_run and found.report.is_file()):
        raise InputError("--save adds to the compression.json of a run; name one finished run and nothing else.")
    report.load(found.report)


def write_files(results: Benchmark, *, json: Path | None, plot: Path | None, run: Path | None) -> None:
    """Write what was asked for; the arguments are those of `check_files`."""
    if json:
        write_json(json, asdict(results))
    if plot:
        draw(results, plot)
    if run:
        found = RunDirectory(run.expanduser())
        before = report.load(found.report)
        report.save(replace(before, latency=merged(before.latency, report_rows(results))), found.root)
