"""Build the page: a title, the language switch, and one tab for each module of `tabs`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import gradio as gr
from charts.headline import headline
from core.captions import FIRST
from core.deployed import best_of, measure
from core.limits import WAITING
from core.models import Pair
from tabs import batch, speed, stress, text
from tabs.language import LanguageSwitch

FONTS = ["system-ui", "Noto Sans Devanagari", "Nirmala UI", "sans-serif"]
TABS: dict[str, Callable[[Pair, LanguageSwitch], None]] = {
    "text": text.build,
    "batch": batch.build,
    "speed": speed.build,
    "stress": stress.build,
}
DELETE_CACHE = (600, 3600)  # seconds: how often visitors' files are deleted, and from which age on
WORDS = {
    "en": {
        "title": "# Before and after compression\nThe same texts, two models: the baseline and what it was compressed to.",
        "text": "One text",
        "batch": "Where they differ",
        "speed": "Speed and size",
        "stress": "Stress test",
    },
    "mr": {
        "title": "# मॉडेल लहान करण्यापूर्वी आणि नंतर\nमजकूर तोच, मॉडेल दोन: मूळ मॉडेल आणि त्यापासून बनवलेले लहान मॉडेल.",
        "text": "एक मजकूर",
        "batch": "उत्तरे कुठे बदलतात",
        "speed": "वेग आणि आकार",
        "stress": "कसोटी",
    },
}


def theme() -> gr.themes.Base:
    """Return Gradio's theme with local fonts for Devanagari, and with contrasts of at least 4.5:1."""
    light = {
        "button_primary_background_fill": "*primary_700",  # white is readable on it
        "button_primary_background_fill_hover": "*primary_800",
        "color_accent": "*primary_700",  # the open tab
        "body_text_color_subdued": "*neutral_600",
    }
    dark = {
        "button_primary_background_fill_dark": "*primary_700",
        "button_primary_background_fill_hover_dark": "*primary_800",
        "body_text_color_subdued_dark": "*neutral_300",
    }
    return gr.themes.Default(primary_hue="teal", font=FONTS).set(**light, **dark)


def build_page(pair: Pair) -> gr.Blocks:
    """Build the page that compares two models."""
    with gr.Blocks(title="Before and after compression", analytics_enabled=False, delete_cache=DELETE_CACHE) as page:
        with gr.Row(elem_id="top"):
            title = gr.Markdown(WORDS[FIRST]["title"])
            switch = LanguageSwitch(page)
        switch.follow(title, lambda language: {"value": WORDS[language]["title"]})
        card = partial(headline, pair, best_of(pair.exports), measure(pair))
        switch.follow(gr.HTML(card(FIRST), elem_id="headline"), lambda language: {"value": card(language)})
        with gr.Tabs():
            for name, build in TABS.items():
                with switch.add(gr.Tab, WORDS, {"label": name}, id=name):
                    build(pair, switch)
        switch.connect()
    return page.queue(max_size=WAITING)
