"""Walker: a planar biped that stands, walks, runs and flips."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.simulation.domains.tolerance import at_least, soft_at_least

_XX, _XZ, _ZZ = 0, 2, 8  # entries of a row-major rotation matrix
_HEIGHT = 1.2  # metres of the torso above ground that count as standing
_SPEED = {"walk": 1, "run": 8}  # metres per second that earn the full reward
_FLIP = 5  # angular momentum about y that earns the full reward


class Walker:
    """Reads orientations, torso height, velocities and the momentum of the whole body."""

    reward_stage = mujoco.mjtStage.mjSTAGE_VEL
    observation_stage = mujoco.mjtStage.mjSTAGE_POS

    def __init__(self, batch: Batch, model: mujoco.MjModel):
        self._qvel = batch.bind("qvel")
        self._xmat = batch.bind("xmat")
        self._xpos = batch.bind("xpos")
        self._sensordata = batch.bind("sensordata")
        # MuJoCo computes it because the model has a velocity sensor of the same subtree.
        self._momentum = batch.bind("subtree_angmom")
        self._torso = model.body("torso").id
        [self._velocity] = model.sensor("torso_subtreelinvel").adr

    def observe(self) -> np.ndarray:
        orientations = self._xmat[:, 1:, [_XX, _XZ]].reshape(len(self._qvel), -1)
        height = self._xpos[:, self._torso, 2:]
        return np.concatenate([orientations, height, self._qvel], axis=1)

    def reward(self, goal: str) -> np.ndarray:
        if goal == "stand":
            return self.standing()
        move = self._flipping() if goal == "flip" else self._moving(_SPEED[goal])
        return self.standing() * (5 * move + 1) / 6

    def speed(self) -> np.ndarray:
        """Return the forward velocity in metres per second."""
        return self._sensordata[:, self._velocity]

    def standing(self) -> np.ndarray:
        """Return how well the walker stands: the reward of walker_stand."""
        height = self._xpos[:, self._torso, 2]
        standing = soft_at_least(height, _HEIGHT, margin=_HEIGHT / 2)
        upright = (1 + self._xmat[:, self._torso, _ZZ]) / 2
        return (3 * standing + upright) / 4

    def _moving(self, speed: float) -> np.ndarray:
        return at_least(self.speed(), speed, margin=speed / 2, value_at_margin=0.5)

    def _flipping(self) -> np.ndarray:
        return at_least(self._momentum[:, self._torso, 1], _FLIP, margin=_FLIP)
