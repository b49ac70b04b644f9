"""Checks whole answers that have to be JSON, by the package of the extra `check`, and asks again for wrong ones."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from typing import Any

from ..core.cpu_limit import STRIDE, Limited
from ..core.json_codec import fault, loads_strict, to_json
from ..core.kinds import shorten
from ..core.request import Message, Request
from ..errors import Incomplete, UsageError

ANY_OBJECT = {"type": "object"}
MAX_PROBLEMS = 10  # that the model gets to know
CRASHES = (AttributeError, LookupError, TypeError, ValueError)  # of the package, for a schema of another shape
HEAD_CHARACTERS, TAIL_CHARACTERS = 150, 100  # of a problem, which may quote a value of any length


class AnswerCheck(Limited):
    """The check of the answers to one request, which wants JSON.

    Raises UsageError for a schema that the package does not accept. A schema can make a check take any time, by its
    patterns or by references that multiply: where a clock limits that, both raise the clock's error.
    """

    def __init__(self, request: Request) -> None:
        import jsonschema  # noqa: F401 - its import is no part of the limited work

        self.cpu_s = 0.0
        self._validator = _validator(to_json(request.schema or ANY_OBJECT))

    def too_slow(self, limit_s: float) -> UsageError:
        return UsageError(
            f"the answer cannot be checked: that takes more than {limit_s:g} s: a pattern of the schema tries too many "
            "ways to match, or its references multiply"
        )

    def problems(self, text: str) -> list[str]:
        """Returns what is wrong with an answer, each with its JSONPath; an empty list for a right one.

        Raises UsageError where the schema turns out to refer to nothing, or to itself without end.
        """
        self.cpu_s, self.limits = 0.0, 1 + len(text) // STRIDE
        return self._problems(text)

    def _problems(self, text: str) -> list[str]:
        from jsonschema.exceptions import UndefinedTypeCheck, UnknownType, best_match
        from referencing.exceptions import Unresolvable

        try:
            value = loads_strict(text)
        except ValueError as error:
            return [f"$: this is not JSON ({fault(error)})"]
        except RecursionError:
            return ["$: this is nested too deeply"]
        try:
            errors = [best_match([error]) for error in islice(self._validator.iter_errors(value), MAX_PROBLEMS)]
        except Unresolvable as error:
            raise UsageError(f"the answer cannot be checked: the schema has no {shorten(repr(error.ref))}") from None
        except RecursionError:
            raise UsageError("the answer cannot be checked: the schema refers to itself without end") from None
        except (*CRASHES, UndefinedTypeCheck, UnknownType):
            raise UsageError("the answer cannot be checked: the schema is invalid by its own $schema") from None
        return [_one_line(f"{error.json_path}: {error.message}") for error in errors]


def wrong(problems: list[str]) -> Incomplete:
    """Returns the error of an answer with problems."""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return Incomplete(f"the answer is wrong at {problems[0]}{more}")


def correction(problems: Iterable[str]) -> Message:
    """Returns the user's turn that says what is wrong with an answer."""
    lines = "".join(f"- {problem}\n" for problem in problems)
    return Message("user", f"That answer is wrong:\n{lines}Give it again, whole and corrected: JSON, nothing else.")


@lru_cache(maxsize=16)
def _validator(schema_text: str) -> Any:
    """Returns the validator of a schema, which loads no other document."""
    from jsonschema import Draft202012Validator, SchemaError
    from jsonschema.validators import validator_for
    from referencing import Registry

    schema = loads_strict(schema_text)
    try:
        kind = validator_for(schema, default=Draft202012Validator)
        kind.check_schema(schema)
    except SchemaError as error:
        message = _one_line(f"{error.json_path}: {error.message}")
        raise UsageError(f"the schema cannot be checked at {message}") from None
    except CRASHES:
        raise UsageError("the schema cannot be checked at $: its $schema names no version") from None
    return kind(schema, registry=Registry())


def _one_line(text: str) -> str:
    if len(text) > HEAD_CHARACTERS + TAIL_CHARACTERS:
        text = f"{text[:HEAD_CHARACTERS]}...{text[-TAIL_CHARACTERS:]}"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
