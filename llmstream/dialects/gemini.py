"""Google's Gemini API, read only: `generateContent`, streamed as server-sent events or as a JSON array, or whole.

Sources: Gemini API reference, "Generating content"; Vertex AI API reference, GenerateContentResponse, FunctionCall and
PartialArg. The finish reason is the only end mark, but some servers repeat it in every chunk; so an answer ends with
the stream.
"""

from __future__ import annotations

import re
from typing import Any

from ..core import decoder, endings
from ..core.decoder import MAX_CHECKED_SIZE, Blocks, arguments, as_json, items, member, number, string
from ..core.events import Event, Finish, Reasoning, ScoredText, Source, Text, Usage
from ..errors import Incomplete

UNSPECIFIED = (*endings.NOT_YET, "block_reason_unspecified", "blocked_reason_unspecified")
# Parts between texts that are not passed on as text.
SEPARATORS = ("executableCode", "codeExecutionResult", "functionCall", "functionResponse", "toolCall", "toolResponse")
MEDIA = {"image": "an image", "audio": "sound", "video": "a video"}
SOURCE_KINDS = ("web", "retrievedContext", "maps")  # of a grounding chunk

PATH_STEP = re.compile(r"""\.([^.\[]+)|\[(\d{1,5})\]|\[(['"])((?:\\.|(?!\3)[^\\])*)\3\]""", re.S)
MAX_PATH_STEPS = 100


