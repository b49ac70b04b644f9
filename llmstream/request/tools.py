"""Descriptions of tools, in the shapes of OpenAI, Anthropic and MCP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..core import schema as schemas
from ..core.request import Request, Tool
from ..errors import UsageError
from ..providers.target import Target

if TYPE_CHECKING:
    from ..net.programs import Tools

PARAMETERS = ("parameters", "input_schema", "inputSchema")


def parse_tools(items: list[Any], source: str) -> tuple[Tool, ...]:
    """Returns the tools that a list describes; `source` is the file or option that has it. Raises UsageError."""
    tools = tuple(_each(items, source))
    names = Counter(tool.name for tool in tools)
    twice = next((name for name, count in names.items() if count > 1), None)
    if twice or not tools:
        raise UsageError(f"{source} has the tool {twice} twice" if twice else f"{source} has no tools")
    return tools


def _each(items: list[Any], source: str) -> Iterator[Tool]:
    """Yields the tools; the shapes differ in where name and schema stand."""
    for number, item in enumerate(items, 1):
        where = f"{source}, tool {number}"
        shape = item.get("function", item) if isinstance(item, dict) else None
        if not isinstance(shape, dict):
            raise UsageError(f"{where}: not an object with name, description and parameters")
        name, description = shape.get("name"), shape.get("description", "")
        if not (isinstance(name, str) and schemas.NAME.fullmatch(name)):
            raise UsageError(f"{where}: the name must consist of letters, digits, _ and -")
        if not isinstance(description, str):
            raise UsageError(f"{where}: the description is not text")
        keys = [key for key in PARAMETERS if key in shape]
        parameters = shape[keys[0]] if keys else {"type": "object", "properties": {}}
        try:
            schemas.check(parameters)
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}") from None
        strict = shape.get("strict")
        yield Tool(name, description, parameters, strict if isinstance(strict, bool) else None)


def tools_of(request: Request, target: Target) -> Tools:
    """Returns the tools of a request, for running them as programs."""
    from ..net.programs import Tools
    from .attachments import kinds

    return Tools(frozenset(tool.name for tool in request.tools), kinds(target))
