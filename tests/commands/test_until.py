"""`until` as its users run it: processes and pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..conftest import LLMSTREAM, environment
from ..support.limits import WAIT_S
from ..support.modules import existing

COMMAND = [*LLMSTREAM, "until"]


def start(*args: str, **more: object) -> subprocess.Popen[bytes]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*COMMAND, *args], env=environment(), bufsize=0, **pipes | more)


@pytest.mark.parametrize(
    ("args", "input", "output", "status"),
    [
        (["-e", "[0-9]+"], b"on 12 off", b"on 12", 0),
        (["-F", "off", "-x"], b"on 12 off.", b"on 12 ", 0),
        (["-F", "OFF", "-i", "-o"], b"on 12 off.", b"off", 0),
        (["-e", "n", "-e", "1"], b"on 12 off", b"on", 0),
        (["--lines", "1", "-k", "2"], b"a\nb\nc\n", b"a\nb\n", 0),
        (["--words", "2", "-q"], b"a b c", b"", 0),
        (["--chars", "1"], "é".encode(), "é".encode(), 0),
        (["--bytes", "2"], b"\xff\xfe\xfd", b"\xff\xfe", 0),
        (["-e", "x"], b"\x00\xff\xfe binary \x80", b"\x00\xff\xfe binary \x80", 1),
        (["-e", "x", "-q"], b"none", b"", 1),
        (["-e", "x"], b"", b"", 1),
    ],
)
def test_output_and_status(invoke, args, input, output, status):
    done = invoke("until", *args, input=input)
    assert (done.stdout, done.returncode) == (output, status)
    quiet = status == 0 or "-q" in args
    assert done.stderr == (b"" if quiet else b"llmstream until: the input ended before a condition was met\n")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], b"no condition: give one"),
        (["[.]", "README.md"], b"no condition: '[.]' is the name of a file here: give a pattern with -e"),
        (["-e", "(a"], b"'(a' is not a valid regular expression: missing ), unterminated subpattern at character 1"),
        (["-e", "a*"], b"'a*' matches the empty text"),
        (["-F", ""], b"the empty text matches everywhere"),
        (["-F", "a", "-x", "-o"], b"--exclusive and --only exclude each other"),
        (["-F", "a", "-x", "-q"], b"-q leaves nothing to print"),
        (["--lines", "0"], b"see llmstream until --help"),
        (["--seconds", "0"], b'must be a time such as 0.5, 10s or 1h30m, above 0, not "0"'),
        (["--seconds", "inf"], b'must be a time such as 0.5, 10s or 1h30m, above 0, not "inf"'),
        (["--idle", "nan"], b'must be a time such as 0.5, 10s or 1h30m, above 0, not "nan"'),
        (["--idle", "soon"], b'must be a time such as 0.5, 10s or 1h30m, above 0, not "soon"'),
        (["-F", "a", "/no/such/file"], b"cannot read /no/such/file: No such file or directory"),
        (["-F", "a", "/"], b"cannot read /: Is a directory"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(invoke, args, message):
    done = invoke("until", *args, input=b"")
    assert (done.stdout, done.returncode) == (b"", 2)
    assert done.stderr.startswith(b"llmstream until: ")
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("seconds", ["1e8", "1e308"])
def test_a_time_longer_than_poll_can_wait_is_waited_for(run, seconds):
    for option in ("--seconds", "--idle"):
        done = run("until", option, seconds, input=b"text")
        assert (done.stdout, done.returncode) == (b"text", 1)
        assert done.stderr == b"llmstream until: the input ended before a condition was met\n"


def test_files_are_read_one_after_the_other_and_as_one_text(invoke, tmp_path):
    (tmp_path / "a").write_bytes(b"one E")
    (tmp_path / "b").write_bytes(b"ND two")
    done = invoke("until", "-F", "END", str(tmp_path / "a"), "-", str(tmp_path / "b"), input=b"")
    assert (done.stdout, done.returncode) == (b"one END", 0)


def test_prints_at_once_and_leaves_at_the_match_without_another_byte():
    with start("-e", "END") as process:
        process.stdin.write(b"some text E")
        assert os.read(process.stdout.fileno(), 100) == b"some text E"
        process.stdin.write(b"ND")
        assert os.read(process.stdout.fileno(), 100) == b"ND"
        assert process.wait(WAIT_S) == 0  # stdin is still open


def test_the_producer_is_stopped():
    with subprocess.Popen(["yes", "word"], stdout=subprocess.PIPE) as producer:
        done = subprocess.run([*COMMAND, "--words", "3"], stdin=producer.stdout, capture_output=True, env=environment())
        producer.stdout.close()
        assert producer.wait(WAIT_S) == -13
    assert done.stdout == b"word\nword\nword"


def test_drain_lets_the_producer_end_by_itself():
    script = "import sys\nfor i in range(100_000): print(i)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as producer:
        with start("--lines", "2", "--drain", stdin=producer.stdout) as process:
            producer.stdout.close()
            assert process.stdout.read() == b"0\n1\n"
            assert process.wait(WAIT_S) == 0
        assert producer.wait(WAIT_S) == 0


def test_drain_goes_on_after_the_reader_left():
    with start("--chars", "1", "--drain") as process:
        process.stdin.write(b"ab")
        assert os.read(process.stdout.fileno(), 10) == b"a"
        process.stdout.close()
        for _ in range(10):
            process.stdin.write(b"x" * 100_000)
        process.stdin.close()
        assert process.wait(WAIT_S) == 0


def test_a_reader_that_leaves_ends_a_silent_chain():
    first = start("-F", "never")
    second = start("--lines", "1000000", stdin=first.stdout)
    first.stdout.close()
    first.stdin.write(b"text")
    assert os.read(second.stdout.fileno(), 10) == b"text"
    second.stdout.close()
    began = time.monotonic()
    assert (second.wait(WAIT_S), first.wait(WAIT_S)) == (0, 0)  # no byte was sent meanwhile
    assert time.monotonic() - began < 5
    for process in (first, second):
        assert process.stderr.read() == b""
        process.stderr.close()
    first.stdin.close()


def test_seconds_and_idle_end_a_silent_stream():
    for option in ("--seconds", "--idle"):
        with start(option, "0.3") as process:
            process.stdin.write(b"text \xc3")
            assert process.stdout.read() == b"text \xc3"
            assert process.wait(WAIT_S) == 0


def test_a_used_up_window_is_told(invoke):
    done = invoke("until", "-e", "a[^z]*z", "--window", "10", input=b"a" + b"b" * 20 + b"z")
    assert done.returncode == 1
    assert b"llmstream until: ignored a match longer than 10 characters: --window N" in done.stderr


def test_a_python_whose_re_is_unknown_finds_the_same_later_and_one_note_says_so():
    script = "import os, re, sys; from llmstream import cli; sys.modules['re._constants'] = None; del re._constants\n"
    command = [sys.executable, "-c", script + "os._exit(cli.run(sys.argv[1:]))", "until", "-o", "-e", "b+", "-e", "c"]
    done = subprocess.run(command, input=b"abbbd", capture_output=True, env=environment())
    assert (done.stdout, done.returncode) == (b"bbb", 0)
    assert done.stderr.startswith(b"llmstream until: this version of Python's re module is not supported: a match")
    assert done.stderr.endswith(b" or 196608 characters later: --window N makes that shorter\n")
    assert done.stderr.count(b"\n") == 1


def test_a_json_value_that_is_too_long_is_told(invoke):
    done = invoke("until", "-q", "--json", input=b'{"a":"' + b"x" * (64 << 20) + b'"}')
    assert (done.stdout, done.returncode) == (b"", 1)
    assert done.stderr == b"llmstream until: ignored a JSON value longer than 67108864 characters\n"


def test_a_full_disk_is_status_5():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "-F", "b"], input=b"ab", stdout=full, stderr=subprocess.PIPE, env=environment()
        )
    assert (done.returncode, done.stderr) == (
        5,
        b"llmstream until: cannot write to stdout: No space left on device\n",
    )


SEARCH = {"stop.edge", "stop.search", "stop.regex", "cpu_limit"}


@pytest.mark.parametrize(("args", "allowed"), [(["-F", "x"], set()), (["-e", "x"], SEARCH)])
def test_imports_only_what_it_uses(args, allowed):
    script = (
        "import sys\nfrom llmstream import cli\nstatus = cli.run(sys.argv[1:])\nprint(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "until", *args]
    done = subprocess.run(command, input=b"x", capture_output=True, env=environment())
    modules = set(done.stderr.decode().split())
    heavy = {"click", "asyncio", "dataclasses", "pathlib", "json", "regex", "pycurl", "ssl", "subprocess"}
    assert not modules & heavy
    ours = {name for name in modules if name.startswith("llmstream.")}
    stop = {f"stop.{name}" for name in ("condition", "conditions", "counts", "until", "buffer")}
    core = {f"core.{name}" for name in {"text", "stop", *stop} | allowed}
    commands = {f"commands.{name}" for name in ("until", "stop_options", "parameters")} | {"core.kinds"}
    assert ours == existing(
        "cli", "errors", "inputs", "signals", "stdio", "terminal", "core", "commands", *core, *commands
    )


ENDLESS = b"a" * 60 + b"!\n"


@pytest.mark.parametrize("pattern", ["(a+)+$", "(?:a|aa)+$", "(?=(a+)+b)a", "(a*?a*?)+c"])
def test_a_pattern_that_would_match_for_years_is_given_up(pattern):
    with start("-e", pattern) as process:
        process.stdin.write(ENDLESS)  # and no end: the search itself is interrupted
        assert process.wait(WAIT_S) == 2
        message = process.stderr.read()
    assert b"took more than 2 s" in message and message.count(b"\n") == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the CPU time of a process is in /proc")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_search_at_once(signum):
    heeded = {"preexec_fn": lambda: signal.signal(signum, signal.SIG_DFL)}  # the tests may run in the background
    with start("-q", "-e", "(a+)+$", **heeded) as process:
        process.stdin.write(ENDLESS)
        while cpu_s(process.pid) < 1.0:  # the start takes a part of it, the search the rest
            assert process.poll() is None
        process.send_signal(signum)
        assert process.wait(1) == -signum


def cpu_s(pid: int) -> float:
    """Returns the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf16_is_told(invoke, encoding):
    done = invoke("until", "-F", "END", input="the END".encode(encoding))
    assert (done.returncode, done.stderr.count(b"\n"), b"looks like UTF-16" in done.stderr) == (5, 1, True)
    assert done.stdout == "the END".encode(encoding)
    assert invoke("until", "-F", "END", input=b"a\0bc\0").returncode == 1
