"""Cheetah: a planar runner that is rewarded for speed in either direction."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.simulation.domains.tolerance import at_least

_SPEED = 10  # metres per second at which the reward is 1
_DIRECTION = {"run": 1, "run_backward": -1}


class Cheetah:
    """Reads positions, velocities and the forward velocity of the centre of mass."""

    reward_stage = mujoco.mjtStage.mjSTAGE_VEL
    observation_stage = mujoco.mjtStage.mjSTAGE_POS

    def __init__(self, batch: Batch, model: mujoco.MjModel):
        self._qpos = batch.bind("qpos")
        self._qvel = batch.bind("qvel")
        self._sensordata = batch.bind("sensordata")
        [self._velocity] = model.sensor("torso_subtreelinvel").adr

    def observe(self) -> np.ndarray:
        # Without the horizontal position: running looks the same everywhere.
        return np.concatenate([self._qpos[:, 1:], self._qvel], axis=1)

    def speed(self) -> np.ndarray:
        """Return the forward velocity in metres per second."""
        return self._sensordata[:, self._velocity]

    def reward(self, goal: str) -> np.ndarray:
        return at_least(_DIRECTION[goal] * self.speed(), _SPEED, margin=_SPEED)
