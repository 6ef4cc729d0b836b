"""What a directory of episodes or a store holds, as plain data for `agentic data info`.

Whether a directory of episodes or a store is whole: structure, finite values, hashes.
"""

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agentic.dataset.conversion import check_workers, in_order
from agentic.dataset.dataset import Dataset, Digest
from agentic.dataset.episodes import (
    Episode,
    episode_length,
    episode_shapes,
    list_episodes,
    read_episode,
)
from agentic.dataset.load import load_dataset
from agentic.download.manifest import MANIFEST, is_episode, read_manifest
from agentic.errors import AgenticError
from agentic.hindsight import total_rewards
from agentic.progress import Progress
from agentic.provenance import cores
from agentic.trajectory import LARGEST_ACTION

QUANTILES = {"min": 0.0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "max": 1.0}


def describe(path: str | Path, task: str | None = None) -> dict[str, object]:
    """Return what is under `path`, without printing it.

    Args:
        path: a directory of ExoRL episodes or an .h5 store.
        task: give returns for this task only; a directory without a task has none, for its own
            rewards belong to the task it was collected with.

    Returns:
        kind ("episodes" or "store"), path, episodes, steps, length_range (shortest, longest),
        bytes (on disk), shapes (name -> shape; those of the first file where no task is given),
        tasks (name -> control, fingerprint, returns (name -> quantile or mean)); for a store also
        domain, source, dates and versions.
    """
    return describe_with_returns(path, task)[0]


def describe_with_returns(
    path: str | Path, task: str | None = None, progress: Progress | None = None
) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Return what `describe` does, and the returns [N] of every task that it tells of."""
    path = Path(path)
    if path.suffix == ".h5":
        facts, data = _describe_store(path, task)
    else:
        facts, data = _describe_episodes(path, task, progress)
    facts["tasks"] = {name: _labels(labelled) for name, labelled in data.items()}
    return facts, {name: labelled.returns for name, labelled in data.items()}


def _describe_episodes(
    path: Path, task: str | None, progress: Progress | None
) -> tuple[dict, dict[str, Dataset]]:
    files = list_episodes(path)
    size = sum(file.stat().st_size for file in files)
    if task is None:
        lengths = np.asarray([episode_length(file) for file in files])
        shapes = episode_shapes(files[0])
        return _counts("episodes", path, lengths, size) | {"shapes": shapes}, {}
    data = load_dataset(path, task, progress=progress)
    arrays = {
        "observations": data.observations,
        "actions": data.actions,
        "rewards": data.rewards,
        "physics": data.physics,
    }
    shapes = {name: array.shape for name, array in arrays.items()}
    return _counts("episodes", path, data.lengths, size) | {"shapes": shapes}, {task: data}


def _describe_store(path: Path, task: str | None) -> tuple[dict, dict[str, Dataset]]:
    import json

    from agentic.dataset.store import open_arrays, open_store

    store = open_arrays(path)
    data = {name: open_store(path, name) for name in ([task] if task else store.labels)}
    arrays = {
        "observations": store.observations,
        "actions": store.actions,
        "rewards": next((labelled.rewards for labelled in data.values()), None),
        "physics": store.physics,
    }
    shapes = {name: array.shape for name, array in arrays.items() if array is not None}
    counts = _counts("store", path, store.lengths, path.stat().st_size)
    facts = {key: store.facts[key] for key in ("domain", "source")}
    facts |= {key: json.loads(store.facts[key]) for key in ("dates", "versions")}
    return counts | facts | {"shapes": shapes}, data


def _counts(kind: str, path: Path, lengths: np.ndarray, size: int) -> dict[str, object]:
    return {
        "kind": kind,
        "path": str(path),
        "episodes": len(lengths),
        "steps": int(lengths.sum()),
        "length_range": (int(lengths.min()), int(lengths.max())),
        "bytes": size,
    }


def _labels(data: Dataset) -> dict[str, object]:
    returns = {name: float(np.quantile(data.returns, q)) for name, q in QUANTILES.items()}
    return {
        "control": data.control,
        "fingerprint": data.fingerprint,
        "returns": returns | {"mean": float(data.returns.mean())},
    }


class Verified(NamedTuple):
    """What `verify` found: "episodes" or "store", how many were read, a sentence per problem."""

    kind: str
    episodes: int
    problems: tuple[str, ...]


def verify(
    path: str | Path, progress: Progress | None = None, workers: int | None = None
) -> Verified:
    """Read everything under `path` and return what is wrong with it.

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
    paths = list_episodes(path)
    problems = (*_manifest_problems(path), *_episode_problems(paths, progress, workers))
    return Verified("episodes", len(paths), problems)


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


def _episode_problems(paths: list[Path], progress: Progress | None, workers: int) -> Iterator[str]:
    def attempt(path: Path) -> Episode | str:
        try:
            return read_episode(path)
        except AgenticError as error:
            return str(error)

    widths = None
    results = zip(paths, in_order(attempt, paths, workers), strict=True)
    for done, (path, result) in enumerate(results, start=1):
        if isinstance(result, str):
            yield result
        else:
            found = tuple(array.shape[1] for array in result)
            widths = widths or found
            if found != widths:
                yield (
                    f"{path} has observations, actions and physics of widths {found}, "
                    f"those before it of {widths}; it comes from another domain."
                )
        if progress is not None:
            progress(done, len(paths))


def _verify_store(path: Path, progress: Progress | None) -> Verified:
    # Only a store needs h5py.
    from agentic.dataset.store import open_arrays

    try:
        store = open_arrays(path)
    except AgenticError as error:
        if not path.exists():
            raise
        return Verified("store", 0, (str(error),))
    return Verified("store", len(store.lengths), tuple(_store_problems(store, progress)))


def _store_problems(store, progress: Progress | None) -> Iterator[str]:
    count, steps = store.actions.shape[:2]
    digest, physics = Digest(store.labels), hashlib.sha256()
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
        if store.physics is not None:
            arrays["physics"] = (store.physics[row], length + 1)
            physics.update(np.ascontiguousarray(store.physics[row, : length + 1], "<f8"))
        for key, (values, rows) in arrays.items():
            if not np.isfinite(values[:rows]).all():
                yield f"{name} has {key} that are not finite."
            if values[rows:].any():
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
            {task: values[:length] for task, values in rewards.items()},
        )
        if progress is not None:
            progress(row + 1, count)
    yield from _hash_problems(store, digest, physics.hexdigest())


def _hash_problems(store, digest: Digest, physics: str) -> Iterator[str]:
    hashes = {"observations and actions": (digest.content, store.facts["sha256"])}
    if store.physics is not None:
        hashes["physics"] = (physics, store.physics_sha256)
    for task, labels in store.labels.items():
        hashes[f"the rewards of {task}"] = (digest.rewards(task), labels.sha256)
    for what, (found, recorded) in hashes.items():
        if found != recorded:
            yield (
                f"{store.path} has other {what} than it was written with: "
                f"sha256 {found[:16]}... instead of {recorded[:16]}...; convert or label it again."
            )
