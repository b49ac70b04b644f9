"""Inputs on which a parser that looks at characters twice becomes slow."""

from __future__ import annotations

import json


def shapes(n: int) -> dict[str, str]:
    """Returns adversarial texts of about n characters, by name."""
    inner = json.dumps({"a": {"b": 'x "y"'}})
    return {
        "nested openings": '{"a":' * (n // 5),
        "nested arrays": "[" * n,
        'many {"': '{"' * (n // 2),
        "objects in arrays": "[{" * (n // 2),
        "loose objects and arrays": "{'a':[" * (n // 6),
        "many {": "{ " * (n // 2),
        "flipped quote parity": '{"a":"' + '"x","y":{"' * (n // 10),
        "escaped JSON in strings": '{"a":' + json.dumps(inner * (n // len(inner) // 2)) + "}",
        "one long string": '{"a":"' + "x" * n + '"}',
        "backslashes": '{"a":"' + "\\\\" * (n // 2) + '"}',
        "long blanks": ("{" + " " * 999 + "\n") * (n // 1001),
        "long number": '{"a":' + "1" * n + "}",
        "broken lines": '{"a" 1\n' * (n // 7),
        "many blocks": '```\n{"a":1\n```\n' * (n // 15),
        "quoted block": "> ```\n" + '> {"a":1}\n' * (n // 10),
        "keys without a colon": '{"a" ' * (n // 5),
        "a key in a key": '{"a { ' * (n // 6),
        "loose keys": "{'a' " * (n // 5),
        "comments": "{# /* " * (n // 6),
        "broken comments": '{"a": 1 ' + '"/*' * (n // 3),
        "escaped quotes": r"{\"a\": " * (n // 7),
        "broken list": '  - {"a": "x}\n' * (n // 14),
        "long indent": '{"a": oops\n' + " " * n,
        "unclosed strings": "{'a': '" + "x' " * (n // 3),
        "carriage returns": "```\r" * (n // 4),
        "deep lists": ("- " * 200 + "a\n" + " " * 400 + "b\n" + "\n" * 9) * (n // 812),
        "block in deep lists": "- " * 300 + "```\n" + (" " * 600 + "b\n\n") * (n // 603),
        "deep quotes": (">" * 300 + "a\n") * (n // 302),
        "closed depth": '{"a":' * (n // 6) + "1" + "}" * (n // 6),
    }
