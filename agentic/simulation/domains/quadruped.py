"""Quadruped: four legs that stand, jump, walk, run, escape from a bowl or fetch a ball."""

import mujoco
import numpy as np
from mujoco.batch import Batch

from agentic.simulation.domains.tolerance import at_least, at_most

_ZZ = 8  # entry of a row-major rotation matrix
_SPEED = {"walk": 0.5, "run": 5}  # metres per second that earn the full reward
_JUMP = 1.0  # metres of the centre of mass above ground that earn the full reward
_SENSOR = mujoco.mjtSensor


class Quadruped:
    """Reads joints, inertial and contact sensors, and the ball where there is one."""

    reward_stage = mujoco.mjtStage.mjSTAGE_VEL
    observation_stage = mujoco.mjtStage.mjSTAGE_ACC

    def __init__(self, batch: Batch, model: mujoco.MjModel):
        self._model = model
        self._qpos = batch.bind("qpos")
        self._qvel = batch.bind("qvel")
        self._act = batch.bind("act")
        self._xmat = batch.bind("xmat")
        self._xpos = batch.bind("xpos")
        self._site_xpos = batch.bind("site_xpos")
        self._sensordata = batch.bind("sensordata")
        hinges = model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE
        self._hinge_qpos = model.jnt_qposadr[hinges]
        self._hinge_qvel = model.jnt_dofadr[hinges]
        self._torso = model.body("torso").id
        self._workspace = model.site("workspace").id
        self._velocity = _addresses(model, _SENSOR.mjSENS_VELOCIMETER)
        self._inertia = _addresses(model, _SENSOR.mjSENS_GYRO, _SENSOR.mjSENS_ACCELEROMETER)
        self._feet = _addresses(model, _SENSOR.mjSENS_FORCE, _SENSOR.mjSENS_TORQUE)
        self._mass_centre = _addresses(model, _SENSOR.mjSENS_SUBTREECOM)
        self._has_ball = "ball" in {model.body(index).name for index in range(model.nbody)}

    def observe(self) -> np.ndarray:
        parts = [
            self._qpos[:, self._hinge_qpos],
            self._qvel[:, self._hinge_qvel],
            self._act,
            self._sensordata[:, self._velocity],
            self._xmat[:, self._torso, _ZZ:],
            self._sensordata[:, self._inertia],
            np.arcsinh(self._sensordata[:, self._feet]),
        ]
        if self._has_ball:
            parts.append(self._ball_and_target())
        return np.concatenate(parts, axis=1)

    def reward(self, goal: str) -> np.ndarray:
        if goal == "stand":
            return self._upright()
        if goal == "jump":
            return self._upright() * self._jumping()
        if goal == "escape":
            return self._upright(deviation_degrees=20) * self._escaping()
        if goal == "fetch":
            return self._upright() * self._fetching()
        return self._upright() * self._moving(_SPEED[goal])

    def _ball_and_target(self) -> np.ndarray:
        """Return ball position, velocity, spin and the target in the torso's frame, [N, 12]."""
        frame = self._xmat[:, self._torso].reshape(-1, 3, 3)
        torso = self._xpos[:, self._torso]
        [ball] = self._model.joint("ball_root").dofadr
        [root] = self._model.joint("root").dofadr
        world = np.stack(
            [
                self._xpos[:, self._model.body("ball").id] - torso,
                self._qvel[:, ball : ball + 3] - self._qvel[:, root : root + 3],
                self._qvel[:, ball + 3 : ball + 6],
                self._site_xpos[:, self._model.site("target").id] - torso,
            ],
            axis=1,
        )
        return (world @ frame).reshape(-1, 12)

    def _upright(self, deviation_degrees: float = 0) -> np.ndarray:
        deviation = np.cos(np.deg2rad(deviation_degrees))
        return at_least(self._xmat[:, self._torso, _ZZ], deviation, margin=1 + deviation)

    def _moving(self, speed: float) -> np.ndarray:
        forward = self._sensordata[:, self._velocity[0]]
        return at_least(forward, speed, margin=speed, value_at_margin=0.5)

    def _jumping(self) -> np.ndarray:
        height = self._sensordata[:, self._mass_centre[2]]
        return at_least(height, _JUMP, margin=_JUMP, value_at_margin=0.5)

    def _escaping(self) -> np.ndarray:
        size = self._model.hfield_size[0, 0]
        return at_least(np.linalg.norm(self._site_xpos[:, self._workspace], axis=1), size, size)

    def _fetching(self) -> np.ndarray:
        model = self._model
        ball = self._xpos[:, model.body("ball").id, :2]
        target = self._site_xpos[:, model.site("target").id, :2]
        workspace = self._site_xpos[:, self._workspace, :2]
        arena = model.geom("floor").size[0] * np.sqrt(2)
        reach_radius = model.site("workspace").size[0] + model.geom("ball").size[0]
        reach = _closeness(workspace - ball, reach_radius, arena)
        fetch = _closeness(target - ball, model.site("target").size[0], arena)
        return reach * (0.5 + 0.5 * fetch)


def _closeness(difference: np.ndarray, radius: float, arena: float) -> np.ndarray:
    """Return 1 within `radius`, falling to 0 at `arena` metres further, for vectors [N, 2]."""
    return at_most(np.linalg.norm(difference, axis=1), radius, margin=arena)


def _addresses(model: mujoco.MjModel, *types: mujoco.mjtSensor) -> np.ndarray:
    """Return the places in `sensordata` of the sensors of these types, in the model's order."""
    sensors = np.flatnonzero(np.isin(model.sensor_type, types))
    return np.concatenate([model.sensor_adr[i] + np.arange(model.sensor_dim[i]) for i in sensors])
