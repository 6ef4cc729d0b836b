"""The local launcher: one process per cell, several at a time, each on a core of its own.

Two cells with one core each finish sooner than the same two, one after the other, on both cores.
Each process is in a group of its own, so that Ctrl-C in a terminal reaches the launcher alone. It
asks each process once to save and end; a second request would lose what is not saved yet.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from agentic.errors import AgenticError
from agentic.experiment.spec import Cell, Experiment
from agentic.experiment.state import BUSY, LOG, State, read_state, write_state
from agentic.experiment.work import cell_command, environment, place_of, state_of
from agentic.interruption import Interruption
from agentic.provenance import cores


class Change(NamedTuple):
    """The cell or data set of this name has just "begun", or is "done", "failed" or "stopped"."""

    name: str
    what: str


class Launcher:
    """Runs the missing cells and the data sets that they need; iterating over it does the work.

    Args:
        experiment: the one in `folder`.
        folder: holds experiment.py.
        root: holds run folders and collected data.
        cells: those to run.
        jobs: processes at the same time; by default one per core.
        command: (folder, name, root, core) -> the command that does one cell or data set.
        pause: seconds between two looks at the processes.

    Attributes:
        done, waiting: names of cells and data sets.
        running: core and process of each name at work.
        failed: the state of each name that failed.
        stopping: whether the end was asked for.
    """

    def __init__(
        self, experiment: Experiment, folder: Path, root: Path, cells: Sequence[Cell],
        jobs: int | None = None, command: Callable[..., list[str]] = cell_command,
        pause: float = 0.2,
    ):  # fmt: skip
        jobs = cores() if jobs is None else jobs
        if jobs < 1:
            raise AgenticError(f"jobs is {jobs}; it must be at least 1.")
        self._experiment, self._folder, self._root = experiment, folder, root
        self._command, self._pause, self._free = command, pause, list(range(jobs))
        data = dict.fromkeys(filter(None, map(experiment.needs, cells)))
        names = [*data, *(cell.name for cell in cells)]
        self.done = [name for name in names if self.state(name).state == "done"]
        self.waiting = [name for name in names if name not in self.done]
        self.running: dict[str, tuple[int, subprocess.Popen]] = {}
        self.failed: dict[str, State] = {}
        self.stopping = False

    def __iter__(self) -> Iterator[list[Change]]:
        """Yield what has changed, again and again, until nothing is left to do."""
        with Interruption() as interruption:
            try:
                while True:
                    changes = self._take_ended()
                    if interruption.requested and not self.stopping:
                        self.stopping = True
                        self._send(signal.SIGINT)
                    if not self.stopping:
                        changes += self._begin()
                    yield changes
                    if not self.running and (self.stopping or self.waiting == self.blocked):
                        return
                    time.sleep(self._pause)
            finally:
                self._send(signal.SIGKILL)
                for _, process in self.running.values():
                    process.wait()

    @property
    def blocked(self) -> list[str]:
        """Names that wait for a data set that failed."""
        return [name for name in self.waiting if self._needs(name) in self.failed]

    def state(self, name: str) -> State:
        """Return how far a cell or data set is."""
        return state_of(self._experiment.part(name), self._root)

    def _needs(self, name: str) -> str | None:
        part = self._experiment.part(name)
        return self._experiment.needs(part) if isinstance(part, Cell) else None

    def _place(self, name: str) -> Path:
        return place_of(self._experiment.part(name), self._root)

    def _begin(self) -> list[Change]:
        begun = []
        for name in list(self.waiting):
            if not self._free:
                break
            if (data := self._needs(name)) is not None and data not in self.done:
                continue
            state = self.state(name).state
            if state == "running":  # started by another launcher
                continue
            self.waiting.remove(name)
            if state == "done":  # by another launcher
                self.done.append(name)
            else:
                core = self._free.pop(0)
                self.running[name] = core, self._start(name, core)
                begun.append(Change(name, "begun"))
        return begun

    def _start(self, name: str, core: int) -> subprocess.Popen:
        place = self._place(name)
        place.mkdir(parents=True, exist_ok=True)
        with (place / LOG).open("ab") as log:
            return subprocess.Popen(
                self._command(self._folder, name, self._root, core),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(),
                process_group=0,
            )  # fmt: skip

    def _take_ended(self) -> list[Change]:
        ended = []
        for name, (core, process) in list(self.running.items()):
            status = process.poll()
            if status is None:
                continue
            del self.running[name]
            self._free = sorted([*self._free, core])
            if status == 0 and self.state(name).state == "done":
                self.done.append(name)
                ended.append(Change(name, "done"))
            elif status == BUSY or self.stopping:
                self.waiting.insert(0, name)
                ended.append(Change(name, "stopped"))
            else:
                self.failed[name] = self._failure(name, status)
                ended.append(Change(name, "failed"))
        return ended

    def _failure(self, name: str, status: int) -> State:
        """Return why a process failed; write it down where the process could not do so itself."""
        state = read_state(self._place(name))
        if state.state != "failed":
            why = f"exit status {status}"
            if status < 0:
                why = f"killed by {signal.Signals(-status).name}"
            if status == -signal.SIGKILL:
                why += ", as the system does when memory runs out"
            state = replace(state, state="failed", why=why)
            write_state(self._place(name), state)
        return state

    def _send(self, number: int) -> None:
        for _, process in self.running.values():
            process.send_signal(number)
