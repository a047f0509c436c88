"""Tab "Where they differ": many texts, the matrix of answers with its texts, and the endpoint `/compare_batch`."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from charts import batch as charts
from charts.markup import refusal
from core.batch import Batch, Ending, Steps, advance, as_csv, as_json, compare_in_steps
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
from core.kinds import PAIRS
from core.limits import ONE_AT_A_TIME
from core.models import Pair

from tabs.language import LanguageSwitch
from trainer_ext import InputError
from trainer_ext.data.arguments import DataArguments
from trainer_ext.data.records import Examples

WORDS = {
    "en": {
        "pasted": "Texts, one per line",
        "pasted_pairs": "Pairs of texts, one per line, with a tab between the two (copy two columns of a spreadsheet)",
        "file": "or a file: CSV, TSV or JSON Lines, or TXT with one text per line",
        "text_column": "Column of the texts",
        "pair_column": "Column of the second texts",
        "label_column": "Column of the labels (may stay empty)",
        "go": "Compare all",
        "test": "Show the most different texts of the run's test split",
        "download": "Download all answers (CSV)",
        "limits": "Paste texts or choose a file: at most {rows:,} texts and {megabytes:g} MB.",
        "stop": "Stop",
    },
    "mr": {
        "pasted": "मजकूर, प्रत्येक ओळीत एक",
        "pasted_pairs": "मजकुरांच्या जोड्या, प्रत्येक ओळीत एक, दोन्हींमध्ये टॅब (स्प्रेडशीटमधून दोन स्तंभ कॉपी करा)",
        "file": "किंवा फाइल: CSV, TSV किंवा JSON Lines, किंवा प्रत्येक ओळीत एक मजकूर असलेली TXT",
        "text_column": "मजकुराचा स्तंभ",
        "pair_column": "दुसऱ्या मजकुराचा स्तंभ",
        "label_column": "लेबलचा स्तंभ (रिकामा चालेल)",
        "go": "सर्वांची तुलना करा",
        "test": "चाचणी-संचातील सर्वांत वेगळी उत्तरे दाखवा",
        "download": "सर्व उत्तरे उतरवा (CSV)",
        "limits": "मजकूर चिकटवा किंवा फाइल निवडा: जास्तीत जास्त {rows:,} मजकूर आणि {megabytes:g} MB.",
        "stop": "थांबवा",
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
    usual, pairs = arguments(pair.report, pair.baseline.problem_type), pair.kind is PAIRS
    of_run = data_of_run(pair.compressed.name)
    test_batch: list[Batch] = []  # of the run's test split, computed once

    def read(file: str | None, pasted: str, text_column: str, label_column: str, pair_column: str) -> tuple:
        """Return the rows, how they were read, and the name of the file."""
        path = Path(file) if file else None
        table_given = path is not None and is_table(path)
        args = replace(usual, text_column=text_column or "", label_column=(label_column or "") if table_given else "")
        if pairs and table_given:
            args = replace(args, text_pair_column=pair_column or usual.text_pair_column)
        return read_texts_of(path, pasted or "", args), args, path.name if path else PASTED.name

    def followed(steps: Steps, rows: int, ending: Ending, language: str) -> Generator[dict, None, Batch | None]:
        """Show how far the models are after each batch of rows; returns None if it is stopped there."""
        done, total = 0, (2 + len(pair.exports)) * rows
        while not ending.is_stopped:
            yield {status: charts.reading(done, total, language)}
            found = advance(steps)
            if isinstance(found, Batch):
                return found
            done += found
        return None

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

    def show(file, pasted, text_column, label_column, pair_column, language, ending) -> Generator:
        """Yield the progress and then the result, or the reason why there is none; the last result stays."""
        try:
            table, args, name = read(file, pasted, text_column, label_column, pair_column)
            yield from compared(table, args, name, ending, language)
        except InputError as error:
            yield {status: refusal(error, language), stop: gr.update(visible=False)}

    def compared(
        table: Examples, args: DataArguments, name: str, ending: Ending, language: str, *, of_test: bool = False
    ) -> Generator:
        if not ending.start():
            return
        steps = compare_in_steps(table, pair, args, name=name)
        try:
            yield {stop: gr.update(visible=True)}
            batch = yield from followed(steps, len(table.rows), ending, language)
            if of_test and batch is not None:
                test_batch.append(batch)
            if batch is not None and ending.by_result():
                yield {stop: gr.update(visible=False), **finished(batch, language)}
        finally:
            ending.by_stop()  # so that the next one starts, also after an error

    def show_test(language: str, ending: Ending) -> Generator:
        """Yield the progress and then the result of the run's own test split."""
        try:
            if test_batch:
                yield finished(test_batch[0], language)
            elif of_run is not None:
                name, table = test_split(of_run, pair.baseline.labels)
                args = replace(
                    usual,
                    text_column=of_run.text_column,
                    label_column=of_run.label_column,
                    text_pair_column=of_run.text_pair_column,
                )
                yield from compared(table, args, name, ending, language, of_test=True)
        except InputError as error:
            yield {status: refusal(error, language), stop: gr.update(visible=False)}

    def begin(before: Ending | None) -> tuple[Any, Ending]:
        """Remove the last message at once; a second click leaves what runs as it is."""
        return (gr.skip(), before) if before is not None and before.is_running else ("", Ending())

    def stopped(language: str, ending: Ending) -> dict:
        """Say that it was stopped, or leave the result that came before."""
        said = charts.stopped(language) if ending.by_stop() else gr.skip()
        return {status: said, stop: gr.update(visible=False)}

    async def compare_batch(file=None, texts="", text_column="", label_column="", text_pair_column="") -> dict:
        """Return both models' probabilities of every label for every text, the flips, and with labels the scores."""
        # A program that cancels its job stops it there, as the button does: the step that runs is the last one.
        try:
            given = (file, texts, text_column, label_column, text_pair_column)
            table, args, name = await asyncio.to_thread(read, *given)
            steps = compare_in_steps(table, pair, args, name=name)
            while not isinstance(found := await asyncio.to_thread(advance, steps), Batch):
                pass
            return await asyncio.to_thread(as_json, found)
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
        others = [column for column in columns if column != text]
        second = likely(others, usual.text_pair_column or "", "text_pair", "sentence2", *others) if pairs else ""
        label = likely([column for column in others if column != second], usual.label_column, "label", "category")
        updates = {
            field: gr.update(
                choices=["", *columns], value=value, visible=bool(columns) and (pairs or field is not pair_column)
            )
            for field, value in ((text_column, text), (label_column, label), (pair_column, second))
        }
        return {status: message, **updates}

    def choose(batch: Batch | None, language: str, event: gr.EventData) -> str:
        """Show the texts of the chosen cell."""
        return charts.cell_texts(batch, language, event.before, event.after) if batch else ""

    def limits(language: str) -> str:
        return say(WORDS, language, "limits", rows=MOST_ROWS, megabytes=MOST_BYTES / 1e6)

    kept = gr.State(None, time_to_live=KEPT_SECONDS)
    ending = gr.State(None, time_to_live=KEPT_SECONDS)
    switch.follow(gr.Markdown(limits(FIRST)), lambda language: {"value": limits(language)})
    caption = {"label": "pasted_pairs" if pairs else "pasted"}
    pasted = switch.add(gr.Textbox, WORDS, caption, value="", lines=4, max_lines=10)
    file = switch.add(gr.File, WORDS, {"label": "file"}, file_types=KINDS, height=120)
    with gr.Row():
        column = partial(switch.add, gr.Dropdown, WORDS, allow_custom_value=True, visible=False)
        text_column = column({"label": "text_column"}, value=usual.text_column)
        pair_column = column({"label": "pair_column"}, value=usual.text_pair_column or "")
        label_column = column({"label": "label_column"}, value="")
    with gr.Row():
        go = switch.add(gr.Button, WORDS, {"value": "go"}, variant="primary")
        test = switch.add(gr.Button, WORDS, {"value": "test"}, visible=of_run is not None)
        stop = switch.add(gr.Button, WORDS, {"value": "stop"}, variant="stop", visible=False)
    status = gr.HTML(elem_id="batch-status", min_height=60)
    summary = gr.HTML(elem_id="batch-summary")
    matrix = gr.HTML(elem_id="batch-matrix", js_on_load=_CHOOSE)
    chosen = gr.HTML(elem_id="batch-chosen")
    differences = gr.HTML(elem_id="batch-differences")
    classes = gr.HTML(elem_id="batch-classes")
    download = switch.add(gr.DownloadButton, WORDS, {"label": "download"}, visible=False)
    results = (summary, matrix, differences, classes)

    private: dict[str, Any] = {"api_visibility": "private"}
    inputs = [file, pasted, text_column, label_column, pair_column]
    drawing = [status, chosen, *results]
    run = {**private, **ONE_AT_A_TIME, "outputs": [kept, download, stop, *drawing], "show_progress": "hidden"}
    running = []
    for button, function, given in ((go, show, inputs), (test, show_test, [])):
        begun = button.click(begin, ending, [status, ending], queue=False, **private)
        running.append(begun.then(function, [*given, switch.language, ending], **run))
    # Between two steps, Gradio drops what is running or waiting; a result that is made meanwhile is dropped by `ending`.
    told = {"fn": stopped, "inputs": [switch.language, ending], "outputs": [status, stop], **private}
    # At once; and through the queue once more, behind a count of rows that was on its way to the page.
    stop.click(**told, cancels=running, queue=False).then(**told, show_progress="hidden")
    file.change(look_into, [file, switch.language], [status, text_column, label_column, pair_column], **private)
    matrix.click(choose, [kept, switch.language], chosen, **private)
    switch.language.input(drawn, [kept, switch.language], drawing, **private)
    for_programs = gr.JSON(visible=False)
    gr.Button(visible=False).click(compare_batch, inputs, for_programs, api_name="compare_batch", **ONE_AT_A_TIME)
