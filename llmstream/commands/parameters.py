"""What commands take, as data, and the parser of command lines that are right.

click shows the help, completes words and explains lines that are wrong, from the same data: see `click_commands`. It is
not imported for a line that is right, since that takes longer than all else that a filter does before its first byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from .. import stdio
from ..core.kinds import Flag, Kind, Text
from ..errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])
Join = Callable[[tuple[Any, ...]], Any]


class FileName(Kind):
    """The name of a file, or "-": any text, which shells complete as a path."""

    is_path = True


TEXT, FLAG, FILE = Text(), Flag(), FileName()


class WrongValue(UsageError):
    """An option's value, or an operand, is not of the kind that it has to be; the help says which that is."""


class Parameter:
    """An option or an operand. The command's function gets its value as `name`, and messages call it by `title`.

    A repeatable one is a tuple of values, or what `join` makes of that. `default` is the value where it is missing.
    """

    def __init__(self, name: str, title: str, kind: Kind, default: Any, repeatable: bool, join: Join | None) -> None:
        self.name, self.title, self.kind, self.default = name, title, kind, default
        self.repeatable, self._join = repeatable, join

    def value(self, texts: Sequence[str]) -> Any:
        """Returns the value that the words of the command line stand for; of several, only the last one is read.

        Raises WrongValue, and what else the kind raises.
        """
        counted = texts if self.repeatable else texts[-1:]
        try:
            values = [True if self.kind.is_flag else self.kind.read(text) for text in counted]
            if self.repeatable:
                return self._join(tuple(values)) if self._join else tuple(values)
        except ValueError as error:
            raise WrongValue(f"{self.title} {error}") from None
        return values[-1] if values else self.default


class Option(Parameter):
    """An option. `names` are its names as they are typed, and, without a hyphen, that of the value, if it is another.

    `group` is the heading of the help that it stands under.
    """

    def __init__(
        self,
        *names: str,
        help: str,
        kind: Kind = TEXT,
        is_flag: bool = False,
        group: str = "",
        metavar: str = "",
        default: Any = None,
        repeatable: bool = False,
        join: Join | None = None,
    ) -> None:
        self.names = [name for name in names if name.startswith("-")]
        value_names = [name for name in names if not name.startswith("-")]
        long = next((name for name in self.names if name.startswith("--")), self.names[0])
        name = value_names[0] if value_names else long.lstrip("-").replace("-", "_")
        if is_flag:
            kind, default = FLAG, False
        elif isinstance(default, str):
            default = kind.read(default)
        super().__init__(name, "/".join(self.names), kind, default, repeatable, join)
        self.help, self.group, self.metavar = help, group, metavar


class Operand(Parameter):
    """The operand. `complete` returns the words that may be meant by the beginning of one."""

    def __init__(
        self,
        name: str,
        kind: Kind = TEXT,
        metavar: str = "",
        repeatable: bool = False,
        required: bool = False,
        complete: Callable[[str], list[str]] | None = None,
    ) -> None:
        super().__init__(name, name.upper(), kind, None, repeatable, None)
        self.metavar, self.required, self.complete = metavar, required, complete


