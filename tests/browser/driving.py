"""Driving: what a visitor does on each tab until its results are there."""

from __future__ import annotations

from playwright.sync_api import Page

TEXT = "नव्या फोनची बॅटरी दोन दिवस टिकते <script>alert(1)</script>"
_SETTLED = """() => [...document.querySelectorAll("[data-testid=status-tracker]")].every((one) =>
    one.classList.contains("hide"))"""


def settle(page: Page) -> None:
    """Wait until nothing on the page is being worked on."""
    page.wait_for_function(_SETTLED)


def ask_one_text(page: Page) -> None:
    """Type a text, press the button, wait for an answer that is not the first one."""
    panel = page.locator("[role=tabpanel]").locator("visible=true")
    before = page.locator("#result").inner_html()
    panel.locator("textarea").first.fill(TEXT)
    panel.locator("button.primary").first.click()
    page.wait_for_function("before => document.querySelector('#result').innerHTML !== before", arg=before)
    settle(page)


# What is done on the tab of this name.
ACTS = {"text": ask_one_text}


def tabs(page: Page) -> list[str]:
    """Names of the page's tabs, in order."""
    return page.locator("[role=tab][data-tab-id]").evaluate_all("all => all.map((one) => one.dataset.tabId)")


def open_tab(page: Page, name: str) -> None:
    """Show one tab."""
    page.locator(f"[role=tab][data-tab-id={name}]").click()
    settle(page)


def switch_language(page: Page, language: str) -> None:
    """Press the switch, and wait until the page says it is in this language and shows it."""
    page.locator(f"#language input[value={language}]").check()
    page.wait_for_function("language => document.documentElement.lang === language", arg=language)
    settle(page)
