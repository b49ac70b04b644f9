"""The JSON objects of a text as commands and library use them: broken ones are closed, repaired or skipped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .documents import UNFINISHED, Fault
from .objects import Objects

if TYPE_CHECKING:
    from .fenced import FencedObjects

SKIPPED, CLOSED, REPAIRED = "skipped", "closed", "repaired"


class ObjectsFilter:
    """Text in, the text of each object out.

    `max_size` bounds one object, in characters. `fenced` looks only into fenced code blocks. `partial` closes an object
    that the end cuts, `repair` repairs malformed ones. For each broken object, `on_fault` is called in its place with
    the Fault and CLOSED, REPAIRED or SKIPPED.
    """

    def __init__(
        self,
        max_size: int,
        on_fault: Callable[[Fault, str], object],
        *,
        fenced: bool = False,
        repair: bool = False,
        partial: bool = False,
    ) -> None:
        self._core: Objects | FencedObjects = Objects(max_size, loose=repair)
        if fenced:
            from .fenced import FencedObjects

            self._core = FencedObjects(max_size, loose=repair)
        self._repair, self._partial, self._on_fault = repair, partial, on_fault

    def feed(self, text: str) -> Iterator[str]:
        """Returns the objects that text completes; they must be taken before the next call."""
        return self._texts(self._core.feed(text))

    def close(self) -> Iterator[str]:
        """Ends the input; returns the object that its end cuts, if `partial` or `repair` makes it complete."""
        return self._texts(self._core.close())

    def _texts(self, results: list[str | Fault]) -> Iterator[str]:
        for item in results:
            if text := item if isinstance(item, str) else self._fix(item):
                yield text

    def _fix(self, fault: Fault) -> str:
        """Returns the closed or repaired object, or "" if it is skipped."""
        from .repair import close_object, repair_object

        text, outcome = "", SKIPPED
        if fault.kind == UNFINISHED and self._partial:
            text, outcome = close_object(fault.text), CLOSED
        elif self._repair and (text := repair_object(fault.text)):
            outcome = REPAIRED
        self._on_fault(fault, outcome)
        return text
