"""The dm_control environments behind the tasks: their models, initial states and specifications."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

from agentic.simulation.tasks import Task


def load(task: Task) -> Any:
    """Return a new dm_control environment with the model and the initial states of `task`.

    Its reward is that of `task` only where `task.in_suite`. It cannot draw: `video` does that.
    """
    with _without_noise():
        from dm_control import suite

        environment = suite.load(task.domain, task.suite_task)
    # quadruped_escape asks for the drawing contexts at every reset, and asking opens a window.
    physics = environment.physics
    physics.__class__ = type(
        type(physics).__name__, (type(physics),), {"contexts": property(lambda self: None)}
    )
    return environment


@contextmanager
def _without_noise() -> Iterator[None]:
    """Silence two messages that no user can act upon, and nothing else.

    dm_control looks for a window system when it is imported and warns where there is none; its
    quadruped uses an attribute that MuJoCo calls deprecated.
    """
    logger = logging.getLogger("absl")

    def keep(record: logging.LogRecord) -> bool:
        return "settotalmass" not in record.getMessage()

    logger.addFilter(keep)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r".*DISPLAY environment variable is missing")
            yield
    finally:
        logger.removeFilter(keep)


def reset(environment: Any, seed: tuple[int, ...]) -> np.ndarray:
    """Start an episode whose initial state depends on `seed` alone; return its observation [O].

    The environment's own generator is put into the state of
    `RandomState(MT19937(SeedSequence(seed)))`; dm_control's `initialize_episode` then draws.
    """
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    environment.task.random.set_state(generator.get_state())
    return flatten(environment.reset().observation)


def flatten(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Return dm_control's dictionary of observations as one float32 vector [O], in its order."""
    parts = [np.ravel(part) for part in observation.values()]
    return np.concatenate(parts).astype(np.float32)


def substeps(environment: Any) -> int:
    """Return the simulator steps in one control step."""
    return round(environment.control_timestep() / environment.physics.timestep())


def to_control(model: mujoco.MjModel, actions: np.ndarray) -> np.ndarray:
    """Return actions [N, A] as controls [N, A]: clipped to [-1, 1], then scaled to their range.

    Centre plus half-width times action leaves actions of range [-1, 1] exactly as they are.
    """
    low, high = model.actuator_ctrlrange.T
    actions = np.clip(np.asarray(actions, dtype=np.float64), -1.0, 1.0)
    return (high + low) / 2 + (high - low) / 2 * actions
