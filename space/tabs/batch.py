"""Tab "Where they differ": many texts, the matrix of answers with its texts, and the endpoint `/compare_batch`."""

from __future__ import annotations

import secrets
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from charts import batch as charts
from charts.markup import refusal
from core.batch import Batch, as_csv, as_json, compare_texts
from core.batch_input import (
    KINDS,
    MOST_BYTES,
    MOST_ROWS,
    PASTED,
    arguments,
    columns_of,
    data_of_run,
    is_table,
    likely,
    read_texts_of,
    test_split,
)
from core.captions import FIRST, say
from core.limits import ONE_AT_A_TIME
from core.models import Pair

from tabs.language import LanguageSwitch
from trainer_ext import InputError

_BAR = gr.Progress()  # Gradio looks for it in the default of an argument, and gives each call its own
WORDS = {
    "en": {
        "pasted": "Texts, one per line",
        "file": "or a file: CSV, TSV or JSON Lines, or TXT with one text per line",
        "text_column": "Column of the texts",
        "label_column": "Column of the labels (may stay empty)",
        "go": "Compare all",
        "test": "Show the most different texts of the run's test split",
        "download": "Download all answers (CSV)",
        "limits": "Paste texts or choose a file: at most {rows:,} texts and {megabytes:g} MB.",
        "busy": "Both models read the texts",
        "unit": "readings",
    },
    "mr": {
        "pasted": "मजकूर, प्रत्येक ओळीत एक",
        "file": "किंवा फाइल: CSV, TSV किंवा JSON Lines, किंवा प्रत्येक ओळीत एक मजकूर असलेली TXT",
        "text_column": "मजकुराचा स्तंभ",
        "label_column": "लेबलचा स्तंभ (रिकामा चालेल)",
        "go": "सर्वांची तुलना करा",
        "test": "चाचणी-संचातील सर्वांत वेगळी उत्तरे दाखवा",
        "download": "सर्व उत्तरे उतरवा (CSV)",
        "limits": "मजकूर चिकटवा किंवा फाइल निवडा: जास्तीत जास्त {rows:,} मजकूर आणि {megabytes:g} MB.",
        "busy": "दोन्ही मॉडेल मजकूर वाचत आहेत",
        "unit": "वाचने",
    },
}
KEPT_SECONDS = 3600  # how long a visitor's last batch is kept, for the texts of a cell and the other language
# A click on a cell sends its two answers.
_CHOOSE = """element.addEventListener("click", (event) => {
    const cell = event.target.closest("button[data-before]");
    if (cell) trigger("click", { before: cell.dataset.before, after: cell.dataset.after });
});"""


