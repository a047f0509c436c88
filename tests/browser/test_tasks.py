"""Runs of other tasks in a real browser: each page is opened, used, and readable on every tab.

SCREENSHOTS=FOLDER saves pictures.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.browser.driving import ACTS, open_tab, press_main_button, settle, switch_language
from tests.browser.watching import too_wide, violations, watch
from tests.helpers.paging import TASKS, started, write_task
from trainer_ext.hub.space import space_folder

pytestmark = pytest.mark.slow

PICTURES = os.environ.get("SCREENSHOTS")
# What is in the result of a text, and which tabs have a result; the others say why they have none.
SHOWN = {
    "several": ("#result table.butterfly.several", ("text", "batch", "speed", "stress")),
    "pairs": ("#result table.butterfly", ("text", "batch", "speed", "stress")),
    "tags": ("#result .spans mark", ("text", "speed")),
    "answers": ("#result .spans mark", ("text", "speed")),
}
PASTED = {"pairs": "पहिला मजकूर\tदुसरा मजकूर\nभीमा नदी\tपूर आला"}


def look(page, name: str) -> None:
    """Check that everything is readable and inside the window; take a picture if requested."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)
    assert too_wide(page) == [], name
    assert violations(page) == [], name


@pytest.mark.parametrize("task", TASKS)
def test_a_run_of_each_task_opens_and_answers(chromium, tiny_model, cut, tmp_path, task):
    folder = os.environ.get(f"TRAINER_EXT_RUN_{task.upper()}") or write_task(tmp_path / "run", tiny_model, cut, task)
    command = [sys.executable, str(space_folder() / "app.py"), str(folder)]
    part, working = SHOWN[task]
    with started(command, cwd=tmp_path, PYTHONPATH=str(space_folder().parent)) as address:
        for scheme, width in (("light", 1200), ("dark", 390)):
            window = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            page = window.new_page()
            page.set_default_timeout(120_000)
            found = watch(page, address)
            page.goto(f"{address}/?__theme={scheme}")
            page.locator("#result .verdict").wait_for()
            settle(page)
            boxes = page.locator("[role=tabpanel]:visible textarea")
            boxes.first.fill(f"{boxes.first.input_value()} <script>alert(1)</script>")
            press_main_button(page, "#result")
            assert page.locator(part).count() >= 1
            look(page, f"{task}-text-{width}-{scheme}")
            for tab in list(ACTS)[1:]:
                open_tab(page, tab)
                if tab not in working:
                    said = page.locator("[role=tabpanel]:visible").inner_text()
                    assert "This tab compares one answer" in said or "follows the label of the text" in said
                elif tab == "batch":
                    page.locator("[role=tabpanel]:visible textarea").first.fill(
                        PASTED.get(task, "one text\nanother text")
                    )
                    press_main_button(page, "#batch-matrix")
                else:
                    press_main_button(page, {"speed": "#race", "stress": "#stress"}[tab])
                look(page, f"{task}-{tab}-{width}-{scheme}")
            switch_language(page, "mr")
            open_tab(page, "text")
            look(page, f"{task}-text-{width}-{scheme}-mr")
            window.close()
            assert found == []
    assert "Traceback" not in (tmp_path / "page.log").read_text()
