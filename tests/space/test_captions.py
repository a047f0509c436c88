"""Every caption exists in both languages, and the language switch keeps what was typed."""

import ast
import json
import re
import string
import sys

import pytest
from core import captions
from core.captions import LANGUAGES, Refused, say

from tests.helpers.paging import run
from trainer_ext.hub.space import space_folder


def tables() -> dict[str, captions.Table]:
    """Return `WORDS` of every module without importing it: importing gradio leaves an event loop open."""
    found = {}
    for path in space_folder().rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(target, ast.Name) and target.id == "WORDS":
                found[path.relative_to(space_folder()).as_posix()] = ast.literal_eval(node.value)
    return found


MODULES = tables()
TABLE = {"en": {"n": "{count:,} of <b>", "go": "Go"}, "mr": {"n": "{count:,} पैकी", "go": "चला"}}
# Uses the switch, in a process of its own for the same reason.
SWITCH = """
import json, sys
sys.path.insert(0, sys.argv[1])
table = json.loads(sys.argv[2])
from types import SimpleNamespace
import gradio as gr
from core.captions import say
from tabs.language import LanguageSwitch, first_language
with gr.Blocks() as page:
    both = LanguageSwitch(page)
    box = both.add(gr.Textbox, table, {"label": "go"}, value="typed")
    both.follow(gr.Markdown("1"), lambda language: {"value": say(table, language, "n", count=1)})
    both.connect()
asked = [first_language(SimpleNamespace(query_params=query)) for query in ({}, {"lang": "mr"}, {"lang": "<b>"})]
print(json.dumps([asked, [box.label, box.value], both.updates("mr")]))
"""


def fields(text: str) -> list[str]:
    return sorted(f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name)


def faults(table: captions.Table) -> list[str]:
    """Return what is missing in a table of captions."""
    if table.keys() != LANGUAGES.keys():
        return [f"languages {list(table)}"]
    english, marathi = table["en"], table["mr"]
    wrong = sorted(english.keys() ^ marathi.keys())
    for key in english.keys() & marathi.keys():
        same_fields = fields(english[key]) == fields(marathi[key])
        words = re.search("[A-Za-z]", re.sub("{.*?}", "", english[key]))  # or it is made of signs and numbers
        if not same_fields or not english[key].strip() or (words and not re.search("[\u0900-\u097f]", marathi[key])):
            wrong.append(key)
        if re.search("[\u0900-\u0965]", english[key]):
            wrong.append(key)
    return wrong


def test_all_modules_with_captions_are_found():
    assert {"page.py", "core/captions.py", "charts/compare.py", "tabs/text.py", "tabs/stress.py"} <= MODULES.keys()


@pytest.mark.parametrize("module", MODULES)
def test_every_caption_is_there_in_both_languages(module):
    assert faults(MODULES[module]) == []


def test_what_several_modules_say_is_written_once():
    common = MODULES["core/captions.py"]
    again = {
        (module, language, key)
        for module, table in MODULES.items()
        if table is not common
        for language, words in table.items()
        for key, text in words.items()
        if text in common[language].values() and key in common[language]
    }
    assert again == set()


@pytest.mark.parametrize(
    "table",
    [
        {"en": {"a": "x"}},
        {"en": {"a": "x"}, "mr": {}},
        {"en": {"a": "x"}, "mr": {"a": ""}},
        {"en": {"a": "x"}, "mr": {"a": "left in English"}},
        {"en": {"a": "मराठी"}, "mr": {"a": "मराठी"}},
        {"en": {"a": "{one}"}, "mr": {"a": "{two} मराठी"}},
        {"en": {"a": "{one:.1f}"}, "mr": {"a": "{one} मराठी"}},
    ],
)
def test_what_is_missing_is_found(table):
    assert faults(table)


def test_a_caption_has_its_values():
    assert say(TABLE, "mr", "n", count=1200) == "1,200 पैकी"
    with pytest.raises(KeyError):
        say(TABLE, "mr", "n")


def test_a_refusal_is_said_in_both():
    refused = Refused(TABLE, "n", count=3)
    assert (str(refused), refused.said("mr")) == ("3 of <b>", "3 पैकी")


def test_captions_follow_the_switch_and_values_do_not_change():
    command = [sys.executable, "-W", "ignore", "-c"]
    asked, first, (box, text) = json.loads(run(command, SWITCH, space_folder(), json.dumps(TABLE)))
    assert asked == ["en", "mr", "en"]
    assert first == ["Go", "typed"]
    assert box["label"] == "चला"
    assert "value" not in box
    assert text["value"] == "1 पैकी"
