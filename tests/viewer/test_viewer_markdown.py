"""Markdown becomes what it means, and never more than that."""

from __future__ import annotations

import re

import pytest
from hostile_log import PAYLOADS

from otel_convlog.viewer.markdown import LONGEST, to_html

_PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**bold** and `code`", "<strong>bold</strong> and <code>code</code>"),
        ("a\nb", "a<br />\nb"),
        ("- one\n- two", "<li>one</li>"),
        ("| a |\n|---|\n| b |", "<td>b</td>"),
        ("~~gone~~", "<s>gone</s>"),
        (
            "[x](https://a.example/?b=c&d)",
            '<a href="https://a.example/?b=c&amp;d" title="https://a.example/?b=c&amp;d" rel=',
        ),
        ("<mailto:me@a.example>", '<a href="mailto:me@a.example"'),
        (f"![dot]({_PIXEL})", f'<img src="{_PIXEL}" alt="dot" loading="lazy">'),
        ("```python\nx = 1\n```", '<span class="n">x</span>'),
        ("```nothing\n<b>\n```", "<code>&lt;b&gt;\n</code>"),
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("\x1b[31mred", "\\x1b[31mred"),
    ],
)
def test_markdown_is_laid_out(text: str, html: str) -> None:
    assert html in to_html(text)


def test_a_picture_that_is_elsewhere_is_a_link() -> None:
    html = to_html("![chart](https://a.example/b.png)")
    assert "<img" not in html
    assert ">picture: chart</a>" in html


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "java\tscript:alert(1)",
        "&#106;avascript:alert(1)",
        "vbscript:x",
        "data:text/html,x",
        "data:image/svg+xml;base64,PHN2Zz4=",
        "file:///etc/passwd",
        "//evil.example",
        "/conversation/x",
        "blob:x",
        " javascript:alert(1)",
    ],
)
@pytest.mark.parametrize("form", ["[x]({0})", "![x]({0})", "<{0}>", "[x]: {0}\n\n[x]", "[x](<{0}>)"])
def test_no_other_address_can_be_followed(address: str, form: str) -> None:
    assert not re.search(r"(?:href|src)=", to_html(form.format(address)))


@pytest.mark.parametrize("text", PAYLOADS)
def test_no_element_comes_from_the_text(text: str) -> None:
    allowed = r"</?(?:p|br|a|em|strong|s|code|pre|span|img|ul|ol|li|blockquote|h\d|hr|table|thead|tbody|tr|th|td)\b"
    assert re.sub(allowed, "", to_html(text)).count("<") == 0


@pytest.mark.parametrize("text", ["> " * 100 + "deep", "- " * 50 + "deep\n", "word " * LONGEST])
def test_nothing_is_left_out_where_it_is_not_laid_out(text: str) -> None:
    assert text.rsplit(maxsplit=1)[-1] in to_html(text)
    assert '<pre class="plain">' in to_html(text)
