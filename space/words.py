"""Words: captions in English and Marathi, and the switch between them, which leaves what was typed alone.

Every module keeps its own captions in `WORDS = {"en": {key: text}, "mr": {key: text}}`; `say` looks one up.
"""

from __future__ import annotations

from typing import Any, TypeVar

import gradio as gr
from gradio.blocks import Block

LANGUAGES = {"en": "English", "mr": "मराठी"}
FIRST = "en"
Table = dict[str, dict[str, str]]
T = TypeVar("T", bound=Block)

# The page says which language it is in, for screen readers; the address keeps it, for reloading and for links.
_REMEMBER = """(language) => {
    document.documentElement.lang = language;
    const address = new URL(window.location.href);
    address.searchParams.set("lang", language);
    window.history.replaceState(window.history.state, "", address);
}"""
_TELL = "(language) => { document.documentElement.lang = language; }"


def say(table: Table, language: str, key: str, **values: object) -> str:
    """The caption of this key, with `{name}` replaced by values; whatever goes into HTML is escaped by who gives it."""
    return table[language][key].format(**values)


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
        self._followers: list[tuple[Block, Table, dict[str, str]]] = []

    def add(self, kind: type[T], table: Table, keys: dict[str, str], **others: Any) -> T:
        """A new component whose captions follow the language.

        Args:
            kind: its class.
            table: the captions.
            keys: property of the component -> key of its caption: `{"label": "text"}`, of a button `{"value": "go"}`.
            **others: the component's other arguments.
        """
        component = kind(**{name: say(table, FIRST, key) for name, key in keys.items()}, **others)
        return self.follow(component, table, keys)

    def follow(self, component: T, table: Table, keys: dict[str, str]) -> T:
        """The same for a component that was made with its captions in the first language."""
        self._followers.append((component, table, keys))
        return component

    def captions(self, language: str) -> list[dict]:
        """One update per component that follows."""
        return [
            gr.update(**{name: say(table, language, key) for name, key in keys.items()})
            for _, table, keys in self._followers
        ]

    def connect(self) -> None:
        """Let all that was added follow the switch; called last."""
        asked: dict[str, Any] = {
            "inputs": self.language,
            "outputs": [component for component, *_ in self._followers],
            "queue": False,
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        for event, script in ((self.opened.then, _TELL), (self.language.input, _REMEMBER)):
            event(self.captions, **asked)
            event(None, self.language, js=script, api_visibility="private")
