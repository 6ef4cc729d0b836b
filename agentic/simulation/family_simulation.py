"""Simulation of a task family: every row is rewarded by its own code."""

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from agentic.simulation.batched import BatchSimulation
from agentic.simulation.families import TaskFamily, code_from_seed


class FamilySimulation(BatchSimulation):
    """Rows of the base task's model, with its initial states, under the rewards of the family."""

    def __init__(self, family: TaskFamily, num: int, threads: int = 0):
        super().__init__(family.base, num, threads)
        self._arguments = (family, num, threads)
        self.task = family.task
        self.family = family
        self._codes = np.zeros((num, family.code_size), np.float32)

    def _snapshot(self) -> dict[str, Any]:
        return super()._snapshot() | {"codes": self._codes.copy()}

    def _restore(self, snapshot: dict[str, Any]) -> None:
        super()._restore(snapshot)
        self._codes[:] = snapshot["codes"]

    @property
    def codes(self) -> np.ndarray:
        return self._codes.copy()

    def _set_codes(
        self, rows: np.ndarray, seeds: Sequence[tuple[int, ...]], codes: np.ndarray | None
    ) -> None:
        if codes is None:
            codes = [code_from_seed(self.family, tuple(seed)) for seed in seeds]
            codes = np.reshape(codes, (len(rows), self.family.code_size))
        self._codes[rows] = self.family.checked_codes(codes, len(rows))

    def _rewards(self) -> np.ndarray:
        return self.family.reward(self.family.measure(self._domain), self._codes)

    def _scene(self, row: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        model, data = super()._scene(row)
        if self.family.marker is not None:
            data.geom(self.family.marker).xpos[: self.family.code_size] = self._codes[row]
        return model, data
