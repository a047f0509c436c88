"""Checks of the page in a browser; each returns a list of problems, which is empty if there are none."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page

AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
BAD = ("serious", "critical")  # impacts that axe reports
MOST_STOPS = 120

# Position and name of an element, and how it and its label are drawn, which must differ with and without focus.
_STOP = """element => {
    const box = element.getBoundingClientRect();
    const drawn = [element, element.closest("label"), element.parentElement].map((one) => {
        if (!one) return "";
        const style = getComputedStyle(one);
        return [style.outline, style.boxShadow, style.border, style.backgroundColor, style.textDecoration].join();
    });
    const name = element.getAttribute("aria-label") || element.innerText || element.labels?.[0]?.innerText || "";
    return {
        name: `${element.tagName.toLowerCase()} ${name.trim().slice(0, 40)}`,
        top: box.top + scrollY, bottom: box.bottom + scrollY, left: box.left, right: box.right, drawn: drawn.join("; "),
    };
}"""
_TOO_WIDE = """() => {
    const clipped = (element) => {
        for (let one = element.parentElement; one && one !== document.body; one = one.parentElement)
            if (["auto", "scroll"].includes(getComputedStyle(one).overflowX)) return true;
        return false;
    };
    const width = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll("body *")].filter(
        (one) => one.checkVisibility() && !one.closest(".visually-hidden") && one.getBoundingClientRect().right > width + 1 && !clipped(one));
    const names = wide.map((one) => `${one.tagName.toLowerCase()}.${one.className} ${one.getBoundingClientRect().right}`);
    return document.documentElement.scrollWidth > width ? [`the page: ${width}`, ...names] : names;
}"""


def watch(page: Page, address: str) -> list[str]:
    """Return a list to which console errors and requests to other addresses are added while the page is used."""
    found: list[str] = []
    home = urlsplit(address).netloc

    def request(url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.netloc != home:
            found.append(f"request: {url}")

    page.on("console", lambda message: message.type == "error" and found.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("request", lambda sent: request(sent.url))
    page.on("websocket", lambda opened: request(opened.url))
    return found


def violations(page: Page) -> list[str]:
    """Return rule and elements of each serious or critical violation that axe finds in the visible page."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]}: {node['failureSummary']}"
        for rule in found
        if rule["impact"] in BAD
        for node in rule["nodes"]
    ]


def too_wide(page: Page) -> list[str]:
    """Return elements that reach beyond the right edge of the window, except those that can be scrolled."""
    return page.evaluate(_TOO_WIDE)


def tab_stops(page: Page) -> tuple[list[str], list[str]]:
    """Return the elements that the Tab key reaches, and the problems: a focus that is invisible or jumps upwards.

    A jump upwards to a column on the right is not a problem.
    """
    page.add_style_tag(content="*, *::before, *::after { transition: none !important; }")  # without animation
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")
    names, wrong, before = [], [], None
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        element = page.evaluate_handle("document.activeElement")
        if before and page.evaluate(_STOP, before[0])["drawn"] == before[1]["drawn"]:
            wrong.append(f"focus unseen: {before[1]['name']}")
        stop = page.evaluate(_STOP, element)
        if stop["name"].startswith("body"):
            break
        if before and stop["bottom"] <= before[1]["top"] and stop["left"] < before[1]["right"]:
            wrong.append(f"upwards: {before[1]['name']} -> {stop['name']}")
        names.append(stop["name"])
        before = (element, stop)
    else:
        wrong.append(f"no end after {MOST_STOPS} stops")
    return names, wrong
