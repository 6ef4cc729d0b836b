"""Cartpole: a cart on a rail that balances one, two or three poles."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.simulation.domains.tolerance import around, gentle

_XZ, _ZZ = 2, 8  # entries of a row-major rotation matrix
_FIRST_POLE = 2  # body 0 is the world, body 1 the cart


class Cartpole:
    """Reads cart position, pole orientations and actuator inputs."""

    reward_stage = mujoco.mjtStage.mjSTAGE_POS
    observation_stage = mujoco.mjtStage.mjSTAGE_POS

    def __init__(self, batch: Batch, model: mujoco.MjModel):
        self._qpos = batch.bind("qpos")
        self._qvel = batch.bind("qvel")
        self._ctrl = batch.bind("ctrl")
        self._xmat = batch.bind("xmat")

    def observe(self) -> np.ndarray:
        poles = self._xmat[:, _FIRST_POLE:, [_ZZ, _XZ]].reshape(len(self._qpos), -1)
        return np.concatenate([self._qpos[:, :1], poles, self._qvel], axis=1)

    def reward(self, goal: str) -> np.ndarray:
        return self._sparse() if goal.endswith("sparse") else self._smooth()

    def _sparse(self) -> np.ndarray:
        centred = np.abs(self._qpos[:, 0]) <= 0.25
        return (centred & (self._cosines() >= 0.995).all(axis=1)).astype(np.float64)

    def place(self) -> np.ndarray:
        """Return the position of the cart on its rail in metres, 0 in the middle."""
        return self._qpos[:, 0]

    def balance(self) -> np.ndarray:
        """Return how well the poles are balanced, wherever the cart is."""
        upright = (self._cosines() + 1) / 2
        effort = gentle(self._ctrl[:, 0])
        velocity = around(self._qvel[:, 1:], 0, margin=5).min(axis=1)
        return upright.mean(axis=1) * ((4 + effort) / 5) * ((1 + velocity) / 2)

    def _smooth(self) -> np.ndarray:
        centred = (1 + around(self._qpos[:, 0], 0, margin=2)) / 2
        return self.balance() * centred

    def _cosines(self) -> np.ndarray:
        return self._xmat[:, _FIRST_POLE:, _ZZ]
