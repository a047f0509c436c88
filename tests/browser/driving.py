"""Use each tab of the page as a visitor does, and wait for the results."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.helpers.paging import LABELS

TEXT = "नव्या फोनची बॅटरी दोन दिवस टिकते <script>alert(1)</script>"
CSV = "text,label\n" + "".join(f"{TEXT} {number},{label}\n" for number, label in enumerate(2 * LABELS))
CELLS = "#batch-matrix button[data-before]"  # Gradio may have a hidden button of its own there
# One event may follow another, and components fade in slowly.
_QUIET_MS = 200
_SETTLED = """quiet => {
    const working = [...document.querySelectorAll("[data-testid=status-tracker]")].some((one) =>
        !one.classList.contains("hide"));
    const moving = document.getAnimations().some((one) => one instanceof CSSTransition);
    if (working || moving) window.quietSince = null;
    else window.quietSince ??= performance.now();
    return window.quietSince !== null && performance.now() - window.quietSince >= quiet;
}"""


def settle(page: Page) -> None:
    """Wait until no event is running and nothing is moving."""
    page.evaluate("window.quietSince = null")
    page.wait_for_function(_SETTLED, arg=_QUIET_MS)


def press_main_button(page: Page, result: str) -> None:
    """Press the button of the open tab, and wait until its result has changed."""
    before = page.locator(result).inner_html()
    page.locator("button.primary:visible").click()
    page.wait_for_function(
        "([where, before]) => document.querySelector(where).innerHTML !== before", arg=[result, before]
    )
    settle(page)


def ask_one_text(page: Page) -> None:
    """Type a text, compare, and open the code for the result."""
    page.locator("textarea:visible").first.fill(TEXT)
    press_main_button(page, "#result")
    page.locator("button.label-wrap:visible").click()


def compare_a_file(page: Page) -> None:
    """Upload a file of texts with labels, compare, and open the first cell of the matrix."""
    file = {"name": "texts.csv", "mimeType": "text/csv", "buffer": CSV.encode()}
    page.locator("[role=tabpanel]:visible input[type=file]").set_input_files(file)
    settle(page)
    press_main_button(page, "#batch-matrix")
    page.locator(CELLS).first.click()
    page.locator("#batch-chosen table").wait_for()
    settle(page)


def race(page: Page) -> None:
    """Run a race, and enter the number of texts per day."""
    press_main_button(page, "#race")
    page.get_by_label("Texts per day").fill("2000000")
    settle(page)


def shake_a_text(page: Page) -> None:
    """Run the stress test on the text that is there."""
    press_main_button(page, "#stress")


# What a visitor does on each tab.
ACTS = {"text": ask_one_text, "batch": compare_a_file, "speed": race, "stress": shake_a_text}


def tabs(page: Page) -> int:
    """Return the number of tabs."""
    return page.locator("[role=tab]:visible").count()


def open_tab(page: Page, name: str) -> None:
    """Open a tab."""
    page.locator(f"[role=tab][data-tab-id={name}]").click()
    settle(page)


def switch_language(page: Page, language: str) -> None:
    """Choose a language, and wait until the page shows it."""
    page.locator(f"#language input[value={language}]").check()
    page.wait_for_function("language => document.documentElement.lang === language", arg=language)
    settle(page)
