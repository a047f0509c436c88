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


def test_the_keyboard_reaches_everything_in_order(visit):
    page = visit()
    for tab in ACTS:
        open_tab(page, tab)
        names, wrong = tab_stops(page)
        assert wrong == [], tab
        assert len(names) >= 4, tab
