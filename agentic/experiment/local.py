"""The local launcher: one process a cell, each on a core of its own, several at a time.

Two cells on one core each finish before one on two cores does twice. Processes are in groups of
their own, so that Ctrl-C reaches this one alone, which asks each of them once to save and end.
"""

import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentic.errors import AgenticError
from agentic.experiment.spec import Cell, Experiment
from agentic.experiment.state import BUSY, LOG, State, read_state, write_state
from agentic.experiment.work import cell_command, environment, place_of, state_of
from agentic.provenance import cores

# Seconds between two looks at the processes.
EVERY = 0.2
# Signals that ask for the end: of the keyboard, of a scheduler, of a terminal that is closed.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Snapshot:
    """How far a run is; `ended` are those that ended since the last snapshot, `begun` likewise.

    blocked are cells whose data set failed.
    """

    done: tuple[str, ...]
    running: dict[str, State]
    waiting: tuple[str, ...]
    failed: dict[str, State]
    blocked: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()
    stopping: bool = False


class Launcher:
    """Sees to it that cells and the data they need are done; a generator of snapshots."""

    def __init__(
        self, experiment: Experiment, folder: Path, root: Path, cells: Sequence[Cell],
        jobs: int | None = None,
    ):  # fmt: skip
        """Plan the missing ones of `cells`, `jobs` at a time, by default one a core."""
        self.jobs = cores() if jobs is None else jobs
        if self.jobs < 1:
            raise AgenticError(f"jobs is {jobs}; it must be at least 1.")
        self._experiment, self._folder, self._root = experiment, folder, root
        self._free = list(range(self.jobs))
        needed = dict.fromkeys(filter(None, map(experiment.needs, cells)))
        self._names = names = [*needed, *(cell.name for cell in cells)]
        self._done = [name for name in names if self._state(name).state == "done"]
        self._waiting = [name for name in names if name not in self._done]
        self._running: dict[str, tuple[int, subprocess.Popen]] = {}
        self._failed: dict[str, State] = {}

    def __iter__(self) -> Iterator[Snapshot]:
        with _signals() as asked:
            sent = 0
            try:
                while True:
                    ended = self._reap(stopping=sent > 0)
                    while sent < len(asked):
                        sent += 1
                        self._interrupt(kill=sent > 2)
                    begun = () if sent else self._start()
                    yield self._snapshot(begun, ended, bool(sent))
                    if not self._running and (sent or not self._open()):
                        return
                    time.sleep(EVERY)
            finally:
                self._interrupt(kill=True)

    def _state(self, name: str) -> State:
        return state_of(self._experiment.part(name), self._root)

    def _place(self, name: str) -> Path:
        return place_of(self._experiment.part(name), self._root)

    def _needs(self, name: str) -> str | None:
        part = self._experiment.part(name)
        return self._experiment.needs(part) if isinstance(part, Cell) else None

    def _open(self) -> list[str]:
        """Return what waits and is not blocked."""
        return [name for name in self._waiting if self._needs(name) not in self._failed]

    def _start(self) -> tuple[str, ...]:
        begun = []
        for name in self._open():
            if not self._free:
                break
            need = self._needs(name)
            if need is not None and need not in self._done:
                continue
            state = self._state(name).state
            if state == "done":  # by another run of the same experiment
                self._waiting.remove(name)
                self._done.append(name)
            elif state != "running":
                self._waiting.remove(name)
                self._running[name] = self._spawn(name, self._free.pop(0))
                begun.append(name)
        return tuple(begun)

    def _spawn(self, name: str, core: int) -> tuple[int, subprocess.Popen]:
        place = self._place(name)
        place.mkdir(parents=True, exist_ok=True)
        with (place / LOG).open("ab") as log:
            process = subprocess.Popen(
                cell_command(self._folder, name, self._root, core),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(),
                process_group=0,
            )  # fmt: skip
        return core, process

    def _reap(self, stopping: bool) -> tuple[str, ...]:
        ended = []
        for name, (core, process) in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[name]
            self._free = sorted([*self._free, core])
            state = self._state(name)
            if code == 0 and state.state == "done":
                self._done.append(name)
            elif code == BUSY or stopping:
                self._waiting.insert(0, name)
            else:
                self._failed[name] = self._failure(name, code)
            ended.append(name)
        return tuple(ended)

    def _failure(self, name: str, code: int) -> State:
        """Return why a process failed; where it could not say so itself, write it down."""
        place = self._place(name)
        state = read_state(place)
        if state.state == "failed":
            return state
        how = f"exit status {code}"
        if code < 0:
            how = f"killed by {signal.Signals(-code).name}"
            how += ", as the system does when memory runs out" if code == -signal.SIGKILL else ""
        state = State("failed", state.part, state.step, state.of, state.seconds, how)
        write_state(place, state)
        return state

    def _interrupt(self, kill: bool) -> None:
        for _, process in self._running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGKILL if kill else signal.SIGINT)
        if kill:
            for _, process in self._running.values():
                process.wait()

    def _snapshot(self, begun: tuple[str, ...], ended: tuple[str, ...], stopping: bool) -> Snapshot:
        open_ = self._open()
        return Snapshot(
            tuple(self._done),
            {name: self._state(name) for name in self._running},
            tuple(open_),
            # In the experiment's order, whichever ended first.
            {name: self._failed[name] for name in self._names if name in self._failed},
            tuple(name for name in self._waiting if name not in open_),
            begun,
            ended,
            stopping,
        )


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals that ask for the end, instead of ending."""
    asked: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    for number in ENDING:
        # What is ignored stays so: nohup, and shells for what runs in the background.
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, lambda n, _: asked.append(n))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
