"""Episodes out of a store or a directory, streamed, and into ExoRL's format."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from agentic import simulation
from agentic.dataset.episodes import Episode, list_episodes, read_episode, write_episode
from agentic.dataset.labels import Control, check_control, label_episode
from agentic.dataset.workers import in_order
from agentic.errors import AgenticError
from agentic.files import folder_written_whole
from agentic.progress import Progress
from agentic.provenance import cores
from agentic.simulation.tasks import get_task

# Where the observation after the last step comes from. One that is computed from physics lacks what
# a state does not record: forces and accelerations (quadruped), and a target (jaco).
LastObservations = Literal["stored", "computed from physics", "copies of those before them"]


class Source(NamedTuple):
    """Episodes and their rewards [T], read when they are asked for; whose, and how many."""

    task: str
    control: str
    count: int
    episodes: Iterator[tuple[Episode, np.ndarray]]


class Exported(NamedTuple):
    """What an export wrote: where, how many episodes, of which task's rewards."""

    path: Path
    episodes: int
    task: str
    last_observations: LastObservations


def open_source(path: str | Path, task: str | None, control: Control | None = None) -> Source:
    """Return what is to be exported from a store or a directory of ExoRL episodes.

    Args:
        path: the store, or a directory, whose episodes are labelled on the way.
        task: whose rewards; None takes a store's only task.
        control: what labels read as control; None takes what a store has, and "action" elsewhere.
    """
    path = Path(path)
    if path.suffix == ".h5":
        return _open_store(path, task, control)
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

    The reward in the files is that of `task`; row 0 has none. Where the source does not hold the
    observation after the last step, as stores of earlier versions, it is computed from physics.

    Raises:
        AgenticError: no physics, which the format cannot do without.
    """
    source = open_source(path, task, control)
    origin: LastObservations = "stored"
    with folder_written_whole(Path(out)) as folder:
        for index, (episode, rewards) in enumerate(source.episodes):
            if episode.physics is None:
                raise AgenticError(
                    f"{path} holds no physics, which ExoRL's format needs; "
                    "export it as minari, or convert the episodes again with physics."
                )
            observations, origin = all_observations(source.task, episode)
            write_episode(
                folder / f"episode_{index:06d}_{len(rewards)}.npz",
                observations=observations,
                actions=_after_reset(episode.actions),
                rewards=_after_reset(rewards),
                physics=episode.physics,
            )
            if progress is not None:
                progress(index + 1, source.count)
    return Exported(Path(out), source.count, source.task, origin)


def all_observations(task: str, episode: Episode) -> tuple[np.ndarray, LastObservations]:
    """Return observations [T + 1, O], and where the last of them comes from."""
    last, origin = episode.last_observation, "stored"
    if last is None:
        last, origin = _computed(task, episode.physics), "computed from physics"
    if last is None:
        last, origin = episode.observations[-1], "copies of those before them"
    return np.concatenate([episode.observations, last[None]]), origin


def _computed(task: str, physics: np.ndarray | None) -> np.ndarray | None:
    """Return the observation [O] of the last state, or None where no state tells it."""
    if physics is None:
        return None
    try:
        return simulation.observations(task, physics[-1:])[0]
    except AgenticError:
        # quadruped_escape observes a terrain that no state holds.
        return None


def _after_reset(rows: np.ndarray) -> np.ndarray:
    """Return rows [T + 1, ...] with zeros first: a reset has no action and no reward."""
    return np.concatenate([np.zeros_like(rows[:1]), rows])


def _open_store(path: Path, task: str | None, control: Control | None) -> Source:
    # Only a store needs h5py.
    from agentic.dataset.store.reading import open_arrays, open_store

    store = open_arrays(path)
    task = task or _only_task(path, list(store.labels))
    data, last = open_store(path, task, control), store.last_observations

    def episode(index: int) -> tuple[Episode, np.ndarray]:
        one = data[index]
        seen = None if last is None else np.asarray(last[index])
        return Episode(one.observations, one.actions, one.physics, seen), one.rewards

    return Source(task, data.control, len(data), map(episode, range(len(data))))


def _only_task(path: Path, tasks: list[str]) -> str:
    if len(tasks) != 1:
        there = f"rewards for {', '.join(tasks)}" if tasks else "no rewards yet"
        remedy = "name one with --task" if tasks else f"`agentic data relabel {path} --task TASK`"
        raise AgenticError(f"{path} has {there}; {remedy}.")
    return tasks[0]


def _labelled(
    paths: list[Path], task: str, control: Control
) -> Iterator[tuple[Episode, np.ndarray]]:
    threads = cores()
    read = in_order(lambda path: read_episode(path, task), paths, threads)
    for path, episode in zip(paths, read, strict=True):
        yield episode, label_episode(path, episode, [task], control, threads)[task]
