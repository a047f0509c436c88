"""Tab "Speed and size": the race, where the parameters went, a sweep's models, the calculator, and `/benchmark`."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import gradio as gr
from anatomy import anatomy
from anatomy_chart import anatomy_chart
from calculator import check_day
from captions import FIRST, Refused
from charts import refusal
from cost_table import cost_table
from limits import ONE_AT_A_TIME
from models import Pair, open_pair
from names import choose
from pareto import ON_CLICK, pareto
from race import LARGEST_BATCH, Race, benchmark, longest, race
from race_chart import race_chart
from sweep import Point, find_sweep, read_sweep
from words import Words

from trainer_ext import InputError

LENGTH, TEXTS = 32, 100_000  # what the sliders and the calculator begin with
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
WORDS = {
    "en": {
        "race": "## Race",
        "batch": "Texts per call",
        "length": "Tokens per text",
        "go": "Start the race",
        "anatomy": "## Where the parameters went",
        "sweep": "## Other sizes",
        "load": "Models shown below",
        "calculator": "## What a day costs",
        "texts": "Texts per day",
        "unopened": "These models cannot be shown. {error}",
        "unread": "The other sizes cannot be shown. {error}",
        "grid": "Grid intensity, g CO2e per kWh (0: unknown)",
    },
    "mr": {
        "race": "## शर्यत",
        "batch": "प्रत्येक वेळी मजकूर",
        "length": "प्रत्येक मजकुराचे टोकन",
        "go": "शर्यत सुरू करा",
        "anatomy": "## पॅरामीटर कुठे गेले",
        "sweep": "## इतर आकार",
        "load": "खाली दाखवलेली मॉडेल",
        "calculator": "## एका दिवसाचा खर्च",
        "texts": "दिवसाला मजकूर",
        "unopened": "ही मॉडेल दाखवता येत नाहीत. {error}",
        "unread": "इतर आकार दाखवता येत नाहीत. {error}",
        "grid": "विजेची कार्बन तीव्रता, g CO2e प्रति kWh (0: माहीत नाही)",
    },
}


def build(pair: Pair, words: Words) -> None:
    """All four parts; those of other sizes only where there is a sweep."""
    points, problem = sweep_of(pair)
    own = -1  # the choice of the page's own models, the others are places in the sweep
    choices = [(pair.compressed.name, own), *((one.name, i) for i, one in enumerate(points) if one.folder)]

    @lru_cache(maxsize=2)
    def opened(folder: Path) -> Pair:
        return open_pair(choose([str(folder)], beside=folder))

    def pair_of(chosen: int) -> Pair:
        try:
            return pair if chosen == own else opened(points[chosen].folder)
        except InputError as error:
            raise Refused(WORDS, "unopened", error=error) from error

    def run(chosen: int, batch_size: int, length: int, language: str) -> Iterator[tuple[str, Race | None]]:
        """The race as it goes on, or why there is none."""
        try:
            for found in race(pair_of(chosen), batch_size, length):
                yield race_chart(found, language), found
        except Refused as refused:
            yield refusal(refused, language), None

    def calculate(chosen: int, texts: float | None, grid: float | None, language: str) -> str:
        """What a day costs, or why it cannot be said."""
        try:
            check_day(texts, grid)
            return cost_table(pair_of(chosen).report, texts, grid, language)
        except Refused as refused:
            return refusal(refused, language)

    def draw(chosen: int, language: str) -> tuple[str, str]:
        """The sweep, and the parameters of the models that are chosen."""
        chart = pareto(points, language, chosen) if points else refusal(problem, language) if problem else ""
        try:
            return chart, anatomy_chart(anatomy(pair_of(chosen)), language)
        except Refused as refused:
            return chart, refusal(refused, language)

    def load(chosen: int, language: str) -> tuple[str, str, str, None]:
        """Other models: their parameters, and no race yet."""
        return *draw(chosen, language), race_chart(None, language), None

    def pick(event: gr.EventData) -> int:
        """The point that was clicked; what is no point with models leaves the page's own."""
        return event.index if event.index in [place for _, place in choices] else own

    def benchmark_api(batch_size: int = 1, sequence_length: int = LENGTH) -> dict:
        """Both models timed in turns on the same random tokens: median, 95th percentile and every call's time in
        milliseconds, texts per second, speed-up, processor and threads."""
        try:
            return benchmark(pair, batch_size, sequence_length)
        except Refused as refused:
            raise gr.Error(str(refused), print_exception=False) from refused

    drawn = draw(own, FIRST)
    has_sweep, has_choice = bool(points or problem), len(choices) > 1
    words.add(gr.Markdown, WORDS, {"value": "sweep"}, visible=has_sweep)
    sweep_html = gr.HTML(drawn[0], visible=has_sweep, js_on_load=ON_CLICK, elem_id="sweep")
    chosen = words.add(gr.Dropdown, WORDS, {"label": "load"}, choices=choices, value=own, visible=has_choice)
    words.add(gr.Markdown, WORDS, {"value": "race"})
    with gr.Row():
        batch_size = words.add(gr.Slider, WORDS, {"label": "batch"}, minimum=1, maximum=LARGEST_BATCH, value=1, step=1)
        most = longest(pair)
        length = words.add(
            gr.Slider, WORDS, {"label": "length"}, minimum=1, maximum=most, value=min(LENGTH, most), step=1
        )
    start = words.add(gr.Button, WORDS, {"value": "go"}, variant="primary")
    raced, race_html = gr.State(None), gr.HTML(race_chart(None, FIRST), elem_id="race")
    words.add(gr.Markdown, WORDS, {"value": "anatomy"})
    anatomy_html = gr.HTML(drawn[1], elem_id="anatomy")
    words.add(gr.Markdown, WORDS, {"value": "calculator"})
    with gr.Row():
        texts = words.add(gr.Number, WORDS, {"label": "texts"}, value=TEXTS, precision=0)
        grid = words.add(gr.Number, WORDS, {"label": "grid"}, value=grid_of(pair))
    costs_html = gr.HTML(calculate(own, TEXTS, grid_of(pair), FIRST), elem_id="costs")

    start.click(
        run,
        [chosen, batch_size, length, words.language],
        [race_html, raced],
        show_progress="minimal",
        api_visibility="private",
        **ONE_AT_A_TIME,
    )
    day: dict[str, Any] = {"inputs": [chosen, texts, grid, words.language], "outputs": costs_html, **QUIET}
    gr.on([texts.change, grid.change, words.language.change], calculate, **day, queue=False)
    chosen_now = [chosen, words.language]
    words.language.change(draw, chosen_now, [sweep_html, anatomy_html], queue=False, **QUIET)
    words.language.change(race_chart, [raced, words.language], race_html, queue=False, **QUIET)
    sweep_html.select(pick, outputs=chosen, queue=False, **QUIET)
    shown = [sweep_html, anatomy_html, race_html, raced]
    loaded = chosen.change(load, chosen_now, shown, api_visibility="private", **ONE_AT_A_TIME)  # it may open models
    loaded.then(calculate, **day)
    gr.api(benchmark_api, api_name="benchmark", **ONE_AT_A_TIME)


def sweep_of(pair: Pair) -> tuple[list[Point], Refused | None]:
    """The points of the sweep that belongs to these models, and why it cannot be shown."""
    file = find_sweep(pair.compressed.name)
    try:
        return (read_sweep(file) if file is not None else []), None
    except InputError as error:
        return [], Refused(WORDS, "unread", error=error)


def grid_of(pair: Pair) -> float:
    """Grams of CO2 equivalent per kWh where the report's energy was measured; 0 where that is not known."""
    inference = pair.report.inference if pair.report is not None else None
    return (inference.grid_g_per_kwh if inference is not None else None) or 0.0
