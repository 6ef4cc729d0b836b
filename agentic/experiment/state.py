"""How far a cell or data set is: one small file in its folder, and a lock while it is worked on.

cell.json    state (running, done, failed, stopped), part, step of how many, seconds, why
.lock        held by the process that works here, and given back by the system when it ends
log.txt      what that process printed
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from agentic.errors import AgenticError
from agentic.files import is_held, locked
from agentic.training.run import write_json

FILE, LOCK, LOG = "cell.json", ".lock", "log.txt"
# Seconds between two records of how far a cell is.
EVERY = 2.0
# Exit status of a process that found its cell held by another.
BUSY = 75


class Busy(AgenticError):
    """Another process is at work on this cell."""


@dataclass(frozen=True)
class State:
    """What is known of one cell or data set; `seconds` by part, added up over all tries."""

    state: str = "missing"
    part: str = ""
    step: int = 0
    of: int = 0
    seconds: dict[str, float] = field(default_factory=dict)
    why: str = ""

    @property
    def total_seconds(self) -> float:
        """Seconds of all parts."""
        return sum(self.seconds.values())


def read_state(folder: Path) -> State:
    """Return the state of a folder: as it was written, but "running" only if someone is at work."""
    try:
        document = json.loads((folder / FILE).read_text())
        state = State(**document)
    except FileNotFoundError:
        state = State()
    except (ValueError, TypeError):
        raise AgenticError(
            f"{folder / FILE} is damaged; remove {folder} and run the experiment again."
        ) from None
    if is_held(folder / LOCK):
        return replace(state, state="running")
    if state.state == "running":
        return replace(state, state="stopped", why="its process ended without a word")
    return state


def write_state(folder: Path, state: State) -> None:
    """Write a state down."""
    write_json(folder / FILE, asdict(state))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder alone, or raise Busy."""
    busy = f"another process is at work on {folder}; wait for it to end."
    for attempt in range(3):
        try:
            with locked(folder / LOCK, busy):
                yield
                return
        except AgenticError as error:
            # Anything else is an error of the work. Who holds it may only have had a look.
            if str(error) != busy:
                raise
            if attempt == 2:
                raise Busy(busy) from None
            time.sleep(0.1)


class Tracker:
    """Writes down how far the work in a folder is, as it goes on.

    Seconds of an earlier try that was interrupted are counted too.
    """

    def __init__(self, folder: Path):
        """Begin, or go on, in a folder that this process holds."""
        self._folder = folder
        before = read_state(folder)
        self._state = State("running", seconds=dict(before.seconds))
        self._start = self._written = 0.0
        self._base = 0.0

    def begin(self, part: str) -> None:
        """Begin with a part of the work, such as "training"."""
        if self._start:
            self._write()  # the last seconds of the part before
        self._start, self._base = time.perf_counter(), self._state.seconds.get(part, 0.0)
        self._state = replace(self._state, part=part, step=0, of=0)
        self._write()

    def advance(self, step: int, of: int, note: str = "") -> None:
        """Say that so many steps of the part are done; the note is not kept."""
        self._state = replace(self._state, step=int(step), of=int(of))
        if time.perf_counter() - self._written > EVERY:
            self._write()

    def end(self, state: str, why: str = "") -> None:
        """Say how the work ended."""
        self._state = replace(self._state, state=state, why=why)
        self._write()

    def _write(self) -> None:
        now = time.perf_counter()
        if self._state.part:
            seconds = round(self._base + now - self._start, 3)
            self._state = replace(
                self._state, seconds=self._state.seconds | {self._state.part: seconds}
            )
        write_state(self._folder, self._state)
        self._written = now
