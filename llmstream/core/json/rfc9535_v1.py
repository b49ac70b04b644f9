"""Paths as jsonpath-rfc9535 1 parses them, into objects. It is the last version for Python 3.11."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonpath_rfc9535 as rfc
from jsonpath_rfc9535 import filter_expressions

from .segments import MAX_DEPTH, Filter, Path, Segment, comparison

OPERANDS = ("expression", "left", "right")


def parse(text: str) -> Path:
    """Parses a path; raises ValueError for an invalid one, RecursionError for one that is nested too deeply."""
    environment = rfc.JSONPathEnvironment()
    environment.max_recursion_depth = MAX_DEPTH
    try:
        query = environment.compile(text)
    except rfc.JSONPathError as error:
        raise ValueError(str(error)) from None
    parts = list(_parts(query))
    for part in parts:
        _correct(part)
    rooted = any(type(part).__name__ == "RootFilterQuery" for part in parts)
    return Path([_segment(segment, environment) for segment in query.segments], rooted)


def _segment(parsed: Any, environment: Any) -> Segment:
    segment = Segment(type(parsed).__name__ == "JSONPathRecursiveDescentSegment")
    for selector in parsed.selectors:
        kind = type(selector).__name__
        if kind == "NameSelector":
            segment.names.append(selector.name)
        elif kind == "WildcardSelector":
            segment.wilds += 1
        elif kind == "FilterSelector":
            segment.filters.append(_filter(selector.expression, environment))
        elif kind == "IndexSelector":
            segment.add_index(selector.index)
        else:
            segment.add_slice(selector.slice)
    return segment


def _filter(expression: Any, environment: Any) -> Filter:
    compared = expression.expression
    if type(compared).__name__ == "ComparisonExpression" and isinstance(
        compared.right, filter_expressions.FilterExpressionLiteral
    ):
        names = _names(compared.left)
        if names is not None:  # the library takes ten times as long
            return Filter(str(expression), selection=comparison(names, compared.operator, compared.right.value))

    def test(value: Any, root: Any) -> bool:
        try:
            context = filter_expressions.FilterContext(env=environment, current=value, root=root)
            return bool(expression.evaluate(context))
        except rfc.JSONPathError as error:
            raise RecursionError from error

    return Filter(str(expression), test)


def _names(operand: Any) -> list[str] | None:
    """Returns the names of a query such as `@.a.b`, or None for any other operand."""
    if type(operand).__name__ != "RelativeFilterQuery":
        return None
    selectors = [selector for segment in operand.query.segments for selector in segment.selectors]
    is_plain = all(type(segment).__name__ == "JSONPathChildSegment" for segment in operand.query.segments)
    is_plain = is_plain and all(type(selector).__name__ == "NameSelector" for selector in selectors)
    return [selector.name for selector in selectors] if is_plain else None


def _filters(query: Any) -> list[Any]:
    return [s.expression for segment in query.segments for s in segment.selectors if hasattr(s, "expression")]


def _parts(query: Any) -> Iterator[Any]:
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
    is_comparison = type(part).__name__ == "ComparisonExpression"
    for name in OPERANDS:
        operand: Any = getattr(part, name, None)
        kind = type(operand).__name__
        if is_comparison and kind in ("ComparisonExpression", "LogicalExpression", "PrefixExpression"):
            raise ValueError(f"the result of a test cannot be compared: {operand}")
        if not is_comparison and kind == "RelativeFilterQuery" and operand.query.empty():
            setattr(part, name, filter_expressions.NullLiteral(operand.token, None))  # which the library takes for true
