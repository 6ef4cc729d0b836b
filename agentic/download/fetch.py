"""One verified download of one data set, in steps that can each be killed and taken up again.

transfer   the archive arrives in a partial file          (`agentic.download.fetch`)
verify     its ETag, as far as that is a digest; sha256   (`agentic.download.manifest`)
unpack     every member with its CRC into a new folder    (`agentic.download.unpack`)
finish     a manifest, and the folder takes its name      (`agentic.download.unpack`)

One HTTP request for a file from some byte on, and what its answer or failure means.

Proxies (http_proxy, https_proxy, no_proxy) and certificates (SSL_CERT_FILE) as the standard library
reads them; redirects to http and https alone, and never from https back to http.

A file over HTTP that survives drops and kills: what has arrived is not asked for again.

Bytes are appended to a partial file. Beside it stands what they are the beginning of: address, size
and ETag. The next request asks for the rest of exactly that, and begins anew where the server has
another file by now or cannot send parts.
"""

import http.client
import io
import re
import shlex
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from agentic.download.catalogue import PUBLISHER, ROOT, DataSet, check_mirror
from agentic.download.manifest import digest, kind_of, plain
from agentic.download.unpack import (
    Damaged,
    Landing,
    Limits,
    Manifest,
    Member,
    Source,
    free_bytes,
    read_members,
    readable,
    remove_folder,
    unpack,
)
from agentic.errors import AgenticError
from agentic.files import locked

# Answers that another try may change: a server that is busy, restarting, or behind a bad gateway.
PASSING = {408, 425, 429, 500, 502, 503, 504}
_RANGE = re.compile(r"bytes (?:(?P<first>\d+)-\d+|\*)/(?P<size>\d+|\*)")


class TryAgain(Exception):
    """A failure that may pass; `wait` is the number of seconds the server asks for."""

    def __init__(self, reason: str, wait: float = 0.0):
        super().__init__(reason)
        self.wait = wait


class FileChanged(Exception):
    """What the server has is not what the beginning came from."""


@dataclass
class Answer:
    """An open answer: the bytes of `source` from `first` on."""

    source: Source
    first: int
    body: io.BufferedIOBase

    def read(self, most: int) -> bytes:
        """Return the next bytes as they arrive, none at the end; raise TryAgain if it breaks."""
        try:
            return self.body.read1(most)
        except (http.client.HTTPException, OSError) as error:
            raise TryAgain(f"the connection broke ({_reason(error)})") from error


def ask(url: str, known: Source | None, first: int, timeout: float) -> Answer:
    """Ask for the bytes of `url` from `first` on, where `known` is the file they must belong to.

    Returns:
        The answer. Its `first` is 0 where the server does not send parts of a file, or has another
        file now and sends that.

    Raises:
        TryAgain: the failure may pass.
        FileChanged: the server has another file now and sends none of it.
        AgenticError: another try would not help.
    """
    headers = {"User-Agent": "agentic", "Accept-Encoding": "identity"}
    if first:
        headers["Range"] = f"bytes={first}-"
        if known.etag is not None and not known.etag.startswith("W/"):
            headers["If-Range"] = known.etag
    try:
        body = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and first:
                return _past_the_end(error, known, first)
            raise _refusal(url, error) from None
    except urllib.error.URLError as error:
        raise _unreachable(url, error.reason) from error
    except http.client.InvalidURL as error:
        raise AgenticError(f"{url} is no web address ({error}); look at --mirror.") from None
    except (http.client.HTTPException, OSError) as error:
        raise TryAgain(f"the connection broke ({_reason(error)})") from error
    try:
        return _understood(url, body, headers.get("If-Range"))
    except BaseException:
        body.close()
        raise


def _understood(url: str, body: http.client.HTTPResponse, confirmed: str | None) -> Answer:
    kind = body.headers.get_content_type()
    if kind == "text/html":
        raise AgenticError(
            f"{url} answers with a web page where an archive should be; open it in a browser: "
            "a proxy may ask for a login, or --mirror is wrong."
        )
    first, size, etag = 0, body.headers.get("Content-Length"), body.headers.get("ETag")
    if body.status == 206:
        match = _RANGE.fullmatch(body.headers.get("Content-Range", ""))
        if match is None or match["first"] is None:
            raise TryAgain("the server sent a part of the file without saying which")
        # A part is only sent where If-Range holds, so the ETag need not be repeated.
        first, size, etag = int(match["first"]), match["size"], etag or confirmed
    return Answer(Source(url, int(size) if size and size.isdecimal() else None, etag), first, body)


