"""What a directory of episodes or a store holds, as plain data for `agentic data info`."""

from pathlib import Path

import numpy as np

from agentic.dataset.dataset import Dataset
from agentic.dataset.exorl import episode_length, episode_shapes, list_episodes
from agentic.dataset.load import load_dataset

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
        domain, source and versions.
    """
    path = Path(path)
    if path.suffix == ".h5":
        return _describe_store(path, task)
    return _describe_episodes(path, task)


def _describe_episodes(path: Path, task: str | None) -> dict[str, object]:
    files = list_episodes(path)
    size = sum(file.stat().st_size for file in files)
    if task is None:
        lengths = np.asarray([episode_length(file) for file in files])
        return _counts("episodes", path, lengths, size) | {
            "shapes": episode_shapes(files[0]),
            "tasks": {},
        }
    data = load_dataset(path, task)
    return _counts("episodes", path, data.lengths, size) | {
        "shapes": _shapes(data),
        "tasks": {task: _labels(data)},
    }


def _describe_store(path: Path, task: str | None) -> dict[str, object]:
    import json

    from agentic.dataset.store import open_store, opened, texts

    with opened(path) as file:
        names = [task] if task is not None else sorted(file["rewards"])
        provenance = {key: texts(file)[key] for key in ("domain", "source", "versions")}
    data = {name: open_store(path, name) for name in names}
    first = data[names[0]]
    return (
        _counts("store", path, first.lengths, path.stat().st_size)
        | provenance
        | {
            "versions": json.loads(provenance["versions"]),
            "shapes": _shapes(first),
            "tasks": {name: _labels(labelled) for name, labelled in data.items()},
        }
    )


def _counts(kind: str, path: Path, lengths: np.ndarray, size: int) -> dict[str, object]:
    return {
        "kind": kind,
        "path": str(path),
        "episodes": len(lengths),
        "steps": int(lengths.sum()),
        "length_range": (int(lengths.min()), int(lengths.max())),
        "bytes": size,
    }


def _shapes(data: Dataset) -> dict[str, tuple[int, ...]]:
    arrays = {
        "observations": data.observations,
        "actions": data.actions,
        "rewards": data.rewards,
        "physics": data.physics,
    }
    return {name: array.shape for name, array in arrays.items() if array is not None}


def _labels(data: Dataset) -> dict[str, object]:
    returns = {name: float(np.quantile(data.returns, q)) for name, q in QUANTILES.items()}
    return {
        "control": data.control,
        "fingerprint": data.fingerprint,
        "returns": returns | {"mean": float(data.returns.mean())},
    }
