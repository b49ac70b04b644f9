"""JSONPath's parts: paths, their segments, and the filters in these."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ...errors import UsageError
from ..cpu_limit import Limited
from ..kinds import shorten

MAX_DEPTH = 300  # levels below a value to which a filter's `..` goes

Test = Callable[[Any, Any], bool]  # of a value and its document; raises RecursionError if that is nested too deeply
Selection = Callable[[list[Any]], list[bool]]  # the same for many values, by a test that does not look at the document


NOTHING = object()
_COMPARES: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def comparison(names: list[str], sign: str, literal: str | float | bool | None) -> Selection:
    """Returns the test that compares the members at `names`, or the values, with a literal (RFC 9535, 2.3.5.2.2).

    Values are equal, or in an order, within their type only; nothing is equal to a value that is not there.
    """
    kinds = {int, float} if type(literal) in (int, float) else {type(literal)}
    if sign in _COMPARES and not kinds & {int, float, str}:  # those without an order may still be equal
        compare: Callable[[Any, Any], bool] = operator.eq if "=" in sign else lambda left, right: False
    else:
        compare = _COMPARES.get(sign, operator.eq)
    is_inverse = sign == "!="

    def select(values: list[Any]) -> list[bool]:
        for name in names:
            values = [value.get(name, NOTHING) if type(value) is dict else NOTHING for value in values]
        return [(type(value) in kinds and compare(value, literal)) is not is_inverse for value in values]

    return select


class Filter(Limited):
    """A filter: its text, and the test of a value. Its limit of CPU time is for one value.

    A comparison with a literal has its `selection` in place of the test, and needs no limit.
    """

    __slots__ = ("text", "_test", "_selection")

    def __init__(self, text: str, test: Test | None = None, selection: Selection | None = None) -> None:
        self.text, self._test, self._selection = text, test, selection

    def holds(self, value: object, root: Any) -> bool:
        """Whether it selects a value of the document `root`; raises RecursionError if that is nested too deeply."""
        if self._test is None:
            return self.select([value])[0]
        self.cpu_s = 0.0
        return self._test(value, root)

    def select(self, values: list[Any]) -> list[bool]:
        """Returns for each value whether it selects it, where that does not depend on the document."""
        return self._selection(values) if self._selection else [self.holds(value, None) for value in values]

    def too_slow(self, limit_s: float) -> UsageError:
        return UsageError(f"the filter {shorten(self.text)} took more than {limit_s:g} s on one value")


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

    def add_slice(self, part: slice) -> None:
        start, stop = part.start or 0, 2**53 if part.stop is None else part.stop
        step = 1 if part.step is None else part.step
        if step > 0 and start >= 0 and stop >= 0:
            self.slices.append(range(start, stop, step))
        else:
            self.from_end.append(part)

    def add_index(self, index: int) -> None:
        (self.indices if index >= 0 else self.from_end).append(index)

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
