"""Where a data set lands, and how far it has come.

    ROOT/walker/
      rnd.zip.partial         what has arrived of the archive
      rnd.zip.partial.json    its address, size and ETag, so that the rest can be asked for
      rnd.zip                 the archive, whole and verified, until it is unpacked
      rnd.unpacking/          being unpacked; begun anew after an interruption
      rnd/                    the data set: buffer/*.npz, video/*.mp4
      rnd/manifest.json       what was fetched, when, and every file in it

Each step ends with one rename, so whatever stands under its final name is whole.
"""

import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agentic.dataset.catalogue import DataSet
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
