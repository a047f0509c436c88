"""Tab "Speed and size": the race, where the parameters went, a sweep's models, the calculator, and `/benchmark`."""

from __future__ import annotations

from typing import Any

import gradio as gr
from captions import FIRST, Refused
from limits import ONE_AT_A_TIME
from models import Pair
from pareto import ON_CLICK
from race import LARGEST_BATCH, benchmark, longest
from race_chart import race_chart
from speed import OWN, Speed
from words import Words

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
        "grid": "विजेची कार्बन तीव्रता, g CO2e प्रति kWh (0: माहीत नाही)",
    },
}


def build(pair: Pair, words: Words) -> None:
    """All four parts; those of other sizes only where there is a sweep."""
    speed = Speed(pair)

    def pick(event: gr.EventData) -> int:
        return speed.clicked(event.index)

    def benchmark_api(batch_size: int = 1, sequence_length: int = LENGTH) -> dict:
        """Both models timed in turns on the same random tokens: median, 95th percentile and every call's time in
        milliseconds, texts per second, speed-up, processor and threads."""
        try:
            return benchmark(pair, batch_size, sequence_length)
        except Refused as refused:
            raise gr.Error(str(refused), print_exception=False) from refused

    sweep_now, parts_now = speed.draw(OWN, FIRST)
    has_sweep, choices = bool(sweep_now), speed.choices
    words.add(gr.Markdown, WORDS, {"value": "sweep"}, visible=has_sweep)
    sweep_html = gr.HTML(sweep_now, visible=has_sweep, js_on_load=ON_CLICK, elem_id="sweep")
    chosen = words.add(gr.Dropdown, WORDS, {"label": "load"}, choices=choices, value=OWN, visible=len(choices) > 1)
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
    anatomy_html = gr.HTML(parts_now, elem_id="anatomy")
    words.add(gr.Markdown, WORDS, {"value": "calculator"})
    with gr.Row():
        texts = words.add(gr.Number, WORDS, {"label": "texts"}, value=TEXTS, precision=0)
        grid = words.add(gr.Number, WORDS, {"label": "grid"}, value=speed.grid)
    costs_html = gr.HTML(speed.calculate(OWN, TEXTS, speed.grid, FIRST), elem_id="costs")

    start.click(
        speed.run,
        [chosen, batch_size, length, words.language],
        [race_html, raced],
        show_progress="minimal",
        api_visibility="private",
        **ONE_AT_A_TIME,
    )
    day: dict[str, Any] = {"inputs": [chosen, texts, grid, words.language], "outputs": costs_html, **QUIET}
    gr.on([texts.change, grid.change, words.language.change], speed.calculate, **day, queue=False)
    chosen_now = [chosen, words.language]
    words.language.change(speed.draw, chosen_now, [sweep_html, anatomy_html], queue=False, **QUIET)
    words.language.change(race_chart, [raced, words.language], race_html, queue=False, **QUIET)
    sweep_html.select(pick, outputs=chosen, queue=False, **QUIET)
    shown = [sweep_html, anatomy_html, race_html, raced]
    # It may open models, which would disturb what is being timed.
    loaded = chosen.change(speed.load, chosen_now, shown, api_visibility="private", **ONE_AT_A_TIME)
    loaded.then(speed.calculate, **day)
    gr.api(benchmark_api, api_name="benchmark", **ONE_AT_A_TIME)
