"""A request to a model, in no API's format: the dialects write it in theirs."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import UsageError, option
from .json_codec import to_compact_json

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")  # of reasoning; each server has some of them


TOOL_CHOICES = ("none", "required")  # beside a tool's name


def merge(fields: Mapping[str, Any], patch: Mapping[str, Any], null_removes: bool = True) -> dict[str, Any]:
    """Returns fields with a patch merged in: an object into an object, and null removes a field that is there.

    Any other value replaces, as does an object of another `type`: the fields of both would not fit together.
    """
    merged = dict(fields)
    for name, value in patch.items():
        before = merged.get(name)
        if value is None and name in merged and null_removes:
            del merged[name]
        elif (
            isinstance(value, Mapping)
            and isinstance(before, Mapping)
            and value.get("type") in (None, before.get("type"))
        ):
            merged[name] = merge(before, value, null_removes)
        else:
            merged[name] = value
    return merged


def join_patches(patches: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns one patch that does what several do one after the other."""
    joined: dict[str, Any] = {}
    for patch in patches:
        joined = merge(joined, patch, null_removes=False)
    return joined


def text_part(text: str, type: str = "text") -> dict[str, Any]:
    """Returns a text as a part of a message's content."""
    return {"type": type, "text": text}


class Call(NamedTuple):
    """A call of a tool in the conversation; `arguments` is a JSON object, as text."""

    id: str
    name: str
    arguments: str


class Attachment(NamedTuple):
    """A file beside the prompt.

    `kind` is "image", "pdf", "audio" or "text", and `media_type` agrees with the file's first bytes. `data` is the text
    of a text file, and the bytes of any other in base64.
    """

    kind: str
    media_type: str
    name: str
    data: str

    def data_url(self) -> str:
        """Returns the file as a data URL (RFC 2397)."""
        return f"data:{self.media_type};base64,{self.data}"

    def titled(self) -> str:
        """Returns a text file's text after its name."""
        return f"{self.name}:\n\n{self.data}"


class Message(NamedTuple):
    """A turn of the conversation before the prompt; `role` is "user", "assistant" or "tool".

    `calls` are those of the assistant's turn, and `result_of` is the call whose result a tool's turn has; `is_error`
    says that the call failed. `files` stand before the text of the user's turn or of a result. `native` are the items
    of an assistant's turn that its provider wants back (see dialects/native.py), where the request goes to it.
    """

    role: str
    content: str
    calls: tuple[Call, ...] = ()
    result_of: Call | None = None
    files: tuple[Attachment, ...] = ()
    is_error: bool = False
    native: tuple[dict[str, Any], ...] = ()

    def says_nothing(self, silent: Collection[str]) -> bool:
        """Whether this is an answer without text and calls, its native items all of the types `silent`."""
        is_empty = self.role == "assistant" and not (self.calls or self.content.strip())
        return is_empty and all(item.get("type") in silent for item in self.native)


