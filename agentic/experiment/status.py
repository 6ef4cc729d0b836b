"""How far an experiment is, and how long the rest will take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agentic.experiment.local import Snapshot
from agentic.experiment.spec import Cell, Collected, Experiment
from agentic.experiment.state import State
from agentic.experiment.work import state_of

# The state of a job that its cluster knows no more.
ENDED = "ENDED"


@dataclass(frozen=True)
class Row:
    """One line of the status: a cell or data set, and how far it is."""

    name: str
    state: State


def status_of(
    experiment: Experiment,
    root: Path,
    cells: Sequence[Cell],
    jobs: Mapping[str, tuple[str, str]] | None = None,
) -> list[Row]:
    """Return how far the data sets that `cells` need and the cells are.

    `jobs` are the jobs of a cluster and their states by name, as
    `agentic.experiment.slurm` reads them.
    """
    needed = dict.fromkeys(filter(None, map(experiment.needs, cells)))
    parts = [*(experiment.part(name) for name in needed), *cells]
    return [
        Row(part.name, _with_job(state_of(part, root), (jobs or {}).get(part.name)))
        for part in parts
    ]


def _with_job(state: State, job: tuple[str, str] | None) -> State:
    """Return a state, and where the cell is neither done nor at work, what its job says of it."""
    if job is None or state.state in ("done", "running"):
        return state
    number, word = job
    if word == ENDED:
        if state.state != "missing":
            return state
        return replace(state, state="failed", why=f"job {number} ended without a word")
    # Its job may be running already while the cell still loads.
    return replace(state, state="queued", why=f"job {number}, {word.lower()}")


class Rest:
    """About how long the rest of a run takes, from the cells that are done.

    A cell takes what the same method's cells on the same task took on average, or else what those
    on all tasks did, or else what all did.
    """

    def __init__(self, experiment: Experiment, root: Path, at_once: int):
        """Look at the cells that are done below `root`."""
        self._experiment, self._root, self._at_once = experiment, root, at_once
        self._counted: set[str] = set()
        self._known: dict[tuple, list[float]] = {}
        for cell in experiment.cells:
            self._count(cell)

    def __call__(self, snapshot: Snapshot) -> float | None:
        """Return the seconds left, or None before the first cell is done."""
        for name in snapshot.done:
            self._count(self._experiment.part(name))
        if not self._known:
            return None
        rest = 0.0
        for name in (*snapshot.running, *snapshot.waiting):
            part = self._experiment.part(name)
            if isinstance(part, Cell):
                usual = next(np.mean(self._known[key]) for key in _keys(part) if key in self._known)
                spent = snapshot.running[name].total_seconds if name in snapshot.running else 0.0
                rest += max(float(usual) - spent, 0.0)
        return rest / self._at_once

    def _count(self, part: Cell | Collected) -> None:
        if part.name in self._counted or not isinstance(part, Cell):
            return
        state = state_of(part, self._root)
        if state.state == "done":
            self._counted.add(part.name)
            for key in _keys(part):
                self._known.setdefault(key, []).append(state.total_seconds)


def _keys(cell: Cell) -> list[tuple]:
    """Return what cells are alike in, the closest likeness first."""
    config = cell.config
    return [(config.task, config.method), (config.method,), ()]
