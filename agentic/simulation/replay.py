"""One step from each of many stored states, as a check of recorded data needs it."""

import functools
import threading

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.errors import AgenticError
from agentic.simulation import dm_environment
from agentic.simulation.tasks import base_task

BATCH_STATES = 512
# dm_control's layout of a state: positions, velocities, activations.
STATE = ("qpos", "qvel", "act")


def next_states(task: str, physics: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """Return the state that each action leads to from each stored state.

    The solver of contacts starts without what the step before left behind, which no state records.
    So a step that was recorded with this version of MuJoCo is repeated up to rounding, and now and
    then, where bodies touch, up to the solver's tolerance.

    Args:
      task: a task or a family, for example "walker_run".
      physics: [N, P] states in dm_control's layout: positions, velocities, activations.
      actions: [N, A] in [-1, 1], each chosen in its state.

    Returns:
      [N, P] float64.

    Raises:
      AgenticError: the task is unknown, or its model changes with every episode, which no state
        records.
    """
    spec = base_task(task)
    if not spec.fixed_model:
        raise AgenticError(
            f"{task} has another model in every episode, which stored states do not hold; "
            "its steps cannot be replayed"
        )
    return _replayer(spec.name)(np.asarray(physics, np.float64), np.asarray(actions))


class _Replayer:
    """A batch whose rows are set to stored states, stepped and read again and again."""

    def __init__(self, task: str):
        environment = dm_environment.load(base_task(task))
        model = environment.physics.model.ptr
        self._lock = threading.Lock()  # a batch serves one Python thread at a time
        self._substeps = dm_environment.substeps(environment)
        self._scale = dm_environment.ActuatorScale(model)
        self._cuts = np.cumsum([model.nq, model.nv])
        self._batch = Batch(model, nsim=BATCH_STATES, nthread=1)

    def __call__(self, physics: np.ndarray, actions: np.ndarray) -> np.ndarray:
        with self._lock:
            parts = range(0, len(physics), BATCH_STATES)
            stepped = [
                self._step(physics[i : i + BATCH_STATES], actions[i : i + BATCH_STATES])
                for i in parts
            ]
        return np.concatenate([np.empty((0, physics.shape[1])), *stepped])

    def _step(self, physics: np.ndarray, actions: np.ndarray) -> np.ndarray:
        batch, rows = self._batch, np.arange(len(physics))
        batch.reset(rows, stage=mujoco.mjtStage.mjSTAGE_NONE)
        for name, values in zip(STATE, np.split(physics, self._cuts, axis=1), strict=True):
            batch.bind(name)[rows] = values
        batch.bind("ctrl")[rows] = self._scale(actions)
        batch.step(rows, nstep=self._substeps)
        return np.concatenate([batch.bind(name)[rows] for name in STATE], axis=1)


# The tasks of a domain share their dynamics: one or two are replayed for a data set.
@functools.lru_cache(maxsize=4)
def _replayer(task: str) -> _Replayer:
    return _Replayer(task)
