"""One process at a time: jobs of one array must not write the same file."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agentic.errors import AgenticError


@contextmanager
def locked(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock file `path`, or raise AgenticError(otherwise) if another process holds it.

    The system gives the lock back when its process ends, however it ends. Where the file system
    has no locks, nothing is held.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _taken(descriptor, path):
            raise AgenticError(otherwise)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _taken(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    # The last holder may have removed the file after we opened it: then the lock is on nothing.
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def is_held(path: Path) -> bool:
    """Return whether another process holds the lock file `path`; where there are no locks, no."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in (errno.EWOULDBLOCK, errno.EACCES)
    finally:
        os.close(descriptor)
    return False
