"""The language switch of the page: it changes the captions, and keeps what visitors typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import gradio as gr
from core.captions import FIRST, LANGUAGES, Table, say
from gradio.blocks import Block

T = TypeVar("T", bound=Block)
Captions = Callable[[str], dict[str, Any]]

# The document says its language to screen readers; the address keeps it for links and for reloading.
_SET_LANGUAGE = "(language) => { document.documentElement.lang = language; }"
_SET_AND_REMEMBER = """(language) => {
    document.documentElement.lang = language;
    const address = new URL(window.location.href);
    address.searchParams.set("lang", language);
    window.history.replaceState(window.history.state, "", address);
}"""


def first_language(request: gr.Request) -> str:
    """Return the language of `?lang=` in the address, or English if there is none or an unknown one."""
    language = request.query_params.get("lang")
    return language if language in LANGUAGES else FIRST


class LanguageSwitch:
    """The switch, and the components whose captions follow it; create it inside `gr.Blocks`, where it should appear.

    Attributes:
        language: The component; pass it ("en" or "mr") to every function that writes captions into HTML or messages.
        opened: The event after the page is loaded and the language is known; chain with `opened.then`.
    """

    def __init__(self, page: gr.Blocks) -> None:
        choices = [(name, code) for code, name in LANGUAGES.items()]
        self.language = gr.Radio(choices, value=FIRST, label="Language · भाषा", elem_id="language", container=False)
        self.opened = page.load(
            first_language, outputs=self.language, queue=False, show_progress="hidden", api_visibility="private"
        )
        self._followers: list[tuple[Block, Captions]] = []

    def add(self, kind: type[T], table: Table, keys: dict[str, str], **others: Any) -> T:
        """Create a component whose captions follow the language.

        Args:
            kind: The class of the component.
            table: The captions.
            keys: The key of the caption by property of the component: `{"label": "text"}`, for a button `{"value": "go"}`.
            **others: Other arguments of the component.
        """

        def captions(language: str) -> dict[str, Any]:
            return {name: say(table, language, key) for name, key in keys.items()}

        return self.follow(kind(**captions(FIRST), **others), captions)

    def follow(self, component: T, captions: Captions) -> T:
        """Let an existing component follow the language: `captions(language)` returns its properties."""
        self._followers.append((component, captions))
        return component

    def updates(self, language: str) -> list[dict]:
        """Return one update for each component that follows."""
        return [gr.update(**captions(language)) for _, captions in self._followers]

    def connect(self) -> None:
        """Register the events; call this after all components were added."""
        event_arguments: dict[str, Any] = {
            "inputs": self.language,
            "outputs": [component for component, _ in self._followers],
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        for event, script in ((self.opened.then, _SET_LANGUAGE), (self.language.input, _SET_AND_REMEMBER)):
            event(self.updates, **event_arguments)
            event(None, self.language, js=script, api_visibility="private")
