"""Random objects, broken in one of the ways that `--repair` promises to mend: the mended value is the original one.

    python -m tests.fuzz.repair [CASES [SEED]]

Each case runs whole, character by character, and cut at three places.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections.abc import Callable
from typing import Any

from llmstream.core.json.objects_filter import ObjectsFilter

STRINGS = ("", "a", "it's", 'say "hi"', "C:\\dir\\new", "l1\nl2\t", "x, y: z", "{not} [json]", "a // b /* c */ # d")
STRINGS += ("\U0001f600 é", "true", "NaN", "1.10", "http://x.y/z#a", "\\", '\\"', "}", "]", ",", ":", "'", " ")
KEYS = ("name", "a", "b_2", "title", "Größe", "$x")
NUMBERS = ("0", "-0", "1.10", "-12", "1e400", "12345678901234567890", "2.5E-3")
COMMENTS = (" // it's } \" {\n", " # ] ' \n", "/* { \" ' , : */", " /* * / */ ", "/**/", " //\n")
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^{}\[\],:"\s]+|\s+')

Tokens = list[str]


def value(rng: random.Random, depth: int) -> str:
    """JSON text of a random value; one in three has blanks between its tokens."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind < 3:
        return json.dumps(rng.choice(STRINGS), ensure_ascii=rng.random() < 0.5)
    if kind < 5:
        return rng.choice(NUMBERS)
    if kind == 5:
        return rng.choice(("true", "false", "null"))
    if kind == 6:
        return "[" + ", ".join(value(rng, depth + 1) for _ in range(rng.randrange(4))) + "]"
    return document(rng, depth + 1)


def document(rng: random.Random, depth: int = 0) -> str:
    names = [rng.choice(KEYS) for _ in range(rng.randrange(1, 5))]
    space = rng.choice(("", " ", "\n" + "  " * (depth + 1)))
    return "{" + space + f",{space}".join(f'"{name}":{space}{value(rng, depth)}' for name in names) + "}"


def pairs(text: str) -> Any:
    """The value with duplicates and digits: objects as lists of pairs, numbers as text."""
    return json.loads(text, object_pairs_hook=lambda items: [list(item) for item in items],
                      parse_int=lambda t: ("number", t), parse_float=lambda t: ("number", t))  # fmt: skip


def at(tokens: Tokens, wanted: Callable[[str], bool]) -> list[int]:
    return [i for i, token in enumerate(tokens) if wanted(token)]


def is_key(tokens: Tokens, i: int) -> bool:
    rest = [token for token in tokens[i + 1 : i + 3] if token.strip()]
    return tokens[i][0] == '"' and rest[:1] == [":"]


# Each takes tokens and changes them in place; False: there is nothing to be changed.


def trailing_comma(rng: random.Random, tokens: Tokens) -> bool:
    ends = [i for i in at(tokens, lambda t: t in "}]") if "".join(tokens[:i]).rstrip()[-1] not in "{["]
    tokens.insert(rng.choice(ends), rng.choice((",", ", ", " ,\n")))
    return True


def doubled_comma(rng: random.Random, tokens: Tokens) -> bool:
    commas = at(tokens, lambda t: t == ",")
    if commas:
        tokens.insert(rng.choice(commas), rng.choice((",", ", ")))
    return bool(commas)


def missing_comma(rng: random.Random, tokens: Tokens) -> bool:
    commas = at(tokens, lambda t: t == ",")
    if commas:
        tokens[rng.choice(commas)] = rng.choice((" ", "\n"))
    return bool(commas)


def comment(rng: random.Random, tokens: Tokens) -> bool:
    place, text = rng.randrange(1, len(tokens)), rng.choice(COMMENTS)
    if tokens[place] in ("{", "[") and text[-1] == "\n":
        text += "      "  # a brace that begins a line may begin the next object
    tokens.insert(place, text)
    return True


def requote(rng: random.Random, tokens: Tokens, change: Callable[[str], str], only_keys: bool = False) -> bool:
    """Changes one string, or all, by `change`, which gets what stands between the quotes; "" leaves it."""
    places = [i for i in at(tokens, lambda t: t[0] == '"') if not only_keys or is_key(tokens, i)]
    for i in places if rng.random() < 0.5 else [rng.choice(places)]:
        tokens[i] = change(tokens[i][1:-1]) or tokens[i]
    return True


