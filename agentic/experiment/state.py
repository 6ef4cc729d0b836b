"""How far a cell or data set is: one small file in its folder, and a lock while it is worked on.

cell.json    state (running, done, failed, stopped), part, step of how many, seconds, why
.lock        held by the process that works here; the system releases it when the process ends
log.txt      the output of that process
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from agentic.errors import AgenticError
from agentic.files import is_held, locked
from agentic.training.run import write_json

FILE, LOCK, LOG = "cell.json", ".lock", "log.txt"
# The state is written at most once in so many seconds.
WRITE_SECONDS = 2.0
# The exit status of a process whose cell another process holds.
BUSY = 75


class Busy(AgenticError):
    """Another process works on this cell."""


@dataclass(frozen=True)
class State:
    """The state of one cell or data set.

    Attributes:
        state: missing, running, done, failed or stopped; queued where a cluster's job waits.
        part: of the work: collecting, training or evaluation.
        step: of this part.
        of: steps in all, or 0 where they are not known.
        seconds: by part, added up over all tries.
        why: it failed or stopped, or the job it waits for.
    """

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
    """Return the state as it was written, but "running" only if a process holds the folder."""
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
        return replace(state, state="stopped", why="its process ended without saying why")
    return state


def write_state(folder: Path, state: State) -> None:
    """Write the state of a folder."""
    write_json(folder / FILE, asdict(state))


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder alone, or raise Busy."""
    busy = f"another process is at work on {folder}; wait for it to end."
    with ExitStack() as lock:
        for attempt in range(3):
            try:
                lock.enter_context(locked(folder / LOCK, busy))
                break
            except AgenticError:
                if attempt == 2:
                    raise Busy(busy) from None
                # A process that only reads the state holds the lock for a moment.
                time.sleep(0.1)
        yield


class Tracker:
    """Writes the state of a folder while the work in it goes on.

    The seconds include those of earlier tries that were interrupted.
    """

    def __init__(self, folder: Path):
        """Begin or resume the work in a folder that this process holds."""
        self._folder = folder
        before = read_state(folder)
        self._state = State("running", seconds=dict(before.seconds))
        self._start = self._written = 0.0
        self._base = 0.0

    def begin(self, part: str) -> None:
        """Begin with a part of the work, such as "training"."""
        if self._start:
            self._write()  # with the last seconds of the previous part
        self._start, self._base = time.perf_counter(), self._state.seconds.get(part, 0.0)
        self._state = replace(self._state, part=part, step=0, of=0)
        self._write()

    def advance(self, step: int, of: int, note: str = "") -> None:
        """Record that so many steps of the part are done; the note is not kept."""
        self._state = replace(self._state, step=int(step), of=int(of))
        if time.perf_counter() - self._written > WRITE_SECONDS:
            self._write()

    def end(self, state: str, why: str = "") -> None:
        """Record how the work ended."""
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
