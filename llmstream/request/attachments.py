"""Attachments: files, stdin or URLs, whose type the content tells, checked before anything is sent.

llmstream fetches a URL itself, so that it works with every provider, and for addresses that only this machine reaches.
"""

from __future__ import annotations

import os
from binascii import a2b_base64, b2a_base64
from typing import Any

from .. import inputs
from ..core.file_types import DESCRIPTIONS, attachment
from ..core.request import Attachment
from ..core.secrets import show_url
from ..dialects import dialect
from ..errors import UsageError
from ..providers.target import Target
from .prompt import read_bytes


def load(
    command: str, sources: tuple[str, ...], target: Target, cache: dict[str, Attachment]
) -> tuple[Attachment, ...]:
    """Reads attachments for a target. `command` is the prefix of a note about a silent stdin.

    `cache` has what was read before, by source: many requests with one file read it once. Raises UsageError for a file
    that cannot be read, that the target does not accept, or that is too large for it.
    """
    limit = dialect(target.api).MAX_ATTACHMENT_BYTES
    for source in sources:
        if source not in cache:
            cache[source] = _load(command, source, limit)
    files = tuple(cache[source] for source in sources)
    check(files, target)
    return files


def kinds(target: Target) -> tuple[str, ...]:
    """Returns the kinds of files that a target accepts."""
    accepted: tuple[str, ...] = ("text",) if target.row.text_only else dialect(target.api).ATTACHMENT_KINDS
    return accepted


def check(files: tuple[Attachment, ...], target: Target) -> None:
    """Raises UsageError for files that the target does not accept, or that are too large for it."""
    takes, limit = kinds(target), dialect(target.api).MAX_ATTACHMENT_BYTES
    for file in files:
        if file.kind not in takes:
            what = file.media_type or "of an unknown type"
            which = ", ".join(DESCRIPTIONS[kind] for kind in takes)
            raise UsageError(f"the attachment {file.name} is {what}: {target.provider} ({target.api}) takes {which}")
    size = sum(len(file.data) for file in files)
    if size > limit:
        sent = f"{size / 1e6:.1f} MB as they are sent"
        raise UsageError(f"the attachments are too large: {sent}, and {target.api} takes {limit / 1e6:g} MB")


def of_data_url(url: Any, name: str, where: str) -> Attachment:
    """Returns the file in a data URL (RFC 2397), or in base64 alone. Others are not fetched: they may be anybody's."""
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if isinstance(url, str) and not comma and not is_url(url):
        head, comma, data = ";base64", ",", url
    if not comma or not head.endswith(";base64") or not (head.startswith("data:") or head == ";base64"):
        raise UsageError(f"{where}: send the file itself, as data:TYPE;base64,DATA: addresses are not fetched")
    try:
        content = a2b_base64(data, strict_mode=True)
    except ValueError:
        raise UsageError(f"{where}: the file is not base64") from None
    return _attachment(name, content)


def as_part(file: Attachment) -> dict[str, Any]:
    """Returns a file as a part of a message, in the format of Chat Completions, which `of_data_url` reads."""
    data = b2a_base64(file.data.encode(), newline=False).decode() if file.kind == "text" else file.data
    url = file._replace(data=data).data_url()
    if file.kind == "image":
        return {"type": "image_url", "image_url": {"url": url}}
    return {"type": "file", "file": {"filename": file.name, "file_data": url}}


def is_url(source: str) -> bool:
    """Returns whether an attachment is to be fetched."""
    return source.lower().startswith(("http://", "https://"))


def _load(command: str, source: str, limit: int) -> Attachment:
    """Reads an attachment; `kind` and `media_type` are "" where the content is of an unknown type."""
    return _attachment(*_read(command, source, limit))


def _attachment(name: str, data: bytes) -> Attachment:
    if not data:
        raise UsageError(f"the attachment {name} is empty")
    return attachment(name, data)


def _read(command: str, source: str, limit: int) -> tuple[str, bytes]:
    """Returns the name and the bytes of a source; reads at most one byte more than the limit."""
    if source == "-":
        name, data = "stdin", read_bytes(command, "the attachment", limit)
    elif is_url(source):
        from ..net.fetch import Fetcher

        fetcher = Fetcher()
        try:
            name, data = show_url(source).rstrip("/").rpartition("/")[2], fetcher.file(source, limit)
        finally:
            fetcher.close()
    else:
        name = os.path.basename(source) or source
        data = inputs.read_file(source, limit=limit + 1)
    return name, inputs.bounded(data, f"the attachment {name}", limit)
