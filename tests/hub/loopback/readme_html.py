"""A README as HTML in which nothing from outside can run: Markdown with tables, raw HTML as text, no outside images."""

import re
from collections.abc import Callable
from html import escape
from urllib.parse import urlsplit

from markdown_it import MarkdownIt

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_PLAIN_TAG = re.compile(r"&lt;(/?(?:details|summary)|br)&gt;")  # tags without attributes, which can do nothing else


def to_html(markdown: str, *, image_address: Callable[[str], str | None]) -> str:
    """Render Markdown.

    Raw HTML is shown as it is written, except for comments, which are left out, and for `<br>`, `<details>` and `<summary>`
    without attributes. Links keep to harmless schemes. An image from elsewhere becomes a link to it, so that the page itself
    asks nobody for anything.

    Args:
        markdown: the text, without front matter.
        image_address: from the path of an image in the repository to where the page finds it; None if there is none.
    """
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

    def raw(renderer, tokens, index, options, env):
        return _PLAIN_TAG.sub(r"<\1>", escape(_COMMENT.sub("", tokens[index].content)))

    def image(renderer, tokens, index, options, env):
        token = tokens[index]
        source, name = str(token.attrs["src"]), token.content
        parts = urlsplit(source)
        if parts.scheme == "data":  # the parser lets pictures through only
            address = source
        elif parts.scheme or parts.netloc:
            return f'<a href="{escape(source)}" rel="noopener noreferrer">{escape(name or source)}</a>'
        else:
            address = image_address(parts.path.removeprefix("./"))
        if address is None:
            return f'<span class="missing">{escape(name)} (no such file: {escape(source)})</span>'
        return f'<img src="{escape(address)}" alt="{escape(name)}">'

    def link(renderer, tokens, index, options, env):
        tokens[index].attrSet("rel", "noopener noreferrer")
        return renderer.renderToken(tokens, index, options, env)

    for rule, function in (("html_block", raw), ("html_inline", raw), ("image", image), ("link_open", link)):
        parser.add_render_rule(rule, function)
    for rule, tag in (("table_open", '<div class="wide" tabindex="0"><table>'), ("table_close", "</table></div>")):
        parser.add_render_rule(rule, lambda *_, tag=tag: tag)
    return parser.render(markdown)
