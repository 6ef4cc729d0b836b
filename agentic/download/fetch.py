"""One file over HTTP, also from a bad server: bytes that have arrived are not asked for again.

Bytes are appended to a partial file. Beside it stands the file that they begin: its address, size
and ETag. The next request asks for the rest of exactly that file. It begins anew where the
server has another file by now, or cannot send parts.

urllib3's `Retry` counts the tries and says how long to wait. The loop over tries is here, because
each of them asks for another part of the file, and because the user is told of it.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import requests
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

from agentic.download.disk import readable
from agentic.download.http import Answer, FileChanged, TryAgain, ask, open_session
from agentic.download.local_copy import PartialFile
from agentic.download.manifest import Source
from agentic.errors import AgenticError

# Answers that another try may change: a server that is busy, restarting, or behind a bad gateway.
PASSING = (408, 425, 429, 500, 502, 503, 504)
# Ten tries take four minutes where a server answers badly, four tries six seconds where none does.
RETRIES = Retry(
    total=9,
    connect=3,
    backoff_factor=1.0,
    backoff_max=60.0,
    retry_after_max=600,
    status_forcelist=PASSING,
)


@dataclass(frozen=True)
class FetchConfig:
    """When to try again, and when to give up.

    Attributes:
        retries: how many tries in a row may fail without a new byte, and the wait between them.
            `connect` counts the tries that reach no server; it holds until the first byte comes.
        changes: give up when the file has changed so often on the server.
        timeout: seconds to wait for a connection, and for the next byte.
        block: bytes to read at a time, at most.
    """

    retries: Retry = RETRIES
    changes: int = 3
    timeout: tuple[float, float] = (10.0, 60.0)
    block: int = 256 * 2**10


class Received(NamedTuple):
    """So many bytes are on disk; `note` says what happened, where something did."""

    done: int
    total: int | None
    note: str = ""


def fetch(
    url: str,
    partial: PartialFile,
    make_room: Callable[[int | None, int], int],
    config: FetchConfig,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Received]:
    """Bring the file at `url` to `partial`, yielding after every block.

    Args:
        url: http or https.
        partial: what has arrived before, and where the rest goes.
        make_room: called before the first byte of every answer with the size of the file (None
            where the server does not tell) and the number of bytes already here; returns how many
            bytes the file may have.
        config: when to give up.
        sleep: waits for so many seconds between two tries.

    Raises:
        AgenticError: the file cannot be had; what has arrived stays where another call can use it.
    """
    retries, changes = config.retries, 0
    furthest = partial.size() if partial.source() else 0
    with open_session() as session:
        while True:
            try:
                yield from _try(session, url, partial, make_room, config)
                return
            except FileChanged as change:
                # Without their source, the bytes that have arrived are not trusted any more.
                partial.source_file.unlink(missing_ok=True)
                furthest, wait, changes = 0, 0.0, changes + 1
                if changes >= config.changes:
                    raise AgenticError(
                        f"{url} keeps changing ({change}); try later, or another --mirror."
                    ) from None
                note = f"the file has changed on the server ({change}): beginning anew"
            except TryAgain as failure:
                here = partial.size()
                if here > furthest:
                    # New bytes give new patience, now also with a server that cannot be reached.
                    furthest, retries = here, config.retries.new(connect=None)
                retries = _one_less(retries, url, here, failure)
                wait = failure.wait or retries.get_backoff_time()
                when = f"in {wait:.0f} s" if wait else "at once"
                note = f"{failure}; trying again {when} (try {len(retries.history) + 1})"
            source = partial.source()
            yield Received(partial.size(), source and source.size, note)
            if wait:
                sleep(wait)


def _one_less(retries: Retry, url: str, here: int, failure: TryAgain) -> Retry:
    """Return what is left of the patience, or raise AgenticError."""
    try:
        return retries.increment("GET", url, error=failure.unreached)
    except MaxRetryError:
        tries, kept = len(retries.history) + 1, f"{readable(here)} are kept; " if here else ""
        raise AgenticError(
            f"{url} could not be fetched in {tries} tries ({failure}); {kept}"
            "run the same command again to go on, or use another --mirror."
        ) from failure


def _try(
    session: requests.Session, url: str, partial: PartialFile, make_room, config: FetchConfig
) -> Iterator[Received]:
    known = partial.source()
    here = partial.size() if known else 0
    if known and known.size is not None:
        if here == known.size and partial.path.exists():
            yield Received(here, known.size)
            return
        here = 0 if here > known.size else here
    with ask(session, url, known, here, config.retries, config.timeout) as answer:
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
            partial.path.unlink(missing_ok=True)
            here = 0
        most = make_room(source.size, here)
        # Only now: an older source must not vouch for bytes of this file, nor the other way round.
        partial.write_source(source)
        here = yield from _append(answer, partial, here, most, config.block)
    if source.size is None:
        partial.write_source(replace(source, size=here))
    elif here < source.size:
        raise TryAgain(f"the connection ended after {readable(here)} of {readable(source.size)}")


def _append(answer: Answer, partial: PartialFile, here: int, most: int, block: int) -> Iterator:
    """Append the answer's bytes as they arrive; return how many are here in the end."""
    yield Received(here, answer.source.size)
    with partial.path.open("ab") as file:
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
                    f"{partial.path} could not be written ({error.strerror}); what has arrived "
                    "is kept, so free space (or raise your quota) and run the same command again."
                ) from error
            here += len(data)
            yield Received(here, answer.source.size)
    return here


def _told(source: Source) -> str:
    size = "size unknown" if source.size is None else f"{source.size} bytes"
    return f"{size}, ETag {source.etag or 'none'}"
