"""Page: the parts that a visitor sees, and the endpoint `/compare` that gives programs the whole distributions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gradio as gr
import torch
from charts import refusal, result
from compare import compare
from examples import EXAMPLES
from gpu import with_gpu
from models import Pair
from reported import reported

from trainer_ext import InputError

FONTS = ["system-ui", "Noto Sans Devanagari", "Nirmala UI", "sans-serif"]
ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "models"}  # or they slow each other
WAITING = 64  # requests in the queue; the next one is turned away politely


def theme() -> gr.themes.Base:
    """Gradio's own, with a button that white is readable on, and fonts of the visitor's that carry Devanagari."""
    dark_enough = {
        "button_primary_background_fill": "*primary_700",
        "button_primary_background_fill_hover": "*primary_800",
    }
    dark_mode = {f"{name}_dark": colour for name, colour in dark_enough.items()}
    return gr.themes.Default(primary_hue="teal", font=FONTS).set(**dark_enough, **dark_mode)


def build_page(pair: Pair) -> gr.Blocks:
    """The page that compares these two."""

    def show(text: str, on: Pair = pair) -> str:
        """The result as HTML, or why there is none."""
        try:
            return result(compare(text, on), on)
        except InputError as error:
            return refusal(str(error))

    def show_on_gpu(text: str) -> str:
        """The same on the GPU, with copies of the models."""
        return show(text, pair.to("cuda"))

    def compare_api(text: str) -> dict:
        """Both models' probabilities of every label, their answers, the largest gap and the time that each takes."""
        try:
            return asdict(compare(text, pair))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    with gr.Blocks(title="Before and after compression", analytics_enabled=False) as page:
        gr.Markdown(
            "# Before and after compression\nOne text, two models: the baseline and what it was compressed to."
        )
        text = gr.Textbox(EXAMPLES[0], label="Text", lines=2, max_lines=8)
        button = gr.Button("Compare", variant="primary")
        gpu_button = gr.Button("Compare on the GPU", visible=torch.cuda.is_available())
        shown = gr.HTML(elem_id="result")
        gr.Examples([[example] for example in EXAMPLES], inputs=text, label="Examples")
        gr.Markdown(reported(pair.report, pair.compressed.name))
        asked: dict[str, Any] = {"inputs": text, "outputs": shown, "api_visibility": "private", **ONE_AT_A_TIME}
        gr.on([button.click, text.submit, page.load], show, **asked)
        gpu_button.click(with_gpu(show_on_gpu), **asked)
        gr.api(compare_api, api_name="compare", **ONE_AT_A_TIME)
    return page.queue(max_size=WAITING)
