"""The page for people: what a card says is shown, nothing in it can run, and nobody outside is asked for anything."""

from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest

from tests.hub.loopback.pages import as_text, in_words, repository_page

RUNNING = {"script", "iframe", "object", "embed", "form", "base", "svg", "style"}
README = """---
license: apache-2.0
tags:
- pruned
- "<script>alert('tag')</script>"
model-index:
- name: tiny
  results: []
---
# मराठी, smaller

<!-- begin: limits --> after a comment

<!-- of
two lines --> <script>alert(0)</script>

| model | accuracy |
|:--|--:|
| tiny | 0.91 |

![where the parameters went](parameters.svg) ![the same](./charts/my%20chart.png)
![nowhere](lost.png) ![elsewhere](https://example.com/pixel.png) ![there too](//example.com/pixel.png)

<script>alert(1)</script> and <b onclick="alert(2)">bold</b>

<img src=x onerror=alert(3)>

[one](javascript:alert(4)) [two](JaVaScRiPt:alert(5)) [three](data:text/html;base64,PHNjcmlwdD4=) [four](https://example.com)
[five](vbscript:x "title' onmouseover='alert(6)") ![six](x" onerror="alert(7))

```html
<script>alert(8)</script>
```
"""
FILES = {
    "README.md": README.encode(),
    "charts/my chart.png": b"png",
    "parameters.svg": b"<svg onload='alert(9)'/>",
    'a"><script>alert(10)</script>': b"x" * 1500,
}


class Reader(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.tags, self.images, self.links, self.text, self.dangers = [], [], [], "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self.dangers += [tag] if tag in RUNNING - {"style"} else []
        self.dangers += [name for name in attributes if name.startswith("on")]
        for name in ("src", "href"):
            value = attributes.get(name, "")
            self.dangers += [value] if urlsplit(value).scheme not in ("", "https", "http", "data") else []
        self.dangers += [attributes["href"]] if attributes.get("href", "").startswith("data:text") else []
        self.images += [attributes["src"]] if tag == "img" else []
        self.links += [attributes["href"]] if tag == "a" else []

    def handle_data(self, data):
        self.text += data


def test_nothing_from_a_readme_can_run():
    page = Reader(repository_page("user/<i>name", FILES))
    assert page.dangers == []
    assert page.tags.count("style") == 1, "our own"
    assert "i" not in page.tags
    for shown in ("<script>alert('tag')</script>", "<script>alert(1)</script>", "<script>alert(8)</script>"):
        assert shown in page.text
    assert 'a"><script>alert(10)</script>' in page.text


def test_the_reader_of_these_tests_would_see_it():
    dangers = Reader(f"<a href='javascript:1'><img src=x onerror=a><p>{README}").dangers
    assert {"javascript:1", "onerror", "onclick", "script"} <= set(dangers)


def test_images_are_those_of_the_repository():
    page = Reader(repository_page("user/name", FILES))
    assert page.images == ["parameters.svg", "charts/my%20chart.png"]
    assert "nowhere (no such file: lost.png)" in page.text
    assert {"https://example.com/pixel.png", "//example.com/pixel.png"} <= set(page.links)
    there = Reader(repository_page("user/name", FILES, files_at="/user/name/resolve/main/"))
    assert there.images == ["/user/name/resolve/main/parameters.svg", "/user/name/resolve/main/charts/my%20chart.png"]
    assert "default-src 'none'" in repository_page("user/name", {})


def test_what_is_shown():
    page = Reader(repository_page("user/name", FILES, note="Nothing is public."))
    assert {"table", "h1", "pre"} <= set(page.tags)
    for shown in (
        "user/name",
        "मराठी, smaller",
        "apache-2.0",
        "0.91",
        "Nothing is public.",
        "4 files",
        "1.5 kB",
        "after a comment",
    ):
        assert shown in page.text, shown
    assert "begin: limits" not in page.text
    assert "two lines" not in page.text
    assert "license: apache" not in page.text, "the metadata stands beside the text, not in it"


@pytest.mark.parametrize("readme", [b"", b"# Only text", b"---\ntags: [a\n---\n# Text", b"---\nopen", b"\xff\xfe\x00"])
def test_any_readme_makes_a_page(readme):
    page = Reader(repository_page("user/name", {"README.md": readme}))
    assert ("It cannot be read" in page.text) == (b"[a" in readme)
    assert "README.md" in page.text


def test_what_folds_and_breaks_may_do_so_and_no_more():
    readme = "| a |\n|---|\n| one<br>two<br onclick=x> |\n\n<details><summary>more</summary>\n\ntext\n\n</details>\n"
    page = repository_page("user/tiny", {"README.md": readme.encode()})
    assert "one<br>two&lt;br onclick=x&gt;" in page
    assert "<details><summary>more</summary>" in page


def test_small_words():
    assert [in_words(size) for size in (0, 999, 1000, 438_000_000, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "438.0 MB",
        "5000.0 GB",
    ]
    assert as_text(["a", 1]) == "a, 1"
    assert as_text({"a": {"b": 1}}) == "a:\n  b: 1"
    assert as_text(True) == "True"
