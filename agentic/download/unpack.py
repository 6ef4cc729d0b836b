"""Unpacking a zip that came from a stranger: every name, size and checksum is checked.

The table of contents is judged before anything is written. While a member is written, its size and
its CRC must turn out as the table says.
"""

import errno
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from agentic.download.disk import readable
from agentic.download.manifest import MANIFEST, Member, is_episode
from agentic.errors import AgenticError

UNPACKED_AT_A_TIME = 2**20  # bytes
# The end record with the longest comment, and the two that large archives have before it.
_LONGEST_END = 22 + 0xFFFF + 20 + 56
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, UnicodeError, ValueError, OverflowError)


class Damaged(Exception):
    """The bytes of the archive are not those that were packed."""


@dataclass(frozen=True)
class Limits:
    """What a data set of episodes and videos never exceeds; a zip bomb does.

    Attributes:
        members: the largest data set has 40 thousand episodes.
        member_bytes: an episode has less than a megabyte, a video a few.
        ratio: unpacked bytes per packed byte, of the whole and of every member; episodes are
            compressed before they are packed, so theirs is close to 1.
        ratio_from: bytes below which a ratio means nothing.
    """

    members: int = 200_000
    member_bytes: int = 2**30
    ratio: float = 20.0
    ratio_from: int = 2**20


def read_members(path: Path, limits: Limits) -> list[Member]:
    """Return the files in the archive, judged but not yet read.

    Raises:
        Damaged: this is not a zip, or its table of contents is broken.
        AgenticError: a member breaks a rule; the message says which.
    """
    with _opened(path) as archive:
        return [_member(info) for info in _judged(archive, path, limits)]


def unpack(path: Path, folder: Path, limits: Limits) -> Iterator[int]:
    """Write all files of the archive below `folder`, which is new; yield the bytes written so far.

    Raises:
        Damaged: a member has another size or CRC than the table of contents says.
        AgenticError: a member breaks a rule, or the disk is full.
    """
    done = 0
    with _opened(path) as archive:
        for info in _judged(archive, path, limits):
            size = 0
            with _create(folder / info.filename) as file, archive.open(info) as packed:
                while data := packed.read(UNPACKED_AT_A_TIME):
                    size += len(data)
                    if size > info.file_size:
                        raise Damaged(f"{info.filename} is larger than it says")
                    _write(file, data)
                    yield done + size
            if size != info.file_size:
                raise Damaged(f"{info.filename} ends after {size} of {info.file_size} bytes")
            done += size


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; every exception that its bytes make zipfile raise becomes Damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _DAMAGE as error:
        raise Damaged(str(error) or "it ends too early") from error
    except OSError as error:
        # A table of contents that points to a place before the beginning.
        if error.errno != errno.EINVAL:
            raise
        raise Damaged("its table of contents points nowhere") from error
    except (NotImplementedError, RuntimeError) as error:
        raise AgenticError(
            f"{path} cannot be unpacked ({error}); delete it and use another --mirror."
        ) from error


