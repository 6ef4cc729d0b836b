"""How far an experiment is: the states of its cells and data sets, and of their cluster jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentic.experiment.spec import Cell, Experiment
from agentic.experiment.state import State
from agentic.experiment.work import state_of

# The state of a job that its cluster no longer knows.
ENDED = "ENDED"


@dataclass(frozen=True)
class Row:
    """A cell or data set by name, and its state."""

    name: str
    state: State


def status_of(
    experiment: Experiment,
    root: Path,
    cells: Sequence[Cell],
    jobs: Mapping[str, tuple[str, str]] | None = None,
) -> list[Row]:
    """Return the states of the data sets that `cells` need, then those of the cells.

    Args:
        experiment: holds the cells.
        root: holds run folders and collected data.
        cells: those to report.
        jobs: by name the number of a cluster's job and its state, as `slurm.job_states` returns.
    """
    needed = dict.fromkeys(filter(None, map(experiment.needs, cells)))
    parts = [*(experiment.part(name) for name in needed), *cells]
    return [
        Row(part.name, _with_job(state_of(part, root), (jobs or {}).get(part.name)))
        for part in parts
    ]


def _with_job(state: State, job: tuple[str, str] | None) -> State:
    """Return the state; where a cell is neither done nor running, its job decides."""
    if job is None or state.state in ("done", "running"):
        return state
    number, word = job
    if word == ENDED:
        if state.state != "missing":
            return state
        return replace(state, state="failed", why=f"job {number} ended without saying why")
    # The job may be running already while the cell still loads.
    return replace(state, state="queued", why=f"job {number}, {word.lower()}")
