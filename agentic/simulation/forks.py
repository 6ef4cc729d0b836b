"""MuJoCo's batches across a fork: a child lacks its parent's threads, so it needs new batches."""

import os
from typing import Any
from weakref import WeakSet

import mujoco
from mujoco.batch import Batch

# How many forks lie between this process and the first that imported this module.
generation = 0
_alive: WeakSet[Batch] = WeakSet()
_of_parents: list[Batch] = []


def make_batch(model: mujoco.MjModel, **options: Any) -> Batch:
    """Return a batch that must not be used once `generation` has changed."""
    batch = Batch(model, **options)
    _alive.add(batch)
    return batch


def _begin_child() -> None:
    global generation
    generation += 1
    # These stay forever: freeing a batch waits for its threads, which this process does not have.
    _of_parents.extend(_alive)
    _alive.clear()


os.register_at_fork(after_in_child=_begin_child)
