"""Point mass: a ball in a plane that is pushed to the centre."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.simulation.domains.tolerance import around, gentle


class PointMass:
    """Reads positions, velocities, actuator inputs and the places of ball and target."""

    reward_stage = mujoco.mjtStage.mjSTAGE_POS
    observation_stage = mujoco.mjtStage.mjSTAGE_POS

    def __init__(self, batch: Batch, model: mujoco.MjModel):
        self._qpos = batch.bind("qpos")
        self._qvel = batch.bind("qvel")
        self._ctrl = batch.bind("ctrl")
        self._geom_xpos = batch.bind("geom_xpos")
        self._ball = model.geom("pointmass").id
        self._target = model.geom("target").id
        self._target_radius = model.geom("target").size[0]

    def observe(self) -> np.ndarray:
        return np.concatenate([self._qpos, self._qvel], axis=1)

    def x(self) -> np.ndarray:
        return self._geom_xpos[:, self._ball, 0]

    def y(self) -> np.ndarray:
        return self._geom_xpos[:, self._ball, 1]

    def reward(self, goal: str) -> np.ndarray:
        distance = np.linalg.norm(
            self._geom_xpos[:, self._target] - self._geom_xpos[:, self._ball], axis=1
        )
        radius = self._target_radius
        near = around(distance, radius, margin=radius)
        return near * (gentle(self._ctrl).mean(axis=1) + 4) / 5