def single_quotes(rng: random.Random, tokens: Tokens) -> bool:
    return requote(rng, tokens, lambda body: "'" + body.replace("'", "\\'").replace('\\"', '"') + "'"
                   if "\\\\" not in body else "")  # fmt: skip


def typographic_quotes(rng: random.Random, tokens: Tokens) -> bool:
    left, right = rng.choice(("\u201c\u201d", "\u201e\u201c", "\u2018\u2019", "\u201d\u201d"))
    return requote(rng, tokens, lambda body: left + body + right if "'" not in body else "")


def bare_keys(rng: random.Random, tokens: Tokens) -> bool:
    return requote(rng, tokens, lambda body: body, only_keys=True)


def numeric_key(rng: random.Random, tokens: Tokens) -> bool:
    i = rng.choice([i for i in at(tokens, lambda t: t[0] == '"') if is_key(tokens, i)])
    tokens[i] = rng.choice(("1", "42", "2.5", "-1"))
    return True


def escaped_quotes(rng: random.Random, tokens: Tokens) -> bool:
    only_keys = rng.random() < 0.5
    for i in at(tokens, lambda t: t[0] == '"'):
        if not only_keys or is_key(tokens, i):
            tokens[i] = json.dumps(tokens[i], ensure_ascii=False)[1:-1]
    return True


def python_words(rng: random.Random, tokens: Tokens) -> bool:
    words = {"true": "True", "false": "False", "null": "None"}
    places = at(tokens, lambda t: t in words)
    for i in places:
        tokens[i] = words[tokens[i]]
    return bool(places)


def no_numbers(rng: random.Random, tokens: Tokens) -> bool:
    places = at(tokens, lambda t: t == "null")
    for i in places:
        tokens[i] = rng.choice(("NaN", "Infinity", "-Infinity", "undefined", "-inf", "nan"))
    return bool(places)


def open_end(rng: random.Random, tokens: Tokens) -> bool:
    end = len(tokens)
    while end > 1 and tokens[end - 1] in "}]" and not tokens[end - 1].isspace():
        end -= 1
    del tokens[rng.randrange(end, len(tokens)) :]
    return True


WAYS = (trailing_comma, doubled_comma, missing_comma, comment, single_quotes, typographic_quotes, bare_keys)
WAYS += (numeric_key, escaped_quotes, python_words, no_numbers, open_end)
BREAKS = {way.__name__: way for way in WAYS}


def broken(rng: random.Random, name: str) -> tuple[str, str]:
    """Returns an object that is broken in one way, and the object that was meant."""
    while True:
        text = document(rng)
        tokens = TOKEN.findall(text)
        if not BREAKS[name](rng, tokens):
            continue
        if name == "numeric_key":  # which says what was meant
            meant = [f'"{t}"' if is_number_key(tokens, i) else t for i, t in enumerate(tokens)]
            return "".join(tokens), "".join(meant)
        return "".join(tokens), text


def is_number_key(tokens: Tokens, i: int) -> bool:
    rest = [token for token in tokens[i + 1 : i + 3] if token.strip()]
    return rest[:1] == [":"] and tokens[i][0] in "-0123456789"


def mended(chunks: list[str]) -> list[str]:
    core = ObjectsFilter(1 << 20, lambda fault, outcome: None, repair=True)
    return [text for chunk in chunks for text in core.feed(chunk)] + list(core.close())


def main(count: int = 20_000, seed: int = 1) -> None:
    began = time.perf_counter()
    rng = random.Random(seed)
    wrong: dict[str, int] = {}
    tried: dict[str, int] = {}
    for _ in range(count):
        name = rng.choice(list(BREAKS))
        text, meant = broken(rng, name)
        tried[name] = tried.get(name, 0) + 1
        ways = [[text], list(text)]
        ways += [[text[:place], text[place:]] for place in (rng.randrange(len(text)) for _ in range(3))]
        for chunks in ways:
            actual = mended(chunks)
            if len(actual) != 1 or pairs(actual[0]) != pairs(meant):
                wrong[name] = wrong.get(name, 0) + 1
                if wrong[name] < 4:
                    print(f"{name}: {text!r}\n  became {actual!r}\n  in {len(chunks)} chunks")
                break
    for name, cases in sorted(tried.items()):
        print(f"{name:20} {cases:7} tried {cases - wrong.get(name, 0):7} right")
    print(f"{count} cases: {sum(wrong.values())} wrong, {time.perf_counter() - began:.1f} s")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