def _past_the_end(error: urllib.error.HTTPError, known: Source, first: int) -> Answer:
    match = _RANGE.fullmatch(error.headers.get("Content-Range", ""))
    size = match["size"] if match else "*"
    if known.size is None and size == str(first):
        return Answer(replace(known, size=first), first, io.BytesIO())
    raise FileChanged(f"it was announced with {known.size} bytes and has {size}")


def _refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    said = f"{error.code} {error.reason}"
    if error.code in PASSING:
        wait = error.headers.get("Retry-After") or ""
        return TryAgain(f"the server answered {said}", float(wait) if wait.isdecimal() else 0.0)
    if error.code in (403, 404, 410):
        return AgenticError(
            f"{url} is not there ({said}); look at --mirror: it is the part before DOMAIN/ALGO.zip."
        )
    if error.code in (401, 407):
        return AgenticError(f"{url} asks for a login ({said}); try another --mirror or proxy.")
    return AgenticError(f"{url} cannot be fetched ({said}); try later, or another --mirror.")


def _unreachable(url: str, reason: object) -> Exception:
    if isinstance(reason, ssl.SSLCertVerificationError):
        return AgenticError(
            f"{urlsplit(url).hostname} shows a certificate that is not trusted here "
            f"({reason.verify_message}); if your proxy signs its own, set SSL_CERT_FILE to its "
            "certificates."
        )
    return TryAgain(f"{urlsplit(url).hostname} cannot be reached ({_reason(reason)})")


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "nothing came for too long"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, file, code, message, headers, target):
        scheme = urlsplit(target).scheme
        if scheme != "https" and (scheme != "http" or request.full_url.startswith("https:")):
            raise AgenticError(
                f"{request.full_url} redirects to {target}; only https is followed, and http "
                "from http; try another --mirror."
            )
        return super().redirect_request(request, file, code, message, headers, target)


def _opener() -> urllib.request.OpenerDirector:
    # Built by hand: the standard one also opens file:, ftp: and data: addresses.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        _Redirects,
    ):
        opener.add_handler(handler())
    return opener


@dataclass(frozen=True)
class TransferConfig:
    """When to try again, and when to give up.

    Attributes:
        tries: give up after so many tries in a row without a new byte.
        changes: give up when the file changed so often on the server.
        first_wait: seconds before the second try; each further wait is twice as long.
        longest_wait: seconds, at most.
        timeout: seconds without a byte after which a connection counts as lost.
        block: bytes to read at a time, at most.
    """

    tries: int = 10
    changes: int = 3
    first_wait: float = 1.0
    longest_wait: float = 60.0
    timeout: float = 60.0
    block: int = 256 * 2**10

    def wait(self, failures: int, asked: float) -> float:
        """Return the seconds to wait after so many failures, where the server `asked` for some."""
        backoff = self.first_wait * 2.0 ** (failures - 1)
        return min(max(backoff, asked), self.longest_wait)


class Received(NamedTuple):
    """So many bytes are on disk; `note` says what happened, where something did."""

    done: int
    total: int | None
    note: str = ""


def transfer(
    url: str,
    landing: Landing,
    make_room: Callable[[int | None, int], int],
    config: TransferConfig,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Received]:
    """Bring the file at `url` to `landing.partial`, yielding after every block.

    Args:
        url: http or https.
        landing: where the partial file and its source are.
        make_room: called before the first byte of every answer with the size of the file (None
            where the server does not tell) and the number of bytes already here; returns how many
            bytes the file may have.
        config: when to give up.
        sleep: waits between two tries.

    Raises:
        AgenticError: the file cannot be had; what has arrived stays where another call can use it.
    """
    failures, changes = 0, 0
    furthest = landing.received() if landing.source() else 0
    while True:
        try:
            yield from _try(url, landing, make_room, config)
            return
        except FileChanged as change:
            # Without its source, what has arrived is not trusted any more.
            landing.source_file.unlink(missing_ok=True)
            changes += 1
            if changes >= config.changes:
                raise AgenticError(
                    f"{url} keeps changing ({change}); try later, or another --mirror."
                ) from None
            furthest, wait = 0, 0.0
            note = f"the file has changed on the server ({change}): beginning anew"
        except TryAgain as failure:
            here = landing.received()
            failures = 1 if here > furthest else failures + 1
            furthest = max(furthest, here)
            if failures >= config.tries:
                kept = f"{readable(here)} are kept; " if here else ""
                raise AgenticError(
                    f"{url} could not be fetched in {failures} tries ({failure}); {kept}"
                    "run the same command again to go on, or use another --mirror."
                ) from None
            wait = config.wait(failures, failure.wait)
            note = f"{failure}; trying again in {wait:.0f} s ({failures} of {config.tries - 1})"
        source = landing.source()
        yield Received(landing.received(), source and source.size, note)
        if wait:
            sleep(wait)


