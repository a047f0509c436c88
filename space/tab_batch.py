"""Tab "Where they differ": many texts, the flip matrix and the texts behind it, and the endpoint `/compare_batch`."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import batch_charts
import gradio as gr
from batch import Batch, compare_texts
from batch_files import as_csv, as_json
from batch_input import KINDS, MOST_BYTES, MOST_ROWS, PASTED, arguments, columns_of, likely, read_texts_of
from batch_words import WORDS
from captions import FIRST, say
from limits import ONE_AT_A_TIME
from models import Pair
from run_test import data_of_run, test_split
from words import Words

from trainer_ext import InputError

_BAR = gr.Progress()  # in a default, where gradio looks for it and gives each call its own
KEPT_SECONDS = 3600  # a visitor's last batch, for the texts of a cell and for another language
# The texts of a cell are asked for with its two answers.
_CHOOSE = """element.addEventListener("click", (event) => {
    const cell = event.target.closest("button[data-before]");
    if (cell) trigger("click", { before: cell.dataset.before, after: cell.dataset.after });
});"""


def build(pair: Pair, words: Words) -> None:
    """Texts or a file in, a matrix, tables and a CSV file out."""
    usual = arguments(pair.report, pair.baseline.model.config.problem_type)
    of_run = data_of_run(pair.compressed.name)
    ready: list[Batch] = []  # of the run's test split, made once

    def progress_of(progress: gr.Progress, rows: int, language: str):
        """What moves the bar: each row is read by two models."""
        done = 0

        def on_rows(count: int) -> None:
            nonlocal done
            done += count
            progress((done, 2 * rows), desc=say(WORDS, language, "busy"), unit=say(WORDS, language, "unit"))

        return on_rows

    def compared(
        file: str | None, pasted: str, text_column: str, label_column: str, language: str, progress: gr.Progress
    ) -> Batch:
        path = Path(file) if file else None
        is_table = path is not None and path.suffix.lower() == ".csv"
        columns = {"text_column": text_column or "", "label_column": (label_column or "") if is_table else ""}
        args = replace(usual, **columns)
        table = read_texts_of(path, pasted or "", args)
        on_rows = progress_of(progress, len(table.rows), language)
        return compare_texts(table, pair, args, name=path.name if path else PASTED.name, on_rows=on_rows)

    def drawn(batch: Batch | None, language: str) -> dict:
        """Every part of the result, where there is one."""
        if batch is None:
            return {status: gr.skip()}
        note = batch_charts.prepared(batch, language) if batch in ready else ""
        parts = (batch_charts.summary, batch_charts.matrix, batch_charts.differences, batch_charts.classes)
        found = {shown: part(batch, language) for shown, part in zip(results, parts, strict=True)}
        return {status: note, chosen: "", **found}

    def finished(batch: Batch, language: str) -> dict:
        file = Path(download.GRADIO_CACHE, secrets.token_hex(16), "where_they_differ.csv")
        file.parent.mkdir(parents=True)
        file.write_bytes(as_csv(batch))
        return {kept: batch, download: gr.update(value=file, visible=True), **drawn(batch, language)}

    def show(file, pasted, text_column, label_column, language, progress=_BAR) -> dict:
        """The result, or why there is none beside the last result."""
        try:
            return finished(compared(file, pasted, text_column, label_column, language, progress), language)
        except InputError as error:
            return {status: batch_charts.refusal(error, language)}

    def show_test(language, progress=_BAR) -> dict:
        """The same of the run's own test split."""
        try:
            if not ready:
                name, table = test_split(of_run, pair.baseline.labels)
                args = replace(usual, text_column=of_run.text_column, label_column=of_run.label_column)
                on_rows = progress_of(progress, len(table.rows), language)
                ready.append(compare_texts(table, pair, args, name=name, on_rows=on_rows))
            return finished(ready[0], language)
        except InputError as error:
            return {status: batch_charts.refusal(error, language)}

    def compare_batch(file=None, texts="", text_column="", label_column="", progress=_BAR) -> dict:
        """Every label's probability of both models for every text, the flips, and the scores where there are labels."""
        try:
            return as_json(compared(file, texts, text_column, label_column, FIRST, progress))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def look_into(file: str | None, language: str) -> dict:
        """Offer the file's columns, and guess which are meant."""
        columns, message = [], ""
        try:
            columns = columns_of(Path(file)) if file else []
        except InputError as error:
            message = batch_charts.refusal(error, language)
        text = likely(columns, usual.text_column, "text", "sentence", *columns)
        label = likely([column for column in columns if column != text], usual.label_column, "label", "category")
        updates = {
            field: gr.update(choices=["", *columns], value=value, visible=bool(columns))
            for field, value in ((text_column, text), (label_column, label))
        }
        return {status: message, **updates}

    def choose(batch: Batch | None, language: str, event: gr.EventData) -> str:
        """The texts of the cell that was chosen."""
        return batch_charts.cell_texts(batch, language, event.before, event.after) if batch else ""

    def limits(language: str) -> str:
        return say(WORDS, language, "limits", rows=MOST_ROWS, megabytes=MOST_BYTES / 1e6)

    kept = gr.State(None, time_to_live=KEPT_SECONDS)
    words.follow(gr.Markdown(limits(FIRST)), lambda language: {"value": limits(language)})
    pasted = words.add(gr.Textbox, WORDS, {"label": "pasted"}, value="", lines=4, max_lines=10)
    file = words.add(gr.File, WORDS, {"label": "file"}, file_types=KINDS, height=120)
    with gr.Row():
        column = partial(words.add, gr.Dropdown, WORDS, allow_custom_value=True, visible=False)
        text_column = column({"label": "text_column"}, value=usual.text_column)
        label_column = column({"label": "label_column"}, value="")
    with gr.Row():
        go = words.add(gr.Button, WORDS, {"value": "go"}, variant="primary")
        test = words.add(gr.Button, WORDS, {"value": "test"}, visible=of_run is not None)
    status = gr.HTML(elem_id="batch-status", min_height=60)
    summary = gr.HTML(elem_id="batch-summary")
    matrix = gr.HTML(elem_id="batch-matrix", js_on_load=_CHOOSE)
    chosen = gr.HTML(elem_id="batch-chosen")
    differences = gr.HTML(elem_id="batch-differences")
    classes = gr.HTML(elem_id="batch-classes")
    download = words.add(gr.DownloadButton, WORDS, {"label": "download"}, visible=False)
    results = (summary, matrix, differences, classes)

    private: dict[str, Any] = {"api_visibility": "private"}
    inputs = [file, pasted, text_column, label_column]
    drawing = [status, chosen, *results]
    run = {**private, **ONE_AT_A_TIME, "outputs": [kept, download, *drawing], "show_progress_on": status}
    for button, function, given in ((go, show, [*inputs, words.language]), (test, show_test, [words.language])):
        # What was said before goes away at once; the bar stands in its place.
        button.click(lambda: "", outputs=status, queue=False, **private).then(function, given, **run)
    file.change(look_into, [file, words.language], [status, text_column, label_column], **private)
    matrix.click(choose, [kept, words.language], chosen, **private)
    words.language.input(drawn, [kept, words.language], drawing, **private)
    for_programs = gr.JSON(visible=False)
    gr.Button(visible=False).click(compare_batch, inputs, for_programs, api_name="compare_batch", **ONE_AT_A_TIME)
