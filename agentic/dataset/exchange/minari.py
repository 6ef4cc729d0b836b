"""Minari data sets (the `minari` package) from a store or a directory, and into a store.

    OUT/agentic/walker_run-v0/data/     a data set in a root of Minari's: main_data.hdf5, metadata

    observations  o_0 ... o_T     [T + 1, O]
    actions       a_0 ... a_T-1   [T, A]
    rewards       r_0 ... r_T-1   [T]           of one task
    truncations   0   ... 0 1     [T]           episodes end by their time limit, never otherwise
    infos/physics p_0 ... p_T     [T + 1, P]    where there are any

Minari's own place is below the home directory, or where MINARI_DATASETS_PATH points. It is only
read, and only when a data set is asked for by its name.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from agentic.dataset.conversion import Converted, check_new, dates_of
from agentic.dataset.episodes import Episode
from agentic.dataset.exchange.exorl import Exported, LastObservations, all_observations, open_source
from agentic.dataset.exchange.recorded import check_from_seed, check_states, check_wrappers
from agentic.dataset.labels import Control
from agentic.dataset.replay import sample
from agentic.dataset.store.writing import Layout, new_store
from agentic.errors import AgenticError
from agentic.files import folder_written_whole, written_whole
from agentic.progress import Progress
from agentic.simulation import environment_spec
from agentic.simulation.tasks import TASKS, get_task

# Minari rewrites its metadata at every call, so that episodes are handed over by the dozen.
EPISODES_AT_A_TIME = 16
# Episodes of which a few steps are compared with the simulator.
CHECKED = 4
IDENTIFIER = re.compile(r"([-\w]+/)*[-\w]+-v\d+")
METADATA = "metadata.json"


def export_minari(
    path: str | Path,
    out: str | Path,
    task: str | None = None,
    control: Control | None = None,
    progress: Progress | None = None,
    identifier: str | None = None,
) -> Exported:
    """Write a Minari data set below the folder `out`; it appears when it is complete.

    Args:
        path: a store, or a directory of ExoRL episodes.
        out: a root of Minari's, such as MINARI_DATASETS_PATH, where other data sets may lie.
        task: whose rewards; None takes a store's only task.
        control: as for `load_dataset`.
        progress: called with (episodes done, episodes in all) after each block of episodes.
        identifier: the data set's name there; None takes agentic/{task}-v0.

    Returns:
        The data set's folder, below `out`.
    """
    storage_type, buffer_type, version = _minari()
    source = open_source(path, task, control)
    identifier = identifier or f"agentic/{source.task}-v0"
    if not IDENTIFIER.fullmatch(identifier):
        raise AgenticError(
            f"the name is {identifier!r}; Minari's names look like agentic/walker_run-v0."
        )
    place = Path(out) / identifier
    with folder_written_whole(place) as folder:
        # Minari looks for its files below a relative path twice over.
        storage = storage_type.new(
            folder.resolve() / "data", env_spec=environment_spec(source.task), data_format="hdf5"
        )
        origin: LastObservations = "stored"
        for first in range(0, source.count, EPISODES_AT_A_TIME):
            block = []
            for episode, rewards in islice(source.episodes, EPISODES_AT_A_TIME):
                observations, origin = all_observations(source.task, episode)
                block.append(_buffer(buffer_type, episode, rewards, observations))
            storage.update_episodes(block)
            if progress is not None:
                progress(first + len(block), source.count)
        storage.update_metadata(
            {
                "dataset_id": identifier,
                "minari_version": version,
                "description": f"{source.task}, from {Path(path).name}",
                "agentic_control": source.control,
            }
        )
    return Exported(place, source.count, source.task, origin)


def import_minari(
    source: str | Path,
    out: str | Path,
    task: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Converted:
    """Write a Minari data set of one of our tasks as a store at `out`.

    Args:
        source: the name of a data set in Minari's own place, or a path: the data set's folder, or
            a root with one data set in it.
        out: path of the store, ending in .h5.
        task: whose rewards and simulator these are; None takes what the data set says.
        overwrite: replace a file that is there already.
        progress: called with (episodes done, episodes in all) after each episode.

    Raises:
        AgenticError: no such data set; one that a store cannot hold (other widths, observations in
            several parts, an episode that ended before its time); or one that is not the task's,
            as the wrappers that it was recorded through and a few of its steps tell.
    """
    storage_type, _, _ = _minari()
    out = Path(out)
    check_new(out, overwrite)
    folder = find_minari(source)
    with _readable(folder):
        storage = storage_type.read(folder.resolve())
        count, metadata = storage.total_episodes, storage.metadata
        facts = list(storage.get_episode_metadata(range(count)))
    lengths = [int(fact["total_steps"]) for fact in facts]
    check_wrappers(metadata.get("env_spec"), str(folder))
    own = _own_task(metadata)
    if task is None and own is None:
        raise AgenticError(
            f"{folder} does not say which task it is of; name the --task of its rewards."
        )
    spec = get_task(task or own)
    for name, size in (("observation", spec.observation_size), ("action", spec.action_size)):
        shape = getattr(storage, f"{name}_space").shape
        if shape != (size,):
            raise AgenticError(
                f"{folder} has {name}s of shape {shape}; {spec.name} has ({size},) "
                "in the installed simulator."
            )
    if not lengths:
        raise AgenticError(f"{folder} holds no episodes; a store needs one.")
    first, _ = next(_episodes(storage, folder, [0]))
    layout = Layout(
        np.asarray(lengths, np.int32),
        spec.observation_size,
        spec.action_size,
        0 if first.physics is None else first.physics.shape[1],
        (spec.name,),
        last_observations=True,
    )
    # Rewards that others recorded are an environment's, which read the action.
    control = metadata.get("agentic_control", "action")
    checked, unknown = set(sample(count, CHECKED)), []
    with written_whole(out) as temporary, new_store(temporary, layout) as store:
        for row, (episode, rewards) in enumerate(_episodes(storage, folder, range(count))):
            if (episode.physics is None) != (first.physics is None):
                raise AgenticError(f"{folder} has physics in some of its episodes and not in all.")
            if row in checked:
                name, seed = f"{folder} episode {row}", facts[row].get("seed")
                if episode.physics is not None:
                    check_states(name, spec.name, control, episode, rewards)
                elif seed is None or not check_from_seed(
                    name, spec.name, int(seed), episode, rewards, ours=own == spec.name
                ):
                    unknown.append(row)
            store.add(episode, {spec.name: rewards})
            if progress is not None:
                progress(row + 1, count)
        store.finish(spec.domain, str(source), dates_of([folder / METADATA]), control)
    warning = (
        f"{folder} could not be compared with {spec.name}: it holds neither states nor the seeds "
        "of our environment."
    )
    return Converted(out, count, sum(lengths), (spec.name,), (), (warning,) if unknown else ())


def find_minari(source: str | Path) -> Path:
    """Return the folder with the metadata of a data set given by name or path."""
    home = os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    for root in (Path(source), Path(home) / source):
        for folder in (root, root / "data"):
            if (folder / METADATA).is_file():
                return folder
    found = sorted(path.parent for path in Path(source).glob("**/data/" + METADATA))
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(str(folder.parent) for folder in found)
        raise AgenticError(f"{source} holds {len(found)} Minari data sets; name one of {names}.")
    raise AgenticError(
        f"{source} is neither a folder with a Minari data set nor the name of one in {home}; "
        f"`minari download {source}` fetches it there if Minari publishes it."
    )


def _minari() -> tuple[Any, Any, str]:
    try:
        import minari
        from minari.data_collector import EpisodeBuffer
        from minari.dataset.minari_storage import MinariStorage
    except ImportError as error:
        raise AgenticError(
            f"the minari package is needed for this and is missing ({error.name}); "
            'pip install "agentic[minari]" installs it.'
        ) from error
    return MinariStorage, EpisodeBuffer, minari.__version__


def _buffer(kind: Any, episode: Episode, rewards: np.ndarray, observations: np.ndarray) -> Any:
    steps = len(rewards)
    return kind(
        observations=observations,
        actions=episode.actions,
        rewards=rewards,
        terminations=np.zeros(steps, bool),
        truncations=np.arange(steps) == steps - 1,
        infos={} if episode.physics is None else {"physics": episode.physics},
    )


def _episodes(
    storage: Any, folder: Path, rows: Iterable[int]
) -> Iterator[tuple[Episode, np.ndarray]]:
    with _readable(folder):
        for raw in storage.get_episodes(rows):
            yield _episode(raw, folder)


def _episode(raw: dict[str, Any], folder: Path) -> tuple[Episode, np.ndarray]:
    """Return one episode of a data set and its rewards [T], checked; errors name it."""
    name = f"{folder} episode {raw['id']}"
    if not isinstance(raw["observations"], np.ndarray):
        raise AgenticError(f"{name} has observations in several parts; a store has one vector.")
    if np.any(raw["terminations"]):
        raise AgenticError(
            f"{name} was terminated; episodes of these tasks end by their time limit alone."
        )
    seen, rewards = np.asarray(raw["observations"], np.float32), np.asarray(raw["rewards"], "f4")
    physics = (raw["infos"] or {}).get("physics")
    physics = None if physics is None else np.asarray(physics, np.float64)
    episode = Episode(seen[:-1], np.asarray(raw["actions"], np.float32), physics, seen[-1])
    episode.labelled(rewards).check(name)
    return episode, rewards


def _own_task(metadata: dict[str, Any]) -> str | None:
    """Return the task of our environment that a data set was made with; None for others'."""
    found = re.search(r'"id": *"agentic/(\w+)-v\d+"', metadata.get("env_spec") or "")
    return found[1] if found is not None and found[1] in TASKS else None


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, AssertionError) as error:
        raise AgenticError(
            f"{folder} cannot be read as a Minari data set ({error}); it is damaged or of a "
            "version that the installed minari does not read."
        ) from error
