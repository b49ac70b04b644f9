"""JSONPath (RFC 9535) as segments that can be followed while a document streams.

`jsonpath-rfc9535` parses paths, rejects invalid ones, and evaluates filters. Plain paths, of names, indices and
wildcards, are parsed here: most paths are plain, and then need no import. A path may lack its `$`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ...errors import UsageError
from ..cpu_limit import Limited
from ..kinds import shorten

MAX_DEPTH = 300  # levels below a value to which a filter's `..` goes

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"(?P<dots>\.\.?)(?:(?P<name>{_NAME})|\*)"
_BRACKETED = rf"\[(?:(?P<index>0|[1-9][0-9]{{0,14}})|'(?P<key>{_NAME})'|\*)\]"
_SEGMENT = rf"(?:{_DOTTED}|{_BRACKETED})"
_is_name = re.compile(_NAME).fullmatch
_segments = re.compile(_SEGMENT).finditer
_is_plain = re.compile(rf"\$(?:{re.sub(r'[?]P<[a-z]+>', '?:', _SEGMENT)})*").fullmatch


class Filter(Limited):
    """A filter as jsonpath-rfc9535 has parsed it. Its limit of CPU time is for one value."""

    __slots__ = ("expression", "_environment", "_context_type", "_error_type")

    def __init__(self, expression: Any, environment: Any) -> None:
        from jsonpath_rfc9535 import JSONPathError
        from jsonpath_rfc9535.filter_expressions import FilterContext

        self.expression, self._environment = expression, environment
        self._context_type, self._error_type = FilterContext, JSONPathError

    def holds(self, value: object, root: Any) -> bool:
        """Whether it selects a value of the document `root`; raises RecursionError if that is nested too deeply."""
        self.cpu_s = 0.0
        try:
            context = self._context_type(env=self._environment, current=value, root=root)
            return bool(self.expression.evaluate(context))
        except self._error_type as error:
            raise RecursionError from error

    def too_slow(self, limit_s: float) -> UsageError:
        return UsageError(f"the filter {shorten(str(self.expression))} took more than {limit_s:g} s on one value")


class Segment:
    """What one segment selects of a value's children; with `descends`, of all its descendants' children as well.

    `names`, `indices` and `slices` are decided on the way down; `wilds` counts wildcards, since `[*,*]` selects each
    child twice. `from_end` are the indices and slices that an array's length decides.
    """

    __slots__ = ("descends", "names", "wilds", "indices", "slices", "from_end", "filters")

    def __init__(self, descends: bool = False) -> None:
        self.descends = descends
        self.names: list[str] = []
        self.wilds = 0
        self.indices: list[int] = []
        self.slices: list[range] = []
        self.from_end: list[int | slice] = []
        self.filters: list[Filter] = []

    def name(self) -> str:
        """Returns the name that the segment selects, or "" if it selects anything else."""
        others = self.descends or self.wilds or self.indices or self.slices or self.from_end or self.filters
        return "" if others or len(self.names) != 1 else self.names[0]

    def count(self, key: str | int) -> int:
        """Counts how often the child at key is selected, by anything but filters and `from_end`."""
        if isinstance(key, str):
            return self.wilds + self.names.count(key)
        return self.wilds + self.indices.count(key) + sum(key in part for part in self.slices)

    def indices_from_end(self, length: int) -> list[int]:
        """Returns the indices that `from_end` selects in an array of that length."""
        indices: list[int] = []
        for part in self.from_end:
            if isinstance(part, slice):
                indices += range(*part.indices(length)) if part.step != 0 else ()
            elif part + length >= 0:
                indices.append(part + length)
        return indices


class Path:
    """A compiled path. `rooted`: one of its filters refers to the whole document by `$`."""

    __slots__ = ("segments", "rooted")

    def __init__(self, segments: list[Segment], rooted: bool = False) -> None:
        self.segments, self.rooted = segments, rooted

    def names(self, done: int) -> tuple[str, ...]:
        """Returns the names of the segments after the first `done`, or () if one of them is not a plain name."""
        names = [segment.name() for segment in self.segments[done:]]
        return tuple(names) if all(map(_is_name, names)) else ()


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
    if _is_plain(text):
        return Path([_plain(match) for match in _segments(text, 1)])
    import jsonpath_rfc9535 as rfc

    environment = rfc.JSONPathEnvironment()
    environment.max_recursion_depth = MAX_DEPTH
    try:
        query = environment.compile(text)
        parts = list(_expressions(query))
        for part in parts:
            _correct(part)
    except (rfc.JSONPathError, RecursionError, ValueError) as error:
        raise UsageError(f"not a JSONPath: {path}: {error or 'nested too deeply'}") from None
    rooted = any(type(part).__name__ == "RootFilterQuery" for part in parts)
    return Path([_segment(segment, environment) for segment in query.segments], rooted)


def _plain(match: re.Match[str]) -> Segment:
    segment = Segment(match["dots"] == "..")
    if name := match["name"] or match["key"]:
        segment.names.append(name)
    elif match["index"]:
        segment.indices.append(int(match["index"]))
    else:
        segment.wilds = 1
    return segment


def _segment(parsed: Any, environment: Any) -> Segment:
    segment = Segment(type(parsed).__name__ == "JSONPathRecursiveDescentSegment")
    for selector in parsed.selectors:
        kind = type(selector).__name__
        if kind == "NameSelector":
            segment.names.append(selector.name)
        elif kind == "WildcardSelector":
            segment.wilds += 1
        elif kind == "FilterSelector":
            segment.filters.append(Filter(selector.expression, environment))
        elif kind == "IndexSelector":
            (segment.indices if selector.index >= 0 else segment.from_end).append(selector.index)
        else:
            part = selector.slice
            start, stop = part.start or 0, 2**53 if part.stop is None else part.stop
            step = 1 if part.step is None else part.step
            if step > 0 and start >= 0 and stop >= 0:
                segment.slices.append(range(start, stop, step))
            else:
                segment.from_end.append(part)
    return segment


OPERANDS = ("expression", "left", "right")


def _filters(query: Any) -> list[Any]:
    return [s.expression for segment in query.segments for s in segment.selectors if hasattr(s, "expression")]


def _expressions(query: Any) -> Iterator[Any]:
    """Yields the filters of a query, all parts of their expressions, and the filters that are nested in these."""
    waiting = _filters(query)
    while waiting:
        part = waiting.pop()
        yield part
        waiting += [getattr(part, name) for name in OPERANDS if hasattr(part, name)]
        waiting += getattr(part, "args", ())
        if hasattr(part, "query"):
            waiting += _filters(part.query)


def _correct(part: Any) -> None:
    """Corrects an expression that jsonpath-rfc9535 reads otherwise than the RFC; raises ValueError for an invalid one.

    `!@.a == 1` and `1 == 1 == 1` compare the result of a test. `@` alone tests existence and always holds: the library
    asks whether the value is true.
    """
    from jsonpath_rfc9535.filter_expressions import NullLiteral

    is_comparison = type(part).__name__ == "ComparisonExpression"
    for name in OPERANDS:
        operand: Any = getattr(part, name, None)
        kind = type(operand).__name__
        if is_comparison and kind in ("ComparisonExpression", "LogicalExpression", "PrefixExpression"):
            raise ValueError(f"the result of a test cannot be compared: {operand}")
        if not is_comparison and kind == "RelativeFilterQuery" and operand.query.empty():
            setattr(part, name, NullLiteral(operand.token, None))  # which the library takes for true
