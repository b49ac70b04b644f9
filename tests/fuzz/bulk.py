"""Random JSON in random layouts, for the fast paths of whole values: the same must come out at every split.

    python -m tests.fuzz.bulk [SECONDS [SEED]]

Text in one chunk goes through msgspec, if it is long enough; text in short chunks goes through the automaton only. Some
documents have duplicate names, escapes in names, numbers that no double holds, lone surrogates; some texts are damaged
or have prose between the documents.
"""

from __future__ import annotations

import json
import random
import sys
import time
from typing import Any

from llmstream.core.json.automaton import Values
from llmstream.core.json.bulk import BULK
from llmstream.core.json.fields import Fields, plain_lines, plain_text
from llmstream.core.json.objects import Objects
from llmstream.core.json.path import compile_path
from llmstream.core.json.segments import Path

from ..support.json_results import readable

PAD = "\n" + " " * (BULK + 1)  # keeps what stands before it away from the end of the chunk
NAMES = ("a", "b", "c", "a", "b", "c", "id", "title", "a b", "é", "\x7f", '"', "", "class", "0")
SCALARS = ("0", "-0", "1", "1.10", "1E400", "-1e-7", "12345678901234567890123", "true", "false", "null", '""', '"x"')
SCALARS += ('"\\n\\t"', '"a\\/b"', '"\\b\\u0062\\f"')
SCALARS += ('"a"', '"c"', '"\\u0061"', '"\\"a\\":"', '"\\\\"', '"é"', '"\\ud83d\\ude00"', '"{}"', '"[1]"', '"\x7f"')
ODD = ('"\\ud800"', '"\udc80"', "9" * 5000, "NaN", "01", '"\\x"', "{a:1}", '"\n"', "[" * 70 + "]" * 70, "")
PATHS = ("a", "a.b", "*", "[*].a", "[*][*]", "a.b[*].c", "[0]", "[1:3].a", "[-1]", "a[-1].b", "$..a", "$..*", "$..[0]")
PATHS += ("[*].a.b", "a[*]", "*.a", "['a','b']", "['a','a']", "a[0,0]", "[?@.a].b", "a[?@ == 1]", "$..[?@.a == 'x'].b")
PATHS += ("[*].a[?@.b > 1]", "['a b']", "é", "$..a..b", "a[?@.b][?@ == 1]", "$..[?@.a][?@.b]", "[?@ != 'x'][-1]", "$")
PATHS += ("[?length(@) > 1]", "[?@.a == $.b]", "a[::2]", "a[::-1]", "[*]..c", "a.*.b", "[?@.a && !@.b || @.c < 2].c")
PATHS += ("[*].title", "id", "title", "$..c", "[?@ == 'x']", "[?@ == null || @ == true]", "[?@.a == @.b]", "[?1 < @]")
PATHS += ("a.b.c", "a.b[*]", "a[*].c", "a.a", "a.b[*][*]", "[*].a.b[*].c", "$['a','c'].b", "['a','id'].b[*].c")
PATHS += ("a['b','c']", "a.b[?@.c == 'c'].c", "a[?@ > 1]", "*[?@ == true]", "[?@.a.b != null].id", "['a b'].b.c")
PATHS += ("a.b[*][?@ <= 'b']", "é.a.b", "['']", "a['']", "[*]['','a']")
OTHERS = (None, "x", [], {"b": None}, {"b": [1, {}]}, {"b": {"a": 1, "c": 2}}, {"a": {"b": 1}})  # in place of a list
PREPARED = {path: compile_path(path) for path in PATHS}


def value(rng: random.Random, depth: int) -> str:
    """JSON text; in rare cases not quite."""
    space = rng.choice(("", "", " ", "\n "))
    kind = rng.random()
    if kind < 0.004:
        return rng.choice(ODD)
    if depth == 0 or kind < 0.35:
        return rng.choice(SCALARS)
    size = rng.choice((0, 1, 2, 3, 4))
    if kind < 0.55:
        return "[" + space + f",{space}".join(value(rng, depth - 1) for _ in range(size)) + "]"
    names = rng.choices(NAMES, k=size) if rng.random() < 0.1 else rng.sample(sorted(set(NAMES)), size)
    members = [f"{name(rng, each)}:{space}{value(rng, depth - 1)}" for each in names]
    return "{" + space + f",{space}".join(members) + "}"


