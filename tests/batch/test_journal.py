"""The journal: processes killed while they write, full disks, files that are not journals."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmstream import locked_file
from llmstream.batch import journal as module
from llmstream.batch.journal import HEAD, Journal, digest
from llmstream.errors import OutputFailed, UsageError

from ..conftest import environment


@contextlib.contextmanager
def opened(path) -> Iterator[Journal]:
    journal = Journal(str(path))
    try:
        yield journal
    finally:
        journal.close()


def record(number: int, size: int = 20) -> dict[str, object]:
    return {"index": number, "text": "é" * size}


def fill(path, *keys: str) -> None:
    with opened(path) as journal:
        for number, key in enumerate(keys):
            journal.add(key, f"digest of {key}", record(number))
        journal.commit()


def indexes(path, *keys: str) -> list[object]:
    """Returns the index of each key's record, None for keys that are not in the journal."""
    with opened(path) as journal:
        records = [journal.find(key, f"digest of {key}") for key in keys]
    return [record and record["index"] for record in records]


def test_the_next_run_finds_the_records_of_earlier_ones(tmp_path):
    path = tmp_path / "journal"
    fill(path, "a", "b")
    fill(path, "c")
    assert indexes(path, "a", "b", "c", "d") == [0, 1, 0, None]
    lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    assert lines[:2] == [{"journal": 1}, {"key": "a", "digest": "digest of a", "record": record(0)}]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_pending_records_are_in_memory_and_a_commit_is_one_write(tmp_path, monkeypatch):
    path, sizes = tmp_path / "journal", []
    with opened(path) as journal:
        write = os.pwrite
        monkeypatch.setattr(os, "pwrite", lambda *args: sizes.append(size := write(*args)) or size)
        journal.add("a", "1", record(1))
        journal.add("b", "1", record(2))
        assert path.read_bytes() == HEAD
        journal.commit()
        assert len(journal.pending) == 0
        journal.commit()
    assert sizes == [path.stat().st_size - len(HEAD)]


def test_commit_syncs_the_file(tmp_path, monkeypatch):
    path, synced = tmp_path / "journal", []
    with opened(path) as journal:
        monkeypatch.setattr(locked_file, "fdatasync", lambda fd: synced.append(os.fstat(fd).st_size))
        journal.add("a", "1", record(1))
        journal.commit()
    assert synced == [path.stat().st_size]


def test_uncommitted_records_are_not_in_the_file(tmp_path):
    path = tmp_path / "journal"
    with opened(path) as journal:
        journal.add("a", "1", record(1))
    assert path.read_bytes() == HEAD


def test_a_run_does_not_find_its_own_records(tmp_path):
    with opened(tmp_path / "journal") as journal:
        journal.add("a", "1", record(1))
        journal.commit()
        assert journal.find("a", "1") is None


def test_a_changed_request_is_not_found_but_counted(tmp_path):
    path = tmp_path / "journal"
    fill(path, "a")
    with opened(path) as journal:
        assert journal.find("a", "another") is None
        assert journal.find("b", "another") is None
        assert journal.changed == 1
        assert journal.find("a", "digest of a") == record(0)
        assert journal.changed == 1


def test_the_later_of_two_lines_with_one_key_counts(tmp_path):
    path = tmp_path / "journal"
    fill(path, "a", "b", "a")
    assert indexes(path, "a", "b") == [2, 1]
    fill(path, "b")
    assert indexes(path, "a", "b") == [2, 0]


def test_a_file_cut_at_any_byte_of_its_last_two_lines(tmp_path):
    """The complete lines are in_journal, the incomplete one is cut off, and the next run appends."""
    path = tmp_path / "journal"
    fill(path, "a", "b", "c")
    whole = path.read_bytes()
    ends = [len(whole) - len(b"".join(whole.splitlines(keepends=True)[-count:])) for count in (2, 1)]
    for size in range(ends[0], len(whole) + 1):
        path.write_bytes(whole[:size])
        end = max(end for end in (*ends, len(whole)) if end <= size)
        with opened(path) as journal:
            assert journal.torn_bytes == size - end
            assert path.read_bytes() == whole[:end]
            journal.add("d", "digest of d", record(9))
            journal.commit()
        b, c = 1 if size >= ends[1] else None, 2 if size == len(whole) else None
        assert indexes(path, "a", "b", "c", "d") == [0, b, c, 9]
        assert path.read_bytes().startswith(whole[:end])


