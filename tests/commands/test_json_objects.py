"""`json-objects` as its users run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ..conftest import environment
from ..support.pipes import filter

MESSY = b'Sure:\n```json\n{"a": 1.10}\n```\nor [{"b": [true]}, {"c": "\xc3\xa9"}].\n'
CLEAN = b'{"a":1.10}\n{"b":[true]}\n{"c":"\xc3\xa9"}\n'


def test_objects_out_of_prose(invoke):
    done = invoke("json-objects", input=MESSY)
    assert (done.stdout, done.stderr, done.returncode) == (CLEAN, b"", 0)


def test_an_object_is_out_at_its_brace():
    """The test gives no more until it has what was complete."""
    with filter("json-objects") as it:
        it.give(b'text {"a": {"b": 1}')
        it.give(b"}")
        assert it.take(14) == b'{"a":{"b":1}}\n'
        it.give(b'{"c":')
        it.give(b"2}")
        assert it.take(8) == b'{"c":2}\n'
        it.process.stdin.close()
        assert it.status() == 0


def test_count_ends_it_while_stdin_stays_open():
    with filter("json-objects", "-k2") as it:
        it.give(b'{"a":1}{"a":2}{"a":3} {"broken" ')
        assert it.take(99) == b'{"a":1}\n{"a":2}\n'
        assert it.status() == 0


@pytest.mark.parametrize(
    ("args", "text", "out", "status", "message"),
    [
        ([], b"", b"", 1, b"llmstream json-objects: no JSON object in the input\n"),
        ([], b"plain { text }", b"", 1, b"llmstream json-objects: no JSON object in the input\n"),
        ([], b"Dear {name},", b"", 1, b"llmstream json-objects: no JSON object in the input\n"),
        ([], b"So: {'a': 1}", b"", 1, b"no JSON object in the input: --repair finds one\n"),
        ([], b"{name: 1", b"", 1, b"no JSON object in the input: --repair finds one\n"),
        ([], b"-" * 65535 + b"{name: 1}", b"", 1, b"llmstream json-objects: no JSON object in the input\n"),
        (["--fenced"], b"{name: 1}", b"", 1, b"llmstream json-objects: no JSON object in the input\n"),
        (["--fenced"], b"```\n{name: 1}\n```", b"", 1, b"no JSON object in the input: --repair finds one\n"),
        ([], b'{"a":}\n{"b":1}', b'{"b":1}\n', 5, b"line 1: malformed object: a value is missing in line 1: skipped"),
        ([], b'Type {"name" to begin. {"b":1}', b'{"b":1}\n', 0, b""),
        ([], b'{"a":1}\n\n{"b":[', b'{"a":1}\n', 5, b"line 3: unfinished object: the input ends inside it"),
        ([], b'{"a":"\xff"}{"b":1}', b'{"b":1}\n', 5, b"not UTF-8"),
        ([], b'\xff\xfe {"b":1} \x80', b'{"b":1}\n', 0, b""),
        ([], b'{"a":"\xc3', b"", 5, b"unfinished object"),
        ([], b'\xef\xbb\xbf{"a":1}', b'{"a":1}\n', 0, b""),
        ([], b'\x00{"a":1}\x00{"b":\x001}', b'{"a":1}\n', 5, b"malformed"),
        ([], '{"a":1}'.encode("utf-16"), b"", 5, b"the input looks like UTF-16: iconv"),
        ([], '{"a":1}'.encode("utf-16-le"), b"", 5, b"the input looks like UTF-16: iconv"),
        (["--fenced"], b'\xef\xbb\xbf```\n{"a":1}\n```\n', b'{"a":1}\n', 0, b""),
        (["--last"], b'{"a":1} {"b":2} {"c"', b'{"b":2}\n', 5, b"unfinished"),
        (["--last", "-k2"], b'{"a":1} {"b":2} {"c"', b'{"b":2}\n', 0, b""),
        (["--fenced"], MESSY, b'{"a":1.10}\n', 0, b""),
        (["--max-size", "10"], b'{"a":"123456789"} {"b":1}', b'{"b":1}\n', 5, b"longer than 10 characters"),
        (["--partial"], b'{"a":"te', b'{"a":"te"}\n', 5, b"closed and printed"),
        (["--repair"], b"{'a': True, b: [1,],} // x", b'{"a":true,"b":[1]}\n', 0, b"repaired"),
        (["--repair"], b'{"a": {"b": [1', b'{"a":{"b":[1]}}\n', 0, b"repaired"),
        (["--repair"], b'{"a": 1 "b" "c"}{"d":1}', None, 0, b"repaired"),
    ],
)
def test_broken_input(invoke, args, text, out, status, message):
    done = invoke("json-objects", *args, input=text)
    if out is not None:
        assert done.stdout == out
    assert done.returncode == status
    assert message in done.stderr
    assert (done.stderr.count(b"\n"), b"Traceback" in done.stderr) == (1 if message else 0, False)


def test_only_malformed_objects_exit_with_5(invoke):
    assert invoke("json-objects", input=b'{"a": 1 1}').returncode == 5


def test_files(invoke, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b'{"a":1} {"cut":')
    two.write_bytes(b'2} {"b":2}')
    done = invoke("json-objects", str(one), "-", str(two), input=b'{"in":1}')
    assert (done.stdout, done.returncode) == (b'{"a":1}\n{"in":1}\n{"b":2}\n', 5)
    assert done.stderr.startswith(f"llmstream json-objects: {one}: line 1: unfinished object".encode())


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="a file whose first byte cannot be read")
def test_a_read_that_fails(invoke):
    done = invoke("json-objects", "/proc/self/mem")
    assert (done.returncode, done.stderr) == (
        2,
        b"llmstream json-objects: cannot read /proc/self/mem: Input/output error\n",
    )


def test_a_reader_that_leaves_is_no_error():
    with filter("json-objects") as it:
        it.give(b'{"a":1}\n')
        assert it.take(8) == b'{"a":1}\n'
        it.process.stdout.close()
        assert it.status() == 0  # at once: stdin is still open
        assert it.process.stderr.read() == b""


def test_large_input_goes_through_unchanged(invoke):
    lines = [json.dumps({"n": i, "t": ["é", {"x": [1.10, None]}], "s": '{}\\"'}) for i in range(20000)]
    done = invoke("json-objects", input="\n".join(lines).encode())
    expected = "".join(line.replace(": ", ":").replace(", ", ",") + "\n" for line in lines)
    assert (done.stdout, done.returncode) == (expected.encode(), 0)


HEAVY = {
    "msgspec",
    "json_repair",
    "jsonpath_rfc9535",
    "jsonpath_ng",
    "dataclasses",
    "asyncio",
    "pathlib",
    "pycurl",
    "json",
}


@pytest.mark.parametrize(
    "args", [["json-objects"], ["fields", "title"], ["fields", "items[*].name"], ["fields", "-f", "a"], ["fields"]]
)
def test_imports_only_what_it_uses(args):
    """What is loaded after a short run, by the bare `import click` and by the command."""
    report = "import sys; sys.stderr.write(repr(sorted(m for m in sys.modules if '.' not in m)))"
    run = f"import sys; from llmstream.cli import run; run({args!r}); "
    loaded = []
    for program in ("import click; " + report, run + report):
        done = subprocess.run(
            [sys.executable, "-c", program], input=b'{"title":"\\u00e9"}', capture_output=True, env=environment()
        )
        loaded.append(set(eval(done.stderr.splitlines()[-1])))
    assert (loaded[1] - loaded[0]) & HEAVY == set()