def _try(url: str, landing: Landing, make_room, config: TransferConfig) -> Iterator[Received]:
    known = landing.source()
    here = landing.received() if known else 0
    if known and known.size is not None and here == known.size and landing.partial.exists():
        yield Received(here, known.size)
        return
    if known and known.size is not None and here > known.size:
        here = 0
    answer = ask(url, known, here, config.timeout)
    with answer.body:
        source = answer.source
        if here and not known.same_file(source):
            if answer.first:
                raise FileChanged(f"{_told(known)}, now {_told(source)}")
            yield Received(0, source.size, f"{_told(known)} before, now {_told(source)}: anew")
        elif here and answer.first != here:
            if answer.first:
                raise TryAgain(f"the server sent bytes from {answer.first} on, not from {here}")
            yield Received(0, source.size, "this server sends no parts of files: beginning anew")
        if answer.first == 0:
            landing.partial.unlink(missing_ok=True)
            here = 0
        most = make_room(source.size, here)
        # Only now: an older source must not vouch for bytes of this file, nor the other way round.
        landing.write_source(source)
        here = yield from _append(answer, landing, here, most, config.block)
    if source.size is None:
        landing.write_source(replace(source, size=here))
    elif here < source.size:
        raise TryAgain(f"the connection ended after {readable(here)} of {readable(source.size)}")


def _append(answer: Answer, landing: Landing, here: int, most: int, block: int) -> Iterator:
    yield Received(here, answer.source.size)
    with landing.partial.open("ab") as file:
        while data := answer.read(block):
            if here + len(data) > most:
                raise AgenticError(
                    f"{answer.source.url} does not end after {readable(here)}, and there is no "
                    "room for more; give --root another disk, or use another --mirror."
                )
            try:
                file.write(data)
                file.flush()
            except OSError as error:
                raise AgenticError(
                    f"{landing.partial} could not be written ({error.strerror}); what has arrived "
                    "is kept, so free space (or raise your quota) and run the same command again."
                ) from error
            here += len(data)
            yield Received(here, answer.source.size)
    return here


def _told(source: Source) -> str:
    size = "size unknown" if source.size is None else f"{source.size} bytes"
    return f"{size}, ETag {source.etag or 'none'}"


# Episodes are compressed before they are packed; the rest is for the blocks of a file system.
UNPACKED_PER_BYTE = 1.1
BLOCK = 4096


@dataclass(frozen=True)
class DownloadConfig:
    """Where from, where to, and how patiently.

    Attributes:
        root: folder below which DOMAIN/ALGO appears.
        mirror: another server's address in front of DOMAIN/ALGO.zip.
        transfer: when to try again.
        limits: what no archive may exceed.
    """

    root: Path = ROOT
    mirror: str = PUBLISHER
    transfer: TransferConfig = field(default_factory=TransferConfig)
    limits: Limits = field(default_factory=Limits)

    def command(self, data_set: DataSet) -> str:
        """Return the command line that goes on with a download."""
        words = ["agentic", "data", "download", data_set.domain.name, data_set.algorithm.name]
        if self.root != ROOT:
            words += ["--root", str(self.root)]
        if self.mirror != PUBLISHER:
            words += ["--mirror", self.mirror]
        return shlex.join(words)


class Progress(NamedTuple):
    """So many bytes of a step are done; `note` says what happened, where something did."""

    step: str
    done: int
    total: int | None
    note: str = ""


def download(
    data_set: DataSet,
    config: DownloadConfig,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Progress]:
    """Bring a data set to `Landing(config.root, data_set).folder`, yielding as it goes on.

    Killed anywhere and called again, it goes on and ends with the same bytes. A data set that is
    complete already is checked against its manifest, and nothing is yielded or fetched.

    Raises:
        AgenticError: it cannot be had; whatever is of use to another call is kept.
    """
    check_mirror(config.mirror)
    landing = Landing(config.root, data_set)
    if config.root.exists() and not config.root.is_dir():
        raise AgenticError(f"--root {config.root} is a file; give a folder.")
    busy = (
        f"another process is at work here (it holds {landing.lock}); "
        "wait for it, or give another --root."
    )
    with locked(landing.lock, busy):
        manifest = landing.manifest()
        if manifest is not None:
            landing.check(manifest)
        else:
            _refuse_what_is_not_ours(landing)
            if not landing.archive.exists():
                yield from _fetched(landing, config, sleep)
                yield from _verified(landing)
            yield from _unpacked(landing, config.limits)
        landing.forget()


