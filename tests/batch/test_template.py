"""Templates: their placeholders, the values that fill them, and errors for missing values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream.batch.template import Template
from llmstream.core.kinds import shorten
from llmstream.errors import UsageError

FIELDS = {
    "name": "Ann",
    "n": 3,
    "x-y_1": "dash",
    "none": None,
    "yes": True,
    "half": 0.5,
    "list": [1, "é", {"a": None}],
    "user": {"name": "Bo", "home": {"town": "Chur"}, "": "empty"},
    "größe": "12",
    "place": "{name} {} \\{n}",
    "name.x": "dotted",
    "first name": "Cy",
    'the "best"': {"it's": {"": 7}},
}

# (template, result for the prompt "PROMPT" and FIELDS)
CASES = [
    ("{}", "PROMPT"),
    ("a {} b {}", "a PROMPT b PROMPT"),
    ("{name}: {}", "Ann: PROMPT"),
    ("{n} {none} {yes} {half}", "3 null true 0.5"),
    ("{x-y_1}{größe}", "dash12"),
    ("{list}", '[1,"é",{"a":null}]'),
    ("{user.name} of {user.home.town}", "Bo of Chur"),
    ("{user.home}", '{"town":"Chur"}'),
    ('{["name.x"]}: {["first name"]}', "dotted: Cy"),
    ("{['name.x']}: {['the \"best\"'][\"it's\"]}", 'dotted: {"":7}'),
    ('{user["name"]}{user["home"].town}{user.home["town"]}{["user"][""]}', "BoChurChurempty"),
    ('\\{["name.x"]} {n}', '{["name.x"]} 3'),
    ('{[name]} {["name} {[0]} {["a"].} {n}', '{[name]} {["name} {[0]} {["a"].} 3'),
    ("{place}", "{name} {} \\{n}"),
    ("{{name}}", "{Ann}"),
    ("{{}}", "{PROMPT}"),
    ("{{}", "{PROMPT"),
    ("\\{name} {n}", "{name} 3"),
    ("\\{} {n}", "{} 3"),
    ("\\\\{n}{n}", "\\{n}3"),
    ("\\{{name}}", "{Ann}"),
    ('{"a": "{name}"}', '{"a": "Ann"}'),
    ("{ name } {a b} {.} {n.} {.n} {a..b} {n}}", "{ name } {a b} {.} {n.} {.n} {a..b} 3}"),
    ("{n} {name", "3 {name"),
    ("{n} \\ \\n", "3 \\ \\n"),
]
WITHOUT_PLACEHOLDER = [
    ("Sum up.", "Sum up.\n\nPROMPT"),
    ("", "PROMPT"),
    ("a { b }", "a { b }\n\nPROMPT"),
    ("\\{name}", "{name}\n\nPROMPT"),
    ("ends with \\", "ends with \\\n\nPROMPT"),
]


@pytest.mark.parametrize(("text", "want"), CASES + WITHOUT_PLACEHOLDER)
def test_fill(text, want):
    assert Template(text).fill("PROMPT", FIELDS) == want


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("{}", set()),
        ("{a} {b.c} {a}", {"a", "b.c"}),
        ("{a} {}", {"a"}),
        ("\\{a} \\{} {b}", {"b"}),
        ("no placeholder", set()),
    ],
)
def test_names_that_a_template_uses(text, names):
    assert Template(text).names == names


@pytest.mark.parametrize(
    ("text", "fields", "message"),
    [
        ("{langauge}", {"language": "de"}, "there is no field langauge: did you mean language?"),
        ("{zzz}", {"language": "de"}, "there is no field zzz, only language: write \\{zzz} for the text {zzz}"),
        ("{zzz}", dict.fromkeys("abcdefghi"), "there is no field zzz, only a, b, c, d, e, f, g, h, ...: write"),
        ("{zzz}", {"x" * 1000: 1}, f"there is no field zzz, only {shorten('x' * 1000)}: write"),
        ("{user.zzz}", FIELDS, "there is no field user.zzz, only user.name, "),
        ("{user.nmae}", FIELDS, "there is no field user.nmae: did you mean user.name?"),
        ("{user.home.twon}", FIELDS, "there is no field user.home.twon: did you mean user.home.town?"),
        ("{first.name}", FIELDS, "there is no field first.name, only name, "),
        ("{name.y}", FIELDS, "there is no field name.y: write"),  # name is not an object
        ("{first_name}", FIELDS, 'there is no field first_name: did you mean ["first name"]?'),
        ('{["firstname"]}', FIELDS, 'there is no field ["firstname"]: did you mean ["first name"]?'),
        ('{user["nmae"]}', FIELDS, 'there is no field user["nmae"]: did you mean user.name?'),
        ("{}", {"prompt": None}, "the field prompt is null: add one, or use another field by {name}"),
        ("{list.0}", FIELDS, "there is no field list.0: "),
        ("{}", {"promt": "a"}, "there is no field prompt: did you mean promt?"),
        ("{}", {}, "there is no field prompt: add one, or use another field by {name}"),
        ("no placeholder", {"text": "a"}, "there is no field prompt: add one"),
    ],
)
def test_a_placeholder_without_a_value(text, fields, message):
    with pytest.raises(UsageError) as raised:
        Template(text).fill(None, fields)
    assert str(raised.value).startswith(message)


def test_a_template_of_fields_needs_no_prompt():
    assert Template("{n}").fill(None, FIELDS) == "3"


# Parts of templates, and their results.
PARTS = [
    ("{}", "PROMPT"),
    ("{a}", "\\{b} {} {a}"),
    ("{b.c}", "\\"),
    ("\\{", "{"),
    ("{ ", "{ "),
    ("}", "}"),
    ("\\ ", "\\ "),
    ("a", "a"),
]


@given(st.lists(st.sampled_from(PARTS), max_size=12))
def test_any_template_is_filled_part_by_part(parts):
    text, want = ("".join(column) for column in zip(*parts, strict=True)) if parts else ("", "")
    if not {"{}", "{a}", "{b.c}"} & {part[0] for part in parts}:
        want += "\n\nPROMPT" if text else "PROMPT"
    assert Template(text).fill("PROMPT", {"a": "\\{b} {} {a}", "b": {"c": "\\"}}) == want


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_a_value_is_inserted_as_json(value):
    filled = Template("{a}").fill(None, {"a": value})
    assert (filled if isinstance(value, str) else json.loads(filled)) == value