@pytest.mark.parametrize("size", range(len(HEAD) + 1))
def test_an_incomplete_head_is_written_again(size, tmp_path):
    path = tmp_path / "journal"
    path.write_bytes(HEAD[:size])
    fill(path, "a")
    assert path.read_bytes().startswith(HEAD + b'{"key": "a"')
    assert indexes(path, "a") == [0]


FOREIGN = {
    b"a,b\n1,2\n": ":1 is not a journal of map",
    b"\n": ":1 is not a journal of map",
    b"{}": ":1 is not a journal of map",
    b'{"journal": 2}\n': ":1 is not a journal of map",
    b'{"recording": 1}\n': ":1 is not a journal of map",
    b'{"journal": 1} ': ":1 is not a journal of map",
    HEAD + b"\n": ":2 is not a line of a journal of map",
    HEAD + b'{"key": "a", "digest": "1", "record": {}}\n{"index": 1}\n{"key"': ":3 is not a line of a journal of map",
    HEAD + b'{"key": "a", "digest": "1", "record": []}\n': ":2 is not a line of a journal of map",
    HEAD + b'{"key": 1, "digest": "1", "record": {}}\n': ":2 is not a line of a journal of map",
    HEAD + b'{"key": "a", "digest": null, "record": {}}\n': ":2 is not a line of a journal of map",
    HEAD + b"[]\n": ":2 is not a line of a journal of map",
    HEAD + b"1\n": ":2 is not a line of a journal of map",
    HEAD + b"[" * 100_000 + b"\n": ":2 is not a line of a journal of map",
    HEAD + b"\xff\0\n": ":2 is not a line of a journal of map",
}


@pytest.mark.parametrize("content", FOREIGN, ids=range(len(FOREIGN)))
def test_a_file_that_is_not_a_journal_is_not_changed(content, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UsageError) as raised:
        Journal(str(path))
    assert str(raised.value).startswith(f"{path}{FOREIGN[content]}: ")
    assert path.read_bytes() == content


