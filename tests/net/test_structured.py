"""The embedded model obeys schemas: each answer is valid, and goes straight into a pipe."""

from __future__ import annotations

import json

import jsonschema
import pytest

from llmstream.core import schema as schemas

pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")

# Texts and lists are bounded: a small model, held to a grammar, finds no end by itself.
TEXT = {"type": "string", "maxLength": 12}


def of(**properties: object) -> dict:
    return {"type": "object", "properties": properties, "required": list(properties)}


LENGTH = {"type": "integer", "minimum": 1, "maximum": 9999}
RIVER = of(name=TEXT, km=LENGTH)
PLACE = {"$ref": "#/$defs/place"}

SCHEMAS = {
    "flat": of(name=TEXT, km=LENGTH, navigable={"type": "boolean"}),
    "nested": of(river=of(name=TEXT, source=of(place=TEXT, height={"type": "integer"}))),
    "list": of(tags={"type": "array", "items": TEXT, "minItems": 2, "maxItems": 3}),
    "objects": of(rivers={"type": "array", "items": RIVER, "minItems": 1, "maxItems": 2}),
    "enum": of(kind={"enum": ["river", "lake", "sea"]}, depth={"type": ["integer", "null"]}),
    "const": of(version={"const": 2}, name=TEXT),
    "any": of(id={"anyOf": [{"type": "integer"}, of(code=TEXT)]}),
    "definitions": {"$defs": {"place": of(name=TEXT)}, **of(start=PLACE, end=PLACE)},
    "optional": {"type": "object", "properties": {"name": TEXT, "alias": TEXT}, "required": ["name"]},
    "array at the top": {"type": "array", "items": of(name=TEXT), "minItems": 1, "maxItems": 2},
}  # fmt: skip


def answer(run, *options: str) -> object:
    done = run("gen", "-n", "-m", "local", "--max-tokens", "400", *options, "Describe a river as JSON.")
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_answer_is_valid(run, name):
    value = answer(run, "--schema", json.dumps(SCHEMAS[name]))
    jsonschema.validate(value, schemas.closed(SCHEMAS[name]))
    jsonschema.validate(value, SCHEMAS[name])


def test_the_answer_to_fields(run):
    value = answer(run, "--schema", "found bool, km int")
    assert list(value) == ["found", "km"]
    assert [type(each) for each in value.values()] == [bool, int]


def test_a_list_of_many(run):
    made = schemas.many(dict(RIVER))
    made["properties"]["items"]["maxItems"] = 2  # by hand, for the reason above
    jsonschema.validate(answer(run, "--schema", json.dumps(made)), schemas.many(dict(RIVER)))


def test_any_json(run):
    done = run("gen", "-n", "-m", "local", "--json", "--max-tokens", "30", "Describe a river as JSON.")
    assert done.stdout.lstrip().startswith(b"{")


def test_the_beginning_is_the_users(run):
    done = run("gen", "-n", "-m", "local", "--prefill", "Basel lies at the", "--max-tokens", "5", "Where is Basel?")
    assert done.stdout.startswith(b"Basel lies at the")
    assert len(done.stdout) > len(b"Basel lies at the\n")
    assert done.returncode == 0


def test_an_attached_text_is_read(run, tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("The secret word is blue.")
    done = run("gen", "-n", "-m", "local", "-a", str(path), "--max-tokens", "20", "What is the secret word?")
    assert b"blue" in done.stdout
