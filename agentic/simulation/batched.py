"""Simulation of a task whose model is fixed: MuJoCo's batch on threads, vectorised rewards."""

import os
from typing import Any

import mujoco
import numpy as np

from agentic.errors import AgenticError
from agentic.simulation import dm_environment, forks
from agentic.simulation.domains import make_domain
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import Task

# The least work for a thread in one step: rows x substeps x degrees of freedom. Two threads are
# slower than one for 16 cartpoles (32 each), faster for 64 (128 each): `agentic bench simulation`.
WORK_PER_THREAD = 64


class BatchSimulation(Simulation):
    """Rows of one `mujoco.batch.Batch`; the bits are the same for every number of threads.

    One dm_control environment draws the initial states. A step ends as dm_control's does: position
    and velocity stages are computed for the new state, while force and acceleration sensors still
    show the last substep. The batch keeps one MjData per row, and the next step goes on from it.
    """

    def __init__(self, task: Task, num: int, threads: int = 0):
        super().__init__(task, num)
        self._arguments = (task, num, threads)
        self._template = dm_environment.load(task)
        self._model = self._template.physics.model.ptr
        self._substeps = dm_environment.substeps(self._template)
        self._scale = dm_environment.ActuatorScale(self._model)
        self._least_advance = (self._substeps - 0.5) * self._model.opt.timestep
        self._threads = min(threads or self._worthwhile_threads(num), num)
        self._open_batch()

    def _open_batch(self) -> None:
        self._generation = forks.generation
        self._batch = forks.make_batch(
            self._model, nsim=self.num, nthread=self._threads, persistent=True
        )
        self._domain = make_domain(self.task.domain, self._batch, self._model)
        # Fresh episodes differ in these alone; all else is zero after a reset.
        names = ("time", "qpos", "qvel", "act", "qacc_warmstart")
        self._state = {name: self._batch.bind(name) for name in names}
        self._actuators = self._batch.bind("ctrl")

    def _snapshot(self) -> dict[str, Any]:
        rows = {name: rows.copy() for name, rows in self._state.items()}
        return super()._snapshot() | {"rows": rows}

    def _restore(self, snapshot: dict[str, Any]) -> None:
        super()._restore(snapshot)
        self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
        for name, rows in self._state.items():
            rows[:] = snapshot["rows"][name]

    def _follow_fork(self) -> None:
        """Continue with a new batch if this process was forked since the last one was made."""
        if self._generation != forks.generation:
            snapshot = self._snapshot()
            self._open_batch()
            self._restore(snapshot)

    def _worthwhile_threads(self, num: int) -> int:
        """Return a number of threads that pays off: waking one costs as much as a small step."""
        work = num * self._substeps * self._model.nv
        return max(1, min(os.cpu_count() or 1, work // WORK_PER_THREAD))

    @property
    def physics(self) -> np.ndarray:
        return np.concatenate([self._state[name] for name in ("qpos", "qvel", "act")], axis=1)

    def _reset_row(self, row: int, seed: tuple[int, ...]) -> np.ndarray:
        self._follow_fork()
        # dm_control makes the first observation too: it reads the sensors without actuation.
        observation = dm_environment.reset(self._template, seed)
        self._batch.reset([row], stage=mujoco.mjtStage.mjSTAGE_NONE)
        for name, rows in self._state.items():
            rows[row] = getattr(self._template.physics.data, name)
        return observation

    def _step_rows(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self._follow_fork()
        self._actuators[:] = self._scale(actions)
        time_before = self._state["time"].copy()
        self._batch.step(nstep=self._substeps, stage=mujoco.mjtStage.mjSTAGE_VEL)
        # When a state is no longer finite, MuJoCo resets it to time zero.
        diverged = self._state["time"] < time_before + self._least_advance
        if diverged.any():
            raise AgenticError(
                f"rows {np.flatnonzero(diverged).tolist()} of {self.task.name} diverged in the "
                "simulator; its state must stay finite"
            )
        return self._domain.observe().astype(np.float32), self._rewards()

    def _rewards(self) -> np.ndarray:
        """Return the rewards [num] float64 of the present states."""
        return self._domain.reward(self.task.goal).astype(np.float64)

    def _scene(self, row: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        self._follow_fork()
        data = self._batch.get_data(row)
        mujoco.mj_forward(self._model, data)
        return self._model, data
