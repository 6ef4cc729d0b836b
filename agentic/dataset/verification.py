"""Is a directory of episodes, or a store, whole? Every value is read, every hash computed anew."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from agentic.dataset.dataset import Digest
from agentic.dataset.episodes import Episode, list_episodes, read_episode
from agentic.dataset.replay import RecordedSteps, recorded_steps, replay, sample, simulators
from agentic.dataset.workers import check_workers, in_order
from agentic.download.manifest import MANIFEST, is_episode, read_manifest
from agentic.errors import AgenticError
from agentic.hindsight import total_rewards
from agentic.progress import Progress
from agentic.provenance import cores
from agentic.trajectory import LARGEST_ACTION

if TYPE_CHECKING:
    from agentic.dataset.store.reading import Store


class Verified(NamedTuple):
    """What `verify` found.

    kind: "episodes" or "store"; episodes, how many were read; problems, a sentence each; replayed,
    how far simulated steps are off the stored ones, "" where none could be simulated.
    """

    kind: str
    episodes: int
    problems: tuple[str, ...]
    replayed: str = ""


def verify(
    path: str | Path, progress: Progress | None = None, workers: int | None = None
) -> Verified:
    """Read everything under `path` and return what is wrong with it.

    A sample of steps is simulated again, too, from their stored states (`agentic.dataset.replay`).

    Args:
        path: a directory of ExoRL episodes, every file of which is read and checked, against the
            manifest too where it was downloaded; or an .h5 store, whose structure, values, padding,
            returns and hashes are checked.
        progress: called with (episodes done, episodes in all) after each episode.
        workers: threads that read episodes; None takes every processor.

    Raises:
        AgenticError: nothing that could be checked is there.
    """
    path, workers = Path(path), cores() if workers is None else workers
    check_workers(workers)
    if path.suffix == ".h5":
        return _verify_store(path, progress)
    paths, replayable = list_episodes(path), _Replayable({}, [])
    found = _episode_problems(paths, progress, workers, replayable)
    problems = [*_manifest_problems(path), *found]
    tasks = simulators(replayable.widths)
    return _with_replay("episodes", len(paths), problems, replayable.steps, tasks)


class _Replayable(NamedTuple):
    """What reading leaves to be replayed: the widths of the first whole episode, steps of some."""

    widths: dict[str, int]
    steps: list[RecordedSteps]


def _with_replay(
    kind: str,
    episodes: int,
    problems: list[str],
    recorded: Sequence[RecordedSteps],
    tasks: Sequence[str],
) -> Verified:
    """Return what was found, and what comes of simulating these episodes' steps again."""
    replayed = replay(recorded, tasks)
    if replayed is None:
        return Verified(kind, episodes, tuple(problems))
    return Verified(kind, episodes, (*problems, *replayed.problems), str(replayed))


def _manifest_problems(path: Path) -> Iterator[str]:
    """Compare a downloaded data set's episodes with its manifest: names, sizes and CRCs."""
    manifest = read_manifest(path / MANIFEST)
    for member in manifest.members if manifest is not None else ():
        if not is_episode(member.name):
            continue
        file = path / member.name
        content = file.read_bytes() if file.is_file() else None
        if content is None:
            yield f"{file} is missing; the manifest lists it."
        elif (len(content), zlib.crc32(content)) != (member.size, member.crc32):
            yield f"{file} is not the file that was downloaded; its size or CRC differ."


def _episode_problems(
    paths: list[Path], progress: Progress | None, workers: int, replayable: _Replayable
) -> Iterator[str]:
    """Read all files, and note what of them can be replayed."""

    def attempt(path: Path) -> Episode | str:
        try:
            return read_episode(path)
        except AgenticError as error:
            return str(error)

    widths, sampled = None, set(sample(len(paths)))
    results = zip(paths, in_order(attempt, paths, workers), strict=True)
    for done, (path, result) in enumerate(results, start=1):
        if isinstance(result, str):
            yield result
        else:
            found = result.widths()
            widths = widths or found
            replayable.widths.update(widths)
            if found != widths:
                yield (
                    f"{path} has observations, actions and physics of widths "
                    f"{tuple(found.values())}, those before it of {tuple(widths.values())}; "
                    "it comes from another domain."
                )
            elif done - 1 in sampled:
                steps = recorded_steps(str(path), result.physics, result.actions)
                replayable.steps.append(steps)
        if progress is not None:
            progress(done, len(paths))


