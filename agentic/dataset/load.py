"""`load_dataset`: one door to labelled trajectories, whatever they are stored in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from agentic.dataset.dataset import Dataset, Digest
from agentic.dataset.exorl import episode_length, list_episodes
from agentic.dataset.relabel import Control, check_control, read_labelled
from agentic.errors import AgenticError
from agentic.simulation.tasks import get_task

Progress = Callable[[int, int], None]


def load_dataset(
    path: str | Path, task: str, control: Control = "action", progress: Progress | None = None
) -> Dataset:
    """Return the trajectories under `path` labelled for `task`.

    Args:
        path: a directory of ExoRL episodes (`*.npz` in it or in its `buffer/`), labelled on the way
            into memory; or an `.h5` store, memory-mapped.
        task: name, such as "cartpole_swingup".
        control: what labels read as control, "action" (the environment's reward) or "zero"
            (ExoRL's own relabelling).
        progress: called with (episodes done, episodes in all) after each episode.

    Raises:
        AgenticError: one sentence that names the file and the rule it breaks.
    """
    path = Path(path)
    get_task(task)
    check_control(control)
    if path.suffix == ".h5":
        # Only a store needs h5py.
        from agentic.dataset.store import open_store

        return open_store(path, task, control)
    return _load_episodes(path, task, control, progress)


def sample_directory() -> Path:
    """Return the folder of the sample that ships with the package: in the wheel or the checkout."""
    package = Path(__file__).resolve().parents[1]
    for place in (package / "sample", package.parent / "data" / "sample"):
        if (place / "buffer").is_dir():
            return place
    raise AgenticError(
        "the sample data is missing; reinstall agentic, or in a checkout restore it with "
        "`git checkout -- data/sample`."
    )


def _load_episodes(
    directory: Path, task: str, control: Control, progress: Progress | None
) -> Dataset:
    paths = list_episodes(directory)
    lengths = np.asarray([episode_length(path) for path in paths], np.int32)
    sizes, count, steps = get_task(task), len(paths), int(lengths.max())
    observations = np.zeros((count, steps, sizes.observation_size), np.float32)
    actions = np.zeros((count, steps, sizes.action_size), np.float32)
    rewards = np.zeros((count, steps), np.float32)
    physics = np.zeros((count, steps + 1, sizes.physics_size), np.float64)
    digest = Digest([task])
    for index, (path, length) in enumerate(zip(paths, lengths, strict=True)):
        episode, labels = read_labelled(path, [task], control)
        observations[index, :length] = episode.observations
        actions[index, :length] = episode.actions
        rewards[index, :length] = labels[task]
        physics[index, : length + 1] = episode.physics
        digest.add(episode.observations, episode.actions, labels)
        if progress is not None:
            progress(index + 1, count)
    return Dataset(
        task=task,
        observations=observations,
        actions=actions,
        rewards=rewards,
        lengths=lengths,
        physics=physics,
        control=control,
        source=str(directory),
        fingerprint=digest.fingerprint(task),
    )
