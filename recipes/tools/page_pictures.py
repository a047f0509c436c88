"""Take the two pictures of the page that the README shows, light and dark, from a finished run in a real Chromium.

They are written to docs/images, at most 1280 pixels wide and 150 KB large: `make screenshots RUN=...`.
"""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from recipes.benchmarks.page import BROWSERS
from recipes.benchmarks.page_process import page_of
from trainer_ext.errors import InputError

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SCHEMES = ("light", "dark")
WIDTH, HEIGHT, MARGIN = 1100, 1400, 28  # of the window; the picture ends below the bars of the first answer
_BOX = "element => element.getBoundingClientRect().toJSON()"
MOST_BYTES = 150_000
WAIT_MS = 300_000


def picture(browser: Browser, address: str, scheme: str) -> bytes:
    """Return a PNG of the page after its first answer, with the influence of words.

    Args:
        browser: A running Chromium.
        address: Of the page.
        scheme: "light" or "dark".
    """
    window = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
    page = window.new_page()
    page.set_default_timeout(WAIT_MS)
    page.goto(f"{address}/?__theme={scheme}")
    page.locator("#influence dl").wait_for()
    page.wait_for_timeout(1000)  # colours fade in
    card, rest = (page.locator(place).evaluate(_BOX) for place in ("#headline", "#result dl"))
    width = card["width"] + 2 * MARGIN
    taken = page.screenshot(clip={"x": card["x"] - MARGIN, "y": 0, "width": width, "height": rest["y"]})
    window.close()
    return small(taken)


def small(png: bytes) -> bytes:
    """Return a PNG of at most 256 colours, which is a third as large and looks the same on a page of few colours.

    Raises:
        InputError: It is still too large.
    """
    written = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
        written, "PNG", optimize=True
    )
    if len(written.getvalue()) > MOST_BYTES:
        raise InputError(
            f"The picture has {len(written.getvalue()):,} bytes, above {MOST_BYTES:,}; take a smaller window."
        )
    return written.getvalue()


def main(
    run: Annotated[Path, typer.Argument(help="A finished run, such as that of `make quickstart`.")],
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = FOLDER,
) -> None:
    """Write page-light.png and page-dark.png."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    folder.mkdir(parents=True, exist_ok=True)
    with page_of(run, os.environ) as (address, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        for scheme in SCHEMES:
            file = folder / f"page-{scheme}.png"
            file.write_bytes(picture(browser, address, scheme))
            typer.echo(f"{file}: {file.stat().st_size:,} bytes")
        browser.close()


if __name__ == "__main__":
    typer.run(main)
