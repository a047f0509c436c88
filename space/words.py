"""Words: the switch between the languages of one page, which changes its captions and leaves alone what was typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr
from captions import FIRST, LANGUAGES, Table, say
from gradio.blocks import Block

T = TypeVar("T", bound=Block)
Captions = Callable[[str], dict[str, Any]]

# The page says which language it is in, for screen readers; the address keeps it, for reloading and for links.
_TELL = "(language) => { document.documentElement.lang = language; }"
_REMEMBER = """(language) => {
    document.documentElement.lang = language;
    const address = new URL(window.location.href);
    address.searchParams.set("lang", language);
    window.history.replaceState(window.history.state, "", address);
}"""


def first_language(request: gr.Request) -> str:
    """That of `?lang=` in the page's address, English where there is none or another."""
    asked = request.query_params.get("lang")
    return asked if asked in LANGUAGES else FIRST


class Words:
    """The captions of one page: made inside `gr.Blocks`, where the switch shall stand.

    Attributes:
        language: the switch; an input ("en", "mr") of every function that writes captions into HTML or messages.
        opened: the event that follows the page's loading once the language is known; chain with `opened.then`.
    """

    def __init__(self, page: gr.Blocks) -> None:
        choices = [(name, code) for code, name in LANGUAGES.items()]
        self.language = gr.Radio(choices, value=FIRST, label="Language · भाषा", elem_id="language", container=False)
        self.opened = page.load(
            first_language, outputs=self.language, queue=False, show_progress="hidden", api_visibility="private"
        )
        self._followers: list[tuple[Block, Captions]] = []

    def add(self, kind: type[T], table: Table, keys: dict[str, str], **others: Any) -> T:
        """A new component whose captions follow the language.

        Args:
            kind: its class.
            table: the captions.
            keys: property of the component -> key of its caption: `{"label": "text"}`, of a button `{"value": "go"}`.
            **others: the component's other arguments.
        """

        def captions(language: str) -> dict[str, str]:
            return {name: say(table, language, key) for name, key in keys.items()}

        return self.follow(kind(**captions(FIRST), **others), captions)

    def follow(self, component: T, captions: Captions) -> T:
        """The same for a component that exists: `captions(language)` are its properties in a language."""
        self._followers.append((component, captions))
        return component

    def updates(self, language: str) -> list[dict]:
        """One update per component that follows."""
        return [gr.update(**captions(language)) for _, captions in self._followers]

    def connect(self) -> None:
        """Let all that was added follow the switch; called last."""
        asked: dict[str, Any] = {
            "inputs": self.language,
            "outputs": [component for component, _ in self._followers],
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        for event, script in ((self.opened.then, _TELL), (self.language.input, _REMEMBER)):
            event(self.updates, **asked)
            event(None, self.language, js=script, api_visibility="private")
