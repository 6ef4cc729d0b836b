"""What is known of a download: where the archive comes from, and in the end every file in it."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from agentic.errors import AgenticError

MANIFEST = "manifest.json"
# An ETag that is nothing but hexadecimal digits is a digest of the content on most servers: md5 on
# S3, for files that were uploaded in one piece, and sha256 on some others.
_DIGESTS = {"md5": re.compile(r"[0-9a-f]{32}"), "sha256": re.compile(r"[0-9a-f]{64}")}


@dataclass(frozen=True)
class Source:
    """What the partial archive is part of; size and ETag are None where the server told none."""

    url: str
    size: int | None  # bytes
    etag: str | None  # with its quotes
    sha256: str | None = None  # of the whole archive, once all of it is here
    etag_verified: bool = False  # then: whether the ETag is a digest of the archive

    def same_file(self, other: "Source") -> bool:
        """Return whether bytes of the two may be joined: one size, and one ETag or address.

        A size that was not told agrees with any.
        """
        if len({self.size, other.size} - {None}) > 1 or self.etag != other.etag:
            return False
        return self.etag is not None or self.url == other.url

    def announced_digest(self) -> tuple[str, str] | None:
        """Return the kind and the digits of the digest that the ETag looks like, or None.

        The ETag of an encrypted file looks like a digest and is random. So an equal digest proves
        that the archive is whole, and another one proves nothing.
        """
        digits = (self.etag or "").strip('"').lower()
        kinds = (kind for kind, form in _DIGESTS.items() if form.fullmatch(digits))
        return next(((kind, digits) for kind in kinds), None)


@dataclass(frozen=True)
class Member:
    """One unpacked file."""

    name: str  # such as buffer/episode_000000_1000.npz
    size: int  # bytes
    crc32: int


@dataclass(frozen=True)
class Manifest:
    """The files of a finished data set and where they came from."""

    data_set: str
    url: str
    size: int
    etag: str | None
    etag_verified: bool  # False where the ETag is missing or is not a digest of the archive
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