def test_only_a_regular_file_can_be_a_journal(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(UsageError, match=r"the journal .*/fifo is not a regular file: name a regular file"):
        Journal(str(tmp_path / "fifo"))
    with pytest.raises(UsageError, match=r"cannot write .*: Is a directory"):
        Journal(str(tmp_path))
    with pytest.raises(UsageError, match="the journal /dev/null is not a regular file"):
        Journal("/dev/null")
    with pytest.raises(UsageError, match=r"cannot write .*/none/journal: No such file or directory"):
        Journal(str(tmp_path / "none" / "journal"))


OPEN = "import sys; from llmstream.batch.journal import Journal; from llmstream.errors import UsageError\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_journal_cannot_be_the_output(stream, tmp_path):
    code = f"{OPEN}try: Journal(sys.argv[1])\nexcept UsageError as error: print(error, file=sys.{stream})"
    path = tmp_path / "out"
    with path.open("wb") as file:
        done = subprocess.run([sys.executable, "-c", code, path], env=environment(), **{stream: file})
    assert done.returncode == 0
    assert path.read_text() == f"the journal {path} is the file that {stream} goes to: name another file\n"


COUNT = 30
WORK = f"""{OPEN}
import os
journal = Journal(sys.argv[1])
for number in range({COUNT}):
    if journal.find(str(number), "d") is None:
        os.read(0, 1) or exit()
        journal.add(str(number), "d", {{"index": number, "text": "x" * 50_000 * (number % 7)}})
        journal.commit()
        os.write(1, bytes([number]))
"""


def test_kill_9_at_any_point_loses_no_record_that_was_committed(tmp_path):
    """Each process may commit two more records after the one at which it is killed, so it dies within them."""
    path, committed, in_journal, runs = tmp_path / "journal", [], set(), 0
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    while len(in_journal) < COUNT:
        count = 1 + runs % 4
        with subprocess.Popen([sys.executable, "-c", WORK, path], env=environment(), **pipes) as process:
            process.stdin.write(b"." * (count + 2))
            for _ in range(count):
                committed += process.stdout.read(1)
            process.kill()
            committed += process.stdout.read()
        runs += 1
        with opened(path) as journal:
            in_journal = {number for number in range(COUNT) if journal.find(str(number), "d")}
        assert set(committed) <= in_journal
    assert len(committed) == len(set(committed)), "a record was committed twice"
    assert runs >= COUNT // 6


PIECEWISE = f"""{OPEN}
import os
real = os.pwrite
def pwrite(fd, data, offset):
    os.write(1, b".")
    os.read(0, 1)
    return real(fd, data[:500], offset)
os.pwrite = pwrite
journal = Journal(sys.argv[1])
for keys in ("a", "bc", "d"):
    for key in keys:
        journal.add(key, "digest of " + key, {{"index": ord(key), "text": "x" * 700}})
    journal.commit()
    os.write(1, keys.encode())
os.write(1, b"!")
"""


def test_kill_9_within_a_write(tmp_path):
    """Writes take 500 bytes at a time; the process is killed after each of these pieces."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
    stdout, pieces, torn = "", 0, 0
    while "!" not in stdout:
        path, stdout = tmp_path / f"journal {pieces}", ""
        with subprocess.Popen([sys.executable, "-c", PIECEWISE, path], env=environment(), **pipes) as process:
            process.stdin.write(b"." * pieces)
            while stdout.count(".") <= pieces and "!" not in stdout:
                stdout += process.stdout.read(1).decode()
            process.kill()
        size = path.stat().st_size
        with opened(path) as journal:
            records = [journal.find(key, f"digest of {key}") for key in "abcd"]
            torn += journal.torn_bytes > 0
            assert path.stat().st_size == max(size - journal.torn_bytes, len(HEAD))
        committed = stdout.replace(".", "").replace("!", "")
        in_journal = "".join(chr(entry["index"]) for entry in records if entry)
        assert "abcd".startswith(in_journal) and in_journal.startswith(committed)
        pieces += 1
    assert torn > 3


def test_a_second_process_is_refused_until_the_first_one_dies(tmp_path):
    path = tmp_path / "journal"
    code = f"{OPEN}journal = Journal(sys.argv[1]); print('here', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code, path], env=environment(), **pipes) as process:
        assert process.stdout.readline() == b"here\n"
        with pytest.raises(UsageError) as raised:
            Journal(str(path))
        assert str(raised.value) == f"another llmstream map uses {path}: wait for its end, or name another file"
        process.kill()
    fill(path, "a")
    assert indexes(path, "a") == [0]


@contextlib.contextmanager
def limit(size: int) -> Iterator[None]:
    """Limits the size of files in place of the disk's (Python ignores SIGXFSZ)."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


HINT = "make room, then run the same command again; it continues there"


def test_a_full_disk_leaves_complete_lines_and_pending_records(tmp_path):
    path = tmp_path / "journal"
    fill(path, "a")
    before = path.read_bytes()
    with opened(path) as journal:
        journal.add("b", "digest of b", record(1))
        journal.add("c", "digest of c", record(2))
        for room in (0, 1, 100, 200):  # within the first line and within the second
            with limit(len(before) + room), pytest.raises(OutputFailed) as raised:
                journal.commit()
            assert str(raised.value) == f"cannot write {path}: File too large: {HINT}"
            assert (path.read_bytes(), len(journal.pending)) == (before, 2)
        journal.commit()
        assert len(journal.pending) == 0
    assert indexes(path, "a", "b", "c") == [0, 1, 2]


def test_an_incomplete_line_that_cannot_be_cut_off_is_overwritten(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    fill(path, "a")
    end = path.stat().st_size
    with opened(path) as journal, monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", lambda fd, size: (_ for _ in ()).throw(OSError(errno.EIO, "")))
        journal.add("b", "digest of b", record(1))
        with limit(end + 50), pytest.raises(OutputFailed):
            journal.commit()
        assert path.stat().st_size == end + 50
        journal.add("c", "digest of c", record(2))
        journal.commit()
    assert indexes(path, "a", "b", "c") == [0, 1, 2]


def test_a_disk_that_fails_to_sync(tmp_path, monkeypatch):
    path = tmp_path / "journal"
    with opened(path) as journal:
        journal.add("a", "digest of a", record(1))
        with monkeypatch.context() as patch:
            patch.setattr(locked_file, "fdatasync", lambda fd: (_ for _ in ()).throw(OSError(errno.EIO, "")))
            with pytest.raises(OutputFailed, match="Input/output error"):
                journal.commit()
        assert (path.read_bytes(), len(journal.pending)) == (HEAD, 1)
        journal.commit()
    assert indexes(path, "a") == [1]


def test_no_room_for_the_head(tmp_path):
    path = tmp_path / "journal"
    with limit(5), pytest.raises(OutputFailed, match="File too large"):
        Journal(str(path))
    assert path.read_bytes() == b""
    fill(path, "a")


def test_a_file_system_that_is_full(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    try:
        path, ballast = tmp_path / "journal", tmp_path / "ballast"
        ballast.write_bytes(b"x" * 40_000)
        with opened(path) as journal:
            for number in range(5):
                journal.add(str(number), "d", record(number, 1000))  # 6 kB
            with pytest.raises(OutputFailed) as raised:
                journal.commit()
            assert str(raised.value) == f"cannot write {path}: No space left on device: {HINT}"
            assert (path.read_bytes(), len(journal.pending)) == (HEAD, 5)
            ballast.unlink()
            with pytest.raises(OutputFailed):
                for number in range(5, 20):
                    journal.add(str(number), "d", record(number, 1000))
                    journal.commit()
        with opened(path) as journal:
            assert journal.torn_bytes == 0
            in_journal = [number for number in range(20) if journal.find(str(number), "d")]
        assert in_journal == list(range(len(in_journal))) and 5 < len(in_journal) < 20
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_the_records_are_not_in_memory(tmp_path):
    """4 MB of records are indexed with about 130 bytes an entry."""
    path, count = tmp_path / "journal", 2000
    fill(path, *map(str, range(count)))
    with opened(path) as journal:
        for number in range(count):
            journal.add(f"more {number}", "d", {"text": "x" * 2000})
        journal.commit()
    tracemalloc.start()
    try:
        with opened(path) as journal:
            size, peak = tracemalloc.get_traced_memory()
            assert journal.find("more 7", "d") == {"text": "x" * 2000}
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 4_000_000
    assert size < 200 * 2 * count + module.READ_BYTES
    assert peak < 800_000


def test_a_line_that_another_program_has_overwritten_is_not_found(tmp_path):
    path = tmp_path / "journal"
    fill(path, "a", "b")
    with opened(path) as journal:
        path.write_bytes(path.read_bytes().replace(b'"a"', b'"c"').replace(b'"b"', b'"b]'))
        assert journal.find("a", "digest of a") is None
        assert journal.find("b", "digest of b") is None
        assert journal.changed == 0


def test_a_digest_does_not_depend_on_the_order_of_members():
    assert digest({"a": 1, "b": ["é", None]}) == digest({"b": ["é", None], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"}) != digest({"a": 1.5})
    assert digest({"a": "\ud800"}) != digest({"a": "\udfff"})
    assert (len(digest("")), digest([1])) == (32, digest((1,)))


def test_a_key_may_have_lone_surrogates_or_pairs(tmp_path):
    path = tmp_path / "journal"
    with opened(path) as journal:
        journal.add("\ud83d", "half", {})
        journal.add("\ud83d" + "\ude00", "whole", {})  # which JSON joins to one character
        journal.commit()
    with opened(path) as journal:
        assert journal.find("\ud83d", "half") == journal.find("\U0001f600", "whole") == {}
        assert journal.find("\ud83d" + "\ude00", "whole") == {}


ANY = st.characters(codec=None)  # surrogates as well
TEXT = st.text(ANY, max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ENTRY = st.tuples(TEXT, TEXT, st.dictionaries(TEXT, VALUES, max_size=3))


@given(runs=st.lists(st.lists(st.lists(ENTRY, max_size=3), max_size=3), max_size=3))
def test_any_record_that_is_added_is_found(runs, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "journal"
    model = {}
    for commits in runs:
        with opened(path) as journal:
            for entries in commits:
                for key, word, data in entries:
                    journal.add(key, word, data)
                    # JSON joins two surrogates to one character
                    model[json.loads(json.dumps(key))] = (key, *json.loads(json.dumps([word, data])))
                journal.commit()
    with opened(path) as journal:
        for key, word, data in model.values():
            assert journal.find(key, word) == data
        assert (journal.changed, journal.torn_bytes) == (0, 0)
