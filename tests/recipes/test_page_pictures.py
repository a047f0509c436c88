"""The pictures of the page in the README: small, of the right size, shown in both schemes."""

import io
import os
import re

import pytest
from PIL import Image

from recipes.tools.page_pictures import FOLDER, MOST_BYTES, SCHEMES, small
from trainer_ext import InputError

README = FOLDER.parents[1] / "README.md"


def png(image: Image.Image) -> bytes:
    written = io.BytesIO()
    image.save(written, "PNG")
    return written.getvalue()


def test_a_picture_keeps_its_size_and_its_colours():
    image = Image.new("RGB", (300, 200), (250, 250, 249))
    image.paste((15, 118, 110), (10, 10, 60, 60))
    found = Image.open(io.BytesIO(small(png(image)))).convert("RGB")
    assert found.size == (300, 200)
    assert (found.getpixel((20, 20)), found.getpixel((200, 100))) == ((15, 118, 110), (250, 250, 249))


def test_a_picture_that_is_too_large_is_refused():
    noise = Image.frombytes("RGB", (500, 500), os.urandom(750_000))
    with pytest.raises(InputError, match="above 150,000; take a smaller window"):
        small(png(noise))


def test_the_readme_shows_a_small_picture_for_each_scheme():
    shown = re.findall(r"docs/images/page-(\w+)\.png", README.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(SCHEMES)
    for scheme in shown:
        file = FOLDER / f"page-{scheme}.png"
        assert file.stat().st_size <= MOST_BYTES
        with Image.open(file) as image:
            assert image.width <= 1280
