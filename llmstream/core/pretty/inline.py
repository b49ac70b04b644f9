"""Renders the inline Markdown of a block: emphasis, code, links, images."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.text import Text

from ..terminal.controls import visible

VERSE = 50  # columns: a line break behind a shorter line was meant, behind a longer one it is only the text's width

CODE, LINK, ADDRESS, IMAGE, MARK = "cyan", "underline", "dim", "italic", "dim"
STYLES = {"em": "italic", "strong": "bold", "s": "strike", "link": LINK}

_parser = MarkdownIt("commonmark").enable("strikethrough")
_MARKS = re.compile(r"[\\`*_\[\]!<>&~]")  # a text without these is nothing but text
_TASK = re.compile(r"\[([ xX])\] ")


def inline(markdown: str, style: str = "") -> Text:
    """Returns the text of inline Markdown, with newlines where lines have to break."""
    text = Text(style=style, end="")
    if is_plain(markdown):
        _Writer(text).breaks(markdown)
        return text
    (root,) = _parser.parseInline(markdown)
    writer = _Writer(text)
    for token in root.children or ():
        writer.take(token)
    return text


def is_plain(markdown: str) -> bool:
    """Whether a text has no characters that mean something in Markdown."""
    return not _MARKS.search(markdown)


def task(markdown: str) -> tuple[str, str]:
    """Returns the box of a task's item, "" for other items, and the rest of its text."""
    match = _TASK.match(markdown)
    if not match:
        return "", markdown
    return "☐ " if match[1] == " " else "☑ ", markdown[match.end() :]


class _Writer:
    """Appends tokens to a text, in the styles that are open."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._styles: list[str] = []
        self._links: list[tuple[str, int]] = []  # addresses, and where their texts begin

    def write(self, text: str, style: str = "") -> None:
        """Appends text."""
        self._text.append(visible(text), " ".join([*self._styles, style]).strip() or None)

    def breaks(self, text: str) -> None:
        """Appends text; line breaks in it stay behind short lines."""
        first, *more = text.split("\n")
        self.write(first)
        for line in more:
            self.soft_break()
            self.write(line)

    def soft_break(self) -> None:
        """Ends a line of the source."""
        plain = self._text.plain
        self.write("\n" if len(plain) - plain.rfind("\n") - 1 < VERSE else " ")

    def take(self, token: Token) -> None:
        """Appends a token."""
        kind, _, edge = token.type.rpartition("_")
        if token.type in ("text", "text_special"):
            self.write(token.content)
        elif token.type == "softbreak":
            self.soft_break()
        elif token.type == "hardbreak" or (token.type == "html_inline" and token.content.lower()[:3] == "<br"):
            self.write("\n")
        elif token.type == "code_inline":
            self.write(token.content, CODE)
        elif token.type == "html_inline":
            self.write(token.content, MARK)
        elif token.type == "image":
            self.write(token.content or "image", IMAGE)
            self._address(str(token.attrs.get("src", "")), token.content)
        elif edge == "open" and kind in STYLES:
            self._styles.append(STYLES[kind])
            if kind == "link":
                self._links.append((str(token.attrs.get("href", "")), len(self._text)))
        elif edge == "close" and kind in STYLES:
            self._styles.pop()
            if kind == "link":
                url, begin = self._links.pop()
                self._address(url, self._text.plain[begin:])

    def _address(self, url: str, text: str) -> None:
        """Appends the address of a link, unless its text shows it. Always in full: a link never hides where it goes."""
        if url.removeprefix("mailto:") != text and not url.startswith("#"):
            self.write(f" ({url})", ADDRESS)
