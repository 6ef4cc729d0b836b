"""A file over HTTP that survives drops and kills: what has arrived is not asked for again.

Bytes are appended to a partial file. Beside it stands what they are the beginning of: address, size
and ETag. The next request asks for the rest of exactly that, and begins anew where the server has
another file by now or cannot send parts.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from agentic.dataset.http import Answer, FileChanged, TryAgain, ask
from agentic.dataset.landing import Landing, Source, readable
from agentic.errors import AgenticError


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
