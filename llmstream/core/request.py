"""What is asked of a model, in nobody's dialect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")  # of reasoning; no server has them all


class Message(NamedTuple):
    """A turn of the conversation before the prompt: `role` is user or assistant."""

    role: str
    content: str


class Attachment(NamedTuple):
    """A file beside the prompt. `data` is its text, or its bytes in base64; `media_type` is what its bytes say."""

    kind: str  # image, pdf, audio or text
    media_type: str
    name: str
    data: str

    def data_url(self) -> str:
        """The whole file as a URL (RFC 2397)."""
        return f"data:{self.media_type};base64,{self.data}"

    def titled(self) -> str:
        """A text that says which file it is from."""
        return f"{self.name}:\n\n{self.data}"


class Tool(NamedTuple):
    """A function that the model may ask for. `parameters` is a JSON Schema; `strict` None is the provider's default."""

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool | None = None


class Prefill(NamedTuple):
    """How the answer begins, and what a server takes beside it: fields of that message, fields of the body."""

    text: str
    message: dict[str, Any] = {}  # noqa: RUF012 - read only, as all defaults of a tuple
    body: dict[str, Any] = {}  # noqa: RUF012


class Request(NamedTuple):
    """One prompt and how to answer it. None and () leave the provider's own default."""

    model: str
    prompt: str  # "" where the messages end with what is asked
    system: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()  # body fields that override all others
    messages: tuple[Message, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    json: bool = False  # any JSON object
    schema: dict[str, Any] | None = None  # JSON that a schema describes
    prefill: Prefill | None = None
    effort: str | None = None  # of reasoning
    tools: tuple[Tool, ...] = ()
    cache: bool = False  # mark what stays the same for the provider's cache

    def fill(self, wanted: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
        """A body of the wanted fields that are not None, and of `extra`.

        `fields` renames ours to a server's own; "" leaves one out.
        """
        body = {name: value for k, value in wanted.items() if value is not None and (name := fields.get(k, k))}
        return body | (self.prefill.body if self.prefill else {}) | dict(self.extra)

    def turns(
        self, part: Callable[[Attachment], dict[str, Any]], text: Callable[[str], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """The conversation as roles and contents.

        What is asked comes last, after the attachments: models read a document better before the question about it.
        `part` and `text` write an attachment, and the text beside it, in a dialect.
        """
        turns: list[dict[str, Any]] = [message._asdict() for message in self.messages]
        if self.prompt:
            turns.append({"role": "user", "content": self.prompt})
        if self.attachments:
            turns[-1]["content"] = [*map(part, self.attachments), text(turns[-1]["content"])]
        if self.prefill:
            turns.append({"role": "assistant", "content": self.prefill.text, **self.prefill.message})
        return turns

    def size(self) -> int:
        """Bytes of all that the model reads, roughly."""
        texts = [
            self.prompt,
            *(message.content for message in self.messages),
            *(file.data for file in self.attachments),
        ]
        texts += [str(tool) for tool in self.tools]
        return sum(len(text.encode("utf-8", "replace")) for text in texts)
