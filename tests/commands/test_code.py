"""`code` as its users run it."""

from __future__ import annotations

import os
import subprocess

import pytest

from ..conftest import LLMSTREAM, environment
from ..support.limits import WAIT_S

MARKDOWN = b"text\n```py\none\n```\n```sh\ntwo\n```\n"


@pytest.mark.parametrize(
    ("args", "input", "output", "status"),
    [
        ([], MARKDOWN, b"one\n", 0),
        (["-k", "2"], MARKDOWN, b"two\n", 0),
        (["-l", "bash"], MARKDOWN, b"two\n", 0),
        (["--all"], MARKDOWN, b"one\ntwo\n", 0),
        (["-l", "rust"], MARKDOWN, b"", 1),
        ([], b"no block", b"", 1),
        ([], b"```\n\xff\x00\n", b"\xff\x00\n", 5),
        (["--all", "-k", "1"], MARKDOWN, b"", 2),
        ([], b"\xef\xbb\xbf```\none\n```\ntext\n```\n", b"one\n", 0),
        ([], MARKDOWN.replace(b"\n", b"\r"), b"one\r", 0),
        ([], MARKDOWN.decode().encode("utf-16"), b"", 5),
        ([], MARKDOWN.decode().encode("utf-16-be"), b"", 5),
    ],
)
def test_output_and_status(invoke, args, input, output, status):
    done = invoke("code", *args, input=input)
    assert (done.stdout, done.returncode) == (output, status)
    assert done.stderr.count(b"\n") == bool(status)


def test_each_file_may_begin_with_a_byte_order_mark(invoke, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf```\n%s\n```\n" % name.encode())
    done = invoke("code", "--all", str(tmp_path / "a"), str(tmp_path / "b"))
    assert (done.stdout, done.returncode) == (b"a\nb\n", 0)


def test_streams_and_leaves_at_the_closing_fence():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*LLMSTREAM, "code"], env=environment(), bufsize=0, **pipes) as process:
        process.stdin.write(b"Sure:\n```py\npri")
        assert os.read(process.stdout.fileno(), 100) == b"pri"
        process.stdin.write(b"nt(1)\n```")
        assert os.read(process.stdout.fileno(), 100) == b"nt(1)\n"
        process.stdin.write(b"\n")
        assert process.wait(WAIT_S) == 0  # stdin is still open


def test_a_reader_that_leaves_ends_it_while_the_model_is_silent():
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*LLMSTREAM, "code"], env=environment(), bufsize=0, **pipes) as process:
        process.stdin.write(b"```\nx\n")
        assert os.read(process.stdout.fileno(), 100) == b"x\n"
        process.stdout.close()
        assert process.wait(WAIT_S) == 0