class Command:
    """A command: its function, whose text is the help, and what that takes.

    `ungrouped` is the heading of the help for options without a group; with "" there are no headings. `groups` are the
    headings that come first.
    """

    groups: tuple[str, ...] = ()

    def __init__(self, name: str, function: Callable[..., Any], parameters: list[Parameter], ungrouped: str) -> None:
        self.name, self.function, self.parameters, self.ungrouped = name, function, parameters, ungrouped

    def parse(self, words: Sequence[str]) -> Arguments | None:
        """Parses the words after the command's name. Returns None for words that are wrong or ask for help.

        Raises WrongValue, and what else the values' kinds raise.
        """
        texts = self._sort(words)
        if texts is None:
            return None
        values = {parameter.name: parameter.value(texts.get(parameter, ())) for parameter in self.parameters}
        return Arguments(values, tuple(parameter.name for parameter in texts))

    def _sort(self, words: Sequence[str]) -> dict[Parameter, list[str]] | None:
        """Returns the texts of each parameter on the line; None where a word belongs to none, or lacks its value."""
        texts: dict[Parameter, list[str]] = {}
        options = {name: each for each in self.parameters if isinstance(each, Option) for name in each.names}
        operand = next((each for each in self.parameters if isinstance(each, Operand)), None)
        for option, text in _words(options, words):
            parameter = option or operand
            if text is None or parameter is None:
                return None
            texts.setdefault(parameter, []).append(text)
        count = len(texts.get(operand, ())) if operand else 0
        if operand and ((count > 1 and not operand.repeatable) or (count == 0 and operand.required)):
            return None
        return texts

    def run(self, arguments: Arguments, serve: Callable[..., None]) -> Any:
        """Calls the function; returns the exit status, None for 0. `serve` runs the server."""
        if arguments.values.pop("raw_control", False):
            stdio.make_display = None
        return self.function(**arguments.values)


class Arguments:
    """The values of a command's parameters by name, and the names of those that are on the command line, in order."""

    def __init__(self, values: dict[str, Any], on_line: tuple[str, ...]) -> None:
        self.values, self.on_line = values, on_line


def _words(options: Mapping[str, Option], words: Sequence[str]) -> Iterator[tuple[Option | None, str | None]]:
    """Yields each option with the text of its value, and each operand with None; at a wrong word, (None, None).

    It is the syntax of getopt_long: `-qn`, `-m x`, `-mx`, `--model x`, `--model=x`, options after operands, and `--`,
    which ends the options. Names are not abbreviated. Raises WrongValue for a long name after one hyphen.
    """
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from ((None, operand) for operand in rest)
        elif word.startswith("--"):
            name, equals, text = word.partition("=")
            option = options.get(name)
            if option is None or option.kind.is_flag:
                yield option, None if option is None or equals else ""
            else:
                yield option, text if equals else next(rest, None)
        elif word.startswith("-") and word != "-":
            if (long := f"-{word.partition('=')[0]}") in options and len(long) > len("--x"):
                raise WrongValue(f"{word} begins with one hyphen: did you mean {long}?")
            letters = word[1:]
            while letters:
                option, letters = options.get(f"-{letters[0]}"), letters[1:]
                if option is None:
                    yield None, None
                elif option.kind.is_flag:
                    yield option, ""
                else:
                    yield option, letters or next(rest, None)
                    letters = ""
        else:
            yield None, word


# Decorators: each adds a parameter before those below it.


def in_group(group: str, *names: str, **settings: Any) -> Callable[[F], F]:
    """Decorates a command's function with an option of a group; the settings are those of Option."""
    return add(Option(*names, group=group, **settings))


def plain_option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Decorates a command's function with an option without a group; the settings are those of Option."""
    return add(Option(*names, **settings))


def operand(name: str, **settings: Any) -> Callable[[F], F]:
    """Decorates a command's function with its operand, of which a command has one at most."""
    return add(Operand(name, **settings))


def add(*parameters: Parameter) -> Callable[[F], F]:
    """Decorates a command's function with parameters."""

    def decorate(function: F) -> F:
        vars(function).setdefault("parameters", [])[:0] = parameters
        return function

    return decorate


def raw_control(function: F) -> F:
    """Decorates a function that writes a model's text with `--raw-control`; the function does not get it."""
    return plain_option("--raw-control", is_flag=True, help="Pass on control characters to a terminal.")(function)


def command(name: str, kind: type[Command] = Command, ungrouped: str = "") -> Callable[[Callable[..., Any]], Command]:
    """Makes a command of a function and the parameters that decorate it."""
    return lambda function: kind(name, function, vars(function).get("parameters", []), ungrouped)
