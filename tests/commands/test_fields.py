"""`fields` as its users run it."""

from __future__ import annotations

import re
import subprocess

import pytest

from llmstream.core.json.scanner import MAX_DEPTH

from ..conftest import LLMSTREAM, at, environment
from ..support.limits import WAIT_S
from ..support.loopback import DIALECTS, HOLD, Provider, chat_text, head
from ..support.pipes import filter

BOOK = b'A book: {"title": "Emma \\"W\\"\\n", "meta": {"n": 1.10}, "tags": ["x", "y"]}'


@pytest.mark.parametrize(
    ("args", "out"),
    [
        (["title"], b'{"path":"$[\'title\']","value":"Emma \\"W\\"\\n"}\n'),
        (["-r", "title"], b'Emma "W"\n\n'),
        (["-r", "meta", "meta.n"], b'1.10\n{"n":1.10}\n'),
        (["-0", "tags[*]"], b"x\0y\0"),
        (["--tsv", "title", "tags"], b'$[\'title\']\tEmma "W"\\n\n$[\'tags\']\t["x","y"]\n'),
        (["-f", "title"], b'Emma "W"\n\n'),
        (["-r", "-1", "tags[*]", "meta.n"], b"1.10\nx\n"),
        (["--ng", "-r", "tags.`len`", "meta.n * 2"], b"2\n2.2\n"),
        (["-r"], b'Emma "W"\n\n{"n":1.10}\n["x","y"]\n'),
        (["$['title']", "--raw"], b'Emma "W"\n\n'),
    ],
)
def test_output(invoke, args, out):
    done = invoke("fields", *args, input=BOOK)
    assert (done.stdout, done.stderr, done.returncode) == (out, b"", 0)


LARGE = "".join(f'{{"n": {n}, "t": "\\u00e9 {n}", "in": {{"a": [{{"b": {n}}}]}}}}\n' for n in range(9000)).encode()


@pytest.mark.parametrize(
    "args", [["t"], ["in.a[*].b"], ["n", "t"], ["t", "in.a"], ["n", "x"], ["[?@ == 8000]"], ["in"]]
)
def test_raw_values_of_a_large_input(run, args):
    """Large chunks print without locations what `--null` prints with them."""
    raw, null = (run("fields", option, *args, input=LARGE) for option in ("-r", "-0"))
    assert raw.stdout == null.stdout.replace(b"\0", b"\n") != b""
    assert (raw.stderr, raw.returncode) == (null.stderr, null.returncode)
    assert raw.returncode == (1 if "x" in args else 0)


def test_a_path_in_json_is_quoted(invoke):
    done = invoke("fields", input=b'{"a\\"b\\\\\'\\n":1}')
    assert done.stdout == b'{"path":"$[\'a\\"b\\\\\\\\\\\\\'\\\\n\']","value":1}\n'


def test_the_deepest_value_has_its_path(run):
    depth = MAX_DEPTH - 1
    done = run("fields", "$..a", input=b"[" * depth + b'{"a":1}' + b"]" * depth)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert done.stdout == b'{"path":"$' + b"[0]" * depth + b'[\'a\']","value":1}\n'


@pytest.mark.parametrize("path", ["title", "$.list[?@.n==1].t"])
def test_a_field_is_out_at_its_quote(path):
    with filter("fields", "-r", path) as it:
        it.give(b'{"title": "one", ' if path == "title" else b'{"list": [{"n":1,"t":"one"}')
        assert it.take(4) == b"one\n"
        it.give(b' "rest": 1}{"title": "two"' if path == "title" else b', {"t":"two","n":1}')
        assert it.take(4) == b"two\n"


def test_a_followed_string_comes_as_it_is_written():
    with filter("fields", "-f", "a") as it:
        it.give(b'{"a": "on')
        assert it.take(2) == b"on"
        it.give(b"e \xc3")
        assert it.take(2) == b"e "
        it.give(b"\xa9\\ud83d\\ud")
        assert it.take(2) == b"\xc3\xa9"
        it.give(b"e00")
        assert it.take(4) == "\U0001f600".encode()


def test_first_ends_it_while_stdin_stays_open():
    with filter("fields", "-r", "-1", "b", "a") as it:
        it.give(b'{"a": "one", "a": "again", "b": "two"')
        assert it.take(99) == b"one\ntwo\n"
        assert it.status() == 0


def test_a_chain_ends_the_generation():
    """The provider sees its connection close as soon as the title is out, though the answer has no end."""
    start = [chat_text('Sure: {"ti'), chat_text('tle": "Em'), chat_text('ma", ')]
    with Provider([head(), *start, HOLD]) as provider:
        gen = subprocess.Popen(
            [*LLMSTREAM, "gen", "-m", "openai/m", "Hi"], env=at(provider.url), stdout=subprocess.PIPE, bufsize=0
        )
        with gen:
            done = subprocess.run(
                [*LLMSTREAM, "fields", "-r", "-1", "title"], stdin=gen.stdout, capture_output=True, env=environment()
            )
            gen.stdout.close()
        assert (done.stdout, done.returncode, gen.returncode) == (b"Emma\n", 0, 0)
        assert provider.client_left.wait(WAIT_S)
    assert DIALECTS  # the loopback provider is the one of the other tests


