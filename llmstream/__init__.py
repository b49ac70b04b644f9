"""Unix filters around one streaming core, for language models."""

__version__ = "0.1.0"

# What Python programs use. Each name is loaded when it is first asked for: the command line goes through here as well.

TYPE_CHECKING = False  # type checkers take it for true; typing's own would have to be imported
if TYPE_CHECKING:
    from . import errors
    from .api.astream import AsyncStream, astream
    from .api.filters import Block, Field, code, code_blocks, fields, follow, json_objects, until
    from .api.stream import Stream, stream
    from .core.events import Event, Finish, Reasoning, Start, Text, ToolCall, Usage
    from .errors import Error, Incomplete, Refused, Unavailable, UsageError

_HOMES = {  # the module that has it; "" for a module
    "errors": "",
    **dict.fromkeys(("Event", "Finish", "Reasoning", "Start", "Text", "ToolCall", "Usage"), "core.events"),
    **dict.fromkeys(("Error", "Incomplete", "Refused", "Unavailable", "UsageError"), "errors"),
    **dict.fromkeys(
        ("Block", "Field", "code", "code_blocks", "fields", "follow", "json_objects", "until"), "api.filters"
    ),
    **dict.fromkeys(("Stream", "stream"), "api.stream"),
    **dict.fromkeys(("AsyncStream", "astream"), "api.astream"),
}
__all__ = [
    "AsyncStream", "Block", "Error", "Event", "Field", "Finish", "Incomplete", "Reasoning", "Refused", "Start",
    "Stream", "Text", "ToolCall", "Unavailable", "Usage", "UsageError", "astream", "code", "code_blocks", "errors",
    "fields", "follow", "json_objects", "stream", "until",
]  # fmt: skip


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f".{home}", __name__), name) if home else import_module(f".{name}", __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
