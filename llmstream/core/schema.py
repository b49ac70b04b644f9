"""JSON Schemas for structured output: parsed, checked, and restricted as providers require.

A schema is written as JSON, or in the short notation of Simon Willison's `llm`: `name, age int, bio: one sentence`.
The check covers the shapes that every provider relies on, not the whole standard: it finds typing errors before
anything is sent, without a library. The provider's error names what the provider does not support.
Source: JSON Schema 2020-12; OpenAI and Anthropic documentation, "Structured outputs".
"""

from __future__ import annotations

import re
from typing import Any

from ..errors import UsageError
from .json_codec import fault, loads_strict
from .kinds import shorten

TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
SHORT_TYPES = {"str": "string", "string": "string", "int": "integer", "float": "number", "bool": "boolean"}
MAX_DEPTH = 100  # providers allow about 10; Python's recursion limit is higher
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # OpenAI's rule for names of schemas and tools

# Keywords whose values are schemas: the values of an object, the items of an array, or a schema itself.
IN_OBJECTS = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
IN_ARRAYS = ("anyOf", "oneOf", "allOf", "prefixItems")
ALONE = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")


def parse(text: str) -> dict[str, Any]:
    """Parses a schema, JSON or the short notation. Raises UsageError if it is neither."""
    if text.lstrip().startswith(("{", "[", '"')):
        try:
            schema = loads_strict(text)
            check(schema)
        except ValueError as error:
            raise UsageError(f"the schema is not JSON: {fault(error)}") from None
        except RecursionError:
            raise UsageError("the schema is nested too deeply") from None
        return dict(schema)
    return _parse_short(text)


def list_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns the schema of a list of what `schema` describes, as `items` of an object: providers require an object."""
    top = {key: schema.pop(key) for key in ("$schema", "$id", "$defs", "definitions") if key in schema}
    items = {"type": "array", "items": schema}
    return top | {"type": "object", "properties": {"items": items}, "required": ["items"]}


def check(schema: Any, path: tuple[str, ...] = ("$",), depth: int = 0) -> None:
    """Raises UsageError, with the path, if a keyword has an invalid value."""
    if depth > MAX_DEPTH or (not depth and _is_deep(schema, 2 * MAX_DEPTH + 1)):  # a property is two levels
        raise UsageError("the schema is nested too deeply")
    if isinstance(schema, bool) and depth:
        return
    _require(isinstance(schema, dict), path, "not an object")
    types = schema.get("type", [])
    for word in types if isinstance(types, list) else [types]:
        if word not in TYPES:
            raise _wrong((*path, ".type"), f"{shorten(repr(word))} is not one of {', '.join(TYPES)}")
    required = schema.get("required", [])
    names = isinstance(required, list) and all(isinstance(name, str) for name in required)
    _require(names, (*path, ".required"), "not an array of names")
    _require(isinstance(schema.get("enum", []), list), (*path, ".enum"), "not an array")
    for key, value in schema.items():
        inner = (*path, ".", key)  # joined for a message only: a long name would be copied for each property below it
        if key in IN_OBJECTS:
            _require(isinstance(value, dict), inner, "not an object")
            for name, item in value.items():
                check(item, (*inner, ".", name), depth + 1)
        elif key in IN_ARRAYS:
            _require(isinstance(value, list), inner, "not an array")
            for index, item in enumerate(value):
                check(item, (*inner, f"[{index}]"), depth + 1)
        elif key in ALONE:
            check(value, inner, depth + 1)


def _require(valid: bool, path: tuple[str, ...], problem: str) -> None:
    if not valid:
        raise _wrong(path, problem)


def _wrong(path: tuple[str, ...], problem: str) -> UsageError:
    return UsageError(f"the schema is wrong at {''.join(path)}: {problem}")


def _is_deep(value: Any, room: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    return not room or any(_is_deep(item, room - 1) for item in (value.values() if isinstance(value, dict) else value))


def close_objects(schema: Any) -> Any:
    """Returns the schema with additional properties forbidden, as OpenAI and Anthropic require.

    It only gets narrower: a value that matches it matches `schema`. Parts of an allOf are not changed, since one part
    would forbid the properties of another.
    """
    if not isinstance(schema, dict):
        return schema
    result = dict(schema)
    for key, value in schema.items():
        if key in IN_OBJECTS and isinstance(value, dict):
            result[key] = {name: close_objects(inner) for name, inner in value.items()}
        elif key in ("anyOf", "oneOf", "prefixItems"):
            result[key] = [close_objects(inner) for inner in value]
        elif key == "items":
            result[key] = close_objects(value)
    if "properties" in schema and "allOf" not in schema:
        result.setdefault("additionalProperties", False)
    return result


def is_strict(schema: Any) -> bool:
    """Whether a closed schema is valid in OpenAI's strict mode: every object lists and requires all its properties."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties", {})
    exact = schema.get("additionalProperties") is False and set(properties) == set(schema.get("required", []))
    if (schema.get("type") == "object" or properties) and not exact:
        return False
    if any(key in schema for key in ("oneOf", "allOf", "not", "if", "patternProperties", "prefixItems")):
        return False
    inner = [*properties.values(), *schema.get("$defs", {}).values(), *schema.get("definitions", {}).values()]
    return is_strict([*inner, *schema.get("anyOf", []), schema.get("items")])


def schema_name(schema: dict[str, Any]) -> str:
    """Returns the name of a schema in OpenAI's dialects: its title if that is a valid name, otherwise "answer"."""
    name = schema.get("title")
    return name if isinstance(name, str) and NAME.fullmatch(name) else "answer"


def _parse_short(text: str) -> dict[str, Any]:
    """Parses `name TYPE: description, ...`. If newlines separate the fields, descriptions may contain commas."""
    properties: dict[str, Any] = {}
    for field in filter(None, map(str.strip, text.split("\n" if "\n" in text.strip() else ","))):
        head, _, description = field.partition(":")
        name, *types = head.split()[:3] or [""]
        if not re.fullmatch(r"\w[\w-]*", name) or len(types) > 1:
            raise UsageError(
                f"the schema is neither a file, nor JSON, nor fields such as 'name, age int': {field[:60]!r}"
            )
        word = types[0] if types else "str"
        if word not in SHORT_TYPES:
            raise UsageError(f"the schema's field {name}: unknown type {word!r}: use one of {', '.join(SHORT_TYPES)}")
        if name in properties:
            raise UsageError(f"the schema has the field {name} twice")
        properties[name] = {"type": SHORT_TYPES[word]}
        if description.strip():
            properties[name]["description"] = description.strip()
    if not properties:
        raise UsageError("the schema is empty")
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
