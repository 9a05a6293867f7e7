"""Markdown that models and users have written, as HTML in which nothing runs, loads or hides where it leads.

Pictures are shown where their bytes stand in the text; what is elsewhere is a link, so that no page tells anybody that
it was read. HTML in the text is text.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markupsafe import Markup
from pygments import highlight
from pygments.formatters.html import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from otel_convlog.reading.harmless import harmless, harmless_line

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence

    from markdown_it.renderer import RendererHTML
    from markdown_it.token import Token
    from markdown_it.utils import OptionsDict

LONGEST = 30_000  # characters; laying out more takes long, and what is longer is hardly prose
_LONGEST_CODE = 20_000  # characters that are coloured
_LONGEST_TITLE = 300  # characters of an address that a link shows

_LINK = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
_PICTURE = re.compile(r"data:image/(?:png|jpe?g|gif|webp|avif);base64,[A-Za-z0-9+/=\s]+\Z")  # no SVG: it is a document
# Those that people and models paste. Pygments has hundreds more, of which some take very long for some texts.
_LANGUAGE = re.compile(
    r"bash|c|c\+\+|cpp|cs|csharp|css|diff|dockerfile|go|html|ini|java|javascript|js|json|jsx|kotlin|lua|make|makefile|php"
    r"|powershell|py|python|python3|ruby|rust|scala|sh|shell|sql|swift|toml|ts|tsx|typescript|xml|yaml|yml|zsh",
    re.IGNORECASE,
)
_DEEPEST = 20  # lists and quotations in one another that are laid out


def to_html(text: str) -> Markup:
    """Return text as HTML: as the Markdown that it may be, or as it is where it is very long."""
    text = harmless(text)
    if len(text) <= LONGEST:
        parser = _parser()
        tokens = parser.parse(text)
        if all(token.level < _DEEPEST for token in tokens):  # the parser leaves out what is far deeper
            # The renderer escapes; what the rules below add is escaped there.
            return Markup(parser.renderer.render(tokens, parser.options, {}))  # noqa: S704  as said above
    return Markup('<pre class="plain">{}</pre>').format(text)


def code_html(code: str, language: str) -> Markup:
    """Return code with its parts marked by classes; as it is where its language is not known, or it is long."""
    code = harmless(code)
    if _LANGUAGE.fullmatch(language) and len(code) <= _LONGEST_CODE:
        try:
            lexer = get_lexer_by_name(language, stripnl=False)
        except ClassNotFound:
            pass
        else:
            return Markup(highlight(code, lexer, HtmlFormatter(nowrap=True)))  # noqa: S704  Pygments escapes
    return Markup(escape(code))  # noqa: S704  it is escaped


def is_picture(address: str) -> bool:
    """Say whether an address is a picture's own bytes, in a form in which nothing can run."""
    return _PICTURE.match(address) is not None


def is_link(address: str) -> bool:
    """Say whether an address may be followed by a click."""
    return _LINK.match(address) is not None


@cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "breaks": True, "linkify": False, "maxNesting": 2 * _DEEPEST})
    parser.enable(["table", "strikethrough"])
    # Which addresses are let through is decided by the rules below, where links and pictures are told apart.
    parser.validateLink = lambda url: is_link(url) or is_picture(url)  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _link_open)
    parser.add_render_rule("image", _image)
    for rule in ("fence", "code_block"):
        parser.add_render_rule(rule, _code)
    return parser


def _link_open(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, _: MutableMapping[str, object]
) -> str:
    token = tokens[index]
    address = str(token.attrGet("href") or "")
    token.attrs = {
        "href": address if is_link(address) else "#",  # a picture's bytes are no place to go to
        "title": _shown(address),
        "rel": "noopener noreferrer nofollow",
        "target": "_blank",
    }
    return renderer.renderToken(tokens, index, options, {})


def _image(
    renderer: RendererHTML, tokens: Sequence[Token], index: int, options: OptionsDict, _: MutableMapping[str, object]
) -> str:
    token = tokens[index]
    address = str(token.attrGet("src") or "")
    text = renderer.renderInlineAsText(token.children, options, {}) if token.children else ""
    if is_picture(address):
        return f'<img src="{escape(address)}" alt="{escape(text)}" loading="lazy">'
    return (
        f'<a href="{escape(address)}" title="{escape(_shown(address))}" rel="noopener noreferrer nofollow"'
        f' target="_blank">picture: {escape(text or _shown(address))}</a>'
    )


def _code(
    _: RendererHTML, tokens: Sequence[Token], index: int, __: OptionsDict, ___: MutableMapping[str, object]
) -> str:
    token = tokens[index]
    words = unescapeAll(token.info).split()
    return f'<pre class="code"><code>{code_html(token.content, words[0] if words else "")}</code></pre>\n'


def _shown(address: str) -> str:
    return harmless_line(address, _LONGEST_TITLE)