class Decoder(decoder.Decoder):
    """Decodes the parts of candidate 0."""

    api = "gemini"

    def __init__(self, provider: str, model: str) -> None:
        super().__init__(provider, model)
        self._blocks = Blocks()
        self._call: _StreamedCall | None = None  # the call that goes on in the next part
        self._sources = Sources()
        self._searches = 0

    def feed(self, event: str, data: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self.started:
            events.append(self.start({"model": data.get("modelVersion"), "id": data.get("responseId")}))
        blocked = _word(member(data, "promptFeedback", "blockReason"))
        if blocked:
            self.finish = Finish("content_filter", blocked, string(data, "promptFeedback", "blockReasonMessage"))
        for candidate in items(data, "candidates")[:1]:
            if not number(candidate, "index"):
                events += self._read_candidate(candidate)
        self._read_usage(data)
        return events

    def close(self) -> list[Event]:
        """Returns the sources; a call that was to go on stays without its last brace."""
        events: list[Event] = []
        if self._call is not None:
            events += self.calls.add(self._call, arguments=self._call.as_json()[:-1])
        return events + self._sources.close()

    def _read_candidate(self, candidate: dict[str, Any]) -> list[Event]:
        scores = member(candidate, "logprobsResult", "chosenCandidates")
        events: list[Event] = []
        for part in items(candidate, "content", "parts"):
            events += self._read_part(part)
        if scores and isinstance(scores, list):
            for place, event in enumerate(events):
                if isinstance(event, Text):
                    events[place] = ScoredText(event.text, scores)
                    break
        self._read_sources(candidate)
        if events and self.finish:  # an earlier chunk had a finish reason, which was not the end
            self.finish, self.premature = None, True
        if word := _word(candidate.get("finishReason")):
            self.end(word, string(candidate, "finishMessage"))
        return events

    def _read_part(self, part: dict[str, Any]) -> list[Event]:
        if text := string(part, "text"):
            if part.get("thought"):
                return [Reasoning(text)]
            self._sources.text.append(text)
            return [Text(self._blocks.add(text))]
        for media in (part.get("inlineData"), part.get("fileData")):
            if isinstance(media, dict):
                self._blocks.begin()
                self.dropped.append(MEDIA.get(string(media, "mimeType").partition("/")[0], "a file"))
        if any(name in part for name in SEPARATORS):
            self._blocks.begin()
        call = part.get("functionCall")
        return self._read_call(call) if isinstance(call, dict) else []

    def _read_call(self, call: dict[str, Any]) -> list[Event]:
        """Decodes a call, or a piece of one whose arguments are streamed."""
        id, name, events = string(call, "id"), string(call, "name"), list[Event]()
        streamed = self._call
        if streamed is not None and streamed.differs(id, name):
            events += self.calls.add(streamed, arguments=streamed.as_json())
            streamed = self._call = None
        if streamed is None:
            if not call.get("willContinue") and "partialArgs" not in call:
                return events + self.calls.add(object(), id, name, arguments(call.get("args")))
            streamed = _StreamedCall(id, name)
            events += self.calls.add(streamed, id, name)
        if isinstance(call.get("args"), dict):
            streamed.arguments.update(call["args"])
        for piece in items(call, "partialArgs"):
            if error := streamed.add(piece):
                self.failure = Incomplete(error)
                return events
        self._call = streamed if call.get("willContinue") else None
        if self._call is None:
            events += self.calls.add(streamed, arguments=streamed.as_json())
        return events

    def _read_sources(self, candidate: dict[str, Any]) -> None:
        grounding = candidate.get("groundingMetadata")
        urls = []
        for chunk in items(grounding, "groundingChunks"):
            source: Any = next((chunk[kind] for kind in SOURCE_KINDS if isinstance(chunk.get(kind), dict)), {})
            urls.append(string(source, "uri"))
            self._sources.add(urls[-1], string(source, "title"))
        for support in items(grounding, "groundingSupports"):
            indices = support.get("groundingChunkIndices")
            for index in indices if isinstance(indices, list) else ():
                if isinstance(index, int) and 0 <= index < len(urls):
                    segment = support.get("segment")
                    self._sources.add(urls[index], "", number(segment, "startIndex"), number(segment, "endIndex"))
        for name in ("citationSources", "citations"):  # of the Gemini API, and of Vertex AI
            for citation in items(candidate, "citationMetadata", name):
                place = number(citation, "startIndex"), number(citation, "endIndex")
                self._sources.add(string(citation, "uri"), string(citation, "title"), *place)
        queries = member(grounding, "webSearchQueries")
        if isinstance(queries, list):
            self._searches = max(self._searches, len(queries))

    def _read_usage(self, data: dict[str, Any]) -> None:
        usage = data.get("usageMetadata")
        if isinstance(usage, dict):
            thoughts = number(usage, "thoughtsTokenCount")
            self.usage = Usage(
                number(usage, "promptTokenCount") + number(usage, "toolUsePromptTokenCount"),
                number(usage, "candidatesTokenCount") + thoughts,
                number(usage, "cachedContentTokenCount"),
                thoughts,
                searches=self._searches,
                tier=string(usage, "serviceTier") or string(usage, "trafficType"),
            )


class Sources:
    """The sources of an answer, each once. Offsets, which Google counts in bytes of UTF-8, become characters."""

    def __init__(self) -> None:
        self.text: list[str] = []  # the pieces of the answer, as the provider counts them
        self._titles: dict[str, str] = {}  # by address
        self._places: dict[tuple[str, int, int], None] = {}  # (address, start, end) in bytes

    def add(self, url: str, title: str, start: int = 0, end: int = 0) -> None:
        """Adds a source, if it has an address; an `end` of 0 is no place."""
        if url:
            self._titles[url] = self._titles.get(url) or title
            if end > 0:
                self._places[url, start, end] = None

    def close(self) -> list[Event]:
        """Returns the sources: those without a place, then all others."""
        text = "".join(self.text).encode("utf-8", "replace")
        placed = {url for url, _, _ in self._places}
        events: list[Event] = [Source(url, title) for url, title in self._titles.items() if url not in placed]
        for url, start, end in self._places:
            events.append(Source(url, self._titles[url], _characters(text, start), _characters(text, end)))
        return events


class _StreamedCall:
    """A tool call whose arguments come in pieces, each with a JSON path."""

    def __init__(self, id: str, name: str) -> None:
        self._id, self._name = id, name
        self.arguments: dict[str, Any] = {}
        self._size = 0  # characters of paths and strings, and items of arrays
        self._open = ""  # the path of the string that goes on
        self._pieces: list[str] = []  # of that string, whose first one is in its place

    def differs(self, id: str, name: str) -> bool:
        """Whether a piece with this id and name, which may be "", is of another call."""
        return bool((id and self._id and id != self._id) or (name and name != self._name))

    def add(self, piece: dict[str, Any]) -> str:
        """Sets the value of a piece, or adds it to the string at its path. Returns what is wrong, or ""."""
        path = string(piece, "jsonPath")
        steps = _steps(path)
        if not steps:
            return f"the path {path[:80]!r} of a tool call's argument is invalid"
        text = string(piece, "stringValue")
        self._size += len(path) + len(text)
        if self._size > MAX_CHECKED_SIZE:
            return f"the arguments of a tool call are larger than {MAX_CHECKED_SIZE} characters"
        is_string = "stringValue" in piece
        if not (is_string and path == self._open):
            self._end_string()
            value = None if "nullValue" in piece else piece.get("numberValue", piece.get("boolValue", ""))
            if not self._set(steps, text if is_string else value):
                return f"the path {path[:80]!r} of a tool call's argument does not fit the others"
        self._pieces.append(text)
        self._open = path
        if not piece.get("willContinue"):
            self._end_string()
        return ""

    def as_json(self) -> str:
        """Returns the arguments so far."""
        self._end_string()
        return as_json(self.arguments)

    def _end_string(self) -> None:
        """Puts the string that went on into its place, whole."""
        if len(self._pieces) > 1:
            self._set(_steps(self._open), "".join(self._pieces))
        self._open, self._pieces = "", []

    def _set(self, steps: list[str | int], value: Any) -> bool:
        """Sets a value, and the objects and arrays on its path; returns False if the path does not fit the others."""
        place: Any = self.arguments
        last = len(steps) - 1
        for count, step in enumerate(steps):
            container: type[Any] = list if isinstance(step, int) else dict
            if not isinstance(place, container):
                return False
            if isinstance(step, int):
                more = step + 1 - len(place)
                place.extend([None] * more)
                self._size += max(0, more)
            else:
                place.setdefault(step)
            before = place[step]
            if count == last:
                place[step] = value
            elif not isinstance(before, dict | list):
                place[step] = [] if isinstance(steps[count + 1], int) else {}
            place = place[step]
        return True


def _steps(path: str) -> list[str | int]:
    """Returns the names and indices of a JSON path such as `$.a.b[0]`; none where it is of another form."""
    steps: list[str | int] = []
    end = 1
    while end < len(path) and len(steps) < MAX_PATH_STEPS:
        match = PATH_STEP.match(path, end)
        if match is None:
            return []
        name, index, _, quoted = match.groups()
        if index is not None:
            steps.append(int(index))
        else:
            steps.append(name if quoted is None else re.sub(r"\\(.)", r"\1", quoted, flags=re.S))
        end = match.end()
    return steps if path[:1] == "$" and end == len(path) and steps and isinstance(steps[0], str) else []


def _word(value: Any) -> str:
    """Returns the name or the number of an enum's value, as a word; "" if it is unspecified."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and value.lower() not in UNSPECIFIED else ""


def _characters(text: bytes, offset: int) -> int:
    """Converts an offset in bytes of UTF-8 to one in characters."""
    return len(text[:offset].decode("utf-8", "ignore"))
