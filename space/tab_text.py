"""Tab "One text": what both models say about a text, and the endpoint `/compare` with the whole distributions."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gradio as gr
import torch
from charts import refusal, result
from compare import compare
from examples import EXAMPLES
from gpu import with_gpu
from limits import ONE_AT_A_TIME
from models import Pair
from reported import reported
from words import Words

from trainer_ext import InputError

WORDS = {
    "en": {"text": "Text", "go": "Compare", "gpu": "Compare on the GPU", "examples": "Examples"},
    "mr": {"text": "मजकूर", "go": "तुलना करा", "gpu": "GPU वर तुलना करा", "examples": "उदाहरणे"},
}


def build(pair: Pair, words: Words) -> None:
    """A text box, both answers, and the endpoint."""

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

    text = words.add(gr.Textbox, WORDS, {"label": "text"}, value=EXAMPLES[0], lines=2, max_lines=8)
    button = words.add(gr.Button, WORDS, {"value": "go"}, variant="primary")
    gpu_button = words.add(gr.Button, WORDS, {"value": "gpu"}, visible=torch.cuda.is_available())
    shown = gr.HTML(elem_id="result")
    examples = gr.Examples([[example] for example in EXAMPLES], inputs=text, label=WORDS["en"]["examples"])
    words.follow(examples.dataset, WORDS, {"label": "examples"})
    gr.Markdown(reported(pair.report, pair.compressed.name))
    asked: dict[str, Any] = {"inputs": text, "outputs": shown, "api_visibility": "private", **ONE_AT_A_TIME}
    gr.on([button.click, text.submit], show, **asked)
    words.opened.then(show, **asked)
    gpu_button.click(with_gpu(show_on_gpu), **asked)
    gr.api(compare_api, api_name="compare", **ONE_AT_A_TIME)
