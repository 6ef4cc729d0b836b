"""The file that a store is written to: it keeps failed writes in mind, and the disk busy."""

import io
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import h5py
import numpy as np

from agentic.errors import AgenticError

# The oldest layout with checksums over its structure: without them, one flipped bit can crash HDF5.
LIBRARY = ("v108", "v108")
# Arrays start on a cache line, so that a map of them is aligned for every dtype.
ALIGNMENT = 64


class Output(io.FileIO):
    """A file that remembers its first failed write instead of raising it.

    HDF5 2.0 ends the process with a segmentation fault when it closes a file that it could not
    write, on a full disk for one. It writes to this instead, and `check` raises what happened.
    """

    # When the last episode has been read, the disk is behind with at most twice as many bytes.
    sync_every = 2**26

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._failure: OSError | None = None
        self._pool, self._unsynced, self._lock = ThreadPoolExecutor(1), 0, Lock()
        self._syncing = self._pool.submit(int)

    @staticmethod
    def free_bytes(folder: Path) -> int:
        """Return the free space in a folder."""
        return shutil.disk_usage(folder).free

    @classmethod
    def check_space(cls, folder: Path, needed: int) -> None:
        """Raise AgenticError if `folder` has less than `needed` bytes free."""
        free = cls.free_bytes(folder)
        if needed > free:
            raise AgenticError(
                f"the store needs {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB free; "
                "free space or choose another place."
            )

    def close(self) -> None:
        self._pool.shutdown()
        super().close()

    def put(self, offset: int, array: np.ndarray) -> None:
        """Write an array's bytes at `offset`, past HDF5, whose own way costs as much as reading.

        Any thread may call this, because no two write the same place.
        """
        data = memoryview(np.ascontiguousarray(array)).cast("B")
        size = len(data)
        while data:
            written = self.write_at(offset, data)
            data, offset = data[written:], offset + written
        with self._lock:
            self._unsynced += size
            if self._unsynced > self.sync_every and self._syncing.done():
                # The system tells a disk's failure once, so this may be the only one to hear it.
                self._syncing.result()
                # The disk works while the next episodes are read, not after the last of them.
                self._unsynced, self._syncing = 0, self._pool.submit(self.sync)

    def write_at(self, offset: int, data: memoryview) -> int:
        """Write bytes at an offset; return how many of them were written."""
        return os.pwrite(self.fileno(), data, offset)

    def sync(self) -> None:
        """Wait until all that was written is on the disk."""
        os.fdatasync(self.fileno())

    def write(self, data: memoryview) -> int:
        """Write for HDF5, which is told of no failure."""
        try:
            written = 0
            while self._failure is None and written < len(data):
                written += super().write(data[written:])
        except OSError as error:
            self._failure = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Change the file's size for HDF5, which is told of no failure."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._failure = self._failure or error
            return self.tell() if size is None else size

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        self._syncing.result()
        if self._failure is not None:
            raise self._failure


@contextmanager
def changeable(
    path: Path, new: bool, output_type: type[Output] = Output
) -> Iterator[tuple[h5py.File, Output]]:
    """Open an HDF5 file for writing, a new one or one that is there."""
    with output_type(path, "w+" if new else "r+") as output:
        options = {"alignment_threshold": 1, "alignment_interval": ALIGNMENT}
        with h5py.File(output, "w" if new else "r+", libver=LIBRARY, **options) as file:
            yield file, output
        output.check()
