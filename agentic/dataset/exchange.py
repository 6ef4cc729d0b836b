"""Episodes out of a store or a directory, streamed, and into ExoRL's format."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agentic import simulation
from agentic.dataset.episodes import list_episodes, read_episode, write_episode
from agentic.dataset.labels import Control, check_control, label_episode
from agentic.dataset.workers import in_order
from agentic.errors import AgenticError
from agentic.files import folder_written_whole
from agentic.progress import Progress
from agentic.provenance import cores
from agentic.simulation.tasks import get_task
from agentic.trajectory import Trajectory


class Source(NamedTuple):
    """Labelled trajectories that are read when they are asked for: task, control mode, how many."""

    task: str
    control: str
    count: int
    trajectories: Iterator[Trajectory]


class Exported(NamedTuple):
    """What an export wrote: where, how many episodes, of which task's rewards."""

    path: Path
    episodes: int
    task: str


def open_source(path: str | Path, task: str | None, control: Control | None = None) -> Source:
    """Return what is to be exported from a store or a directory of ExoRL episodes.

    Args:
        path: the store, or a directory, whose episodes are labelled on the way.
        task: whose rewards; None takes a store's only task.
        control: what labels read as control; None takes what a store has, and "action" elsewhere.
    """
    path = Path(path)
    if path.suffix == ".h5":
        # Only a store needs h5py.
        from agentic.dataset.store.reading import open_arrays, open_store

        task = task or _only_task(path, list(open_arrays(path).labels))
        data = open_store(path, task, control)
        return Source(task, data.control, len(data), (data[index] for index in range(len(data))))
    if task is None:
        raise AgenticError(
            f"{path} is a directory, whose own rewards belong to the task of their collection; "
            "name the --task whose rewards to export."
        )
    get_task(task)
    mode = control or "action"
    check_control(mode)
    paths = list_episodes(path)
    return Source(task, mode, len(paths), _labelled(paths, task, mode))


def export_exorl(
    path: str | Path,
    out: str | Path,
    task: str | None = None,
    control: Control | None = None,
    progress: Progress | None = None,
) -> Exported:
    """Write episodes in ExoRL's format to a new folder `out`, which appears when it is complete.

    The reward in the files is that of `task`; row 0 has none. The observation after the last step,
    which trajectories do not hold, is computed from physics.

    Raises:
        AgenticError: no physics, which the format cannot do without.
    """
    source = open_source(path, task, control)
    with folder_written_whole(Path(out)) as folder:
        for index, episode in enumerate(source.trajectories):
            if episode.physics is None:
                raise AgenticError(
                    f"{path} holds no physics, which ExoRL's format needs; "
                    "export it as minari, or convert the episodes again with physics."
                )
            write_episode(
                folder / f"episode_{index:06d}_{len(episode)}.npz",
                observations=with_last_observation(source.task, episode),
                actions=_after_reset(episode.actions),
                rewards=_after_reset(episode.rewards),
                physics=episode.physics,
            )
            if progress is not None:
                progress(index + 1, source.count)
    return Exported(Path(out), source.count, source.task)


def with_last_observation(task: str, episode: Trajectory) -> np.ndarray:
    """Return observations [T + 1, O], the last one computed from physics, or else repeated.

    No trajectory holds what was seen after its last step, and nothing here reads it; formats of
    others have a place for it.
    """
    last = episode.observations[-1:]
    if episode.physics is not None:
        # quadruped_escape observes a terrain that no state holds.
        with suppress(AgenticError):
            last = simulation.observations(task, episode.physics[-1:])
    return np.concatenate([episode.observations, last])


def _after_reset(rows: np.ndarray) -> np.ndarray:
    """Return rows [T + 1, ...] with zeros first: a reset has no action and no reward."""
    return np.concatenate([np.zeros_like(rows[:1]), rows])


def _only_task(path: Path, tasks: list[str]) -> str:
    if len(tasks) != 1:
        there = f"rewards for {', '.join(tasks)}" if tasks else "no rewards yet"
        remedy = "name one with --task" if tasks else f"`agentic data relabel {path} --task TASK`"
        raise AgenticError(f"{path} has {there}; {remedy}.")
    return tasks[0]


def _labelled(paths: list[Path], task: str, control: Control) -> Iterator[Trajectory]:
    threads = cores()
    read = in_order(lambda path: read_episode(path, task), paths, threads)
    for path, episode in zip(paths, read, strict=True):
        yield episode.labelled(label_episode(path, episode, [task], control, threads)[task])
