"""Captions: texts of the page in English and Marathi, error messages in both, and the example sentences.

Every module has its own captions in `WORDS = {"en": {key: text}, "mr": {key: text}}`.
"""

from __future__ import annotations

from trainer_ext import InputError

LANGUAGES = {"en": "English", "mr": "मराठी"}
FIRST = "en"
Table = dict[str, dict[str, str]]

# What several modules say: the names of the two models, and of their answers.
WORDS: Table = {
    "en": {"baseline": "baseline", "compressed": "compressed", "label": "label", "none": "none of the labels"},
    "mr": {"baseline": "मूळ मॉडेल", "compressed": "लहान मॉडेल", "label": "वर्ग", "none": "एकही वर्ग नाही"},
}

EXAMPLES = (
    "शेवटच्या षटकात दोन षटकार मारून संघाने सामना जिंकला",
    "नव्या फोनची बॅटरी दोन दिवस टिकते असा कंपनीचा दावा",
    "पावसाळ्यात पाणी उकळून प्यावे, असा डॉक्टरांचा सल्ला",
    "दहावीच्या परीक्षेचा निकाल उद्या दुपारी जाहीर होणार",
    "शहर में नई मेट्रो लाइन का काम अगले साल शुरू होगा",
    "The film's songs are better than its story",
)
# For pairs of texts, for tags of words, and for questions with their contexts.
PAIR_EXAMPLES = (
    ("पुण्यात आज मुसळधार पाऊस झाला", "आज पुण्यात खूप पाऊस पडला"),
    ("A man is playing a guitar on the stage", "Somebody makes music"),
    ("The train to Nagpur is an hour late", "The train left on time"),
)
TAG_EXAMPLES = (
    "Asha Patil moved from Pune to Berlin in March",
    "सुनील काल मुंबईहून नागपूरला गेला",
    "The Ganga rises in the western Himalaya",
)
QUESTION_EXAMPLES = (
    (
        "When was the bridge opened?",
        "The old bridge over the Mula was built of stone. The new one was opened in 1987 and is twice as wide.",
    ),
    (
        "धरण कोणत्या नदीवर आहे?",
        "हे धरण कोयना नदीवर बांधले आहे. त्याचे पाणी शेतीसाठी आणि वीजनिर्मितीसाठी वापरले जाते.",
    ),
    (
        "Who keeps the key?",
        "The library closes at eight. After that the caretaker keeps the key until the next morning.",
    ),
)
WITH_NUMBERS = "भारताने 210 धावा करून पहिला सामना ५ गडी राखून जिंकला"  # in both kinds of digits, for the stress test


def say(table: Table, language: str, key: str, **values: object) -> str:
    """Return a caption with each `{name}` replaced by its value; values for HTML must be escaped before."""
    return table[language][key].format(**values)


def model_name(language: str, side: str) -> str:
    """Return the name of a model, "baseline" or "compressed", in a language."""
    return shared(language, side)


def shared(language: str, key: str) -> str:
    """Return a caption that several modules have in common."""
    return say(WORDS, language, key)


class Refused(InputError):
    """Raised when the page cannot use a visitor's input; its text is English, and it can be shown in both languages."""

    def __init__(self, table: Table, key: str, **values: object) -> None:
        super().__init__(say(table, FIRST, key, **values))
        self._caption = (table, key, values)

    def said(self, language: str) -> str:
        """Return the message in a language."""
        table, key, values = self._caption
        return say(table, language, key, **values)
