"""Tab "Stress test": small changes of a text, and which model changes its answer first."""

from __future__ import annotations

from typing import Any

import gradio as gr
from charts.stress import stress_chart
from core.captions import EXAMPLES, WITH_NUMBERS, Refused
from core.kinds import PAIRS
from core.limits import ONE_AT_A_TIME
from core.models import Pair
from core.stress import Trial, resist

from tabs.language import LanguageSwitch

MOST_CHANGES, DRAWS = 12, 99
WORDS = {
    "en": {
        "about": "Small changes that a reader hardly notices: which model changes its answer first?",
        "text": "Text",
        "second": "Second text, which stays as it is",
        "dial": "Changes of each kind, at most",
        "draw": "Seed: another number changes other places",
        "go": "Try",
    },
    "mr": {
        "about": "वाचणाऱ्याच्या सहसा लक्षातही न येणारे छोटे बदल: कोणते मॉडेल आधी उत्तर बदलते?",
        "text": "मजकूर",
        "second": "दुसरा मजकूर, जो बदलत नाही",
        "dial": "प्रत्येक प्रकारचे जास्तीत जास्त बदल",
        "draw": "सोडत: वेगळा क्रमांक वेगळ्या जागी बदल करतो",
        "go": "तपासा",
    },
}


def build(pair: Pair, switch: LanguageSwitch) -> None:
    """Add the text box, the sliders and the chart.

    Args:
        pair: The models.
        switch: The language switch.
    """

    pairs = pair.kind is PAIRS

    def attempt(text: str, second: str, most: int, seed: int) -> list[Trial] | Refused:
        try:
            return resist(text, pair, most=most, seed=seed, second=second if pairs else None)
        except Refused as refused:
            return refused

    def answer(text: str, second: str, most: int, seed: int, language: str) -> tuple:
        trials = attempt(text, second, int(most), int(seed))
        return trials, stress_chart(trials, language)

    switch.add(gr.Markdown, WORDS, {"value": "about"})
    text = switch.add(gr.Textbox, WORDS, {"label": "text"}, value=WITH_NUMBERS, lines=2, max_lines=8)
    others = {"lines": 2, "max_lines": 8, "visible": pairs}
    second = switch.add(gr.Textbox, WORDS, {"label": "second"}, value=EXAMPLES[0] if pairs else "", **others)
    with gr.Row():
        dial = switch.add(gr.Slider, WORDS, {"label": "dial"}, minimum=1, maximum=MOST_CHANGES, step=1, value=6)
        draw = switch.add(gr.Slider, WORDS, {"label": "draw"}, minimum=0, maximum=DRAWS, step=1, value=0)
    button = switch.add(gr.Button, WORDS, {"value": "go"}, variant="primary")
    trials, shown = gr.State(), gr.HTML(elem_id="stress")
    private: dict[str, Any] = {"api_visibility": "private"}
    gr.on(
        [button.click, text.submit, second.submit, dial.release, draw.release],
        answer,
        [text, second, dial, draw, switch.language],
        [trials, shown],
        **private,
        **ONE_AT_A_TIME,
    )
    switch.language.input(stress_chart, [trials, switch.language], shown, queue=False, **private)