def build(pair: Pair, switch: LanguageSwitch) -> None:
    """Add the inputs, the matrix, the tables, the download and the endpoint.

    Args:
        pair: The models.
        switch: The language switch.
    """
    usual = arguments(pair.report, pair.baseline.problem_type)
    of_run = data_of_run(pair.compressed.name)
    test_batch: list[Batch] = []  # of the run's test split, computed once

    def progress_of(progress: gr.Progress, rows: int, language: str):
        """Return the function that moves the bar; each row counts once for each model and exported file."""
        done = 0

        def on_rows(count: int) -> None:
            nonlocal done
            done += count
            progress(
                (done, (2 + len(pair.exports)) * rows),
                desc=say(WORDS, language, "busy"),
                unit=say(WORDS, language, "unit"),
            )

        return on_rows

    def compared(
        file: str | None, pasted: str, text_column: str, label_column: str, language: str, progress: gr.Progress
    ) -> Batch:
        path = Path(file) if file else None
        labelled = path is not None and is_table(path)
        args = replace(usual, text_column=text_column or "", label_column=(label_column or "") if labelled else "")
        table = read_texts_of(path, pasted or "", args)
        on_rows = progress_of(progress, len(table.rows), language)
        return compare_texts(table, pair, args, name=path.name if path else PASTED.name, on_rows=on_rows)

    def drawn(batch: Batch | None, language: str) -> dict:
        """Return the updates of all parts of the result."""
        if batch is None:
            return {status: gr.skip()}
        note = charts.prepared(batch, language) if batch in test_batch else ""
        parts = (charts.summary, charts.matrix, charts.differences, charts.classes)
        found = {shown: part(batch, language) for shown, part in zip(results, parts, strict=True)}
        return {status: note, chosen: "", **found}

    def finished(batch: Batch, language: str) -> dict:
        file = Path(download.GRADIO_CACHE, secrets.token_hex(16), "where_they_differ.csv")
        file.parent.mkdir(parents=True)
        file.write_bytes(as_csv(batch))
        return {kept: batch, download: gr.update(value=file, visible=True), **drawn(batch, language)}

    def show(file, pasted, text_column, label_column, language, progress=_BAR) -> dict:
        """Return the result, or the reason why there is none; the last result stays."""
        try:
            return finished(compared(file, pasted, text_column, label_column, language, progress), language)
        except InputError as error:
            return {status: refusal(error, language)}

    def show_test(language, progress=_BAR) -> dict:
        """Return the result of the run's own test split."""
        try:
            if not test_batch and of_run is not None:
                name, table = test_split(of_run, pair.baseline.labels)
                args = replace(usual, text_column=of_run.text_column, label_column=of_run.label_column)
                on_rows = progress_of(progress, len(table.rows), language)
                test_batch.append(compare_texts(table, pair, args, name=name, on_rows=on_rows))
            return finished(test_batch[0], language)
        except InputError as error:
            return {status: refusal(error, language)}

    def compare_batch(file=None, texts="", text_column="", label_column="", progress=_BAR) -> dict:
        """Return both models' probabilities of every label for every text, the flips, and with labels the scores."""
        try:
            return as_json(compared(file, texts, text_column, label_column, FIRST, progress))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def look_into(file: str | None, language: str) -> dict:
        """Offer the columns of the file, and guess those of the texts and labels."""
        columns, message = [], ""
        try:
            columns = columns_of(Path(file)) if file else []
        except InputError as error:
            message = refusal(error, language)
        text = likely(columns, usual.text_column, "text", "sentence", *columns)
        label = likely([column for column in columns if column != text], usual.label_column, "label", "category")
        updates = {
            field: gr.update(choices=["", *columns], value=value, visible=bool(columns))
            for field, value in ((text_column, text), (label_column, label))
        }
        return {status: message, **updates}

    def choose(batch: Batch | None, language: str, event: gr.EventData) -> str:
        """Show the texts of the chosen cell."""
        return charts.cell_texts(batch, language, event.before, event.after) if batch else ""

    def limits(language: str) -> str:
        return say(WORDS, language, "limits", rows=MOST_ROWS, megabytes=MOST_BYTES / 1e6)

    kept = gr.State(None, time_to_live=KEPT_SECONDS)
    switch.follow(gr.Markdown(limits(FIRST)), lambda language: {"value": limits(language)})
    pasted = switch.add(gr.Textbox, WORDS, {"label": "pasted"}, value="", lines=4, max_lines=10)
    file = switch.add(gr.File, WORDS, {"label": "file"}, file_types=KINDS, height=120)
    with gr.Row():
        column = partial(switch.add, gr.Dropdown, WORDS, allow_custom_value=True, visible=False)
        text_column = column({"label": "text_column"}, value=usual.text_column)
        label_column = column({"label": "label_column"}, value="")
    with gr.Row():
        go = switch.add(gr.Button, WORDS, {"value": "go"}, variant="primary")
        test = switch.add(gr.Button, WORDS, {"value": "test"}, visible=of_run is not None)
    status = gr.HTML(elem_id="batch-status", min_height=60)
    summary = gr.HTML(elem_id="batch-summary")
    matrix = gr.HTML(elem_id="batch-matrix", js_on_load=_CHOOSE)
    chosen = gr.HTML(elem_id="batch-chosen")
    differences = gr.HTML(elem_id="batch-differences")
    classes = gr.HTML(elem_id="batch-classes")
    download = switch.add(gr.DownloadButton, WORDS, {"label": "download"}, visible=False)
    results = (summary, matrix, differences, classes)

    private: dict[str, Any] = {"api_visibility": "private"}
    inputs = [file, pasted, text_column, label_column]
    drawing = [status, chosen, *results]
    run = {**private, **ONE_AT_A_TIME, "outputs": [kept, download, *drawing], "show_progress_on": status}
    for button, function, given in ((go, show, [*inputs, switch.language]), (test, show_test, [switch.language])):
        # Remove the last message at once; the progress bar takes its place.
        button.click(lambda: "", outputs=status, queue=False, **private).then(function, given, **run)
    file.change(look_into, [file, switch.language], [status, text_column, label_column], **private)
    matrix.click(choose, [kept, switch.language], chosen, **private)
    switch.language.input(drawn, [kept, switch.language], drawing, **private)
    for_programs = gr.JSON(visible=False)
    gr.Button(visible=False).click(compare_batch, inputs, for_programs, api_name="compare_batch", **ONE_AT_A_TIME)
