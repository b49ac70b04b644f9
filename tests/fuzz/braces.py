"""Random prose with braces, brackets, quotes, byte order marks and line ends, and JSON objects in it.

    python -m tests.fuzz.braces [CASES [SEED]]

Each case runs whole, by ones, by fours, and cut at a few places: the result has to be the same. Objects that stand on
lines of their own, behind prose in which no key has a colon, come out whatever the prose. A lone carriage return is to
Markdown what a newline is.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable

from llmstream.core.json.fenced import FencedObjects
from llmstream.core.json.fields import Fields
from llmstream.core.json.objects import Objects
from llmstream.core.json.path import compile_path
from llmstream.core.markdown.code import Code
from llmstream.core.stop.conditions import from_mapping
from llmstream.core.stop.until import Until

from ..support.chunks import same

PARTS = (
    "{",
    "}",
    "[",
    "]",
    '"',
    "'",
    '{"name"',
    '{"',
    '"}',
    "{'",
    "{x}",
    '{"a", "b"}',
    "{ ",
    "\\",
    '\\"',
    " and ",
    "\n",
)
PARTS += (
    "\n  ",
    "\n- ",
    "\n1. ",
    "\n> ",
    "//",
    "/*",
    "*/",
    "#",
    "1",
    "[1]",
    "- [ ] ",
    "\u201c",
    "\u2019",
    "\ufeff",
    "```\n",
)
COLONS = (":", '": 1', "{a: ", '{"a": "', '{"a": [', ", ")
LINES = ("```", "~~~", "```py", "text", "    code", "> ", "- ", "", "x" * 1030)
ENDS = ("\n", "\r\n", "\r")
FEW = 12


def objects(chunks: list[str], core: Objects | FencedObjects) -> list[object]:
    results = [item for chunk in chunks for item in core.feed(chunk)] + core.close()
    return [item if isinstance(item, str) else (item.line, item.reason, item.text, item.kind) for item in results]


def fields(chunks: list[str]) -> list[object]:
    core = Fields([compile_path("$"), compile_path("$..a")])
    results = [item for chunk in chunks for item in core.feed(chunk)] + core.close()
    return [item if isinstance(item, tuple) else getattr(item, "line", item) for item in results]


def copied(chunks: list[bytes], mode: str) -> tuple[bytes, bool]:
    conditions, _ = from_mapping({"json": True, "code_block": True, "fixed": "and {"})
    copy = Until(conditions, mode)
    out = b"".join(copy.feed(chunk) for chunk in chunks)
    return out + copy.close(), copy.met


def code(chunks: list[bytes]) -> bytes:
    core = Code(every=True)
    return b"".join(core.feed(chunk) for chunk in chunks) + core.close()


CORES: tuple[Callable[[list[str]], object], ...] = (
    lambda chunks: objects(chunks, Objects()),
    lambda chunks: objects(chunks, Objects(loose=True)),
    lambda chunks: objects(chunks, FencedObjects(loose=True)),
    fields,
)


def prose(rng: random.Random, parts: tuple[str, ...]) -> str:
    return "".join(rng.choices(parts, k=rng.randrange(1, 14)))


def check_prose(rng: random.Random) -> None:
    text = prose(rng, PARTS + COLONS)
    for run in CORES:
        same(run, text, FEW)
    for mode in ("inclusive", "exclusive", "only"):
        same(lambda chunks, mode=mode: copied(chunks, mode), text.encode(), FEW)


def check_objects(rng: random.Random) -> None:
    """In prose without a colon no object can begin: those that do come out."""
    text, meant = "", []
    for number in range(rng.randrange(1, 4)):
        meant.append(json.dumps({rng.choice(("a", "b")): [number, {"x": "} {"}]}, separators=(",", ":")))
        text += prose(rng, tuple(part for part in PARTS if part not in ("{", "{ ", "\\"))) + "\n" + meant[-1] + "\n"
    actual = same(CORES[0], text, FEW)
    assert [item for item in actual if item != "{}"] == meant, (text, actual)  # type: ignore[attr-defined]


def check_line_ends(rng: random.Random) -> None:
    lines = rng.choices(LINES, weights=(4, 2, 1, 4, 1, 1, 1, 2, 0.1), k=rng.randrange(1, 9))
    ends = rng.choices(ENDS, k=len(lines))
    mark = rng.choice(("", "\ufeff"))
    text = "".join(line + end for line, end in zip(lines, ends, strict=True))
    actual = same(code, (mark + text).encode(), FEW)
    plain = code([re.sub(r"\r(?!\n)", "\n", text).encode()])
    ends_removed = [re.sub(rb"[\r\n]", b"", data) for data in (actual, plain)]  # type: ignore[call-overload]
    assert ends_removed[0] == ends_removed[1], (mark + text, actual, plain)


def main(count: int = 20_000, seed: int = 1) -> None:
    began = time.perf_counter()
    rng = random.Random(seed)
    checks = (check_prose, check_objects, check_line_ends)
    for number in range(count):
        checks[number % len(checks)](rng)
    print(f"{count} cases: no mismatch in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
