"""Unix filters that stream language models' answers, and the same for Python programs."""

__version__ = "0.1.0"

# The public names of the library. Each is loaded at its first use, as the command line imports this module as well.

TYPE_CHECKING = False  # true for type checkers; the one of `typing` would cost an import
if TYPE_CHECKING:
    from . import errors
    from .api.astream import AsyncStream, astream
    from .api.filters import Block, Field, code, code_blocks, fields, follow, json_objects, pretty, until
    from .api.options import Options
    from .api.stream import Stream, stream
    from .core.events import Event, Finish, Reasoning, ScoredText, Source, Start, Text, ToolCall, Usage
    from .core.stop.conditions import UntilOptions
    from .core.timing import Timing
    from .errors import Error, Incomplete, NotFound, Refused, Unavailable, UsageError

_HOMES = {  # the module of each name; "" for a module itself
    "errors": "",
    **dict.fromkeys(
        ("Event", "Finish", "Reasoning", "ScoredText", "Source", "Start", "Text", "ToolCall", "Usage"), "core.events"
    ),
    **dict.fromkeys(("Error", "Incomplete", "NotFound", "Refused", "Unavailable", "UsageError"), "errors"),
    "Options": "api.options",
    "Timing": "core.timing",
    "UntilOptions": "core.stop.conditions",
    **dict.fromkeys(
        ("Block", "Field", "code", "code_blocks", "fields", "follow", "json_objects", "pretty", "until"), "api.filters"
    ),
    **dict.fromkeys(("Stream", "stream"), "api.stream"),
    **dict.fromkeys(("AsyncStream", "astream"), "api.astream"),
}
__all__ = [
    "AsyncStream", "Block", "Error", "Event", "Field", "Finish", "Incomplete", "NotFound", "Options", "Reasoning",
    "Refused", "ScoredText", "Source", "Start", "Stream", "Text", "Timing", "ToolCall", "Unavailable", "UntilOptions",
    "Usage", "UsageError", "astream", "code", "code_blocks", "errors", "fields", "follow", "json_objects", "pretty",
    "stream", "until",
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
