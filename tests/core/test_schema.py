"""Schemas: the short notation, the check, closed objects and strict mode."""

from __future__ import annotations

import itertools

import jsonschema
import pytest

from llmstream.core import schema as schemas
from llmstream.errors import UsageError

CLOSED = {"additionalProperties": False}


def of(**properties: object) -> dict:
    return {"type": "object", "properties": properties, "required": list(properties), **CLOSED}


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        ("name", {"name": {"type": "string"}}),
        ("name, age int", {"name": {"type": "string"}, "age": {"type": "integer"}}),
        (
            "name, age int, bio: one sentence",
            {
                "name": {"type": "string"},
                "age": {"type": "integer"},
                "bio": {"type": "string", "description": "one sentence"},
            },
        ),
        (
            "a float\nb bool: yes, or no",
            {"a": {"type": "number"}, "b": {"type": "boolean", "description": "yes, or no"}},
        ),
        ("\n  a str: x: y\n\n", {"a": {"type": "string", "description": "x: y"}}),
    ],
)
def test_short_notation(text, properties):
    schema = schemas.parse(text)
    assert schema == of(**properties)
    assert list(schema["properties"]) == list(properties)  # models answer in this order
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schemas.is_strict(schemas.close_objects(schema))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" , ", "empty"),
        ("age year", "age: unknown type 'year'"),
        ("a int int", "neither a file, nor JSON"),
        ("a, a int", "field a twice"),
        ("a b c d", "neither"),
        ("$x", "neither"),
        ("{", "not JSON"),
        ('{"const": NaN}', "not JSON: JSON has no NaN"),
        ('{"const": -Infinity}', "not JSON: JSON has no -Infinity"),
        ('{"maximum": 1e999}', "not JSON: 1e999 is too large a number"),
        ("[]", r"wrong at \$: not an object"),
        ('"string"', "not an object"),
        ('{"type": "strin"}', r"wrong at \$.type: 'strin' is not one of"),
        ('{"type": ["string", "x"]}', r"\$.type"),
        ('{"type": {}}', r"\$.type"),
        ('{"properties": []}', r"\$.properties: not an object"),
        ('{"properties": {"a": {"items": {"type": 3}}}}', r"\$.properties.a.items.type: 3"),
        ('{"properties": {"a": "string"}}', r"\$.properties.a: not an object"),
        ('{"anyOf": [{}, {"required": "a"}]}', r"\$.anyOf\[1\].required"),
        ('{"anyOf": {}}', r"\$.anyOf: not an array"),
        ('{"enum": "a"}', r"\$.enum"),
        pytest.param('{"items":' * 90_000 + "{}" + "}" * 90_000, "nested too deeply", id="deep"),
        pytest.param('{"items":' * 101 + "{}" + "}" * 101, "nested too deeply", id="one too deep"),
        pytest.param('{"items":' * 400 + "{}" + "}" * 399, "not JSON", id="deep and open"),
        ('{"$defs": {"x": {"type": "nul"}}}', r"\$.\$defs.x.type"),
    ],
)
def test_invalid_schema_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        schemas.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"type": "object", "additionalProperties": true}',
        '{"type": ["string", "null"], "enum": [null, "a"]}',
        '{"properties": {"type": {"type": "string"}, "items": {"type": "array", "items": true}}}',
        '{"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}',
    ],
)
def test_valid_schema_of_the_standard_passes(text):
    jsonschema.Draft202012Validator.check_schema(schemas.parse(text))


def test_list_schema():
    schema = {"$defs": {"a": {"type": "string"}}, "type": "object", "properties": {"x": {"$ref": "#/$defs/a"}}}
    result = schemas.list_schema(dict(schema))
    jsonschema.validate({"items": [{"x": "1"}]}, result)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"items": [{"x": 1}]}, result)


VALUES = (1, "a", None, [], {}, {"a": 1}, {"a": 1, "b": 1}, {"a": {"b": 1}}, {"a": {"c": 1}}, [{"a": 1}], [{"b": 1}])
PARTS = (
    {"type": "integer"},
    {"properties": {"a": {}}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"properties": {"b": {}}}}, "additionalProperties": True},
    {"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]},
    {"anyOf": [{"properties": {"a": {}}}, {"type": "array", "items": {"properties": {"b": {}}}}]},
    {"not": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}},
)


@pytest.mark.parametrize("schema", PARTS)
def test_closing_only_narrows(schema):
    closed = schemas.close_objects(schema)
    for value in VALUES:
        if jsonschema.Draft202012Validator(closed).is_valid(value):
            jsonschema.validate(value, schema)
    assert any(jsonschema.Draft202012Validator(closed).is_valid(value) for value in VALUES)


def test_closing_leaves_the_given_schema_alone():
    before = {"properties": {"a": {"items": {"properties": {"b": {}}}}}}
    text = repr(before)
    assert schemas.close_objects(before)["properties"]["a"]["items"]["additionalProperties"] is False
    assert repr(before) == text


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (of(a={"type": "string"}), True),
        (of(a=of(b={"type": "null"})), True),
        ({"type": "array", "items": of(a={})}, True),
        ({"type": "object"}, False),
        (of(a={}) | {"required": []}, False),
        (of(a=of(b={}) | {"required": []}), False),
        (of(a={"anyOf": [of(b={}), {"type": "object"}]}), False),
        (of(a={"oneOf": []}), False),
        (of(a={"$ref": "#/$defs/x"}) | {"$defs": {"x": {"properties": {"y": {}}}}}, False),
    ],
)
def test_strict_mode_of_openai(schema, strict):
    assert schemas.is_strict(schema) is strict


def test_deepest_schema():
    schema = schemas.parse('{"properties":{"a":' * 100 + "{}" + "}}" * 100)
    assert schemas.is_strict(schemas.close_objects(schema)) is False


def test_name_of_a_schema():
    titles = [{"title": "Person"}, {"title": "A person"}, {"title": "x" * 65}, {"title": 1}, {}]
    assert [schemas.schema_name(schema) for schema in titles] == ["Person", "answer", "answer", "answer", "answer"]


def test_every_pair_of_parts_is_checked_without_a_fault():
    for one, other in itertools.product(PARTS, PARTS):
        schema = {"type": "object", "properties": {"one": one, "other": other}}
        schemas.check(schema)
        assert schemas.is_strict(schemas.close_objects(schema)) is False