def name(rng: random.Random, text: str) -> str:
    if rng.random() < 0.01:
        return '"' + "".join(f"\\u{ord(c):04x}" for c in text) + '"'
    return json.dumps(text, ensure_ascii=False)


def document(rng: random.Random) -> str:
    while True:
        text = value(rng, rng.randrange(1, 6))
        if text[:1] in ("{", "[") or rng.random() < 0.02:
            return text


def alike(rng: random.Random) -> list[str]:
    """Records of one shape, as most files have them; sometimes an odd one among them."""
    records = []
    for number in range(rng.randrange(1, 40)):
        record = {"id": number, "title": rng.choice(NAMES), "a": {"b": [{"c": number}, {"c": rng.choice(NAMES)}]}}
        if rng.random() < 0.05:  # the path ends early, or one name stands at several depths
            record["a"] = rng.choice(OTHERS)
        records.append(json.dumps(record, ensure_ascii=rng.random() < 0.5))
    if rng.random() < 0.4:
        records[rng.randrange(len(records))] = document(rng)
    return records


def text_of(rng: random.Random) -> str:
    parts = alike(rng) if rng.random() < 0.5 else [document(rng) for _ in range(rng.randrange(1, 9))]
    if rng.random() < 0.3:
        parts = [pretty(part, rng.choice((1, 2))) for part in parts]
    kind = rng.random()
    if kind < 0.4:
        text = "\n".join(parts) + "\n"
    elif kind < 0.8:
        between = rng.choice((",", ", ", ",\n", ",\n  ", " ,\n"))
        text = rng.choice(("", "", '{"a":', '{"c":1, "title": {"b":')) + "[" + rng.choice(("", "\n", "\n  "))
        text += between.join(parts) + rng.choice(("]", "\n]\n", ""))
    else:
        text = rng.choice(("", " ", "\r\n", ", ")).join(parts)
    if rng.random() < 0.15:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + rng.choice(("x", "\nprose {\n", '"', "}", "]", ",", "{", "[see]", "\n", "\\")) + text[at:]
    return text


def pretty(text: str, indent: int) -> str:
    try:
        return json.dumps(json.loads(text), indent=indent, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def results(paths: list[Path], limit: int, chunks: list[str], *, lines: bool = False) -> list[Any]:
    core = Fields(paths, limit, lines=lines)
    return [item for chunk in chunks for item in core.feed(chunk)] + core.close()


def selected(paths: list[Path], limit: int, chunks: list[str]) -> list[object]:
    return readable(results(paths, limit, chunks))


def plain(items: list[Any]) -> tuple[str, set[int], list[object]]:
    """Returns the lines of `fields -r`, the paths that have a value, and the faults."""
    lines, paths, faults = [], set(), []
    for item in items:
        if isinstance(item, Values):
            lines.append(plain_lines(item.lines))
            paths |= item.paths
        elif isinstance(item, tuple):
            lines.append(plain_text(item[2]))
            paths.add(item[0])
        else:
            faults.append(item)
    return "\n".join(lines), paths, readable(faults)


def objects(limit: int, chunks: list[str]) -> list[object]:
    core = Objects(limit)
    return readable([item for chunk in chunks for item in core.feed(chunk)] + core.close())


def cut(rng: random.Random, text: str, most: int) -> list[str]:
    pieces, i = [], 0
    while i < len(text):
        pieces.append(text[i : i + rng.randint(1, most)])
        i += len(pieces[-1])
    return pieces


def check(rng: random.Random) -> None:
    text = text_of(rng) + PAD
    names = rng.choices(PATHS, k=rng.choice((1, 1, 1, 2, 3)))
    paths = [PREPARED[each] for each in names]
    limit = rng.choice((1 << 26, 1 << 26, 1 << 26, 40, 6000))
    items = results(paths, limit, cut(rng, text, rng.choice((1, 5, 100))))
    expected, expected_plain = readable(items), plain(items)
    expected_objects = objects(limit, cut(rng, text, rng.choice((1, 5, 100))))
    for chunks in ([text], cut(rng, text, 4000)):
        assert selected(paths, limit, chunks) == expected, (names, limit, chunks, expected)
        assert plain(results(paths, limit, chunks, lines=True)) == expected_plain, (names, limit, chunks, expected)
        assert objects(limit, chunks) == expected_objects, (limit, chunks, expected_objects)


def main(seconds: float = 60, seed: int = 1) -> None:
    rng = random.Random(seed)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        check(rng)
        count += 1
    print(f"{count} cases: no mismatch in {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
