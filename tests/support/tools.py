"""Tools that are programs, and the answers that call them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from .loopback import chat_end, chat_text, frame, head

needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="/proc is missing")


def make_tools(folder: Path, names: Iterable[str], script: str) -> Path:
    """Writes the files of `--tools tools --run-tools ./tool` into a folder; returns that."""
    (folder / "tools").write_text("".join(json.dumps({"name": name}) + "\n" for name in names))
    (folder / "tool").write_text(script)
    (folder / "tool").chmod(0o755)
    return folder


def calls(*pairs: tuple[str, str], text: str = "") -> list[bytes]:
    """Makes an answer that calls tools: (name, arguments)."""
    tool_calls = [
        {"index": i, "id": f"c{i}", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(pairs)
    ]
    called = frame({"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"tool_calls": tool_calls}}]})
    return [head(), *([chat_text(text)] if text else []), called, chat_end("tool_calls")]


def is_running(pid: int) -> bool:
    """Whether a process runs; one that has ended, and that nobody has waited for, does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
