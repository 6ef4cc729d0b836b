"""Opening a store: its arrays as maps of the file, its labels, and every damage in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from agentic import simulation
from agentic.dataset.dataset import Dataset, Digest, fingerprint
from agentic.dataset.episodes import check_widths
from agentic.dataset.family_dataset import FamilyDataset
from agentic.dataset.labels import Control
from agentic.errors import AgenticError
from agentic.provenance import cores
from agentic.simulation.families import get_family
from agentic.simulation.tasks import get_task, is_family

FORMAT, VERSION = "agentic-trajectories", "2"
LAST = "last_observations"
DTYPES = {
    "observations": np.float32, "actions": np.float32, "physics": np.float64, "lengths": np.int32,
}  # fmt: skip


class Labels(NamedTuple):
    """One task's rewards [N, T] and returns [N], how they were made, their sha256 as recorded."""

    rewards: np.ndarray
    returns: np.ndarray
    control: str
    sha256: str


class Features(NamedTuple):
    """The features [N, T, F] of a task family, how they were made, their sha256 as recorded."""

    values: np.ndarray
    control: str
    sha256: str


class Store(NamedTuple):
    """An open store: read-only maps of its arrays, its labels by task, its facts as texts."""

    path: Path
    facts: dict[str, str]
    lengths: np.ndarray
    observations: np.ndarray
    actions: np.ndarray
    physics: np.ndarray | None
    physics_sha256: str
    last_observations: np.ndarray | None
    last_observations_sha256: str
    labels: dict[str, Labels]
    features: dict[str, Features]

    @property
    def domains(self) -> list[str]:
        """The domains that the episodes can belong to: more than one where widths do not tell."""
        return self.facts["domain"].split(" or ")

    def check_task(self, task: str) -> None:
        """Raise AgenticError if the episodes cannot be of `task`."""
        domain = get_task(task).domain
        if domain not in self.domains:
            raise AgenticError(
                f"{self.path} holds episodes of {self.facts['domain']}, "
                f"and {task} is a task of {domain}; take a task of {self.domains[0]}."
            )

    def labels_of(self, task: str) -> Labels | Features | None:
        """Return the rewards of a task or the features of a family, or None if it has none."""
        if is_family(task):
            return self.features.get(get_family(task).features_name)
        return self.labels.get(task)

    def widths(self) -> dict[str, int]:
        """Return the width of every array, named as in ExoRL's files."""
        arrays = {
            "observation": self.observations, "action": self.actions, "physics": self.physics,
        }  # fmt: skip
        return {key: array.shape[2] for key, array in arrays.items() if array is not None}


def texts(node: h5py.HLObject) -> dict[str, str]:
    """Return the attributes of a file or an array that are texts, by name."""
    values = {name: node.attrs[name] for name in node.attrs}
    return {name: text.decode() for name, text in values.items() if isinstance(text, bytes)}


def open_arrays(path: str | Path) -> Store:
    """Return a store's arrays, each a read-only memory map of the file; they need no labels."""
    path = Path(path)
    with opened(path) as file:
        lengths = file["lengths"][()]
        count, steps = len(lengths), int(lengths.max(initial=0))
        labels = {task: _labels(path, file, task, count, steps) for task in sorted(file["rewards"])}
        features = {
            name: _features(path, file, name, count, steps) for name in file.get("features", ())
        }
        has_physics, has_last = "physics" in file, LAST in file
        observations = _map(path, file, "observations", (count, steps, None))
        last = _map(path, file, LAST, (count, observations.shape[2])) if has_last else None
        return Store(
            path=path,
            facts=texts(file),
            lengths=lengths,
            observations=observations,
            actions=_map(path, file, "actions", (count, steps, None)),
            physics=_map(path, file, "physics", (count, steps + 1, None)) if has_physics else None,
            physics_sha256=texts(file["physics"])["sha256"] if has_physics else "",
            last_observations=last,
            last_observations_sha256=texts(file[LAST])["sha256"] if has_last else "",
            labels=labels,
            features=features,
        )


def open_store(
    path: str | Path,
    task: str,
    control: Control | None = None,
    recompute_observations: bool = False,
) -> Dataset | FamilyDataset:
    """Return the trajectories of a store labelled for `task`, memory-mapped.

    `control` other than None refuses labels that were made with the other control mode;
    `recompute_observations` puts observations computed from physics into memory.
    """
    store = open_arrays(path)
    check_labels(store, task, control)
    check_widths(path, task, store.widths(), recompute_observations)
    labels, content = store.labels_of(task), store.facts["sha256"]
    observations = store.observations
    if recompute_observations:
        observations, content = _observe_again(store, task)
    shared = {
        "task": task,
        "observations": observations,
        "actions": store.actions,
        "lengths": store.lengths,
        "physics": store.physics,
        "control": labels.control,
        "source": str(path),
        "fingerprint": fingerprint(task, content, labels.sha256),
    }
    if isinstance(labels, Features):
        return FamilyDataset(features=labels.values, **shared)
    return Dataset(rewards=labels.rewards, known_returns=labels.returns, **shared)