class Tool(NamedTuple):
    """A function that the model may call.

    `parameters` is the JSON Schema of its arguments. `strict` says whether the arguments must match it exactly; None is
    the provider's default.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool | None = None

    def as_dict(self, parameters: str) -> dict[str, Any]:
        """Returns the tool as the APIs write it; they differ in the name of the field for its `parameters`."""
        name, description, schema, strict = self
        fields = {"name": name, "description": description, parameters: schema, "strict": strict}
        return {name: value for name, value in fields.items() if value not in (None, "")}


class Prefill(NamedTuple):
    """The beginning of the answer, which the model continues, as the last message.

    `message` and `body` are the fields that a server needs beside it, in that message and in the body.
    """

    text: str
    message: dict[str, Any] = {}  # noqa: RUF012 - never changed, as all defaults of a NamedTuple
    body: dict[str, Any] = {}  # noqa: RUF012


class Request(NamedTuple):
    """One prompt, and the options for its answer. None, () and False leave an option to the provider's default.

    `same_names` are the options that every API has as a field of the same name: for a new one of these, a row in the
    table of options is enough. Any other is a field here, and each dialect writes it into its body.
    """

    model: str
    prompt: str  # "" if the last message is the prompt
    system: str | None = None
    max_tokens: int | None = None  # of the answer, reasoning included
    seed: int | None = None
    stop: tuple[str, ...] = ()  # texts that end the answer, and are not part of it
    extra: tuple[tuple[str, Any], ...] = ()  # fields that the user merges into the body
    messages: tuple[Message, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    json: bool = False  # the answer is a JSON object
    schema: dict[str, Any] | None = None  # the answer is JSON that matches this JSON Schema
    prefill: Prefill | None = None
    effort: str | None = None  # of reasoning, one of EFFORTS
    tools: tuple[Tool, ...] = ()
    tool_choice: str | None = None  # "none", "required", or the name of the tool that has to be called
    same_names: Mapping[str, Any] = {}
    reasoning: bool = False  # the reasoning is wanted, from models that send it on request only
    cache: bool = False  # marks the parts that later requests repeat, for the provider's cache
    cache_ttl: str | None = None  # how long that cache keeps them, which marks them, too
    within: str | None = None  # the window in which a background response is answered, at a discount
    native: bool = False  # the native items of the answer are wanted, for the next request

    def refuse(self, api_name: str, unsupported: Mapping[str, str]) -> None:
        """Raises UsageError if an option is set that the API does not have.

        `unsupported` maps the options' names to what the user can do instead.
        """
        for name, advice in unsupported.items():
            if getattr(self, name) != self._field_defaults[name]:
                raise UsageError(f"{api_name} has no {option(name)}: {advice}")

    def fill(self, fields: dict[str, Any], field_names: Mapping[str, str]) -> dict[str, Any]:
        """Returns the body: `fields` without those that are None, `same_names`, and the prefill's fields.

        `field_names` maps names of the dialect to those of this provider's servers; "" leaves the field out. The
        user's fields in `extra` are not in the body: Target.body adds them.
        """
        fields |= self.same_names
        body = {name: value for k, value in fields.items() if value is not None and (name := field_names.get(k, k))}
        return body | (self.prefill.body if self.prefill else {})

    def turns(
        self,
        part: Callable[[Attachment], dict[str, Any]],
        tool_turns: Callable[[Message], list[dict[str, Any]]],
        text_type: str = "text",
        silent: Collection[str] | None = None,
    ) -> list[dict[str, Any]]:
        """Returns the conversation as messages with role and content.

        The prompt comes last, after the attachments: models read a document better before the question about it.
        `part` writes an attachment in the dialect's format, `tool_turns` a turn with calls, native items or a result;
        `text_type` is the type of a text beside attachments. `silent` are the types of native items that say nothing by
        themselves, where the API refuses an answer that says nothing: it is left out.
        """

        def content(text: str, files: Iterable[Attachment]) -> Any:
            parts = [*map(part, files)]
            return [*parts, text_part(text, text_type)] if parts and text else parts or text

        turns: list[dict[str, Any]] = []
        for message in self.messages:
            if silent is not None and message.says_nothing(silent):
                continue
            if message.calls or message.result_of or message.native:
                turns += tool_turns(message)
            else:
                turns.append({"role": message.role, "content": content(message.content, message.files)})
        if self.prompt:
            turns.append({"role": "user", "content": self.prompt})
        if self.attachments:
            last = Message("user", self.prompt) if self.prompt else self.messages[-1]
            if last.role == "user":
                turns[-1]["content"] = content(last.content, (*self.attachments, *last.files))
            else:  # the result of a tool
                turns.append({"role": "user", "content": content("", self.attachments)})
        if self.prefill:
            turns.append({"role": "assistant", "content": self.prefill.text, **self.prefill.message})
        return turns

    def cache_key(self) -> str:
        """Returns a hash of the beginning that later requests repeat: 32 hexadecimal digits; "" where there is none.

        It is of the tools and the system prompt, else of the first message or the attachments: a conversation that
        grows keeps its key.
        """
        from hashlib import sha256

        beginning = [self.system, self.tools] if self.system or self.tools else self.messages[:1] or self.attachments
        if not beginning:
            return ""
        return sha256(to_compact_json(beginning).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    @property
    def is_limited(self) -> bool:
        """Whether the user limits the length of the answer, so that a cut at that limit is no fault."""
        return bool(self.max_tokens or any("tokens" in name for name, _ in self.extra))

    @property
    def wants_json(self) -> bool:
        """Whether the answer has to be JSON, so that one that is cut is of no use."""
        return self.json or self.schema is not None

    def size(self) -> int:
        """Estimates the bytes that the model reads: prompt, messages, attachments and tools."""
        texts = [self.prompt, *(message.content for message in self.messages), *map(str, self.tools)]
        texts += [call.arguments for message in self.messages for call in message.calls]
        files = [file for message in self.messages for file in message.files]
        texts += [file.data for file in (*self.attachments, *files)]
        return sum(len(text.encode("utf-8", "replace")) for text in texts)