@pytest.mark.parametrize(
    ("args", "text", "out", "status", "message"),
    [
        (["title"], b"", b"", 1, b"not in the input: title"),
        (["-r", "a", "b"], b'{"a":1}', b"1\n", 1, b"not in the input: b"),
        (["-r", "a"], b'{"a":1,"b" 2} {"a":3}', b"1\n3\n", 5, b"line 1: malformed document: a colon is missing"),
        (["-r", "a"], b'{"a":1,"b":', b"1\n", 5, b"line 1: unfinished document"),
        (["-r", "-1", "a"], b'{"a":1,"b" 2}', b"1\n", 0, b""),
        (["-f", "a"], b'{"a":"text', b"text", 5, b"unfinished"),
        (["-f", "-1", "a"], b'{"a":"te\n{"a":"xt"}', b"te", 5, b"malformed"),
        (["-r", "a"], b'{"a":"\xff"}\n{"a":"x"}', b"x\n", 5, b"not UTF-8"),
        (["-r", "a"], b'{"a":"\\ud800"}', "\ufffd\n".encode(), 0, b""),
        (["-r", "a"], b'{"a":"\\udc80"}', "\ufffd\n".encode(), 0, b""),
        (["-0", "a"], b'{"a":"x\\u0000y"}', b"", 5, b"has a NUL"),
        (["a"], '{"a":1}'.encode("utf-16"), b"", 5, b"UTF-16"),
        (["-r", "$"], b"\xef\xbb\xbf5\n", b"5\n", 0, b""),
        (["--max-size", "9", "-r", "a"], b'{"a":"0123456789"} {"a":1}', b"1\n", 5, b"longer than 9"),
        (["--ng", "a"], b'{"b":1}', b"", 1, b"not in the input: a"),
        (["--ng", 'a[?(@ =~ "(")]'], b'{"a":["x"]}', b"", 5, b"line 1: unevaluated document: invalid regex: missing )"),
        (["-r", "$[?@.a==1].b"], b'[{"a":1,"b":2},{"a":1', b"2\n", 5, b"unfinished"),
    ],
)
def test_broken_input(invoke, args, text, out, status, message):
    done = invoke("fields", *args, input=text)
    assert (done.stdout, done.returncode) == (out, status)
    assert message in done.stderr
    assert (done.stderr.count(b"\n") <= 1, b"Traceback" in done.stderr) == (True, False)


@pytest.mark.parametrize(
    "args",
    [
        ["$["],
        ["a b"],
        ["$[?@.a"],
        ["--ng", "a["],
        ["--ng", "a.`sub(/(/, b)`"],
        ["-f"],
        ["-f", "a", "b"],
        ["--tsv", "-r", "a"],
        ["--max-size", "x"],
    ],
)
def test_usage_errors_come_before_stdin_is_read(args):
    with filter("fields", *args) as it:
        assert it.status() == 2
        message = it.process.stderr.read()
        assert (message.count(b"\n"), message[:17], b"Traceback" in message) == (1, b"llmstream fields:", False)


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["./order.json"], 2, "./order.json is a file, not a JSONPath: use llmstream fields PATH < ./order.json"),
        (
            ["--ng", "a", "./order.json"],
            2,
            "./order.json is a file, not a JSONPath: use llmstream fields PATH < ./order.json",
        ),
        (
            ["a", "order.json"],
            1,
            "not in the input: order.json: order.json is a file: use llmstream fields PATH < order.json",
        ),
        ([""], 2, "the empty path selects nothing: use $ for the whole document"),
        (["--ng", ""], 2, "the empty path selects nothing: use $ for the whole document"),
    ],
)
def test_a_file_as_a_path_gets_a_hint(invoke, tmp_path, args, status, message):
    (tmp_path / "order.json").write_text('{"a":1}')
    done = invoke("fields", *args, input=b'{"a":1}', cwd=tmp_path)
    assert (done.returncode, done.stderr.decode()) == (status, f"llmstream fields: {message}\n")


def test_an_invalid_path_gets_its_position(invoke):
    done = invoke("fields", "./other.json", input=b'{"a":1}')
    message = r"llmstream fields: not a JSONPath: \./other\.json: unexpected .*'/', line 1, column 2\n"
    assert (done.returncode, bool(re.fullmatch(message, done.stderr.decode()))) == (2, True), done.stderr


def test_an_input_without_fields(invoke):
    done = invoke("fields", input=b"no JSON here\n")
    assert (done.stderr, done.returncode) == (b"llmstream fields: the input has no fields\n", 1)
