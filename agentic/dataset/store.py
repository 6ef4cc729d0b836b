"""The store: one HDF5 file, written once, whose arrays are memory-mapped.

    /observations    [N, T, O] float32      attributes of the file: format, version, domain,
    /actions         [N, T, A] float32      source, control, sha256 (of observations and actions),
    /physics         [N, T + 1, P] float64  versions (of the packages that wrote it)
    /lengths         [N] int32
    /rewards/{task}  [N, T] float32         attributes: control, sha256

Every array is contiguous and uncompressed, so its bytes lie in the file as they lie in memory and
the operating system pages them in; rows beyond an episode's length are zero.
"""

import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from agentic.dataset.dataset import Dataset, Digest, fingerprint, padded
from agentic.dataset.exorl import Episode, episode_length, list_episodes, read_episode
from agentic.dataset.relabel import Control, check_control, read_labelled
from agentic.errors import AgenticError, closest
from agentic.files import written_whole
from agentic.simulation.tasks import Task, get_task

FORMAT, VERSION = "agentic-trajectories", "1"
DTYPES = {
    "observations": np.float32, "actions": np.float32, "physics": np.float64, "lengths": np.int32,
}  # fmt: skip
# The oldest layout with checksums over its structure: without them, one flipped bit can crash HDF5.
LIBRARY = ("v108", "v108")
# Arrays start on a cache line, so that a map of them is aligned for every dtype.
ALIGNMENT = 64


class Converted(NamedTuple):
    """What `convert` did: the file, what it holds, and the sentence for each episode left out."""

    path: Path
    episodes: int
    steps: int
    skipped: tuple[str, ...]


def convert(
    directory: str | Path,
    out: str | Path,
    tasks: Sequence[str],
    control: Control = "action",
    progress: Callable[[int, int], None] | None = None,
    episodes: int | None = None,
    skip_damaged: bool = False,
    overwrite: bool = False,
) -> Converted:
    """Stream a directory of ExoRL episodes into a store at `out`, labelled for every task.

    One episode is in memory at a time. The file appears under its name only when it is complete.

    Args:
        directory: as for `load_dataset`.
        out: path of the store, ending in .h5.
        tasks: names of tasks that share one simulator, such as ["walker_walk", "walker_run"].
        control: what labels read as control, "action" or "zero".
        progress: called with (episodes done, episodes in all) after each episode.
        episodes: take only the first this many.
        skip_damaged: leave out episodes that cannot be read, which reads every episode twice.
        overwrite: replace a file that is there already.
    """
    out, specs = Path(out), _checked_tasks(tasks)
    check_control(control)
    if out.suffix != ".h5":
        raise AgenticError(f"the store is to be written to {out}; its name must end in .h5.")
    if out.exists() and not overwrite:
        raise AgenticError(f"{out} exists already; choose another name or pass overwrite.")
    if episodes is not None and episodes < 1:
        raise AgenticError(f"episodes is {episodes}; it must be at least 1.")
    names = [spec.name for spec in specs]
    paths, lengths, skipped = _inspect(
        list_episodes(directory)[:episodes], specs[0].name, skip_damaged
    )
    digest = Digest(names)
    with written_whole(out) as temporary:
        _check_space(temporary.parent, specs, lengths)
        with _new_file(temporary) as (file, output):
            arrays = _create_arrays(file, specs, lengths)
            for row, path in enumerate(paths):
                episode, labels = read_labelled(path, names, control)
                _write_row(arrays, row, episode, labels)
                output.check()
                digest.add(episode.observations, episode.actions, labels)
                if progress is not None:
                    progress(row + 1, len(paths))
            _write_provenance(file, str(directory), specs, control, digest)
    return Converted(out, len(paths), int(lengths.sum()), tuple(skipped))


def _checked_tasks(tasks: Sequence[str]) -> list[Task]:
    if not tasks:
        raise AgenticError("no task was given; a store needs at least one to be labelled for.")
    specs = [get_task(name) for name in dict.fromkeys(tasks)]
    for spec in specs[1:]:
        if (spec.domain, _sizes(spec)) != (specs[0].domain, _sizes(specs[0])):
            raise AgenticError(
                f"{spec.name} and {specs[0].name} do not share a simulator; "
                "the tasks of one store need the same observations, actions and physics."
            )
    return specs


def _sizes(task: Task) -> dict[str, int]:
    return {
        "observations": task.observation_size,
        "actions": task.action_size,
        "physics": task.physics_size,
    }


def _inspect(
    paths: Sequence[Path], task: str, skip_damaged: bool
) -> tuple[list[Path], np.ndarray, list[str]]:
    """Return the episodes to take, their lengths, and the sentences of those left out."""
    kept, lengths, skipped = [], [], []
    for path in paths:
        try:
            # A header tells the length; only a whole read tells that nothing is damaged.
            steps = len(read_episode(path, task).actions) if skip_damaged else episode_length(path)
        except AgenticError as error:
            if not skip_damaged:
                raise
            skipped.append(str(error))
            continue
        kept.append(path)
        lengths.append(steps)
    if not kept:
        raise AgenticError(f"{paths[0].parent} holds no undamaged episode; the first: {skipped[0]}")
    return kept, np.asarray(lengths, np.int32), skipped


def _shapes(specs: Sequence[Task], lengths: np.ndarray) -> dict[str, tuple[tuple[int, ...], type]]:
    count, steps = len(lengths), int(lengths.max())
    shapes = {
        key: ((count, steps + (key == "physics"), size), DTYPES[key])
        for key, size in _sizes(specs[0]).items()
    }
    return shapes | {f"rewards/{spec.name}": ((count, steps), np.float32) for spec in specs}


