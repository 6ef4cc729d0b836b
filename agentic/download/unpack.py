"""Unpacking a zip that nobody vouches for: every name, size and checksum is checked.

The table of contents is judged before anything is written; while writing, each member must have the
size and the CRC that the table says.

Where a data set lands, and how far it has come.

    ROOT/walker/
      rnd.zip.partial         what has arrived of the archive
      rnd.zip.partial.json    its address, size and ETag, so that the rest can be asked for
      rnd.zip                 the archive, whole and verified, until it is unpacked
      rnd.unpacking/          being unpacked; begun anew after an interruption
      rnd/                    the data set: buffer/*.npz, video/*.mp4
      rnd/manifest.json       what was fetched, when, and every file in it

Each step ends with one rename, so whatever stands under its final name is whole.
"""

import errno
import json
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

from agentic.download.catalogue import DataSet
from agentic.errors import AgenticError
from agentic.files import write_bytes

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Source:
    """What the partial archive is part of; size and ETag are None where the server told none."""

    url: str
    size: int | None
    etag: str | None
    sha256: str | None = None  # once the whole archive is verified
    etag_verified: bool = False  # then: whether the ETag is a digest of the archive

    def same_file(self, other: "Source") -> bool:
        """Return whether bytes of the two may be joined: one size, and one ETag or address.

        A size that was not told agrees with any.
        """
        if len({self.size, other.size} - {None}) > 1 or self.etag != other.etag:
            return False
        return self.etag is not None or self.url == other.url


@dataclass(frozen=True)
class Member:
    """One unpacked file."""

    name: str  # such as buffer/episode_000000_1000.npz
    size: int
    crc32: int


@dataclass(frozen=True)
class Manifest:
    """What a finished data set consists of and where it came from."""

    data_set: str
    url: str
    size: int
    etag: str | None
    etag_verified: bool  # False where there is no ETag, or it is no digest of the archive
    sha256: str
    date: str
    members: tuple[Member, ...]

    @property
    def episodes(self) -> int:
        """The number of episodes."""
        return sum(is_episode(member.name) for member in self.members)

    @property
    def unpacked_bytes(self) -> int:
        """The size of all files."""
        return sum(member.size for member in self.members)


@dataclass(frozen=True)
class Status:
    """How far a data set has come: absent, partial, archive, complete, foreign or damaged.

    Foreign: episodes without a manifest. Damaged: a manifest that cannot be read.
    """

    kind: str
    episodes: int | None = None
    bytes: int = 0
    total_bytes: int | None = None  # of the archive, while it is partial


class Landing:
    """The paths of one data set below a root."""

    def __init__(self, root: Path, data_set: DataSet):
        self.data_set = data_set
        self.folder = root / data_set.domain.name / data_set.algorithm.name
        parent, name = self.folder.parent, self.folder.name
        self.archive = parent / f"{name}.zip"
        self.partial = parent / f"{name}.zip.partial"
        self.source_file = parent / f"{name}.zip.partial.json"
        self.unpacking = parent / f"{name}.unpacking"
        self.manifest_file = self.folder / MANIFEST
        self.lock = parent / f".{name}.lock"

    def received(self) -> int:
        """Return how many bytes of the archive have arrived."""
        return self.partial.stat().st_size if self.partial.exists() else 0

    def source(self) -> Source | None:
        """Return what the partial archive is part of; None if that is not known."""
        try:
            return Source(**json.loads(self.source_file.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write_source(self, source: Source) -> None:
        """Write down what the partial archive is part of."""
        write_bytes(self.source_file, json.dumps(asdict(source), indent=1).encode() + b"\n")

    def forget(self) -> None:
        """Remove what a download leaves on its way; never an archive that someone else put here."""
        source = self.source()
        remove_folder(self.unpacking)
        self.partial.unlink(missing_ok=True)
        if source is not None and source.sha256 is not None:
            self.archive.unlink(missing_ok=True)
        self.source_file.unlink(missing_ok=True)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest into the folder being unpacked, as its last file."""
        content = json.dumps(asdict(manifest), indent=1).encode() + b"\n"
        write_bytes(self.unpacking / MANIFEST, content)

    def manifest(self) -> Manifest | None:
        """Return the manifest of a finished data set, or None if there is none."""
        return read_manifest(self.manifest_file)

    def check(self, manifest: Manifest) -> None:
        """Raise AgenticError unless every episode of the manifest is here with its size.

        Videos may be deleted to save space.
        """
        lost = [
            member.name
            for member in manifest.members
            if is_episode(member.name) and _size(self.folder / member.name) != member.size
        ]
        if lost:
            raise AgenticError(
                f"{self.folder} was complete once, but {len(lost)} of {manifest.episodes} episodes "
                f"are now missing or changed (first: {lost[0]}); move it away and download again."
            )

    def status(self) -> Status:
        """Return how far the data set has come."""
        try:
            manifest = self.manifest()
        except AgenticError:
            return Status("damaged")
        if manifest is not None:
            return Status("complete", manifest.episodes, manifest.unpacked_bytes)
        found = [*self.folder.glob("*.npz"), *self.folder.glob("buffer/*.npz")]
        if found:
            return Status("foreign", len(found), sum(path.stat().st_size for path in found))
        if self.archive.exists():
            return Status("archive", bytes=self.archive.stat().st_size)
        if self.partial.exists():
            source = self.source()
            return Status("partial", None, self.received(), source.size if source else None)
        return Status("absent")


def read_manifest(path: Path) -> Manifest | None:
    """Return the manifest in a file, or None if there is none."""
    try:
        fields = json.loads(path.read_text())
        members = tuple(Member(**member) for member in fields["members"])
        return replace(Manifest(**fields), members=members)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AgenticError(
            f"{path} is damaged; move {path.parent} away and download again."
        ) from None


def is_episode(name: str) -> bool:
    """Return whether a member of the archive is an episode."""
    return name.startswith("buffer/") and name.endswith(".npz")


def remove_folder(folder: Path) -> None:
    """Remove a folder of ours with all that is in it."""
    if folder.exists():
        shutil.rmtree(folder)


def free_bytes(path: Path) -> int:
    """Return the free space where `path` will be; it need not exist yet."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def readable(size: float) -> str:
    """Return a number of bytes as text: 2.59 GB, 340 MB, 12.1 kB."""
    for unit, scale, digits in (("GB", 1e9, 2), ("MB", 1e6, 1), ("kB", 1e3, 1)):
        if size >= scale:
            return f"{round(size / scale, digits):g} {unit}"
    return f"{size:.0f} bytes"


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


BLOCK = 2**20
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
        Damaged: this is no zip, or its table of contents is broken.
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
                while data := packed.read(BLOCK):
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
    """Open a zip; whatever its bytes make zipfile raise becomes Damaged."""
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
        yield "it holds no episode (buffer/*.npz), so it is no ExoRL data set"


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
