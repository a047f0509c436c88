"""Tab "One text": the answers of both models to a text or to two, and the endpoint `/compare` with all numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import gradio as gr
import torch
from charts.compare import in_client, in_curl, in_python, influence_chart, reported, result
from charts.markup import refusal
from charts.spans import spans_result
from core import captions
from core.captions import FIRST, Refused
from core.compare import Comparison, Influence, check_texts, compare, influence
from core.limits import ONE_AT_A_TIME, with_gpu
from core.models import Pair
from core.spans import SpanComparison, find

from tabs.language import LanguageSwitch
from trainer_ext import InputError

WORDS = {
    "en": {
        "text": "Text",
        "first": "First text",
        "second": "Second text",
        "question": "Question",
        "context": "Context, which has the answer",
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
        "first": "पहिला मजकूर",
        "second": "दुसरा मजकूर",
        "question": "प्रश्न",
        "context": "उत्तर असलेला उतारा",
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

# Links have the texts after the "#", so that they may be long and are not sent to the server, which could log them.
# Both functions get the text boxes, one or two, and last the language.
_READ_LINK = """(...given) => {
    const linked = new URLSearchParams(window.location.hash.slice(1));
    return given.map((value, index) => (index < given.length - 1 ? linked.get(["text", "text_pair"][index]) : null) ?? value);
}"""
_WRITE_LINK = """(...given) => {
    const address = new URL(window.location.href);
    const texts = given.slice(0, -1).map((text, index) => [["text", "text_pair"][index], text]);
    address.hash = new URLSearchParams(texts).toString();
    window.history.replaceState(window.history.state, "", address);
    navigator.clipboard?.writeText(address.href).catch(() => {});
    return given;
}"""


@dataclass(frozen=True)
class Shown:
    """What the page shows, kept to show it in the other language; there are no influences until they are computed."""

    texts: tuple[str, ...]
    outcome: Comparison | SpanComparison | Refused
    influences: dict[str, Influence] = field(default_factory=dict)


def ask_both(texts: Sequence[str], pair: Pair) -> Comparison | SpanComparison:
    """Compare the models on the texts of all boxes, as their kind of task asks for."""
    compared: Callable[..., Comparison | SpanComparison] = find if pair.kind.spans else compare
    return compared(texts[0], pair, *texts[1:])


def attempt(texts: Sequence[str], ask: Callable[[Sequence[str]], Comparison | SpanComparison]) -> Shown:
    """Compare the models on the texts of all boxes, or return why that is not possible."""
    try:
        return Shown(tuple(texts), ask(check_texts(texts)))
    except Refused as refused:
        return Shown(tuple(texts), refused)


def draw(shown: Shown | None, pair: Pair, language: str) -> tuple[str, str]:
    """Return the result and the influence of words as HTML."""
    if shown is None:
        return "", ""
    if isinstance(shown.outcome, Refused):
        return refusal(shown.outcome, language), ""
    if isinstance(shown.outcome, SpanComparison):
        return spans_result(shown.outcome, pair, language), ""
    pairs = len(shown.texts) > 1
    explained = influence_chart(shown.influences, language, pairs=pairs) if shown.influences else ""
    return result(shown.outcome, pair, language), explained


def explain(shown: Shown, pair: Pair) -> Shown:
    """Add the influence of each word, if there is a result that consists of labels."""
    if not isinstance(shown.outcome, Comparison):
        return shown
    return replace(
        shown,
        influences={name: influence(shown.texts[0], side, *shown.texts[1:]) for name, side in pair.sides.items()},
    )


def build(pair: Pair, switch: LanguageSwitch) -> None:
    """Add the text boxes, both answers, the influence of words, the code for the same result, and the endpoint.

    Args:
        pair: The models.
        switch: The language switch.
    """
    kind = pair.kind
    on_cpu = partial(ask_both, pair=pair)
    on_gpu = with_gpu(lambda texts: ask_both(texts, pair.to("cuda")))

    def answer(request: gr.Request, *given: str, ask: Callable = on_cpu) -> tuple:
        """Answer the texts of the boxes; Gradio gives the request first, and last the language."""
        *texts, language = given
        shown, address = attempt(texts, ask), request.headers.get("origin", "http://127.0.0.1:7860")
        python = in_python(texts, pair.compressed.name, kind.task)
        return shown, *draw(shown, pair, language), python, in_client(texts, address), in_curl(texts, address)

    def answer_linked(request: gr.Request, *given: str) -> tuple:
        """Answer the texts of the link that opened the page, and return them too."""
        return *given[:-1], *answer(request, *given)

    def answer_on_gpu(request: gr.Request, *given: str) -> tuple:
        return answer(request, *given, ask=on_gpu)

    def explain_shown(shown: Shown, language: str) -> tuple:
        shown = explain(shown, pair)
        return shown, draw(shown, pair, language)[1]

    def tell_linked(*given: str) -> None:
        gr.Info(say(given[-1], "linked"), title=say(given[-1], "link"))

    def asked(*texts: str) -> dict:
        try:
            return asdict(ask_both(texts, pair))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def compare_api(text: str) -> dict:
        """Return both models' answers to a text with the time of each: the probability of every label and the largest
        gap, or the position of every entity."""
        return asked(text)

    def compare_two_api(text: str, text_pair: str) -> dict:
        """Return both models' answers to two texts with the time of each: the probability of every label and the largest
        gap, or the position of the answer to a question (the first text) in its context."""
        return asked(text, text_pair)

    boxes = [
        switch.add(gr.Textbox, WORDS, {"label": box}, value=value, lines=2, max_lines=8)
        for box, value in zip(kind.boxes, kind.examples[0], strict=True)
    ]
    with gr.Row():
        button = switch.add(gr.Button, WORDS, {"value": "go"}, variant="primary", scale=3)
        gpu_button = switch.add(gr.Button, WORDS, {"value": "gpu"}, visible=torch.cuda.is_available())
        link = switch.add(gr.Button, WORDS, {"value": "link"})
    examples = gr.Examples(
        [list(example) for example in kind.examples], inputs=boxes, label=WORDS[FIRST]["examples"], elem_id="examples"
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
    typed, results = [*boxes, switch.language], [shown, html, why, *code]
    common = {"inputs": typed, **private, **ONE_AT_A_TIME}
    for answered in (
        gr.on([button.click, *(box.submit for box in boxes)], answer, outputs=results, **common),
        examples.load_input_event.then(answer, outputs=results, **common),
        switch.opened.then(answer_linked, outputs=[*boxes, *results], js=_READ_LINK, **common),
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
    gr.api(compare_api if len(boxes) == 1 else compare_two_api, api_name="compare", **ONE_AT_A_TIME)