def is_labelled(path: str | Path, task: str, control: Control) -> bool:
    """Return whether a store has labels of `task` that were made with `control`."""
    labels = open_arrays(path).labels_of(task)
    return labels is not None and labels.control == control


def check_labels(store: Store, task: str, control: Control | None) -> None:
    """Raise AgenticError, with the command that helps, unless `task` is labelled as asked."""
    store.check_task(task)
    mode = "" if control in (None, "action") else f" --control {control}"
    command = f"agentic data relabel {store.path} --task {task}{mode}"
    remedy = f"run `{command}`, or train with --relabel"
    if store.physics is None:
        remedy = "it holds no physics to label from, so convert the episodes again with physics"
    labels = store.labels_of(task)
    if labels is None and is_family(task):
        raise AgenticError(f"{store.path} has no features for {task}; {remedy}.")
    if labels is None:
        there = ", ".join(store.labels) or "no task"
        raise AgenticError(
            f"{store.path} has no rewards for {task}, only for {there}; {remedy}."
            if store.labels
            else f"{store.path} has no rewards for {task} or any other task; {remedy}."
        )
    found = labels.control
    if control not in (None, found):
        raise AgenticError(
            f"{store.path} has {task} labelled with control {found!r} and {control!r} "
            f"was asked for; ask for {found!r}, or to replace the labels {remedy}."
        )


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Open a store for reading; a file that is none, or is damaged, is one clear sentence."""
    if not Path(path).exists():
        raise AgenticError(f"{path} does not exist; agentic data convert writes a store.")
    if Path(path).is_file() and not h5py.is_hdf5(path):
        raise AgenticError(
            f"{path} is no HDF5 file, or its beginning is lost; "
            "agentic data convert writes a store from ExoRL episodes."
        )
    try:
        with h5py.File(path, "r") as file:
            kind = texts(file)
            if kind.get("format") != FORMAT:
                raise AgenticError(
                    f"{path} is HDF5 but no store of trajectories; "
                    "agentic data convert writes one from ExoRL episodes."
                )
            if kind["version"] != VERSION:
                raise AgenticError(
                    f"{path} is a store of version {kind['version']}; "
                    f"this package reads version {VERSION}, so convert the episodes again."
                )
            yield file
    except (OSError, KeyError, RuntimeError) as error:
        raise AgenticError(
            f"{path} cannot be read as a store ({error.args[-1]}); "
            "it is truncated or damaged, so convert the episodes again."
        ) from error


def _labels(path: Path, file: h5py.File, task: str, count: int, steps: int) -> Labels:
    rewards = _map(path, file, f"rewards/{task}", (count, steps))
    facts = texts(file[f"rewards/{task}"])
    returns = file[f"returns/{task}"][()]
    if returns.shape != (count,):
        raise AgenticError(
            f"{path} has returns/{task} of shape {returns.shape}; its {count} episodes ask for "
            f"({count},)."
        )
    return Labels(rewards, returns, facts["control"], facts["sha256"])


def _features(path: Path, file: h5py.File, name: str, count: int, steps: int) -> Features:
    values = _map(path, file, f"features/{name}", (count, steps, None))
    facts = texts(file[f"features/{name}"])
    return Features(values, facts["control"], facts["sha256"])


def _map(path: Path, file: h5py.File, key: str, shape: tuple[int | None, ...]) -> np.memmap:
    """Return the map of an array whose shape must be `shape`; None stands for any width."""
    array = file[key]
    dtype = DTYPES.get(key, np.float32)
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        raise AgenticError(
            f"{path} has {key} of shape {array.shape} and type {array.dtype}; "
            f"its lengths ask for ({wanted}) and {np.dtype(dtype)}."
        )
    offset = array.id.get_offset()
    if offset is None:
        raise AgenticError(f"{path} has {key} in pieces or compressed; a store is contiguous.")
    return np.memmap(path, dtype, "r", offset, array.shape)


def _observe_again(store: Store, task: str) -> tuple[np.ndarray, str]:
    """Return observations [N, T, O] from physics, and the sha256 that their content then has."""
    if store.physics is None:
        raise AgenticError(
            f"{store.path} holds no physics, so its observations cannot be computed anew; "
            "convert the episodes again with physics."
        )
    count, steps = store.actions.shape[:2]
    observations = np.zeros((count, steps, get_task(task).observation_size), np.float32)
    digest, threads = Digest([]), cores()
    for row, length in enumerate(store.lengths.tolist()):
        computed = simulation.observations(task, store.physics[row, :length], threads)
        observations[row, :length] = computed
        digest.add(computed, store.actions[row, :length], {})
    return observations, digest.content
