"""Rewards, features and observations of stored states, as relabelling a data set needs them."""

import functools
import threading
from collections.abc import Iterator

import mujoco
import numpy as np

from agentic.errors import AgenticError
from agentic.simulation import dm_environment, forks
from agentic.simulation.domains import Domain, domain_kind, make_domain
from agentic.simulation.families import get_family
from agentic.simulation.tasks import Task, get_task, is_family

# States in one batch: enough to feed every thread, few enough to stay in the processor's cache.
BATCH_STATES = 1024


def rewards(
    task: str, physics: np.ndarray, actions: np.ndarray | None = None, threads: int = 1
) -> np.ndarray:
    """Return the reward of `task` in each stored state.

    Args:
      task: a task name, for example "walker_run".
      physics: [N, P] states in dm_control's layout: positions, velocities, activations.
      actions: [N, A], the action that led to each state. It sets the actuators first, so that the
        result is the environment's reward. None leaves the actuators at zero, as ExoRL's
        relabelling does; rewards that depend on the action then differ from the environment's.
      threads: number of threads; the result is the same bit for bit.

    Returns:
      [N] float64.

    Raises:
      AgenticError: the task is unknown or a family, a shape is wrong, or a value is not finite.
    """
    spec = get_task(task)
    if is_family(task):
        raise AgenticError(f"{task} is a task family, whose rewards need a code; compute its "
                           "features, which give the rewards for every code")  # fmt: skip
    result = np.empty(len(physics))
    for part, domain in _measured(spec, physics, actions, threads):
        result[part] = domain.reward(spec.goal)[: part.stop - part.start]
    return result


def features(
    family: str, physics: np.ndarray, actions: np.ndarray | None = None, threads: int = 1
) -> np.ndarray:
    """Return what the rewards of `family` read of each stored state.

    `get_family(family).reward(features, code)` is then the environment's reward for any code.

    Args:
      family: a family's name, for example "point_mass_goal".
      physics, actions, threads: as in `rewards`.

    Returns:
      [N, F] float64.

    Raises:
      AgenticError: the family is unknown, a shape is wrong, or a value is not finite.
    """
    spec = get_family(family)
    result = np.empty((len(physics), len(spec.feature_names)))
    for part, domain in _measured(spec.base, physics, actions, threads):
        result[part] = spec.measure(domain)[: part.stop - part.start]
    return result


def observations(task: str, physics: np.ndarray, threads: int = 1) -> np.ndarray:
    """Return the observation of each stored state, as an episode that starts there would show it.

    Force, torque and acceleration sensors (quadruped, jaco) are computed without actuation, as
    dm_control does after a reset. Within an episode they show the last substep instead, which a
    state does not record.

    Args:
      task: a task name, for example "walker_run".
      physics: [N, P] states in dm_control's layout: positions, velocities, activations.
      threads: number of threads; the result is the same bit for bit.

    Returns:
      [N, O] float32.

    Raises:
      AgenticError: the task is unknown, a shape is wrong, a value is not finite, or the task is
        quadruped_escape, whose observation needs the terrain of the episode.
    """
    spec = get_task(task)
    if task == "quadruped_escape":
        raise AgenticError(
            "quadruped_escape observes its terrain, which stored states do not hold; "
            "use the stored observations"
        )
    physics = _checked("physics", physics, spec, spec.physics_size)
    stage = domain_kind(spec.domain).observation_stage
    states = _stored_states(task, stage, threads)
    result = np.empty((len(physics), spec.observation_size), dtype=np.float32)
    with states.lock:
        for part in states.forward(physics, None, stage):
            result[part] = states.domain.observe()[: part.stop - part.start]
    return result


def _measured(
    task: Task, physics: np.ndarray, actions: np.ndarray | None, threads: int
) -> Iterator[tuple[slice, Domain]]:
    """Yield which states the rows of a batch now hold, and the domain that reads the batch."""
    physics = _checked("physics", physics, task, task.physics_size)
    if actions is not None:
        actions = _checked("actions", actions, task, task.action_size)
        if len(actions) != len(physics):
            raise AgenticError(
                f"{len(actions)} actions for {len(physics)} states: give one action per state"
            )
    stage = domain_kind(task.domain).reward_stage
    states = _stored_states(task.name, stage, threads)
    with states.lock:
        for part in states.forward(physics, actions, stage):
            yield part, states.domain


def _checked(what: str, values: np.ndarray, task: Task, size: int) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 2 or values.shape[1] != size:
        raise AgenticError(
            f"{what} have shape {values.shape}: {task.name} needs [number of states, {size}]"
        )
    if not np.isfinite(values).all():
        raise AgenticError(f"{what} hold a value that is not finite; every value must be finite")
    return values


class _StoredStates:
    """A batch of states of one task, filled, computed and read again and again."""

    def __init__(self, task: Task, stage: mujoco.mjtStage, threads: int):
        self.lock = threading.Lock()  # a batch serves one Python thread at a time
        self._model = dm_environment.load(task).physics.model.ptr
        # dm_control's reset_context does so too: a stored state has no meaningful actuation.
        self._model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_ACTUATION
        self._scale = dm_environment.ActuatorScale(self._model)
        if stage != mujoco.mjtStage.mjSTAGE_ACC:
            # Positions and velocities are given. Contacts and limits change accelerations alone,
            # and finding them would be half of the work.
            self._model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
            self._model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
        self._batch = forks.make_batch(self._model, nsim=BATCH_STATES, nthread=threads)
        self.domain = make_domain(task.domain, self._batch, self._model)

    def forward(
        self, physics: np.ndarray, actions: np.ndarray | None, stage: mujoco.mjtStage
    ) -> Iterator[slice]:
        """Compute one batch after another up to `stage`; yield which states its rows now hold."""
        batch, model = self._batch, self._model
        cuts = np.cumsum([model.nq, model.nv])
        for start in range(0, len(physics), BATCH_STATES):
            part = slice(start, min(start + BATCH_STATES, len(physics)))
            rows = np.arange(part.stop - part.start)
            if stage == mujoco.mjtStage.mjSTAGE_ACC:
                # The solver would start from what the row's last state left behind. The stages
                # before it read only the values below, so no state depends on another.
                batch.reset(rows, stage=mujoco.mjtStage.mjSTAGE_NONE)
            for name, values in zip(
                ("qpos", "qvel", "act"), np.split(physics[part], cuts, axis=1), strict=True
            ):
                batch.bind(name)[rows] = values
            batch.bind("ctrl")[rows] = 0.0 if actions is None else self._scale(actions[part])
            batch.forward(rows, stage=stage)
            yield part


def _stored_states(task: str, stage: mujoco.mjtStage, threads: int) -> _StoredStates:
    return _made_states(task, stage, threads, forks.generation)


# A data set is labelled episode by episode with all tasks of its domain, at most eight.
@functools.lru_cache(maxsize=8)
def _made_states(task: str, stage: mujoco.mjtStage, threads: int, generation: int) -> _StoredStates:
    return _StoredStates(get_task(task), stage, threads)
