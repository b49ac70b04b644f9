"""The embedded model obeys schemas: each answer is valid.

Most answers come from its server as tests/support/llamacpp.py runs it, on one thread, which a busy machine does not
slow down.
"""

from __future__ import annotations

import json
import subprocess

import jsonschema
import pytest

from llmstream.core import schema as schemas

from ..conftest import LLMSTREAM, environment
from ..support import needs
from ..support.limits import RUN_S

pytestmark = [pytest.mark.model, pytest.mark.slow, needs.package("xllamacpp", "local")]

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


def answer(run, url: str, *options: str) -> object:
    arguments = ["-m", "llamacpp/any", "-t", "0", "--max-tokens", "400", *options, "Describe a river as JSON."]
    done = run("gen", "-n", *arguments, env=environment(LLAMACPP_BASE_URL=f"{url}/v1"))
    assert (done.returncode, done.stderr) == (0, b"")
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_answer_is_valid(run, llamacpp, name):
    value = answer(run, llamacpp, "--schema", json.dumps(SCHEMAS[name]))
    jsonschema.validate(value, schemas.close_objects(SCHEMAS[name]))
    jsonschema.validate(value, SCHEMAS[name])


def test_the_answer_of_the_model_in_this_process(run):
    done = run("gen", "-n", "-m", "local", "--schema", "found bool, long bool", "Describe a river as JSON.")
    value = json.loads(done.stdout)
    assert list(value) == ["found", "long"]
    assert [type(each) for each in value.values()] == [bool, bool]


def test_a_list_of_many(run, llamacpp):
    schema_of_list = schemas.list_schema(dict(RIVER))
    schema_of_list["properties"]["items"]["maxItems"] = 2  # by hand, for the reason above
    jsonschema.validate(answer(run, llamacpp, "--schema", json.dumps(schema_of_list)), schemas.list_schema(dict(RIVER)))


def piped(url: str, schema: dict, *reader: str) -> list[str]:
    """The lines that a filter makes of an answer, both at work at the same time."""
    arguments = ["-m", "llamacpp/any", "-t", "0", "--max-tokens", "400", "--schema", json.dumps(schema)]
    with subprocess.Popen(
        [*LLMSTREAM, "gen", "-n", *arguments, "Describe a river as JSON."],
        stdout=subprocess.PIPE,
        env=environment(LLAMACPP_BASE_URL=f"{url}/v1"),
    ) as writer:
        done = subprocess.run([*LLMSTREAM, *reader], stdin=writer.stdout, capture_output=True, text=True, timeout=RUN_S)
    assert (writer.returncode, done.returncode, done.stderr) == (0, 0, "")
    return done.stdout.splitlines()


def test_straight_into_json_objects(llamacpp):
    [line] = piped(llamacpp, SCHEMAS["nested"], "json-objects")
    jsonschema.validate(json.loads(line), SCHEMAS["nested"])
    for line in piped(llamacpp, SCHEMAS["array at the top"], "json-objects"):  # one for each element
        jsonschema.validate(json.loads(line), SCHEMAS["array at the top"]["items"])


def test_straight_into_fields(llamacpp):
    schema_of_list = schemas.list_schema(dict(RIVER))
    schema_of_list["properties"]["items"] |= {"minItems": 2, "maxItems": 2}
    items = [json.loads(line) for line in piped(llamacpp, schema_of_list, "fields", "-r", "items[*]")]
    assert len(items) == 2
    for item in items:
        jsonschema.validate(item, RIVER)
    [place] = piped(llamacpp, SCHEMAS["nested"], "fields", "-r", "river.source.place")
    assert len(place) <= 12


def test_any_json(run, llamacpp):
    value = answer(run, llamacpp, "--json")
    assert isinstance(value, dict)


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
