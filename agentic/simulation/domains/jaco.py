"""Jaco: an arm whose hand should reach one of four places on the table."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.simulation.domains.tolerance import around
from agentic.simulation.worlds.jaco import TARGET_RADIUS, TARGETS

_ARM = slice(0, 6)  # joints of the arm; those of the fingers follow


class Jaco:
    """Reads joints, their torques and the pose of the point between the fingers."""

    reward_stage = mujoco.mjtStage.mjSTAGE_POS
    observation_stage = mujoco.mjtStage.mjSTAGE_ACC

    def __init__(self, batch: Batch, model: mujoco.MjModel):
        self._qpos = batch.bind("qpos")
        self._qvel = batch.bind("qvel")
        self._sensordata = batch.bind("sensordata")  # a torque in space for each joint of the arm
        self._site_xpos = batch.bind("site_xpos")
        self._site_xmat = batch.bind("site_xmat")
        self._axes = model.jnt_axis[_ARM].copy()
        [self._pinch] = [i for i in range(model.nsite) if model.site(i).name.endswith("/pinchsite")]

    def observe(self) -> np.ndarray:
        angles = self._qpos[:, _ARM]
        turns = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(len(angles), -1)
        torques = self._sensordata.reshape(len(angles), *self._axes.shape)
        torques = np.einsum("nij,ij->ni", torques, self._axes)
        return np.concatenate(
            [
                turns,
                np.sign(torques) * np.log1p(np.abs(torques)),
                self._qvel[:, _ARM],
                self._qpos[:, _ARM.stop :],
                self._qvel[:, _ARM.stop :],
                self._site_xpos[:, self._pinch],
                self._site_xmat[:, self._pinch],
            ],
            axis=1,
        )

    def reward(self, goal: str) -> np.ndarray:
        distance = np.linalg.norm(self._site_xpos[:, self._pinch] - TARGETS[goal], axis=1)
        return around(distance, TARGET_RADIUS, margin=TARGET_RADIUS)
