"""Writing a new store: arrays of a known size, filled episode by episode and hashed on the way."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from agentic.dataset.dataset import Digest, padded
from agentic.dataset.episodes import Episode
from agentic.dataset.labels import Control, label_place, label_shape
from agentic.dataset.store.output import Output, changeable
from agentic.dataset.store.reading import DTYPES, FORMAT, LAST, VERSION, texts
from agentic.hindsight import total_rewards
from agentic.provenance import day, versions
from agentic.simulation.tasks import is_family

PACKAGES = ("agentic", "dm_control", "mujoco", "numpy", "h5py")


@dataclass(frozen=True)
class Layout:
    """What a store is to hold: lengths [N], the width of every array (physics 0: none), tasks.

    `last_observations` says whether the observations after the last steps are kept.
    """

    lengths: np.ndarray
    observations: int
    actions: int
    physics: int
    tasks: tuple[str, ...] = ()
    last_observations: bool = False

    def shapes(self) -> dict[str, tuple[tuple[int, ...], type]]:
        """Return shape and type of every array that is filled episode by episode."""
        count, steps = len(self.lengths), int(self.lengths.max())
        widths = {"observations": self.observations, "actions": self.actions}
        if self.physics:
            widths["physics"] = self.physics
        shapes = {
            key: ((count, steps + (key == "physics"), width), DTYPES[key])
            for key, width in widths.items()
        }
        if self.last_observations:
            shapes[LAST] = (count, self.observations), np.float32
        return shapes | {
            label_place(task): ((count, steps, *label_shape(task)), np.float32)
            for task in self.tasks
        }


class StoreWriter:
    """Takes the episodes of a new store one after the other, then where they came from."""

    def __init__(self, file: h5py.File, output: Output, layout: Layout) -> None:
        self._file, self._output, self._layout = file, output, layout
        file.create_dataset("lengths", data=layout.lengths)
        self._arrays = {
            key: _allocated(file, key, shape, dtype)
            for key, (shape, dtype) in layout.shapes().items()
        }
        rewarded = [task for task in layout.tasks if not is_family(task)]
        self._returns = {task: np.zeros(len(layout.lengths)) for task in rewarded}
        self._digest = Digest(layout.tasks)
        self._physics, self._last = hashlib.sha256(), hashlib.sha256()
        self._row = 0

    def add(self, episode: Episode, rewards: dict[str, np.ndarray]) -> None:
        """Write the next episode with every task's rewards [T], and take note of it."""
        self.put(self._row, episode, rewards)
        self.note(episode, rewards)

    def put(self, row: int, episode: Episode, rewards: dict[str, np.ndarray]) -> None:
        """Write episode `row` with every task's rewards [T], in any thread and any order."""
        values = {
            "observations": episode.observations,
            "actions": episode.actions,
            "physics": episode.physics,
            LAST: episode.last_observation,
        } | {label_place(task): rewards[task] for task in self._layout.tasks}
        for key, (offset, shape, dtype) in self._arrays.items():
            # Padding is written too, so that no byte of the file depends on what lay on the disk.
            array = np.ascontiguousarray(values[key], dtype)
            array = array if len(array) == shape[1] else padded(array, shape[1], dtype)
            self._output.put(offset + row * array.nbytes, array)

    def note(self, episode: Episode, rewards: dict[str, np.ndarray]) -> None:
        """Take the next episode, which `put` has written, into the hashes and the returns."""
        self._digest.add(episode.observations, episode.actions, rewards)
        if self._layout.physics:
            self._physics.update(np.ascontiguousarray(episode.physics, "<f8"))
        if self._layout.last_observations:
            self._last.update(np.ascontiguousarray(episode.last_observation, "<f4"))
        steps = int(self._layout.lengths.max())
        for task, returns in self._returns.items():
            # Summed with their padding, as a data set sums them, to the last bit.
            row = padded(rewards[task], steps)
            returns[self._row] = total_rewards(row, np.arange(steps) < len(rewards[task]))
        self._row += 1

    def finish(self, domain: str, source: str, dates: dict[str, str], control: Control) -> None:
        """Write the attributes that say what this is and where it comes from, and the hashes."""
        self._file.require_group("rewards")
        for task in self._layout.tasks:
            returns = [self._returns[task]] if task in self._returns else []
            set_labels(self._file, task, returns, control, self._digest.rewards(task))
        if self._layout.physics:
            set_texts(self._file["physics"], sha256=self._physics.hexdigest())
        if self._layout.last_observations:
            set_texts(self._file[LAST], sha256=self._last.hexdigest())
        set_texts(
            self._file,
            format=FORMAT,
            version=VERSION,
            domain=domain,
            source=source,
            dates=json.dumps({"written": day()} | dates),
            control=control_of(self._file),
            sha256=self._digest.content,
            versions=json.dumps(versions(PACKAGES)),
        )


@contextmanager
def new_store(
    path: Path, layout: Layout, output_type: type[Output] = Output
) -> Iterator[StoreWriter]:
    """Yield the writer of a new store at `path`, which is complete when the block has ended."""
    shapes = layout.shapes().values()
    size = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in shapes)
    output_type.check_space(path.parent, size)
    with changeable(path, True, output_type) as (file, output):
        yield StoreWriter(file, output, layout)


def _allocated(
    file: h5py.File, key: str, shape: tuple[int, ...], dtype: type
) -> tuple[int, tuple[int, ...], type]:
    """Create an array whose place in the file is settled; return its offset, shape and type."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    array = file.create_dataset(key, shape, dtype, dcpl=properties)
    return array.id.get_offset(), shape, dtype


def set_labels(
    file: h5py.File, task: str, returns: Sequence[np.ndarray], control: Control, sha256: str
) -> None:
    """Write what belongs to the labels of `task`: control mode, hash, date and returns.

    The returns are parts of an array [N]; features of a family have none.
    """
    if returns:
        place = f"returns/{task}"
        if place in file:
            file[place][...] = np.concatenate(returns)
        else:
            file.create_dataset(place, data=np.concatenate(returns))
    set_texts(file[label_place(task)], control=control, sha256=sha256, date=day())


def control_of(file: h5py.File) -> str:
    """Return the control mode of all labels: "action", "zero", "mixed", or "none" without any."""
    labels = [*file["rewards"].values(), *file.get("features", {}).values()]
    modes = {texts(array)["control"] for array in labels}
    return modes.pop() if len(modes) == 1 else "mixed" if modes else "none"


def set_texts(node: h5py.HLObject, **values: str) -> None:
    """Set attributes to texts; more than eight of them HDF5 would keep without checksums."""
    for name, text in values.items():
        # Of fixed length, because HDF5 keeps no checksum of texts whose length may vary.
        node.attrs[name] = np.bytes_(text.encode())
