"""How far an experiment is, and how long the rest will take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from agentic.cells.cell import Cell, Experiment
from agentic.cells.state import State
from agentic.cells.work import state_of


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

    `jobs` are the jobs of a cluster and their states by name, as `agentic.cells.slurm` reads them.
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
    if word == "ENDED":
        if state.state != "missing":
            return state
        return replace(state, state="failed", why=f"job {number} ended without a word")
    # Its job may be running already while the cell still loads.
    return replace(state, state="queued", why=f"job {number}, {word.lower()}")


def seconds_left(
    experiment: Experiment,
    root: Path,
    running: Mapping[str, State],
    waiting: Sequence[str],
    at_once: int,
) -> float | None:
    """Return about how long the rest takes, from the cells that are done; None before the first.

    A cell takes what the same method's cells on the same task took, or else what all did.
    """
    known: dict[tuple, list[float]] = {}
    for cell in experiment.cells:
        state = state_of(cell, root)
        if state.state == "done":
            for key in _keys(cell):
                known.setdefault(key, []).append(state.total_seconds)
    if not known:
        return None
    rest = 0.0
    for name in (*running, *waiting):
        part = experiment.part(name)
        if not isinstance(part, Cell):
            continue
        usual = next(np.mean(known[key]) for key in _keys(part) if key in known)
        spent = running[name].total_seconds if name in running else 0.0
        rest += max(usual - spent, 0.0)
    return rest / at_once


def _keys(cell: Cell) -> list[tuple]:
    """Return what cells are alike in, the closest likeness first."""
    config = cell.config
    return [(config.task, config.method), (config.method,), ()]
