"""`-O FILE`: the whole output in one step, or the file as it was."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import threading

import pytest

from ..conftest import LLMSTREAM, at
from ..support.limits import WAIT_S
from ..support.loopback import HOLD, Provider, chat, head, reply
from ..support.mapping import records_of, wait_until

ASK = ["gen", "-m", "openai/m", "--retries=0", "Hi", "-O"]
HELLO = [head(), *chat("Hello")]
CUT = [head(), chat("Hello")[0]]
BREAKS_OFF = b"llmstream gen: the stream ended before its end mark: the answer breaks off after 5 characters\n"


@pytest.fixture
def provider():
    with Provider(lambda request: HELLO) as provider:
        yield provider


@pytest.fixture
def cut():
    with Provider(lambda request: CUT) as provider:
        yield provider


def names(folder) -> list[str]:
    return sorted(os.listdir(folder))


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_whole_answer(invoke, provider, tmp_path):
    done = invoke(*ASK, "answer", url=provider.url, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "answer").read_bytes() == b"Hello\n"
    assert names(tmp_path) == ["answer"]


def test_the_old_content_stays_until_the_answer_is_whole(tmp_path):
    path, release = tmp_path / "answer", threading.Event()
    path.write_text("old")
    first, *rest = chat("Hello")

    def script(request):
        yield head()
        yield first
        release.wait(WAIT_S)
        yield from rest

    with (
        Provider(script) as provider,
        subprocess.Popen([*LLMSTREAM, *ASK, str(path)], stdin=subprocess.DEVNULL, env=at(provider.url)) as process,
    ):
        assert provider.first_request.wait(WAIT_S)
        assert path.read_text() == "old"
        assert len(names(tmp_path)) == 2
        release.set()
        assert process.wait(WAIT_S) == 0
    assert path.read_text() == "Hello\n"


@pytest.mark.parametrize(
    "args, script, status",
    [
        ([], CUT, 5),
        ([], reply("401 Unauthorized", b"{}"), 3),
        ([], reply("503 Service Unavailable", b"{}"), 4),
        (["--until-regex", "zzz"], HELLO, 1),
    ],
)
@pytest.mark.parametrize("old", [None, "old"])
def test_any_other_status_leaves_the_file_as_it_was(invoke, tmp_path, args, script, status, old):
    path = tmp_path / "answer"
    if old:
        path.write_text(old)
    with Provider(lambda request: script) as provider:
        done = invoke(*ASK, str(path), *args, url=provider.url)
    assert (done.returncode, done.stdout) == (status, b"")
    outcome = "left as it was" if old else "not written"
    assert done.stderr.decode().splitlines()[1:] == [f"llmstream gen: {path} is {outcome}"]
    assert names(tmp_path) == (["answer"] if old else [])
    assert not old or path.read_text() == old


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_removes_the_temporary_file(tmp_path, signum):
    path = tmp_path / "answer"
    path.write_text("old")
    with Provider([head(), chat("Hello")[0], HOLD]) as provider:
        argv = [*LLMSTREAM, *ASK, str(path)]
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, env=at(provider.url)) as process:
            assert provider.first_request.wait(WAIT_S)
            process.send_signal(signum)
            assert process.communicate(timeout=WAIT_S) == (None, b"")
        assert process.returncode == -signum
    assert (names(tmp_path), path.read_text()) == (["answer"], "old")


def test_permissions_of_a_file_that_exists_are_kept(invoke, provider, tmp_path):
    path = tmp_path / "answer"
    path.write_text("old")
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    before = path.stat()
    assert invoke(*ASK, str(path), url=provider.url).returncode == 0
    assert (mode(path), path.stat().st_uid, path.stat().st_gid) == (0o604, before.st_uid, before.st_gid)
    assert path.stat().st_ino != before.st_ino


def test_a_new_file_has_the_permissions_of_the_umask(run, provider, tmp_path):
    done = run(*ASK, "answer", url=provider.url, cwd=tmp_path, umask=0o027)
    assert (done.returncode, mode(tmp_path / "answer")) == (0, 0o640)


@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_stays_and_its_target_is_replaced(invoke, provider, tmp_path, exists):
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    if exists:
        (folder / "answer").write_text("old")
    link.symlink_to("folder/answer")
    assert invoke(*ASK, str(link), url=provider.url).returncode == 0
    assert (os.readlink(link), (folder / "answer").read_text()) == ("folder/answer", "Hello\n")
    assert (names(tmp_path), names(folder)) == (["folder", "link"], ["answer"])


def test_a_long_name(invoke, provider, tmp_path):
    name = "é" * 127  # 254 bytes
    assert invoke(*ASK, name, url=provider.url, cwd=tmp_path).returncode == 0
    assert names(tmp_path) == [name]


def test_what_is_no_regular_file_is_written_directly(run, provider, cut, tmp_path):
    for path in ("/dev/stdout", "-", "/dev/fd/1"):
        done = run(*ASK, path, url=provider.url, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"Hello\n", b"")
    done = run(*ASK, "/dev/stderr", url=provider.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"Hello\n")
    done = run(*ASK, "/dev/stdout", url=cut.url)
    assert (done.returncode, done.stdout, done.stderr) == (5, b"Hello", BREAKS_OFF)
    assert run(*ASK, "/dev/null", url=provider.url).returncode == 0


def test_stdout_that_is_a_file_is_not_replaced(run, provider, tmp_path):
    path = tmp_path / "answers"
    with path.open("ab") as stdout:
        stdout.write(b"first\n")
        stdout.flush()
        argv = [*LLMSTREAM, *ASK, "/dev/stdout"]
        subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=stdout, env=at(provider.url), check=True, timeout=WAIT_S)
    assert path.read_text() == "first\nHello\n"


def test_a_fifo(tmp_path, provider):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    argv = [*LLMSTREAM, *ASK, str(fifo)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, env=at(provider.url)) as process:
        assert fifo.read_bytes() == b"Hello\n"
        assert process.wait(WAIT_S) == 0
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_device(run, provider):
    done = run(*ASK, "/dev/full", url=provider.url)
    assert (done.returncode, done.stdout) == (5, b"")
    assert done.stderr == b"llmstream gen: cannot write to /dev/full: No space left on device\n"


def test_a_full_disk_leaves_the_file_as_it_was(run, provider, tmp_path):
    import resource

    path = tmp_path / "answer"
    path.write_text("old")
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3, 3))  # noqa: E731
    done = run(*ASK, str(path), url=provider.url, preexec_fn=limit)
    assert done.returncode == 5
    lines = f"cannot write to {path}: File too large", f"{path} is left as it was"
    assert done.stderr.decode().splitlines() == [f"llmstream gen: {line}" for line in lines]
    assert (names(tmp_path), path.read_text()) == (["answer"], "old")


def test_what_cannot_be_written_is_an_error_before_anything_is_sent(invoke, provider, tmp_path):
    cases = {
        "no/answer": f"cannot write no/answer: cannot create a file in {tmp_path}/no: No such file or directory",
        ".": "cannot write .: Is a directory",
        "new/": "cannot write new/: Is a directory",
        "": "cannot write '': No such file or directory",
        "loop": "cannot write loop: Too many levels of symbolic links",
        "/dev/fd/99": "cannot write /dev/fd/99: Bad file descriptor",
    }
    (tmp_path / "loop").symlink_to("loop")
    for path, message in cases.items():
        done = invoke(*ASK, path, url=provider.url, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", f"llmstream gen: {message}\n")
    assert provider.requests == []
    assert names(tmp_path) == ["loop"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_permissions_that_forbid_it(invoke, provider, tmp_path):
    (tmp_path / "answer").write_text("old")
    (tmp_path / "answer").chmod(0o400)
    done = invoke(*ASK, "answer", url=provider.url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, b"llmstream gen: cannot write answer: Permission denied\n")
    (tmp_path / "answer").chmod(0o600)
    tmp_path.chmod(0o500)
    done = invoke(*ASK, "answer", url=provider.url, cwd=tmp_path)
    tmp_path.chmod(0o700)
    assert done.returncode == 2
    assert done.stderr.decode().endswith(f"cannot create a file in {tmp_path}: Permission denied\n")
    assert provider.requests == []


def test_the_output_can_be_the_input(run, provider, tmp_path):
    path = tmp_path / "notes"
    path.write_text("Question")
    with path.open("rb") as stdin:
        argv = [*LLMSTREAM, "gen", "-m", "openai/m", "-O", str(path)]
        subprocess.run(argv, stdin=stdin, env=at(provider.url), check=True, timeout=WAIT_S)
    assert provider.requests[0].prompt == "Question"
    assert path.read_text() == "Hello\n"


@pytest.mark.parametrize(
    ("command", "first", "second"),
    [
        ("map", "output", "journal"),
        ("map", "journal", "stats-file"),
        ("gen", "output", "stats-file"),
        ("gen", "output", "chat"),
        ("gen", "chat", "record"),
        ("gen", "chat", "stats-file"),
        ("gen", "record", "stats-file"),
    ],
)
def test_two_outputs_to_one_file(invoke, provider, tmp_path, command, first, second):
    (tmp_path / "link").symlink_to("file")
    args = [command, "-m", "openai/m", f"--{first}=link", f"--{second}=file"]
    done = invoke(*args, input=b"Hi\n", url=provider.url, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.decode() == f"llmstream {command}: --{first} and --{second} name the same file: link\n"
    assert (names(tmp_path), provider.requests) == (["link"], [])


def test_outputs_may_share_a_device(invoke, provider):
    args = ["gen", "-m", "openai/m", "-O", "/dev/null", "--stats-file=/dev/null", "--record=/dev/null", "Hi"]
    assert invoke(*args, url=provider.url).returncode == 0


@pytest.mark.parametrize("args", [["map", "--journal=-"], ["gen", "--chat="], ["gen", "--record=-"]])
def test_a_hyphen_and_nothing_name_no_file(invoke, provider, tmp_path, args):
    done = invoke(*args, "-m", "openai/m", input=b"Hi\n", url=provider.url, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b" needs the name of a file, not '" in done.stderr
    assert (names(tmp_path), provider.requests) == ([], [])


def test_events_and_a_dry_run(invoke, provider, tmp_path):
    path = tmp_path / "out"
    assert invoke(*ASK, str(path), "--events", url=provider.url).returncode == 0
    assert [json.loads(line)["type"] for line in path.read_text().splitlines()] == ["start", "text", "usage", "finish"]
    assert invoke(*ASK, str(path), "--dry-run", url=provider.url).returncode == 0
    assert path.read_text().startswith("POST ")


def test_map(invoke, provider, tmp_path):
    path = tmp_path / "answers"
    done = invoke("map", "-q", "-m", "openai/m", "-O", str(path), input=b"a\nb\n", url=provider.url)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [record["text"] for record in records_of(path.read_bytes())] == ["Hello", "Hello"]


def failing_at_b(request):
    return CUT if request.prompt == "b" else HELLO


def test_map_keeps_answers_beside_the_file_when_some_failed(invoke, tmp_path):
    path = tmp_path / "answers"
    path.write_text("old")
    with Provider(failing_at_b) as provider:
        args = ["map", "-q", "-m", "openai/m", "--retries=0", "-O", str(path)]
        done = invoke(*args, input=b"a\nb\n", url=provider.url)
    assert (done.returncode, done.stdout) == (5, b"")
    partial = tmp_path / "answers.partial"
    failure, note = done.stderr.decode().splitlines()
    assert failure.startswith("llmstream map: 1 prompt failed: the stream ended ")
    assert note == f"llmstream map: {path} is left as it was: all records are in {partial}"
    assert (names(tmp_path), path.read_text()) == (["answers", "answers.partial"], "old")
    assert [("error" in record) for record in records_of(partial.read_bytes())] == [False, True]


@pytest.mark.parametrize("name", ["m" * 250, "taken"])
def test_records_that_cannot_be_put_beside_the_file_stay_where_they_are(invoke, tmp_path, name):
    (tmp_path / "taken.partial").mkdir()
    with Provider(failing_at_b) as provider:
        args = ["map", "-q", "-m", "openai/m", "--retries=0", "-O", name]
        done = invoke(*args, input=b"a\nb\n", url=provider.url, cwd=tmp_path)
    before, _, path = done.stderr.decode().splitlines()[-1].rpartition("all records are in ")
    assert (done.returncode, before) == (5, f"llmstream map: {name} is not written: ")
    with open(path, "rb") as file:
        assert len(records_of(file.read())) == 2


def test_a_note_names_the_file_beside_the_target_of_a_link(invoke, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/answers")
    with Provider(failing_at_b) as provider:
        args = ["map", "-q", "-m", "openai/m", "--retries=0", "-O", "link"]
        done = invoke(*args, input=b"b\n", url=provider.url, cwd=tmp_path)
    assert done.stderr.decode().endswith(f"all records are in {tmp_path}/folder/answers.partial\n")
    assert names(tmp_path / "folder") == ["answers.partial"]


def test_map_keeps_the_answers_before_an_error_that_ends_it(invoke, provider, tmp_path):
    args = ["map", "-q", "-m", "openai/m", "-O", "answers"]
    too_long = b"x" * ((64 << 20) + 1)
    done = invoke(*args, input=b"a\n" + too_long, url=provider.url, cwd=tmp_path)
    note, error = done.stderr.decode().splitlines()
    assert note == "llmstream map: answers is not written: the records so far are in answers.partial"
    assert (done.returncode, "longer than" in error) == (5, True)
    assert [record["text"] for record in records_of((tmp_path / "answers.partial").read_bytes())] == ["Hello"]
    done = invoke(*args, "--api=wrong", input=b"a\n", url=provider.url, cwd=tmp_path)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)


def test_map_keeps_the_answers_before_a_signal(tmp_path):
    def script(request):
        return HELLO if request.prompt == "a" else [head(), HOLD]

    with Provider(script) as provider:
        argv = [*LLMSTREAM, "map", "-q", "-m", "openai/m", "-O", "answers"]
        pipes = dict.fromkeys(("stdin", "stderr"), subprocess.PIPE)
        with subprocess.Popen(argv, **pipes, env=at(provider.url), cwd=tmp_path) as process:
            process.stdin.write(b"a\nb\n")
            process.stdin.flush()
            wait_until(lambda: any(path.stat().st_size for path in tmp_path.iterdir()))
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=WAIT_S)
        assert process.returncode == -signal.SIGINT
    assert stderr == b"llmstream map: answers is not written: the records so far are in answers.partial\n"
    assert len(records_of((tmp_path / "answers.partial").read_bytes())) == 1


def test_map_with_a_journal_completes_the_file_in_the_next_run(invoke, tmp_path):
    path, journal = tmp_path / "answers", tmp_path / "journal"
    failing = True

    def script(request):
        return failing_at_b(request) if failing else HELLO

    with Provider(script) as provider:
        args = ["map", "-q", "-m", "openai/m", "--retries=0", "-O", str(path), "--journal", str(journal)]
        done = invoke(*args, input=b"a\nb\n", url=provider.url)
        assert (done.returncode, names(tmp_path)) == (5, ["journal"])
        advice = "run the same command again for the prompts that failed"
        assert done.stderr.decode().splitlines()[1:] == [f"llmstream map: {path} is not written: {advice}"]
        failing = False
        assert invoke(*args, input=b"a\nb\n", url=provider.url).returncode == 0
        assert [request.prompt for request in provider.requests].count("a") == 1
    assert [record["text"] for record in records_of(path.read_bytes())] == ["Hello", "Hello"]
    assert names(tmp_path) == ["answers", "journal"]