def _check_space(folder: Path, specs: Sequence[Task], lengths: np.ndarray) -> None:
    shapes = _shapes(specs, lengths).values()
    needed = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise AgenticError(
            f"the store needs {needed / 1e6:.0f} MB and {folder} has {free / 1e6:.0f} MB free; "
            "free space or choose another place."
        )


class _Output(io.FileIO):
    """A new file that remembers its first failed write instead of raising it.

    HDF5 2.0 ends the process with a segmentation fault when it closes a file that it could not
    write, on a full disk for one. It writes to this instead, and `check` raises what happened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._failure: OSError | None = None

    def write(self, data: memoryview) -> int:
        try:
            written = 0
            while self._failure is None and written < len(data):
                written += super().write(data[written:])
        except OSError as error:
            self._failure = error
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self._failure = self._failure or error
            return self.tell() if size is None else size

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure


@contextmanager
def _new_file(path: Path) -> Iterator[tuple[h5py.File, _Output]]:
    with _Output(path) as output:
        options = {"alignment_threshold": 1, "alignment_interval": ALIGNMENT}
        with h5py.File(output, "w", libver=LIBRARY, **options) as file:
            yield file, output
        output.check()


def _create_arrays(
    file: h5py.File, specs: Sequence[Task], lengths: np.ndarray
) -> dict[str, h5py.Dataset]:
    file.create_dataset("lengths", data=lengths)
    return {
        key: file.create_dataset(key, shape, dtype)
        for key, (shape, dtype) in _shapes(specs, lengths).items()
    }


def _write_row(
    arrays: dict[str, h5py.Dataset], row: int, episode: Episode, labels: dict[str, np.ndarray]
) -> None:
    values = episode._asdict() | {f"rewards/{task}": rewards for task, rewards in labels.items()}
    for key, array in arrays.items():
        # Padding is written too, so that no byte of the file depends on what lay on the disk.
        array[row] = padded(values[key], array.shape[1], array.dtype)


def _write_provenance(
    file: h5py.File, source: str, specs: Sequence[Task], control: Control, digest: Digest
) -> None:
    packages = ("agentic", "dm_control", "mujoco", "numpy", "h5py")
    versions = json.dumps({package: version(package) for package in packages})
    _set_texts(file, format=FORMAT, version=VERSION, domain=specs[0].domain, source=source)
    _set_texts(file, control=control, sha256=digest.content, versions=versions)
    for spec in specs:
        array = file[f"rewards/{spec.name}"]
        _set_texts(array, control=control, sha256=digest.rewards(spec.name))


def _set_texts(node: h5py.HLObject, **texts: str) -> None:
    for name, text in texts.items():
        # Of fixed length, because HDF5 keeps no checksum of texts whose length may vary.
        node.attrs[name] = np.bytes_(text.encode())


def texts(node: h5py.HLObject) -> dict[str, str]:
    """Return the attributes of a file or an array that are texts, by name."""
    values = {name: node.attrs[name] for name in node.attrs}
    return {name: text.decode() for name, text in values.items() if isinstance(text, bytes)}


def open_store(path: str | Path, task: str, control: Control | None = None) -> Dataset:
    """Return the trajectories of a store, every array a read-only memory map of the file.

    `control` other than None refuses labels that were made with the other control mode.
    """
    path, spec = Path(path), get_task(task)
    with opened(path) as file:
        provenance, tasks = texts(file), sorted(file["rewards"])
        if task not in tasks:
            raise AgenticError(
                f"{path} has no rewards for {task}; {closest(task, tasks)}; to add it, run "
                f"agentic data convert {provenance['source']} NEW.h5 "
                f"--task {' '.join([*tasks, task])}."
            )
        labels = texts(file[f"rewards/{task}"])
        if control not in (None, labels["control"]):
            raise AgenticError(
                f"{path} was labelled with control {labels['control']!r} and {control!r} "
                f"was asked for; ask for {labels['control']!r} or convert again."
            )
        lengths = file["lengths"][()]
        count, steps = len(lengths), int(lengths.max(initial=0))
        maps = {
            key: _map(path, file, key, (count, steps + (key == "physics"), size))
            for key, size in _sizes(spec).items()
            if key != "physics" or key in file
        }
        return Dataset(
            task=task,
            observations=maps["observations"],
            actions=maps["actions"],
            rewards=_map(path, file, f"rewards/{task}", (count, steps)),
            lengths=lengths,
            physics=maps.get("physics"),
            control=labels["control"],
            source=str(path),
            fingerprint=fingerprint(task, provenance["sha256"], labels["sha256"]),
        )


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """Open a store for reading; a file that is none, or is damaged, is one clear sentence."""
    if not Path(path).exists():
        raise AgenticError(f"{path} does not exist; agentic data convert writes a store.")
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
    except (OSError, KeyError) as error:
        raise AgenticError(
            f"{path} cannot be read as a store ({error.args[-1]}); "
            "it is truncated or damaged, so convert the episodes again."
        ) from error


def _map(path: Path, file: h5py.File, key: str, shape: tuple[int, ...]) -> np.memmap:
    array = file[key]
    dtype = DTYPES.get(key, np.float32)
    if array.shape != shape or array.dtype != dtype:
        raise AgenticError(
            f"{path} has {key} of shape {array.shape} and type {array.dtype}; "
            f"the task and the lengths ask for {shape} and {np.dtype(dtype)}."
        )
    offset = array.id.get_offset()
    if offset is None:
        raise AgenticError(f"{path} has {key} in pieces or compressed; a store is contiguous.")
    return np.memmap(path, dtype, "r", offset, shape)
