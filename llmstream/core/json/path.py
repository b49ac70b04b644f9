"""JSONPath (RFC 9535) as segments that can be followed while a document streams.

`jsonpath-rfc9535` parses paths, rejects invalid ones, and evaluates filters. Plain paths, of names, indices and
wildcards, are parsed here: most paths are plain, and then need no import. A path may lack its `$`.
"""

from __future__ import annotations

import re

from ...errors import UsageError
from ..kinds import shorten
from ..text import is_utf8
from .segments import Path, Segment

# Letters are named by the ASCII characters that are none: re takes milliseconds to compile a range of thousands.
_NO_LETTER = r"\x00-/:-@\[-^`{-\x7f"
_NAME = rf"[^{_NO_LETTER}0-9][^{_NO_LETTER}]*"
_DOTTED = rf"(?P<dots>\.\.?)(?:(?P<name>{_NAME})|\*)"
_BRACKETED = rf"\[(?:(?P<index>0|[1-9][0-9]{{0,14}})|'(?P<key>{_NAME})'|\*)\]"
_SEGMENT = rf"(?:{_DOTTED}|{_BRACKETED})"
_segments = re.compile(_SEGMENT).finditer
_is_plain = re.compile(rf"\$(?:{re.sub(r'[?]P<[a-z]+>', '?:', _SEGMENT)})*").fullmatch
_STRING = r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+\""""
_STRING_OR_NAME = rf"(?s:{_STRING})|(\.\.?)({_NAME})"


def with_root(path: str) -> str:
    """Adds the `$` that a path may lack: `title`, `.title` and `[0]` are short for `$.title` and `$[0]`."""
    if path.startswith("$"):
        return path
    return f"${path}" if path.startswith((".", "[")) else f"$.{path}"


def compile_path(path: str) -> Path:
    """Compiles a path, with or without its `$`; raises UsageError for one that RFC 9535 does not allow."""
    if not path:
        raise UsageError("the empty path selects nothing: use $ for the whole document")
    text = with_root(path)
    is_valid = is_utf8(text)  # else no name: a lone surrogate is not a letter
    if is_valid and _is_plain(text):
        return Path([_plain(match) for match in _segments(text, 1)])
    try:
        return _parse(text if text.isascii() or not is_valid else re.sub(_STRING_OR_NAME, _bracketed, text))
    except (RecursionError, ValueError, OverflowError) as error:  # the last: 1e999
        message = "nested too deeply" if isinstance(error, RecursionError) else str(error).replace(path, shorten(path))
        if "set_int_max_str_digits" in message:
            message = "an integer has too many digits"
        every = ": [*] is every item" if "[]" in path else ""
        raise UsageError(f"not a JSONPath: {shorten(path)}: {message}{every}") from None


def _plain(match: re.Match[str]) -> Segment:
    segment = Segment(match["dots"] == "..")
    if name := match["name"] or match["key"]:
        segment.names.append(name)
    elif match["index"]:
        segment.indices.append(int(match["index"]))
    else:
        segment.wilds = 1
    return segment


def _bracketed(match: re.Match[str]) -> str:
    """Returns `['é']` for `.é`: jsonpath-rfc9535 refuses names of two characters from U+1100 on, such as `.你好`."""
    dots, name = match.groups()
    if not name or name.isascii():
        return match[0]
    return f"{dots if dots == '..' else ''}['{name}']"


def _parse(text: str) -> Path:
    import jsonpath_rfc9535

    if hasattr(jsonpath_rfc9535, "NOTHING"):
        from .rfc9535_v1 import parse
    else:
        from .rfc9535_v2 import parse
    return parse(text)
