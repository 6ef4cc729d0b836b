"""Adding or replacing the labels of tasks and families in a store that holds physics."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from agentic.dataset.episodes import check_widths
from agentic.dataset.labels import (
    Control,
    check_control,
    check_tasks,
    label_place,
    label_shape,
    labels_of_states,
)
from agentic.dataset.store.output import Output, changeable
from agentic.dataset.store.reading import Store, open_arrays
from agentic.dataset.store.writing import control_of, set_labels, set_texts
from agentic.dataset.workers import check_workers
from agentic.errors import AgenticError
from agentic.files import locked, written_whole
from agentic.hindsight import total_rewards
from agentic.progress import Progress
from agentic.provenance import cores
from agentic.simulation.tasks import is_family


class Relabelled(NamedTuple):
    """What `relabel_store` did: the store, the tasks, and how many states each was computed for."""

    path: Path
    tasks: tuple[str, ...]
    states: int


def relabel_store(
    path: str | Path,
    tasks: Sequence[str],
    control: Control = "action",
    workers: int | None = None,
    progress: Progress | None = None,
    states_at_a_time: int = 32_768,
) -> Relabelled:
    """Add the rewards of `tasks` to a store, or the features of families, or replace them.

    The labels are written into a copy, which takes the store's name when all of them are complete.
    An interruption leaves the store as it was, and a training that has opened it keeps the labels
    that it has read. The copy needs the store's size in free space; where the file system can share
    blocks between files, only that of the new rewards.

    Args:
        path: a store with physics, or a link to one.
        tasks: names of tasks or families that the simulator of its episodes has.
        control: what labels read as control: the "action" (the environment's reward) or "zero".
        workers: threads that simulate; None takes every processor. The result is the same.
        progress: called with (states labelled, states in all) after each block of episodes.
        states_at_a_time: enough to feed many threads, in about ten megabytes of memory.

    Raises:
        AgenticError: a store without physics, a task of another domain, a state without a finite
            reward, a full disk, another process at work on the same store.
    """
    path, specs = Path(path), check_tasks(tasks)
    check_control(control)
    workers = cores() if workers is None else workers
    check_workers(workers)
    names = [spec.name for spec in specs]
    if not names:
        raise AgenticError("no task was given; name at least one --task to label the store for.")
    if not path.exists():
        raise AgenticError(f"{path} does not exist; agentic data convert writes a store.")
    busy = f"another process is labelling {path}; wait for it, then run this again."
    # Where a link leads to, so that all names of a store share one lock. Beside the store, because
    # readers of HDF5 lock the store itself.
    real = path.resolve()
    with locked(real.with_name(f".{real.name}.lock"), busy):
        store = open_arrays(path)
        _check_can_label(store, names)
        states = int(store.lengths.sum())
        numbers = states * sum(math.prod(label_shape(name)) for name in names)
        Output.check_space(real.parent, path.stat().st_size + 4 * numbers)
        with written_whole(real) as temporary:
            copy_file(real, temporary)
            with changeable(temporary, new=False) as (file, output):
                for index, task in enumerate(names):
                    place = _labels_of(file, store, task)
                    digest, returns, done = hashlib.sha256(), [], index * states
                    for rows, labels in _labelled_blocks(
                        store, task, control, workers, states_at_a_time
                    ):
                        place[rows] = labels
                        output.check()
                        mask = _mask(store, rows)
                        digest.update(np.ascontiguousarray(labels[mask], "<f4"))
                        if not is_family(task):
                            returns.append(total_rewards(labels, mask))
                        done += int(mask.sum())
                        if progress is not None:
                            progress(done, states * len(names))
                    set_labels(file, task, returns, control, digest.hexdigest())
                set_texts(file, control=control_of(file))
    return Relabelled(path, tuple(names), states)


def _check_can_label(store: Store, tasks: Sequence[str]) -> None:
    for task in tasks:
        store.check_task(task)
        # The observations play no part in a reward, so theirs may be of another version.
        widths = {key: width for key, width in store.widths().items() if key != "observation"}
        check_widths(store.path, task, widths)
    if store.physics is None:
        raise AgenticError(
            f"{store.path} holds no physics, from which rewards are computed; "
            "convert the episodes again without --no-physics."
        )


def _labelled_blocks(
    store: Store, task: str, control: Control, threads: int, states_at_a_time: int
) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield which episodes, and their labels [n, T, ...], zero where there is no step."""
    count, steps = store.actions.shape[:2]
    episodes = max(1, states_at_a_time // max(steps, 1))
    for first in range(0, count, episodes):
        rows = slice(first, min(first + episodes, count))
        mask = _mask(store, rows)
        # The state that step t led to is row t + 1.
        states, actions = store.physics[rows, 1:][mask], store.actions[rows][mask]
        labels = np.zeros((*mask.shape, *label_shape(task)), np.float32)
        try:
            labels[mask] = labels_of_states(task, states, actions, control, threads)
        except AgenticError as error:
            raise AgenticError(f"{store.path} could not be labelled: {error}") from error
        if not np.isfinite(labels).all():
            row, step = np.argwhere(~np.isfinite(labels))[0][:2]
            raise AgenticError(
                f"{store.path} episode {first + row} has a {task} reward of step {step} that is "
                "not finite; its physics are odd."
            )
        yield rows, labels


def _mask(store: Store, rows: slice) -> np.ndarray:
    return np.arange(store.actions.shape[1]) < store.lengths[rows, None]


def _labels_of(file: h5py.File, store: Store, task: str) -> h5py.Dataset:
    place, shape = label_place(task), (*store.actions.shape[:2], *label_shape(task))
    if place in file:
        return file[place]
    return file.create_dataset(place, shape, np.float32)


def copy_file(
    source: Path, target: Path, copy_range: Callable[[int, int, int], int] | None = None
) -> None:
    """Copy a file, sharing its blocks where the file system can.

    Args:
        source: an existing file.
        target: a new file.
        copy_range: the system's call; None takes `os.copy_file_range`, where there is one.
    """
    copy_range = copy_range or getattr(os, "copy_file_range", None)
    with source.open("rb") as read, target.open("wb") as write:
        size = left = os.fstat(read.fileno()).st_size
        try:
            while left and copy_range is not None:
                copied = copy_range(read.fileno(), write.fileno(), left)
                if not copied:
                    break
                left -= copied
        except OSError:
            # These places cannot share blocks, so the rest is read and written.
            pass
        if left:
            read.seek(size - left)
            write.seek(size - left)
            shutil.copyfileobj(read, write, 2**24)
