"""The dm_control environments behind the tasks: models, initial states, actuator ranges."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

from agentic.simulation.tasks import Task

# Log messages of dm_control that no user can act on.
_USELESS = (
    "settotalmass",  # the suite's quadruped uses an attribute that MuJoCo calls deprecated
    "Failed to converge",  # a pose that was drawn for jaco is out of reach; it draws another
)


def load(task: Task) -> Any:
    """Return a new dm_control environment with the model and the initial states of `task`.

    Its reward is that of `task` only where `task.in_suite`. It cannot draw; `video` does that.
    """
    with _without_useless_messages(), warnings.catch_warnings():
        # On import, dm_control looks for a window system and warns where there is none.
        warnings.filterwarnings("ignore", message=r".*DISPLAY environment variable is missing")
        if task.suite_task is None:
            from agentic.simulation.worlds import make_world

            environment = make_world(task)
        else:
            from dm_control import suite

            environment = suite.load(task.domain, task.suite_task)
    # quadruped_escape asks for its drawing contexts at every reset, and asking opens a window.
    physics = environment.physics
    physics.__class__ = type(
        type(physics).__name__, (type(physics),), {"contexts": property(lambda self: None)}
    )
    return environment


def reset(environment: Any, seed: tuple[int, ...]) -> np.ndarray:
    """Start an episode whose initial state depends on `seed` alone; return its observation [O].

    The environment's own generator gets the state of `RandomState(MT19937(SeedSequence(seed)))`.
    Then dm_control's `initialize_episode` draws from it.
    """
    generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
    environment.task.random.set_state(generator.get_state())
    with _without_useless_messages():
        return flat_observation(environment.reset().observation)


@contextmanager
def _without_useless_messages() -> Iterator[None]:
    logger = logging.getLogger("absl")
    logger.addFilter(_is_useful)
    try:
        yield
    finally:
        logger.removeFilter(_is_useful)


def _is_useful(record: logging.LogRecord) -> bool:
    return not any(useless in record.getMessage() for useless in _USELESS)


def flat_observation(observation: dict[str, np.ndarray]) -> np.ndarray:
    """Return dm_control's dictionary of observations as one float32 vector [O], in its order."""
    parts = [np.ravel(part) for part in observation.values()]
    return np.concatenate(parts).astype(np.float32)


def substeps(environment: Any) -> int:
    """Return how many simulator steps one step of the environment takes."""
    return round(environment.control_timestep() / environment.physics.timestep())


class ActuatorScale:
    """Turns actions [N, A] into actuator inputs [N, A]: clips to [-1, 1], then scales to the range.

    The input is centre + half-width * action. Where an actuator's range is [-1, 1], this leaves the
    action exactly as it is.
    """

    def __init__(self, model: mujoco.MjModel):
        low, high = model.actuator_ctrlrange.T
        self._centre, self._half = (high + low) / 2, (high - low) / 2

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        actions = np.maximum(np.minimum(np.asarray(actions, dtype=np.float64), 1.0), -1.0)
        return self._centre + self._half * actions
