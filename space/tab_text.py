"""Tab "One text": what both models say about a text, and the endpoint `/compare` with the whole distributions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import captions
import gradio as gr
import torch
from captions import FIRST, Refused
from charts import refusal, result
from compare import Comparison, check_text, compare
from examples import EXAMPLES
from gpu import with_gpu
from influence import Influence, influence
from influence_chart import influence_chart
from limits import ONE_AT_A_TIME
from models import Pair
from reported import reported
from snippets import in_client, in_curl, in_python
from words import Words

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

# A link carries its text behind the "#": it is as long as a text may be, and no server writes it into a log.
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
    """What the page shows, kept so that it can be said again in the other language; no influences before they are known."""

    text: str
    outcome: Comparison | Refused
    influences: dict[str, Influence] = field(default_factory=dict)


def attempt(text: str, ask: Callable[[str], Comparison]) -> Shown:
    """The comparison of a text, or why there is none."""
    try:
        return Shown(text, ask(check_text(text)))
    except Refused as refused:
        return Shown(text, refused)


def draw(shown: Shown | None, pair: Pair, language: str) -> tuple[str, str]:
    """The result and the influence of words as HTML."""
    if shown is None:
        return "", ""
    if isinstance(shown.outcome, Refused):
        return refusal(shown.outcome, language), ""
    explained = influence_chart(shown.influences, language) if shown.influences else ""
    return result(shown.outcome, pair, language), explained


def explain(shown: Shown, pair: Pair) -> Shown:
    """The same with the influences of its words, where there is an answer to explain."""
    if isinstance(shown.outcome, Refused):
        return shown
    return replace(shown, influences={name: influence(shown.text, side) for name, side in pair.sides.items()})


def build(pair: Pair, words: Words) -> None:
    """A text box, both answers, what carried them, how to get them again, and the endpoint."""
    on_cpu = partial(compare, pair=pair)
    on_gpu = with_gpu(lambda text: compare(text, pair.to("cuda")))

    def answer(text: str, language: str, request: gr.Request, ask: Callable = on_cpu) -> tuple:
        shown, address = attempt(text, ask), request.headers.get("origin", "http://127.0.0.1:7860")
        code = (in_python(text, pair.compressed.name), in_client(text, address), in_curl(text, address))
        return shown, *draw(shown, pair, language), *code

    def answer_linked(text: str, language: str, request: gr.Request) -> tuple:
        """The same with the text itself: that of the link by which the page was opened."""
        return text, *answer(text, language, request)

    def answer_on_gpu(text: str, language: str, request: gr.Request) -> tuple:
        return answer(text, language, request, on_gpu)

    def explain_shown(shown: Shown, language: str) -> tuple:
        shown = explain(shown, pair)
        return shown, draw(shown, pair, language)[1]

    def tell_linked(text: str, language: str) -> None:
        gr.Info(say(language, "linked"), title=say(language, "link"))

    def compare_api(text: str) -> dict:
        """Both models' probabilities of every label, their answers, the largest gap and the time that each takes."""
        try:
            return asdict(compare(text, pair))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    text = words.add(gr.Textbox, WORDS, {"label": "text"}, value=EXAMPLES[0], lines=2, max_lines=8)
    with gr.Row():
        button = words.add(gr.Button, WORDS, {"value": "go"}, variant="primary", scale=3)
        gpu_button = words.add(gr.Button, WORDS, {"value": "gpu"}, visible=torch.cuda.is_available())
        link = words.add(gr.Button, WORDS, {"value": "link"})
    examples = gr.Examples(
        [[example] for example in EXAMPLES], inputs=text, label=WORDS[FIRST]["examples"], elem_id="examples"
    )
    words.follow(examples.dataset, lambda language: {"label": say(language, "examples")})
    shown, html, why = gr.State(), gr.HTML(elem_id="result"), gr.HTML(elem_id="influence")
    with words.add(gr.Accordion, WORDS, {"label": "code"}, open=False):
        code = [
            words.add(
                gr.Code,
                WORDS,
                {"label": name},
                language=None,
                wrap_lines=True,
                show_line_numbers=False,
                interactive=False,
            )
            for name in ("python", "client", "curl")  # no language: its colours have too little contrast
        ]
    reports = partial(reported, pair.report, pair.compressed.name)
    words.follow(gr.Markdown(reports(FIRST)), lambda language: {"value": reports(language)})

    private: dict[str, Any] = {"api_visibility": "private"}
    typed, results = [text, words.language], [shown, html, why, *code]
    asked = {"inputs": typed, **private, **ONE_AT_A_TIME}
    for answered in (
        gr.on([button.click, text.submit], answer, outputs=results, **asked),
        examples.load_input_event.then(answer, outputs=results, **asked),
        words.opened.then(answer_linked, outputs=[text, *results], js=_READ_LINK, **asked),
        gpu_button.click(answer_on_gpu, outputs=results, **asked),
    ):
        answered.then(explain_shown, [shown, words.language], [shown, why], **private, **ONE_AT_A_TIME)
    words.language.input(
        lambda shown, language: draw(shown, pair, language),
        [shown, words.language],
        [html, why],
        queue=False,
        **private,
    )
    link.click(tell_linked, typed, js=_WRITE_LINK, **private)
    gr.api(compare_api, api_name="compare", **ONE_AT_A_TIME)
