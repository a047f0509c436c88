"""Page: the frame of what a visitor sees, a title, the language switch and one tab per module."""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr
import tab_batch
import tab_speed
import tab_stress
import tab_text
from captions import FIRST
from limits import WAITING
from models import Pair
from words import Words

FONTS = ["system-ui", "Noto Sans Devanagari", "Nirmala UI", "sans-serif"]
TABS: dict[str, Callable[[Pair, Words], None]] = {
    "text": tab_text.build,
    "batch": tab_batch.build,
    "speed": tab_speed.build,
    "stress": tab_stress.build,
}
FORGET = (600, 3600)  # every so many seconds, the files of visitors that are older than so many
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
    """Gradio's own, with fonts of the visitor's that carry Devanagari, and 4.5:1 where it has less."""
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
    """The page that compares these two."""
    with gr.Blocks(title="Before and after compression", analytics_enabled=False, delete_cache=FORGET) as page:
        with gr.Row(elem_id="top"):
            title = gr.Markdown(WORDS[FIRST]["title"])
            words = Words(page)
        words.follow(title, lambda language: {"value": WORDS[language]["title"]})
        with gr.Tabs():
            for name, build in TABS.items():
                with words.add(gr.Tab, WORDS, {"label": name}, id=name):
                    build(pair, words)
        words.connect()
    return page.queue(max_size=WAITING)