def _create(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")
    except OSError as error:
        raise _unwritten(path, error) from error


def _write(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        raise _unwritten(file.name, error) from error


def _unwritten(path: Path | str, error: OSError) -> AgenticError:
    return AgenticError(
        f"{path} could not be written ({error.strerror}); the archive is kept, so free space "
        "(or raise your quota) and run the same command again."
    )


def _judged(archive: zipfile.ZipFile, path: Path, limits: Limits) -> list[zipfile.ZipInfo]:
    """Return the files to unpack, without folders, once all rules hold."""
    infos = archive.infolist()
    if _announced(archive) != len(infos):
        raise Damaged(f"its table of contents has {len(infos)} of {_announced(archive)} members")
    complaint = next(_complaints(infos, path.stat().st_size, limits), None)
    if complaint:
        raise AgenticError(
            f"{path} was not unpacked: {complaint}; look at it, delete it, and use another "
            "--mirror."
        )
    return [info for info in infos if not info.is_dir()]


def _announced(archive: zipfile.ZipFile) -> int:
    """Return the number of members that the end of the archive names.

    The table of contents has no checksum, and zipfile does not compare: one damaged length in it
    makes all later members disappear.
    """
    file = archive.fp
    file.seek(max(0, file.seek(0, 2) - _LONGEST_END))
    tail = file.read()
    end = tail.rfind(b"PK\5\6")
    count = int.from_bytes(tail[end + 10 : end + 12], "little")
    if count < 0xFFFF:
        return count
    end = tail.rfind(b"PK\6\6", 0, end)
    if end < 0:
        raise Damaged("it ends without its number of members")
    return int.from_bytes(tail[end + 32 : end + 40], "little")


def _complaints(infos: list[zipfile.ZipInfo], size: int, limits: Limits) -> Iterator[str]:
    if len(infos) > limits.members:
        yield f"it has {len(infos)} members, more than {limits.members}"
    for info in infos:
        yield from _complaints_of_name(info)
        yield from _complaints_of_size(info, limits)
    yield from _collisions(infos)
    unpacked = sum(info.file_size for info in infos)
    if sum(info.compress_size for info in infos) > size:
        yield "its members overlap, as in a zip bomb"
    if unpacked > max(limits.ratio * size, limits.ratio_from):
        yield f"its {readable(size)} would unpack to {readable(unpacked)}, as in a zip bomb"
    if not any(is_episode(info.filename) for info in infos):
        yield "it holds no episode (buffer/*.npz), so it is not an ExoRL data set"


def _complaints_of_name(info: zipfile.ZipInfo) -> Iterator[str]:
    # zipfile changes some names: the one in the archive counts, and so does the one it makes.
    for name in {info.orig_filename, info.filename}:
        yield from _complaints_of_path(name, info)


def _complaints_of_path(name: str, info: zipfile.ZipInfo) -> Iterator[str]:
    shown = repr(name[:100])
    if name.startswith("/") or re.match("[A-Za-z]:", name):
        yield f"member {shown} has an absolute path"
    if "\\" in name or not name.isprintable():
        yield f"member {shown} has a backslash or a control character in its name"
    parts = name.removesuffix("/").split("/")
    if {"", ".", ".."} & set(parts):
        yield f"member {shown} has an empty, '.' or '..' part in its path"
    if max(len(part.encode()) for part in parts) > 255 or len(parts) > 8:
        yield f"member {shown} has too long a path"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        yield f"member {shown} is a link or a device, not a file"
    if (kind and (kind == stat.S_IFDIR) != info.is_dir()) or (info.is_dir() and info.file_size):
        yield f"member {shown} is called a folder and a file"
    if name.casefold() == MANIFEST:
        yield f"member {shown} has a name that is kept for this toolkit"


def _complaints_of_size(info: zipfile.ZipInfo, limits: Limits) -> Iterator[str]:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # zipfile sets no bound to what a block of another method unpacks to.
        yield f"member {info.filename!r} is packed by method {info.compress_type} of zip"
    unpacked = info.file_size
    large = unpacked > limits.ratio_from
    if unpacked > limits.member_bytes or (large and unpacked > limits.ratio * info.compress_size):
        yield (
            f"member {info.filename!r} would unpack from {readable(info.compress_size)} to "
            f"{readable(unpacked)}, as in a zip bomb"
        )


def _collisions(infos: list[zipfile.ZipInfo]) -> Iterator[str]:
    # Folded, because some file systems hold A and a for the same.
    files = set()
    for info in infos:
        name = info.filename.casefold()
        if not info.is_dir():
            if name in files:
                yield f"two members are called {info.filename!r}"
            files.add(name)
    for info in infos:
        name = info.filename.casefold().rstrip("/")
        folders = name.split("/")[: None if info.is_dir() else -1]
        for depth in range(1, len(folders) + 1):
            if "/".join(folders[:depth]) in files:
                yield f"member {info.filename!r} lies in a member that is a file"


def _member(info: zipfile.ZipInfo) -> Member:
    return Member(info.filename, info.file_size, info.CRC)
