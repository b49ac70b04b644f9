"""Paths as jsonpath-rfc9535 2 parses them, into tuples of a kind, a token, and values. It needs Python 3.12."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonpath_rfc9535 as rfc
from jsonpath_rfc9535 import _ast, _node, _resolver_basic

from .segments import MAX_DEPTH, Filter, Path, Segment, Selection, comparison

MAX_EXPRESSIONS = 10_000  # the library adds up the expressions of a query, and calls that its depth
COMPARISONS = {_ast.EQ_EXPR: "==", _ast.NE_EXPR: "!=", _ast.LT_EXPR: "<", _ast.LE_EXPR: "<="}
COMPARISONS |= {_ast.GT_EXPR: ">", _ast.GE_EXPR: ">="}
LITERALS = {_ast.BOOL_EXPR, _ast.FLOAT_EXPR, _ast.INT_EXPR, _ast.NULL_EXPR, _ast.STRING_EXPR}
TESTS = {*COMPARISONS, _ast.AND_EXPR, _ast.OR_EXPR, _ast.NOT_EXPR}
QUERIES = {_ast.ABSOLUTE_QUERY_EXPR, _ast.RELATIVE_QUERY_EXPR}


def parse(text: str) -> Path:
    """Parses a path; raises ValueError for an invalid one, RecursionError for one that is nested too deeply."""
    environment = rfc.JSONPathEnvironment(max_recursion_depth=MAX_DEPTH, max_expression_depth=MAX_EXPRESSIONS)
    try:
        query = environment.compile(text)
    except rfc.JSONPathRecursionError as error:
        raise RecursionError from error
    except rfc.DetailedJSONPathError as error:
        raise ValueError(f"{error.message}, {_position(text, error.token[1])}") from None
    expressions = list(_expressions(query.segments))
    for expression in expressions:
        _check(expression, text)
    rooted = any(expression[0] == _ast.ABSOLUTE_QUERY_EXPR for expression in expressions)
    return Path([_segment(segment, environment) for segment in query.segments], rooted)


def _position(text: str, index: int) -> str:
    lines = text[:index].split("\n")
    return f"line {len(lines)}, column {len(lines[-1])}"


def _segment(parsed: Any, environment: Any) -> Segment:
    kind, _, selectors = parsed
    segment = Segment(kind == _ast.DESCENDANT_SEGMENT)
    for kind, _, *values in selectors:
        if kind == _ast.NAME_SELECTOR:
            segment.names.append(values[0])
        elif kind == _ast.WILDCARD_SELECTOR:
            segment.wilds += 1
        elif kind == _ast.FILTER_SELECTOR:
            segment.filters.append(_filter(values[0], environment))
        elif kind == _ast.INDEX_SELECTOR:
            segment.add_index(values[0])
        else:
            segment.add_slice(values[0])
    return segment


def _filter(expression: Any, environment: Any) -> Filter:
    def test(value: Any, root: Any) -> bool:
        resolver = _Resolver(environment, root)
        try:
            return bool(resolver.truthy(resolver.evaluate(expression, value)))
        except rfc.JSONPathError as error:
            raise RecursionError from error

    nowhere = (0, 0, 0)
    query = rfc.JSONPathQuery(
        environment, ((_ast.CHILD_SEGMENT, nowhere, ((_ast.FILTER_SELECTOR, nowhere, expression),)),)
    )
    text = str(query)[len("$[?") : -len("]")]
    selection = _comparison(expression)
    return Filter(text, selection=selection) if selection else Filter(text, test)


def _comparison(expression: Any) -> Selection | None:
    """Returns the comparison of a query such as `@.a.b` with a literal: the library takes many times as long."""
    kind, _, *operands = expression
    if kind not in COMPARISONS or operands[0][0] != _ast.RELATIVE_QUERY_EXPR:
        return None
    (_, _, segments), (literal_kind, _, *literal) = operands
    selectors = [selector for _, _, selectors in segments for selector in selectors]
    is_plain = all(kind == _ast.CHILD_SEGMENT and len(selectors) == 1 for kind, _, selectors in segments)
    is_plain = is_plain and all(selector[0] == _ast.NAME_SELECTOR for selector in selectors)
    if not is_plain or literal_kind not in LITERALS:
        return None
    return comparison([selector[2] for selector in selectors], COMPARISONS[kind], literal[0] if literal else None)


class _Resolver(_resolver_basic.BasicResolver):  # type: ignore[misc]
    """Evaluates expressions. In the library's own, `$` in a nested filter is the value that the outer filter tests."""

    def evaluate(self, expression: Any, value: Any) -> Any:
        return self._evaluate_expression(expression, 0, value)

    def _evaluate_expression(self, expr: Any, current_key: Any, current_value: Any) -> Any:
        if expr[0] != _ast.RELATIVE_QUERY_EXPR:
            return super()._evaluate_expression(expr, current_key, current_value)
        values: Any = [current_value]
        for segment in expr[2]:
            values = self._resolve_segment(segment, values)
        return _node.BasicNodeList(values)


def _filters(segments: Any) -> list[Any]:
    return [s[2] for _, _, selectors in segments for s in selectors if s[0] == _ast.FILTER_SELECTOR]


def _expressions(segments: Any) -> Iterator[Any]:
    """Yields the filters of a query, all parts of their expressions, and the filters that are nested in these."""
    waiting = _filters(segments)
    while waiting:
        expression = waiting.pop()
        yield expression
        kind, _, *values = expression
        if kind in TESTS:
            waiting += values
        elif kind in QUERIES:
            waiting += _filters(values[0])
        elif kind == _ast.FUNCTION_EXPR:
            waiting += values[1]


def _check(expression: Any, text: str) -> None:
    """Raises ValueError for an expression that RFC 9535 forbids and the library allows.

    `!@.a == 1` and `1 == 1 == 1` compare the result of a test.
    """
    kind, _, *values = expression
    for operand in values if kind in COMPARISONS else ():
        if operand[0] in TESTS:
            _, start, end = operand[1]
            raise ValueError(f"the result of a test cannot be compared: {text[start:end]}")
