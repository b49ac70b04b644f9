"""The parser of right command lines against click's, and the values that it gives."""

from __future__ import annotations

from typing import Any

import click
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from llmstream.click_commands import ClickCommand
from llmstream.commands import COMMANDS, load
from llmstream.commands.parameters import (
    Command,
    Operand,
    Option,
    Parameter,
    WrongValue,
    command,
    operand,
    plain_option,
)
from llmstream.core.kinds import Integer

VALUES = ["", "-", "--", "-1", "a", "a=b", "=", "--json", "-n", "ä", "\udcff"]


def as_text(parameter: Parameter) -> Parameter:
    """Returns a parameter of the same names whose values are any text."""
    if isinstance(parameter, Operand):
        return Operand(parameter.name, repeatable=parameter.repeatable, required=parameter.required)
    assert isinstance(parameter, Option)
    is_flag = parameter.kind.is_flag
    return Option(*parameter.names, parameter.name, help="x", is_flag=is_flag, repeatable=parameter.repeatable)


LIKE = {name: Command(name, lambda **values: None, [*map(as_text, load(name).parameters)], "") for name in COMMANDS}


def by_click(like: Command, words: list[str]) -> dict[str, Any] | None:
    """Returns the values that click finds in a line, None for a line that is wrong or asks for help."""
    try:
        ctx = ClickCommand(like).make_context(like.name, list(words))
    except (click.ClickException, click.exceptions.Exit):
        return None
    return ctx.params


def names_of(like: Command) -> set[str]:
    return {name for each in like.parameters if isinstance(each, Option) for name in each.names if name[:2] == "--"}


@st.composite
def lines(draw):
    """A command, and words that it may have."""
    like = LIKE[draw(st.sampled_from(sorted(LIKE)))]
    names = [name for each in like.parameters if isinstance(each, Option) for name in each.names]
    names += ["--help", "-h", "--jso", "--wrong", "-Z"]
    name, value = st.sampled_from(names), st.sampled_from(VALUES)
    joined = st.tuples(name, value).map("=".join)
    letters = st.lists(name.map(lambda name: name[1]), max_size=4).map(lambda letters: "-" + "".join(letters))
    return like, draw(st.lists(st.one_of(name, value, joined, letters, name.map(lambda n: n + "7")), max_size=6))


@given(lines())
def test_the_parser_finds_what_click_finds(line):
    like, words = line
    assume(not any(f"-{word.partition('=')[0]}" in names_of(like) for word in words if word[1:2] != "-"))
    arguments = like.parse(words)
    assert (arguments and arguments.values) == by_click(like, words)


EXAMPLES = {
    "-qx 5 a -k7 b": {"quiet": True, "x": "5", "count": 7, "many": (), "words": ("a", "b")},
    "--count=3 --many=a --many b -- -q": {"quiet": False, "x": None, "count": 3, "many": ("a", "b"), "words": ("-q",)},
    "-k1 -k2": {"quiet": False, "x": None, "count": 2, "many": (), "words": ()},
    "-kx --count 2": {"quiet": False, "x": None, "count": 2, "many": (), "words": ()},
    "--many= -": {"quiet": False, "x": None, "count": 1, "many": ("",), "words": ("-",)},
}


@command("some")
@operand("words", repeatable=True)
@plain_option("-q", "--quiet", is_flag=True, help="x")
@plain_option("-x", help="x")
@plain_option("-k", "--count", kind=Integer(1), default=1, help="x")
@plain_option("--many", repeatable=True, help="x")
def some(**values: Any) -> dict[str, Any]:
    return values


@pytest.mark.parametrize("line", EXAMPLES)
def test_values(line):
    arguments = some.parse(line.split())
    assert arguments and arguments.values == EXAMPLES[line]


def test_the_given_names_are_those_on_the_line():
    arguments = some.parse(["-k", "1", "a"])
    assert arguments and arguments.on_line == ("count", "words")


@pytest.mark.parametrize("line", ["--quie", "--quiet=1", "-k", "--many", "-qk", "--help", "-qh", "-Z"])
def test_a_line_that_is_wrong_or_asks_for_help_has_no_values(line):
    assert some.parse([line]) is None


def test_a_wrong_value_is_an_error_with_the_names_of_its_option():
    with pytest.raises(WrongValue) as caught:
        some.parse(["-kq"])
    assert str(caught.value) == '-k/--count must be a whole number of at least 1, not "q"'


def test_an_empty_value_counts_where_two_hyphens_stand_before_the_command(run):
    words = ["gen", "-n", "-m", "openai/m", "-s", "", "--dry-run", "Go"]
    done = run("--", *words, url="http://127.0.0.1")
    assert done.stdout == run(*words, url="http://127.0.0.1").stdout
    assert b'"system"' in done.stdout


@pytest.mark.parametrize("word", ["-count", "-count=3", "-quiet"])
def test_a_long_option_with_one_hyphen_is_no_bundle(word):
    with pytest.raises(WrongValue, match=f"^{word} begins with one hyphen: did you mean -{word.partition('=')[0]}[?]$"):
        some.parse(["a", word])
    assert some.parse(["--", word])