def _verify_store(path: Path, progress: Progress | None) -> Verified:
    # Only a store needs h5py.
    from agentic.dataset.store.reading import open_arrays

    try:
        store = open_arrays(path)
    except AgenticError as error:
        if not path.exists():
            raise
        return Verified("store", 0, (str(error),))
    problems = list(_store_problems(store, progress))
    recorded = []
    # Where rows are damaged, replaying them would only say so again.
    if store.physics is not None and not problems:
        for row in sample(len(store.lengths)):
            length, name = store.lengths[row], f"{path} episode {row}"
            physics, actions = store.physics[row, : length + 1], store.actions[row, :length]
            recorded.append(recorded_steps(name, physics, actions))
    tasks = tuple(store.labels) or simulators(store.widths())
    return _with_replay("store", len(store.lengths), problems, recorded, tasks)


def _store_problems(store: Store, progress: Progress | None) -> Iterator[str]:
    count, steps = store.actions.shape[:2]
    features = {f"features {name}": found for name, found in store.features.items()}
    digest = Digest([*store.labels, *features])
    physics, last = hashlib.sha256(), hashlib.sha256()
    for row, length in enumerate(store.lengths.tolist()):
        name = f"{store.path} episode {row}"
        if not 0 < length <= steps:
            yield f"{name} has length {length}; it must lie in 1 to {steps}."
            return
        rewards = {task: labels.rewards[row] for task, labels in store.labels.items()}
        arrays = {
            "observations": (store.observations[row], length),
            "actions": (store.actions[row], length),
        } | {f"rewards of {task}": (values, length) for task, values in rewards.items()}
        found = {name: each.values[row] for name, each in features.items()}
        arrays |= {name: (values, length) for name, values in found.items()}
        if store.physics is not None:
            arrays["physics"] = (store.physics[row], length + 1)
            physics.update(np.ascontiguousarray(store.physics[row, : length + 1], "<f8"))
        if store.last_observations is not None:
            arrays["last observations"] = (store.last_observations[row], None)
            last.update(np.ascontiguousarray(store.last_observations[row], "<f4"))
        for key, (values, rows) in arrays.items():
            if not np.isfinite(values[:rows]).all():
                yield f"{name} has {key} that are not finite."
            if rows is not None and values[rows:].any():
                yield f"{name} has {key} other than zero behind its last step."
        if np.abs(store.actions[row, :length]).max() > LARGEST_ACTION:
            yield f"{name} has actions outside [-1, 1]."
        mask = np.arange(steps) < length
        for task, labels in store.labels.items():
            if labels.returns[row] != total_rewards(labels.rewards[row], mask):
                yield f"{name} has a {task} return that is not the sum of its rewards."
        digest.add(
            store.observations[row, :length],
            store.actions[row, :length],
            {name: values[:length] for name, values in (rewards | found).items()},
        )
        if progress is not None:
            progress(row + 1, count)
    yield from _hash_problems(store, digest, physics.hexdigest(), last.hexdigest())


def _hash_problems(store: Store, digest: Digest, physics: str, last: str) -> Iterator[str]:
    hashes = {"observations and actions": (digest.content, store.facts["sha256"])}
    if store.physics is not None:
        hashes["physics"] = (physics, store.physics_sha256)
    if store.last_observations is not None:
        hashes["last observations"] = (last, store.last_observations_sha256)
    for task, labels in store.labels.items():
        hashes[f"the rewards of {task}"] = (digest.rewards(task), labels.sha256)
    for name, features in store.features.items():
        hashes[f"features {name}"] = (digest.rewards(f"features {name}"), features.sha256)
    for what, (found, recorded) in hashes.items():
        if found != recorded:
            yield (
                f"{store.path} has other {what} than it was written with: "
                f"sha256 {found[:16]}... instead of {recorded[:16]}...; convert or label it again."
            )
