"""FILE operands of the filters, those that cannot be read among them, and descriptors that do not block."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from ..conftest import LLMSTREAM, environment
from ..support.limits import WAIT_S
from ..support.loopback import chat

GOOD = b'{"a":1}\n```sh\necho\n```\n'
ANSWER = b"".join(chat("Hi"))
# Each filter of FILEs: its options, a good file, and what it prints of that file.
FILTERS = [
    (["text"], ANSWER, b"Hi\n"),
    (["text", "--events"], ANSWER, None),
    (["json-objects"], GOOD, b'{"a":1}\n'),
    (["json-objects", "-k1"], GOOD, b'{"a":1}\n'),
    (["json-objects", "--last"], GOOD, b'{"a":1}\n'),
    (["code"], GOOD, b"echo\n"),
    (["code", "--all"], GOOD, b"echo\n"),
    (["until", "--lines", "1"], GOOD, b'{"a":1}\n'),
    (["until", "--lines", "1", "--drain"], GOOD, b'{"a":1}\n'),
    (["until", "--lines", "9"], GOOD, GOOD),
]


@pytest.mark.parametrize(("args", "content", "printed"), FILTERS, ids=[" ".join(args) for args, *_ in FILTERS])
def test_the_other_files_are_read_and_the_status_stays(invoke, tmp_path, args, content, printed):
    good = tmp_path / "good"
    good.write_bytes(content)
    bad = {"/no/such/file": "No such file or directory", "/": "Is a directory"}
    done = invoke(*args, *bad, str(good), str(good) if args == ["text"] else "/no/such/file")
    assert done.returncode == 2
    lines = [f"llmstream {args[0]}: cannot read {name}: {why}\n" for name, why in bad.items()]
    assert done.stderr.decode().startswith("".join(lines))
    assert done.stderr.decode().removeprefix("".join(lines)) in ("", lines[0])
    if printed:
        assert done.stdout == printed * (2 if args == ["text"] else 1)
    else:
        assert [json.loads(line)["type"] for line in done.stdout.splitlines()] == ["start", "text", "usage", "finish"]


@pytest.mark.parametrize("args", [args for args, *_ in FILTERS])
def test_files_that_cannot_be_read_are_all_that_is_said(invoke, args):
    done = invoke(*args, "/no/such/file", "/no/other/file")
    why = "No such file or directory"
    lines = [f"llmstream {args[0]}: cannot read {name}: {why}\n" for name in ("/no/such/file", "/no/other/file")]
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", "".join(lines))


def test_a_quiet_match_counts_whatever_cannot_be_read(invoke, tmp_path):
    (tmp_path / "good").write_bytes(GOOD)
    for lines, status in (("1", 0), ("9", 2)):
        assert invoke("until", "-q", "--lines", lines, "/no/such/file", str(tmp_path / "good")).returncode == status


def test_a_higher_status_than_that_of_a_file_stays(invoke, tmp_path):
    (tmp_path / "cut").write_bytes(b'{"a":')
    assert invoke("json-objects", "/no/such/file", str(tmp_path / "cut")).returncode == 5


def test_an_empty_name_is_shown(invoke):
    done = invoke("until", "--lines", "1", "")
    assert done.stderr == b"llmstream until: cannot read '': No such file or directory\n"


# Descriptors that another process has made non-blocking.

INPUTS = [
    (["until", "--lines", "1"], 0, b'{"a":1}\n'),
    (["until", "--lines", "1", "--drain"], 0, b'{"a":1}\n'),
    (["code"], 0, b"echo\n"),
    (["json-objects"], 0, b'{"a":1}\n'),
    (["fields", "-r", "a"], 0, b"1\n"),
    (["map", "-q", "-m", "replay:/no/such/file"], 2, b""),
    (["gen", "--dry-run", "-m", "llamacpp/m"], 0, None),
]


@pytest.mark.parametrize(("args", "status", "printed"), INPUTS, ids=[" ".join(args) for args, *_ in INPUTS])
def test_an_input_that_does_not_block(args, status, printed):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    pipe = subprocess.PIPE
    with subprocess.Popen([*LLMSTREAM, *args], stdin=reader, stdout=pipe, stderr=pipe, env=environment()) as process:
        os.close(reader)
        try:
            for piece in (GOOD[:10], GOOD[10:]):
                os.write(writer, piece)
                time.sleep(0.2)
        except BrokenPipeError:  # it has read enough
            pass
        finally:
            os.close(writer)
        stdout, stderr = process.communicate(timeout=WAIT_S)
    assert b"unavailable" not in stderr
    assert process.returncode == status
    assert printed is None or stdout == printed


def test_an_output_that_does_not_block(tmp_path):
    (tmp_path / "large").write_bytes(b"x" * 1_000_000 + b"\n")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    command = [*LLMSTREAM, "until", "--lines", "1", str(tmp_path / "large")]
    with subprocess.Popen(command, stdout=writer, env=environment()) as process, open(reader, "rb") as output:
        os.close(writer)
        assert len(output.read()) == 1_000_001
        assert process.wait(WAIT_S) == 0
