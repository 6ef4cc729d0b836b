"""Simulation of tasks whose model changes with every episode: a loop over dm_control."""

from copy import copy

import mujoco
import numpy as np

from agentic.errors import AgenticError
from agentic.simulation import dm_environment
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import Task


class LoopSimulation(Simulation):
    """One dm_control environment per row.

    Serves point_mass_hard, whose tendons are drawn anew in each episode, and quadruped_escape,
    whose terrain is: a batch shares one model among its rows and cannot hold per-row terrain.
    """

    def __init__(self, task: Task, num: int):
        if not task.in_suite:
            raise AgenticError(f"{task.name} is not in dm_control's suite: simulate it as a batch")
        super().__init__(task, num)
        self._environments = [dm_environment.load(task) for _ in range(num)]
        self._controls = dm_environment.Controls(self._environments[0].physics.model.ptr)

    @property
    def physics(self) -> np.ndarray:
        return np.stack([each.physics.get_state() for each in self._environments])

    def _reset_row(self, row: int, seed: tuple[int, ...]) -> np.ndarray:
        return dm_environment.reset(self._environments[row], seed)

    def _step_rows(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        controls = self._controls(actions)
        steps = [
            each.step(control) for each, control in zip(self._environments, controls, strict=True)
        ]
        return (
            np.stack([dm_environment.flatten(step.observation) for step in steps]),
            np.array([step.reward for step in steps], dtype=np.float64),
        )

    def _scene(self, row: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        physics = self._environments[row].physics
        return physics.model.ptr, copy(physics.data.ptr)
