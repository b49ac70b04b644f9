"""The body of POST /v1/responses: its pydantic model, and the conversation that its items describe.

Nothing is stored here, so a request holds its whole conversation, and what needs an earlier one is refused.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..core.kinds import shown
from ..core.request import EFFORTS
from ..errors import UsageError
from ..request.options import OPTIONS
from ..request.tools import parse_tools
from .bodies import drop_unset, fields_of, format_options, model_of, passed_fields
from .body_limits import BODY_BOUNDS, FIELD_BOUNDS
from .request import ChatRequest
from .settings import Settings

ROWS = {
    "model": OPTIONS["model"],
    "max_output_tokens": OPTIONS["max_tokens"],
    "temperature": OPTIONS["temperature"],
    "top_p": OPTIONS["top_p"],
    "tools": OPTIONS["tools"],
    "tool_choice": OPTIONS["tool_choice"],
}
WHOLE_CONVERSATION = "nothing is stored here: send the whole conversation as input"
REFUSED = {  # fields that may have the values of a request without them only
    "store": (False, "nothing is stored here: set it to false"),
    "background": (False, "keep the connection open, or stream"),
    "previous_response_id": (None, WHOLE_CONVERSATION),
    "conversation": (None, WHOLE_CONVERSATION),
    "truncation": ("disabled", "leave items of input out"),
}
EXTRAS = ("reasoning.encrypted_content",)  # of `include`: what is missing from an answer does no harm
TEXTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}  # parts, and their text


class _ResponsesBase(BaseModel):
    """The fields of a request that are not in the options table."""

    model_config = ConfigDict(strict=True, extra="allow", json_schema_extra=BODY_BOUNDS)

    input: str | list[dict[str, Any]] = Field(min_length=1, json_schema_extra=FIELD_BOUNDS["input"])
    instructions: str | None = None
    stream: bool | None = False
    stream_options: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    include: list[str] | None = None
    parallel_tool_calls: bool | None = None
    store: bool | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    truncation: str | None = None

    def request(self, settings: Settings) -> ChatRequest:
        """Returns the request of a body. Raises UsageError."""
        for name, (allowed, advice) in REFUSED.items():
            if getattr(self, name) not in (None, allowed):
                raise UsageError(f"{name} is not supported: {advice}")
        for extra in self.include or ():
            if extra not in EXTRAS:
                raise UsageError(f"include: {shown(extra)} is not supported")
        options = {row.name: getattr(self, name) for name, row in ROWS.items()}
        options["model"] = model_of(options["model"], settings)
        if options["tools"]:
            for tool in options["tools"]:
                kind = tool.get("type") if isinstance(tool, dict) else None
                if kind != "function":
                    raise UsageError(f"tools of the type {shown(kind)} are not supported: only functions of the client")
            parse_tools(options["tools"], "tools")
        system, options["messages"] = _conversation(self.input)
        system = [self.instructions, *system] if self.instructions else system
        options["system"] = "\n\n".join(system) if system else None
        fields = dict(self.model_extra or {})
        if self.parallel_tool_calls is False:
            fields["parallel_tool_calls"] = False
        text = dict(self.text or {})
        options |= _format(text.pop("format", None))
        fields |= text if text.keys() <= {"verbosity"} else {"text": text}
        options |= _reasoning(self.reasoning or {})
        options["options"] = passed_fields(fields, settings)
        return ChatRequest("", drop_unset(options))

    def echo(self) -> dict[str, Any]:
        """Returns the fields of the response that repeat the request."""
        text, reasoning = self.text or {}, self.reasoning or {}
        options = {name: getattr(self, name) for name in ROWS}
        tools = parse_tools(options["tools"], "tools") if options["tools"] else ()
        return {
            "instructions": self.instructions,
            "max_output_tokens": options["max_output_tokens"],
            "temperature": options["temperature"],
            "top_p": options["top_p"],
            "tools": [{"type": "function", "strict": None, **tool.as_dict("parameters")} for tool in tools],
            "tool_choice": _sent_choice(options["tool_choice"]),
            "parallel_tool_calls": self.parallel_tool_calls is not False,
            "text": {"format": {"type": "text"}, **text},
            "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
            "truncation": "disabled",
            "metadata": {},
            "store": False,
            "background": False,
            "previous_response_id": None,
        }


ResponsesBody: Any = create_model(
    "ResponsesBody",
    __base__=_ResponsesBase,
    __doc__="The body of POST /v1/responses. Fields such as `top_logprobs` go to the provider as they stand.",
    **fields_of(ROWS.items()),
)


def _sent_choice(choice: str | None) -> Any:
    """Returns a choice of tools as OpenAI writes it."""
    if choice in (None, "none", "required"):
        return choice or "auto"
    return {"type": "function", "name": choice}


def _format(format: Any) -> dict[str, Any]:
    """Returns the options of `text.format`, whose schema stands beside its type."""
    if isinstance(format, dict) and format.get("type") == "json_schema":
        format = {"type": "json_schema", "json_schema": format}
    if format is not None and not isinstance(format, dict):
        raise UsageError("text.format must be an object")
    return format_options(format, "text.format")


def _reasoning(reasoning: dict[str, Any]) -> dict[str, Any]:
    """Returns the options of `reasoning`. A summary is all that there is of it, whatever its kind."""
    effort = reasoning.get("effort")
    if effort is not None and effort not in EFFORTS:
        raise UsageError(f"reasoning.effort must be one of {', '.join(EFFORTS)}, not {shown(effort)}")
    if unknown := reasoning.keys() - {"effort", "summary", "generate_summary"}:
        raise UsageError(f"reasoning: {shown(min(unknown))} is not supported")
    wanted = reasoning.get("summary") or reasoning.get("generate_summary")
    return {"effort": effort, "reasoning": True if wanted else None}


# The conversation.


def _conversation(input: str | list[dict[str, Any]]) -> tuple[list[str], list[dict[str, Any]]]:
    """Returns the system's texts, and the other messages as the option `messages` has them."""
    if isinstance(input, str):
        return [], [{"role": "user", "content": input}]
    system: list[str] = []
    messages: list[dict[str, Any]] = []
    for number, item in enumerate(input):
        where, kind = f"input[{number}]", item.get("type", "message")
        if kind == "message":
            role, content = item.get("role"), _content(item.get("content"), f"{where}.content")
            if role not in ("user", "assistant", "system", "developer"):
                raise UsageError(f"{where}.role must be user, assistant, system or developer, not {shown(role)}")
            if role in ("user", "assistant"):
                messages.append({"role": role, "content": content})
            elif isinstance(content, str):
                system.append(content)
            else:
                raise UsageError(f"{where}: a {role} message has text only")
        elif kind == "function_call":
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": ""})
            messages[-1].setdefault("tool_calls", []).append(_call(item, where))
        elif kind == "function_call_output":
            output = _content(item.get("output"), f"{where}.output")
            messages.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": output})
        elif kind != "reasoning":  # of which providers take back only what they have signed
            advice = f": {WHOLE_CONVERSATION}" if kind == "item_reference" else ""
            raise UsageError(f"{where}: items of the type {shown(kind)} are not supported{advice}")
    return system, messages


def _call(item: dict[str, Any], where: str) -> dict[str, Any]:
    if not all(isinstance(item.get(name), str) for name in ("call_id", "name", "arguments")):
        raise UsageError(f"{where}: call_id, name and arguments must be strings")
    function = {"name": item["name"], "arguments": item["arguments"]}
    return {"id": item["call_id"], "type": "function", "function": function}


def _content(content: Any, where: str) -> Any:
    """Returns a text, or parts in the format of Chat Completions where there is more than text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise UsageError(f"{where} must be a text or an array of parts")
    parts = [_part(part, f"{where}[{number}]") for number, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Any, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(kind, str) and isinstance(text := part.get(TEXTS.get(kind, "")), str):
        return {"type": "text", "text": text}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        return {"type": "image_url", "image_url": {"url": part["image_url"]}}
    if kind == "input_file" and isinstance(part.get("file_data"), str):
        return {"type": "file", "file": {"filename": part.get("filename"), "file_data": part["file_data"]}}
    raise UsageError(f"{where}: not an input_text, an input_image with image_url or an input_file with file_data")