def _refuse_what_is_not_ours(landing: Landing) -> None:
    if landing.folder.exists() and (not landing.folder.is_dir() or any(landing.folder.iterdir())):
        raise AgenticError(
            f"{landing.folder} is there already, and not from a download; use it as it is "
            f"(agentic data info {shlex.quote(str(landing.folder))}), move it away, or give "
            "another --root."
        )
    source = landing.source()
    if landing.archive.exists() and (source is None or source.sha256 is None):
        raise AgenticError(
            f"{landing.archive} is there already, and not from this command; move it away, or "
            f"unpack it yourself into {landing.folder}."
        )


def _fetched(landing: Landing, config: DownloadConfig, sleep) -> Iterator[Progress]:
    url = landing.data_set.url(config.mirror)
    make_room = partial(_room, landing)
    for received in transfer(url, landing, make_room, config.transfer, sleep):
        yield Progress("downloading", *received)


def _room(landing: Landing, size: int | None, here: int) -> int:
    """Return how many bytes the archive may have; raise AgenticError on too small a disk."""
    free = free_bytes(landing.folder)
    data_set = landing.data_set
    # Of a size that is not told, what the domain has uncompressed is an upper bound in practice.
    archive = data_set.domain.raw_bytes if size is None else size
    _refuse_too_small_a_disk(landing, free, archive - here, int(archive * UNPACKED_PER_BYTE))
    return here + free // 2 if size is None else size


def _refuse_too_small_a_disk(landing: Landing, free: int, archive: int, unpacked: int) -> None:
    if free < archive + unpacked:
        raise AgenticError(
            f"{landing.folder.parent} has {readable(free)} free, but {landing.data_set.name} needs "
            f"{readable(archive + unpacked)} more ({readable(archive)} to fetch, "
            f"{readable(unpacked)} to unpack it); free space, or give --root a larger disk."
        )


def _verified(landing: Landing) -> Iterator[Progress]:
    """Compare the archive with the ETag that the server announced; then it takes its name.

    Where they differ, nothing is known: ETags of encrypted objects look like digests and are none.
    The archive's own CRCs decide.
    """
    source = landing.source()
    total = landing.received()
    reading = digest(landing.partial, kind_of(source.etag, total))
    yield Progress("verifying", 0, total)
    while True:
        try:
            yield Progress("verifying", next(reading), total)
        except StopIteration as end:
            digests = end.value
            break
    same = digests.etag == plain(source.etag)
    if digests.etag is not None and not same:
        note = (
            f"the ETag {plain(source.etag)} is not the digest of what arrived ({digests.etag}): "
            "it may be none, or the archive is damaged, which the CRC of every file will tell"
        )
        yield Progress("verifying", total, total, note)
    landing.write_source(replace(source, sha256=digests.sha256, etag_verified=same))
    landing.partial.replace(landing.archive)


def _unpacked(landing: Landing, limits: Limits) -> Iterator[Progress]:
    """Unpack the archive into a folder that takes its name once its manifest is written."""
    remove_folder(landing.unpacking)
    try:
        members = read_members(landing.archive, limits)
        total = sum(member.size for member in members)
        needed = sum(-(-member.size // BLOCK) * BLOCK for member in members)
        _refuse_too_small_a_disk(landing, free_bytes(landing.archive), 0, needed)
        yield Progress("unpacking", 0, total)
        for done in unpack(landing.archive, landing.unpacking, limits):
            yield Progress("unpacking", done, total)
    except Damaged as damage:
        raise _damaged(landing, damage) from damage
    landing.write_manifest(_manifest(landing, tuple(members)))
    yield Progress("unpacking", total, total)
    landing.unpacking.replace(landing.folder)


def _damaged(landing: Landing, damage: Damaged) -> AgenticError:
    source = landing.source()
    way_out = (
        "these are the bytes that the server announced, so its own copy is damaged: use another "
        "--mirror"
        if source.etag_verified
        else "run the same command again, or use another --mirror"
    )
    landing.forget()
    return AgenticError(
        f"the archive from {source.url} is damaged ({damage}) and was deleted; {way_out}."
    )


def _manifest(landing: Landing, members: tuple[Member, ...]) -> Manifest:
    source = landing.source()
    return Manifest(
        data_set=landing.data_set.name,
        url=source.url,
        size=source.size,
        etag=source.etag,
        etag_verified=source.etag_verified,
        sha256=source.sha256,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        members=members,
    )
