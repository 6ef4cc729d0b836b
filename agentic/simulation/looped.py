"""Simulation of a task whose model changes with every episode: a loop over dm_control."""

from copy import copy, deepcopy
from typing import Any

import mujoco
import numpy as np

from agentic.errors import AgenticError
from agentic.simulation import dm_environment
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import Task


class LoopSimulation(Simulation):
    """One dm_control environment per row.

    It serves point_mass_hard, which draws its tendons anew in each episode, and quadruped_escape,
    which draws its terrain. The rows of a batch share one model, so it cannot hold either.
    """

    def __init__(self, task: Task, num: int):
        if not task.in_suite:
            raise AgenticError(f"{task.name} is not in dm_control's suite: simulate it in a batch")
        super().__init__(task, num)
        self._environments = [dm_environment.load(task) for _ in range(num)]
        self._scale = dm_environment.ActuatorScale(self._environments[0].physics.model.ptr)

    def _snapshot(self) -> dict[str, Any]:
        rows = [
            (each.physics.__getstate__(), each._step_count, each._reset_next_step)
            for each in self._environments
        ]
        return super()._snapshot() | {"rows": rows}

    def _restore(self, snapshot: dict[str, Any]) -> None:
        super()._restore(snapshot)
        for each, (physics, step_count, reset_next_step) in zip(
            self._environments, snapshot["rows"], strict=True
        ):
            # With the model of its episode. A copy, so that two simulations never share it.
            each.physics.__setstate__(deepcopy(physics))
            each._step_count, each._reset_next_step = step_count, reset_next_step

    @property
    def physics(self) -> np.ndarray:
        return np.stack([each.physics.get_state() for each in self._environments])

    def _reset_row(self, row: int, seed: tuple[int, ...]) -> np.ndarray:
        return dm_environment.reset(self._environments[row], seed)

    def _step_rows(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = self._scale(actions)
        steps = [each.step(row) for each, row in zip(self._environments, inputs, strict=True)]
        return (
            np.stack([dm_environment.flat_observation(step.observation) for step in steps]),
            np.array([step.reward for step in steps], dtype=np.float64),
        )

    def _scene(self, row: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        physics = self._environments[row].physics
        return physics.model.ptr, copy(physics.data.ptr)
