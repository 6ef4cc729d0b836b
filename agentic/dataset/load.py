"""`load_dataset`: one door to labelled trajectories, in a directory or in a store."""

import logging
from pathlib import Path

import numpy as np

from agentic.dataset.dataset import Dataset, Digest
from agentic.dataset.episodes import episode_length, list_episodes, read_episode
from agentic.dataset.family_dataset import FamilyDataset
from agentic.dataset.labels import (
    Control,
    check_control,
    label_episode,
    label_shape,
    observe_again,
)
from agentic.dataset.workers import in_order
from agentic.errors import AgenticError
from agentic.progress import Progress
from agentic.provenance import cores
from agentic.simulation.tasks import get_task, is_family

# Said by commands to everyone, and by the library to who turns on its log.
LOG = logging.getLogger("agentic")


def load_dataset(
    path: str | Path,
    task: str,
    control: Control = "action",
    progress: Progress | None = None,
    recompute_observations: bool = False,
) -> Dataset | FamilyDataset:
    """Return the trajectories under `path` labelled for `task`.

    For a task family they have features in place of rewards (`FamilyDataset`).

    Args:
        path: a directory of ExoRL episodes (`*.npz` in it or in its `buffer/`), labelled on the way
            into memory; or an `.h5` store, memory-mapped.
        task: name, such as "cartpole_swingup" or "point_mass_goal".
        control: what labels read as control, "action" (the environment's reward) or "zero"
            (ExoRL's own relabelling).
        progress: called with (episodes done, episodes in all) after each episode.
        recompute_observations: take observations from the stored physics, in memory, because those
            that were stored have a width that the installed simulator does not have.

    Raises:
        AgenticError: one sentence that names the file and the rule it breaks.
    """
    path = Path(path)
    get_task(task)
    check_control(control)
    if path.suffix == ".h5":
        # Only a store needs h5py.
        from agentic.dataset.store.reading import open_store

        return open_store(path, task, control, recompute_observations)
    return _load_episodes(path, task, control, progress, recompute_observations)


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
    directory: Path, task: str, control: Control, progress: Progress | None, recompute: bool
) -> Dataset | FamilyDataset:
    paths, threads = list_episodes(directory), cores()
    lengths = np.asarray([episode_length(path) for path in paths], np.int32)
    sizes, count, steps = get_task(task), len(paths), int(lengths.max())
    observations = np.zeros((count, steps, sizes.observation_size), np.float32)
    actions = np.zeros((count, steps, sizes.action_size), np.float32)
    labels = np.zeros((count, steps, *label_shape(task)), np.float32)
    physics = np.zeros((count, steps + 1, sizes.physics_size), np.float64)
    digest = Digest([task])
    read = in_order(lambda path: read_episode(path, task, recompute), paths, threads)
    for index, (path, length, episode) in enumerate(zip(paths, lengths, read, strict=True)):
        if recompute:
            episode = observe_again(path, episode, task, threads)
        found = label_episode(path, episode, [task], control, threads)
        observations[index, :length] = episode.observations
        actions[index, :length] = episode.actions
        labels[index, :length] = found[task]
        physics[index, : length + 1] = episode.physics
        digest.add(episode.observations, episode.actions, found)
        if progress is not None:
            progress(index + 1, count)
    LOG.info("hint: agentic data convert %s OUT.h5 makes loading fast", directory)
    kind, name = (FamilyDataset, "features") if is_family(task) else (Dataset, "rewards")
    return kind(
        **{name: labels},
        task=task,
        observations=observations,
        actions=actions,
        lengths=lengths,
        physics=physics,
        control=control,
        source=str(directory),
        fingerprint=digest.fingerprint(task),
    )
