"""Are these the bytes that the server announced? sha256, md5 and the ETags of S3.

S3 gives a file uploaded in one piece the ETag md5(bytes), and one uploaded in n parts
md5(md5(part 1) ... md5(part n)) followed by "-n". The size of the parts is not told; the usual one
is 8 MiB, and it is taken where it gives the right n. Other ETags (of a web server: time and size)
say nothing about the content. Those of encrypted objects look the same and are random, so that
equality proves everything and difference nothing.
"""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PART = 8 * 2**20
_MD5 = re.compile(r"[0-9a-f]{32}")
_MULTIPART = re.compile(r"[0-9a-f]{32}-(?P<parts>[1-9][0-9]{0,4})")


class Digests(NamedTuple):
    """Hexadecimal digests of one file; `etag` is None where its ETag says nothing."""

    sha256: str
    etag: str | None


def digest(path: Path, kind: str | None) -> Iterator[int]:
    """Yield the number of bytes read so far, part by part; return the Digests.

    Args:
        path: the file.
        kind: what to compute besides sha256: "md5", "multipart" or nothing (`kind_of`).
    """
    sha256, md5, parts, done = hashlib.sha256(), hashlib.md5(), [], 0
    with path.open("rb") as file:
        while part := file.read(PART):
            sha256.update(part)
            if kind == "md5":
                md5.update(part)
            elif kind == "multipart":
                parts.append(hashlib.md5(part).digest())
            done += len(part)
            yield done
    if kind == "multipart":
        etag = f"{hashlib.md5(b''.join(parts)).hexdigest()}-{len(parts)}"
    else:
        etag = md5.hexdigest() if kind == "md5" else None
    return Digests(sha256.hexdigest(), etag)


def kind_of(etag: str | None, size: int) -> str | None:
    """Return how the ETag of a file of `size` bytes may come of its content: md5 or multipart.

    None where it says nothing about the content, or was made with parts of another size.
    """
    tag = plain(etag)
    if _MD5.fullmatch(tag):
        return "md5"
    match = _MULTIPART.fullmatch(tag)
    return "multipart" if match and int(match["parts"]) == -(-size // PART) else None


def plain(etag: str | None) -> str:
    """Return an ETag without its quotes and in small letters; "" for none."""
    return (etag or "").strip('"').lower()
