"""Colours code line by line, with the lexers of Pygments.

A line is coloured once, when it is complete, and its colours do not depend on how it arrived. The lexer goes on where
the line before left it. Where a comment or a string runs over the end of a line, the lines from its beginning on are
read again with the next one, up to AGAIN characters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pygments.lexer import ExtendedRegexLexer, Lexer, RegexLexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Comment, Error, Generic, Keyword, Name, Number, String, Text, Token
from pygments.util import ClassNotFound

AGAIN = 4096  # characters
COMMENTS = (("/*", "*/"), ("<!--", "-->"))
LONG = 1000  # characters of a line: a longer one is not coloured

# Of the terminal's own colours, so that they fit light and dark backgrounds.
STYLES: dict[Any, str] = {
    Comment: "dim italic",
    Comment.Preproc: "magenta",
    Keyword: "magenta",
    Keyword.Constant: "cyan",
    Keyword.Type: "cyan",
    Name.Builtin: "cyan",
    Name.Class: "bold blue",
    Name.Decorator: "yellow",
    Name.Function: "blue",
    Name.Tag: "magenta",
    Name.Attribute: "cyan",
    Name.Variable: "cyan",
    Number: "cyan",
    String: "green",
    String.Escape: "yellow",
    Generic.Deleted: "red",
    Generic.Inserted: "green",
    Generic.Heading: "bold",
    Generic.Subheading: "magenta",
    Token: "",
}


class Highlighter:
    """Colours the lines of one block; a language without a lexer has no colours."""

    def __init__(self, language: str) -> None:
        self._lexer = _lexer(language)
        self._stack = ["root"]
        self._again = ""  # lines whose last token runs on

    def feed(self, line: str) -> list[tuple[str, str]]:
        """Returns the parts of a line, which ends with a newline, each with its style."""
        if self._lexer is None or len(line) > LONG:
            return [(line, "")]
        text, stack = self._again + line, list(self._stack)
        begin = len(self._again)
        tokens = list(_tokens(self._lexer, text, stack))
        if tokens and (comment := _open_comment(self._lexer, text, self._stack)):
            tokens, runs_on = comment, True
        else:
            last, value = tokens[-1][1:] if tokens else (Text, "")
            runs_on = "\n" in value and bool(value.strip()) and (last in Comment or last in String)
        self._again = text if runs_on and len(text) <= AGAIN else ""
        if not self._again:
            self._stack = stack
        return [(value[max(0, begin - at) :], _style(kind)) for at, kind, value in tokens if at + len(value) > begin]


def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False) if language else None
    except ClassNotFound:
        return None


def _style(kind: Any) -> str:
    while kind not in STYLES:
        kind = kind.parent
    return STYLES[kind]


def _open_comment(lexer: Lexer, text: str, stack: list[str]) -> list[tuple[int, Any, str]]:
    """Returns the tokens of a text that ends within a comment of several lines; [] if it does not.

    Many lexers know such a comment only with its end, so it gets one.
    """
    for begin, end in COMMENTS:
        if text.rfind(begin) > text.rfind(end):
            *tokens, (at, kind, value) = _tokens(lexer, text + end, list(stack))
            if kind in Comment and value.startswith(begin) and "\n" in value:
                return [*tokens, (at, kind, value.removesuffix(end))]
    return []


def _tokens(lexer: Lexer, text: str, stack: list[str]) -> Iterator[tuple[int, Any, str]]:
    """Yields the tokens of a text, with their places; leaves in `stack` the states in which the lexer is at its end.

    This is the loop of RegexLexer.get_tokens_unprocessed, which keeps its states to itself.
    """
    if not isinstance(lexer, RegexLexer) or isinstance(lexer, ExtendedRegexLexer):  # which has no states, or its own
        yield from lexer.get_tokens_unprocessed(text)
        return
    states: dict[str, Any] = lexer._tokens
    at = 0
    while at < len(text):
        for rule in states[stack[-1]]:
            if match := rule[0](text, at):
                break
        else:
            if text[at] == "\n":
                stack[:] = ["root"]
                yield at, Text, "\n"
            else:
                yield at, Error, text[at]
            at += 1
            continue
        _, action, new_state = rule
        if action is not None:
            if type(action) is type(Token):
                yield at, action, match.group()
            else:
                yield from action(lexer, match)
        at = match.end()
        if new_state is not None:
            _enter(new_state, stack)


def _enter(new_state: Any, stack: list[str]) -> None:
    """Changes the stack of states as a rule says."""
    if isinstance(new_state, int):  # so many states end
        del stack[max(1, len(stack) + new_state) :]
    elif new_state == "#push":
        stack.append(stack[-1])
    else:
        for state in new_state:
            if state == "#pop":
                del stack[max(1, len(stack) - 1) :]
            else:
                stack.append(stack[-1] if state == "#push" else state)
