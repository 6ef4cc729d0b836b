"""Files and folders that are written whole or not at all, and lock files.

Only one process at a time may write a file: jobs of one array must not write the same one.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentic.errors import AgenticError

# The errors of a file system without locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP)


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` that takes its name when the block ends well.

    If `path` is a link, the file that it leads to is written, and the link stays. On any
    exception, Ctrl-C included, the temporary file is removed and `path` stays as it was.
    An OSError (a full disk, a folder without permission) becomes an AgenticError.
    """
    with _renamed(path.resolve() if path.is_symlink() else path) as temporary:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or leave `path` as it was and raise AgenticError."""
    with written_whole(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def folder_written_whole(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path` that takes its name when the block ends well.

    `path` must not exist, or be an empty folder. On any exception the new folder is removed. An
    OSError becomes an AgenticError.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise AgenticError(f"{path} exists already; choose another name or remove it first.")
    with _renamed(path) as temporary:
        # A killed process may have left one.
        _remove(temporary)
        temporary.mkdir()
        yield temporary


@contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """Yield the temporary path, which is renamed in the end and never left behind."""
    # The name does not end in .npz or .h5, so that a listing of data does not include it.
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise AgenticError(
            f"{path} could not be written ({reason}); nothing was left behind, "
            "so free space or choose another place and run it again."
        ) from error
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    """Remove a file or folder if it exists, as far as that is possible."""
    shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink()


@contextmanager
def locked(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock file `path`, or raise AgenticError(otherwise) if another process holds it.

    The system releases the lock when its process ends, in whatever way. If the file system has no
    locks, nothing is held.
    """
    # Most commands lock nothing and need not wait for this import.
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    # Not bound to a thread, because another thread may close a generator that holds a lock.
    lock = FileLock(path, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise AgenticError(otherwise) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    try:
        yield
    finally:
        # The file is removed while the lock is held. A process that has just opened it finds that
        # its name is gone, and tries again.
        path.unlink(missing_ok=True)
        lock.release()


def is_held(path: Path) -> bool:
    """Return whether a process holds the lock file `path`; False if there are no locks."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        # A shared lock, so that two processes that only look do not see each other as the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    finally:
        os.close(descriptor)
    return False
