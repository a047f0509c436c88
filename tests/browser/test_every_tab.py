"""Use and check every tab in each width, colour scheme and language.

SCREENSHOTS=FOLDER saves pictures, TRAINER_EXT_RUN=RUN shows the models of a run.
"""

import os
from pathlib import Path

import pytest

from tests.browser.driving import ACTS, open_tab, switch_language, tabs
from tests.browser.watching import tab_stops, too_wide, violations

pytestmark = pytest.mark.slow

WIDTHS = {"desktop": 1200, "phone": 390}
PICTURES = os.environ.get("SCREENSHOTS")


def look(page, name: str) -> None:
    """Check that everything is readable and inside the window; take a picture if requested."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)
    assert too_wide(page) == [], name
    assert violations(page) == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_tab_is_used_and_readable(visit, width, scheme):
    page = visit(WIDTHS[width], scheme)
    assert tabs(page) == len(ACTS), "a tab has no test"
    for tab in ACTS:
        open_tab(page, tab)
        ACTS[tab](page)
        look(page, f"{tab}-{width}-{scheme}-en")
    switch_language(page, "mr")
    for tab in ACTS:
        open_tab(page, tab)
        look(page, f"{tab}-{width}-{scheme}-mr")


@pytest.mark.parametrize("width", [360, 390])
def test_a_phone_shows_every_tab_without_a_menu(visit, width):
    page = visit(width, "dark")
    assert tabs(page) == len(ACTS)
    assert page.locator(".overflow-menu:visible").count() == 0
    for tab in page.locator("[role=tab]").all():
        box = tab.bounding_box()
        assert 0 <= box["x"] < box["x"] + box["width"] <= width


def test_the_empty_upload_box_is_called_as_its_text_says(visit):
    """Before a file and after it was taken away."""
    page = visit()
    open_tab(page, "batch")
    look(page, "batch-empty")
    ACTS["batch"](page)
    page.locator("[role=tabpanel]:visible button[aria-label=Clear]").first.click()
    page.locator(".upload-container:visible").wait_for()
    look(page, "batch-emptied")


def test_the_keyboard_reaches_everything_in_order(visit):
    page = visit()
    for tab in ACTS:
        open_tab(page, tab)
        names, wrong = tab_stops(page)
        assert wrong == [], tab
        assert len(names) >= 4, tab
