"""What a directory of episodes or a store holds, as plain data for `agentic data info`."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from agentic.dataset.dataset import Dataset
from agentic.dataset.episodes import episode_length, episode_shapes, list_episodes
from agentic.dataset.load import load_dataset
from agentic.errors import AgenticError
from agentic.progress import Progress
from agentic.simulation.tasks import is_family

QUANTILES = {"min": 0.0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "max": 1.0}


class Description(NamedTuple):
    """Plain facts, as `describe_data` lists them, and the returns [N] of every task among them."""

    facts: dict[str, object]
    returns: dict[str, np.ndarray]


def describe_data(
    path: str | Path, task: str | None = None, progress: Progress | None = None
) -> Description:
    """Return what is under `path`, without printing it.

    Args:
        path: a directory of ExoRL episodes or an .h5 store.
        task: give returns for this task only; a directory without a task has none, because its own
            rewards belong to the task it was collected with.
        progress: called with (episodes done, episodes in all) while a directory is labelled.

    Returns:
        kind ("episodes" or "store"), path, episodes, steps, length_range (shortest, longest),
        bytes (on disk), shapes (name -> shape; those of the first file where no task is given),
        tasks (name -> control, fingerprint, returns (name -> quantile or mean)); for a store also
        domain, source, dates and versions.
    """
    path = Path(path)
    if task is not None and is_family(task):
        raise AgenticError(f"{task} is a task family, which has other returns for every code; "
                           "name a task")  # fmt: skip
    if path.suffix == ".h5":
        facts, data = _describe_store(path, task)
    else:
        facts, data = _describe_episodes(path, task, progress)
    facts["tasks"] = {name: _describe_labels(labelled) for name, labelled in data.items()}
    return Description(facts, {name: labelled.returns for name, labelled in data.items()})


def _describe_episodes(
    path: Path, task: str | None, progress: Progress | None
) -> tuple[dict, dict[str, Dataset]]:
    files = list_episodes(path)
    if task is None:
        lengths = np.asarray([episode_length(file) for file in files])
        shapes = episode_shapes(files[0])
        return _counts("episodes", path, lengths, _bytes(files)) | {"shapes": shapes}, {}
    data = load_dataset(path, task, progress=progress)
    arrays = {
        "observations": data.observations,
        "actions": data.actions,
        "rewards": data.rewards,
        "physics": data.physics,
    }
    shapes = {name: array.shape for name, array in arrays.items()}
    counts = _counts("episodes", path, data.lengths, _bytes(files))
    return counts | {"shapes": shapes}, {task: data}


def _describe_store(path: Path, task: str | None) -> tuple[dict, dict[str, Dataset]]:
    # Only a store needs h5py.
    from agentic.dataset.store.reading import open_arrays, open_store

    store = open_arrays(path)
    data = {name: open_store(path, name) for name in ([task] if task else store.labels)}
    arrays = {
        "observations": store.observations,
        "actions": store.actions,
        "rewards": next((labelled.rewards for labelled in data.values()), None),
        "physics": store.physics,
    } | {f"features {name}": features.values for name, features in store.features.items()}
    shapes = {name: array.shape for name, array in arrays.items() if array is not None}
    counts = _counts("store", path, store.lengths, _bytes([path]))
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


def _bytes(files: list[Path]) -> int:
    return sum(file.stat().st_size for file in files)


def _describe_labels(data: Dataset) -> dict[str, object]:
    returns = {name: float(np.quantile(data.returns, q)) for name, q in QUANTILES.items()}
    return {
        "control": data.control,
        "fingerprint": data.fingerprint,
        "returns": returns | {"mean": float(data.returns.mean())},
    }
