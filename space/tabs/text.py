"""Tab "One text": the answers of both models to a text, and the endpoint `/compare` with all probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr
import torch
from charts.compare import in_client, in_curl, in_python, influence_chart, reported, result
from charts.markup import refusal
from core import captions
from core.captions import EXAMPLES, FIRST, Refused
from core.compare import Comparison, Influence, check_text, compare, influence
from core.limits import ONE_AT_A_TIME, with_gpu
from core.models import Pair

from tabs.language import LanguageSwitch
from trainer_ext import InputError

WORDS = {
    "en": {
        "text": "Text",
        "go": "Compare",
        "gpu": "Compare on the GPU",
        "examples": "Examples",
        "link": "Link to this text",
        "linked": "The link is in the address bar, and copied where the browser allows it.",
        "code": "Code for this result",
        "python": "Python, the compressed model alone",
        "client": "Python, this page by gradio_client",
        "curl": "Shell, this page by curl",
    },
    "mr": {
        "text": "मजकूर",
        "go": "तुलना करा",
        "gpu": "GPU वर तुलना करा",
        "examples": "उदाहरणे",
        "link": "या मजकुराची लिंक",
        "linked": "लिंक ॲड्रेस बारमध्ये आहे; ब्राउझरची परवानगी असल्यास ती कॉपीही झाली आहे.",
        "code": "या उत्तरासाठी कोड",
        "python": "Python, फक्त लहान मॉडेल",
        "client": "Python, gradio_client वापरून हे पान",
        "curl": "शेल, curl वापरून हे पान",
    },
}
say = partial(captions.say, WORDS)

# Links have the text after the "#", so that it may be long and is not sent to the server, which could log it.
_READ_LINK = """(text, language) => {
    const linked = new URLSearchParams(window.location.hash.slice(1)).get("text");
    return [linked ?? text, language];
}"""
_WRITE_LINK = """(text, language) => {
    const address = new URL(window.location.href);
    address.hash = new URLSearchParams({text}).toString();
    window.history.replaceState(window.history.state, "", address);
    navigator.clipboard?.writeText(address.href).catch(() => {});
    return [text, language];
}"""


@dataclass(frozen=True)
class Shown:
    """What the page shows, kept to show it in the other language; there are no influences until they are computed."""

    text: str
    outcome: Comparison | Refused
    influences: dict[str, Influence] = field(default_factory=dict)


def attempt(text: str, ask: Callable[[str], Comparison]) -> Shown:
    """Compare the models on a text, or return why that is not possible."""
    try:
        return Shown(text, ask(check_text(text)))
    except Refused as refused:
        return Shown(text, refused)


def draw(shown: Shown | None, pair: Pair, language: str) -> tuple[str, str]:
    """Return the result and the influence of words as HTML."""
    if shown is None:
        return "", ""
    if isinstance(shown.outcome, Refused):
        return refusal(shown.outcome, language), ""
    explained = influence_chart(shown.influences, language) if shown.influences else ""
    return result(shown.outcome, pair, language), explained


def explain(shown: Shown, pair: Pair) -> Shown:
    """Add the influence of each word, if there is a result."""
    if isinstance(shown.outcome, Refused):
        return shown
    return replace(shown, influences={name: influence(shown.text, side) for name, side in pair.sides.items()})


def build(pair: Pair, switch: LanguageSwitch) -> None:
    """Add the text box, both answers, the influence of words, the code for the same result, and the endpoint.

    Args:
        pair: The models.
        switch: The language switch.
    """
    on_cpu = partial(compare, pair=pair)
    on_gpu = with_gpu(lambda text: compare(text, pair.to("cuda")))

    def answer(text: str, language: str, request: gr.Request, ask: Callable = on_cpu) -> tuple:
        shown, address = attempt(text, ask), request.headers.get("origin", "http://127.0.0.1:7860")
        code = (in_python(text, pair.compressed.name), in_client(text, address), in_curl(text, address))
        return shown, *draw(shown, pair, language), *code

    def answer_linked(text: str, language: str, request: gr.Request) -> tuple:
        """Answer the text of the link that opened the page, and return the text too."""
        return text, *answer(text, language, request)

    def answer_on_gpu(text: str, language: str, request: gr.Request) -> tuple:
        return answer(text, language, request, on_gpu)

    def explain_shown(shown: Shown, language: str) -> tuple:
        shown = explain(shown, pair)
        return shown, draw(shown, pair, language)[1]

    def tell_linked(text: str, language: str) -> None:
        gr.Info(say(language, "linked"), title=say(language, "link"))

    def compare_api(text: str) -> dict:
        """Return both models' probabilities of every label, their answers, the largest gap and the time of each."""
        try:
            return asdict(compare(text, pair))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    text = switch.add(gr.Textbox, WORDS, {"label": "text"}, value=EXAMPLES[0], lines=2, max_lines=8)
    with gr.Row():
        button = switch.add(gr.Button, WORDS, {"value": "go"}, variant="primary", scale=3)
        gpu_button = switch.add(gr.Button, WORDS, {"value": "gpu"}, visible=torch.cuda.is_available())
        link = switch.add(gr.Button, WORDS, {"value": "link"})
    examples = gr.Examples(
        [[example] for example in EXAMPLES], inputs=text, label=WORDS[FIRST]["examples"], elem_id="examples"
    )
    switch.follow(examples.dataset, lambda language: {"label": say(language, "examples")})
    shown, html, why = gr.State(), gr.HTML(elem_id="result"), gr.HTML(elem_id="influence")
    with switch.add(gr.Accordion, WORDS, {"label": "code"}, open=False):
        code = [
            switch.add(
                gr.Code,
                WORDS,
                {"label": name},
                language=None,
                wrap_lines=True,
                show_line_numbers=False,
                interactive=False,
            )
            for name in ("python", "client", "curl")  # without syntax colours, whose contrast is too low
        ]
    reports = partial(reported, pair.report, pair.compressed.name)
    switch.follow(gr.Markdown(reports(FIRST)), lambda language: {"value": reports(language)})

    private: dict[str, Any] = {"api_visibility": "private"}
    typed, results = [text, switch.language], [shown, html, why, *code]
    common = {"inputs": typed, **private, **ONE_AT_A_TIME}
    for answered in (
        gr.on([button.click, text.submit], answer, outputs=results, **common),
        examples.load_input_event.then(answer, outputs=results, **common),
        switch.opened.then(answer_linked, outputs=[text, *results], js=_READ_LINK, **common),
        gpu_button.click(answer_on_gpu, outputs=results, **common),
    ):
        answered.then(explain_shown, [shown, switch.language], [shown, why], **private, **ONE_AT_A_TIME)
    switch.language.input(
        lambda shown, language: draw(shown, pair, language),
        [shown, switch.language],
        [html, why],
        queue=False,
        **private,
    )
    link.click(tell_linked, typed, js=_WRITE_LINK, **private)
    gr.api(compare_api, api_name="compare", **ONE_AT_A_TIME)
