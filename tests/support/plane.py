"""A tiny task for explorers: a point that walks in a square, 100 steps per episode."""

import numpy as np
import pytest

from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import TASKS, Task

TASK = Task(
    name="plane_walk", domain="plane", goal="walk", observation_size=2, action_size=2,
    physics_size=2, episode_length=100, control_timestep=0.1, suite_task="walk", fixed_model=True,
)  # fmt: skip
STRIDE = 0.03


class Plane(Simulation):
    """Starts near the middle of [-1, 1] x [-1, 1]; an action moves it by at most STRIDE."""

    def __init__(self, task: str, num: int):
        super().__init__(TASKS[task], num)
        self._places = np.zeros((num, 2))

    @property
    def physics(self):
        return self._places.copy()

    def _reset_row(self, row, seed):
        self._places[row] = np.random.default_rng(seed).uniform(-0.05, 0.05, 2)
        return self._places[row].astype(np.float32)

    def _step_rows(self, actions):
        self._places = np.clip(self._places + STRIDE * np.clip(actions, -1, 1), -1, 1)
        return self._places.astype(np.float32), self._places[:, 0].copy()

    def _scene(self, row):
        raise NotImplementedError


@pytest.fixture
def plane(monkeypatch):
    """Make `plane_walk` a task and return its name; `Plane` simulates it."""
    monkeypatch.setitem(TASKS, TASK.name, TASK)
    return TASK.name
