"""Captions: what the page says, looked up by key in English or Marathi, and refusals that can be said in both.

Every module keeps its own in `WORDS = {"en": {key: text}, "mr": {key: text}}`.
"""

from __future__ import annotations

from trainer_ext import InputError

LANGUAGES = {"en": "English", "mr": "मराठी"}
FIRST = "en"
Table = dict[str, dict[str, str]]

# What several modules say: the two models.
WORDS: Table = {
    "en": {"baseline": "baseline", "compressed": "compressed"},
    "mr": {"baseline": "मूळ मॉडेल", "compressed": "लहान मॉडेल"},
}


def say(table: Table, language: str, key: str, **values: object) -> str:
    """The caption of this key, with `{name}` replaced by values; whatever goes into HTML is escaped by who gives it."""
    return table[language][key].format(**values)


class Refused(InputError):
    """What a visitor gave cannot work: an InputError in English, and the same in the language of the page."""

    def __init__(self, table: Table, key: str, **values: object) -> None:
        super().__init__(say(table, FIRST, key, **values))
        self._caption = (table, key, values)

    def said(self, language: str) -> str:
        """The message in this language."""
        table, key, values = self._caption
        return say(table, language, key, **values)
