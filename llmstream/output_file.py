"""The file of `-O`: it holds the whole output of a command, or is left as it was.

The output goes to a temporary file in the same directory, which takes the file's place at the end. So another process
sees the old content or the new, after a crash and a power failure too.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from types import TracebackType

from . import signals, stdio
from .errors import Error, OutputFailed, UsageError

TEMPORARY_NAME = ".{}.{}.tmp"  # of the file's name and random digits
NAME_CHARACTERS = 50  # of the file's name in that of the temporary file: a name may have 255 bytes
PARTIAL = ".partial"  # the suffix of a file that keeps an output with failures
DESCRIPTOR = re.compile(r"/dev/(?:fd/(\d+)|std(in|out|err))")
ACL = "system.posix_acl_access"  # the attribute that holds an access control list on Linux


class OutputFile:
    """A context in which stdout is a file that appears whole at `commit`, and is left as it was without one.

    Permissions, owner and access control list of a file that exists are those of the new one, as far as the system
    allows; a symbolic link stays, and the file that it leads to is replaced. What is no regular file, such as a device
    or a FIFO, is written directly; so are `-`, /dev/stdout and /dev/fd/N. Raises UsageError where the file cannot be
    written, and OutputFailed where `commit` fails.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._target = os.path.realpath(path)
        self._temporary = ""  # the path of the temporary file, "" where there is none
        self._saved = -1  # a duplicate of the descriptor that stdout was before

    def __enter__(self) -> OutputFile:
        try:
            fd = self._open()
            if fd != stdio.STDOUT:
                self._saved = stdio.redirect_stdout(fd, self.path)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with signals.SignalsDeferred():
            if self._saved >= 0:
                stdio.restore_stdout(self._saved)
            if self._discard() and isinstance(error, Error) and not isinstance(error, UsageError):
                error.hint = "\n".join(filter(None, (error.hint, self.outcome)))

    def _discard(self) -> bool:
        """Removes the temporary file; returns whether there was one."""
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)
        return bool(self._temporary)

    @property
    def _shown(self) -> str:
        return self.path if self.path and self.path.isprintable() else repr(self.path)

    @property
    def outcome(self) -> str:
        """What has become of the file, where the output is not whole."""
        return f"{self._shown} is {'left as it was' if os.path.lexists(self._target) else 'not written'}"

    @property
    def is_direct(self) -> bool:
        """Whether the output goes to its place at once."""
        return not self._temporary

    def clear(self) -> None:
        """Drops the output so far, which another one replaces; not for one that is direct. Raises OutputFailed."""
        try:
            os.ftruncate(stdio.STDOUT, 0)
            os.lseek(stdio.STDOUT, 0, os.SEEK_SET)
        except OSError as error:
            raise OutputFailed(f"cannot write {self._shown}: {error.strerror}") from None

    def commit(self) -> None:
        """Puts the whole output in its place, and on the disk."""
        self._rename(self._target)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been written."""
        return not os.fstat(stdio.STDOUT).st_size

    def keep(self) -> str:
        """Puts the output beside its place, as FILE.partial, or leaves it where it is; returns its path."""
        target, temporary = self._target + PARTIAL, self._temporary
        try:
            self._rename(target)
        except OutputFailed:
            self._temporary = ""
            return temporary
        return target if os.path.islink(self.path) else self.path + PARTIAL

    def _rename(self, target: str) -> None:
        if not self._temporary:
            return
        try:
            os.fsync(stdio.STDOUT)
            os.rename(self._temporary, target)
        except OSError as error:
            raise OutputFailed(f"cannot write {self._shown}: {error.strerror}") from None
        self._temporary = ""
        with contextlib.suppress(OSError):  # not all file systems can
            directory = os.open(os.path.dirname(target), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)

    def _open(self) -> int:
        """Returns the descriptor to write to."""
        if self.path == "-":
            return stdio.STDOUT
        if match := DESCRIPTOR.fullmatch(self.path):
            number = int(match[1] or ("in", "out", "err").index(match[2]))
            if number == stdio.STDOUT:
                return number
            with self._usage_errors():
                return os.dup(number)
        with self._usage_errors():
            try:
                status = os.stat(self.path)
            except FileNotFoundError:
                if not self.path:
                    raise
                status = None
            if self.path.endswith("/") or (status and stat.S_ISDIR(status.st_mode)):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if status and not stat.S_ISREG(status.st_mode):
                return os.open(self.path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
            if status and not os.access(self.path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return self._create(status)

    @contextlib.contextmanager
    def _usage_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # a ValueError is a NUL
            reason = error.strerror if isinstance(error, OSError) else "this cannot be a file's name"
            raise UsageError(f"cannot write {self._shown}: {reason}") from None

    def _create(self, status: os.stat_result | None) -> int:
        """Creates the temporary file; `status` is that of the file that it will replace, None for a new one."""
        folder, name = os.path.split(self._target)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        while not self._temporary:
            path = os.path.join(folder, TEMPORARY_NAME.format(name[:NAME_CHARACTERS], os.urandom(6).hex()))
            try:
                with signals.SignalsDeferred():
                    fd = os.open(path, flags, 0o600 if status else 0o666)
                    self._temporary = path
            except FileExistsError:
                continue
            except OSError as error:
                message = f"cannot write {self._shown}: cannot create a file in {folder}: {error.strerror}"
                raise UsageError(message) from None
        if status:
            self._copy_permissions(fd, status)
        return fd

    def _copy_permissions(self, fd: int, status: os.stat_result) -> None:
        """Makes owner, mode and access control list those of the file that is replaced.

        Where the owner or the group cannot be kept, the rights that its members had are not given to others.
        """
        mode = stat.S_IMODE(status.st_mode)
        with contextlib.suppress(OSError):  # for root alone
            os.fchown(fd, status.st_uid, -1)
        with contextlib.suppress(OSError):  # for members
            os.fchown(fd, -1, status.st_gid)
        created = os.fstat(fd)
        if created.st_uid != status.st_uid:
            mode &= ~stat.S_ISUID
        if created.st_gid != status.st_gid:
            mode &= ~(stat.S_ISGID | stat.S_IRWXG) | (mode & stat.S_IRWXO) << 3
        elif hasattr(os, "setxattr"):
            with contextlib.suppress(OSError):  # it has none
                os.setxattr(fd, ACL, os.getxattr(self._target, ACL))
        with contextlib.suppress(OSError):  # a file system without permissions
            os.fchmod(fd, mode)
