"""The checks of the browser tests find problems that are added to the page."""

import pytest

from tests.browser.driving import settle
from tests.browser.watching import tab_stops, too_wide, violations, watch

pytestmark = pytest.mark.slow

ADD = """([where, html]) => document.querySelector(where).insertAdjacentHTML("beforeend", html)"""
ELSEWHERE = {
    "http://fonts.example/a.png": "<img src='http://fonts.example/a.png'>",
    "https://fonts.example/a.css": "<link rel='stylesheet' href='https://fonts.example/a.css'>",
    "http://127.0.0.1:9/": "<iframe src='http://127.0.0.1:9/'></iframe>",
}
UNREADABLE = {
    "color-contrast": "<p style='color: #999; background: #fff'>hardly to be read</p>",
    "button-name": "<button></button>",
    "image-alt": "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>",
    "label": "<input type='text'>",
}


@pytest.fixture
def page(chromium, address):
    """The page, with the list of problems in `page.found`."""
    window = chromium.new_context(viewport={"width": 1200, "height": 900})
    page = window.new_page()
    page.found = watch(page, address)
    page.goto(f"{address}/?__theme=light")
    page.locator("#result .verdict").wait_for()
    settle(page)
    assert page.found == []
    yield page
    window.close()


def test_a_request_to_elsewhere_is_found(page):
    for url, tag in ELSEWHERE.items():
        with page.expect_event("requestfailed"):
            page.evaluate(ADD, ["#result", tag])
        assert f"request: {url}" in page.found


def test_errors_of_scripts_are_found(page):
    page.evaluate("console.error('one'); setTimeout(() => { throw new Error('two'); })")
    page.wait_for_timeout(100)
    assert [line.partition(":")[0] for line in page.found] == ["console", "error"]


def test_what_is_too_wide_is_found(page):
    for place in ("#result", "body"):
        page.evaluate(ADD, [place, "<div style='overflow: auto'><p style='width: 1300px'>scrolls by itself</p></div>"])
        assert too_wide(page) == []
    for place in ("#result", "body"):
        page.evaluate(ADD, [place, "<p class='wide' style='width: 1300px'>too wide</p>"])
        assert "p.wide" in str(too_wide(page))
        page.evaluate("document.querySelector('.wide').remove()")


def test_what_cannot_be_read_is_found(page):
    assert violations(page) == []
    for tag in UNREADABLE.values():
        page.evaluate(ADD, ["#result", tag])
    found = violations(page)
    for rule in UNREADABLE:
        assert any(line.startswith(rule) for line in found), rule


def test_focus_that_jumps_or_is_unseen_is_found(page):
    _, wrong = tab_stops(page)
    assert wrong == []
    for tag in (
        "<button style='position: relative; top: -600px'>jumps</button>",
        "<a href='#' style='outline: none !important; box-shadow: none'>unseen</a>",
    ):
        page.evaluate(ADD, ["#result", tag])
    _, (jump, unseen) = tab_stops(page)
    assert jump.endswith("-> button jumps")
    assert unseen == "focus unseen: a unseen"
