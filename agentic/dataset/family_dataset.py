"""N trajectories for all the tasks of a family: features in place of rewards.

    features [N, T, F]   what a family's rewards read of the state that step t led to
    labelled(code)       the data set of one task, rewards [N, T] = reward(features, code)

Axis letters as in `agentic.trajectory`; F features, K numbers of a code.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agentic.dataset.dataset import Dataset, PaddedEpisodes
from agentic.errors import AgenticError
from agentic.simulation.families import TaskFamily, get_family


@dataclass(frozen=True, eq=False, repr=False)
class FamilyDataset(PaddedEpisodes):
    """N trajectories of a task family; unequal lengths are padded with zeros.

    The fields are those of `Dataset`, except that task is a family's name and features [N, T, F]
    float32 stand in place of rewards. The arrays may be read-only memory maps.
    """

    task: str
    observations: np.ndarray
    actions: np.ndarray
    features: np.ndarray
    lengths: np.ndarray
    physics: np.ndarray | None
    control: str
    source: str
    fingerprint: str

    @cached_property
    def family(self) -> TaskFamily:
        """The task family."""
        return get_family(self.task)

    def __repr__(self) -> str:
        return (
            f"FamilyDataset({len(self)} trajectories for {self.task}, {self.lengths.sum():,} "
            f"steps, from {self.source})"
        )

    @property
    def rewards(self) -> np.ndarray:
        """Refused with an AgenticError: rewards need a code."""
        raise AgenticError(f"{self.task} is a task family, whose rewards and returns depend on a "
                           "code; `labelled(code)` has those of one task")  # fmt: skip

    @property
    def returns(self) -> np.ndarray:
        """Refused with an AgenticError: returns need a code."""
        return self.rewards

    def every(self, stride: int) -> "FamilyDataset":
        """Return the data set itself; rewards cannot be added up before the code is known."""
        if stride != 1:
            raise AgenticError(f"stride is {stride}; for the task family {self.task} it must be 1")
        return self

    def labelled(self, code: np.ndarray) -> Dataset:
        """Return the data set of one task of the family.

        Args:
            code: [K], which task.

        Raises:
            AgenticError: the code has another shape or a value that is not finite.
        """
        [code] = self.family.checked_codes(code, 1)
        rewards = np.zeros(self.features.shape[:2], np.float32)
        for row, steps in enumerate(self.lengths.tolist()):
            rewards[row, :steps] = self.family.reward(self.features[row, :steps], code)
        digest = hashlib.sha256(f"{self.fingerprint} {code.tolist()}".encode())
        return Dataset(
            task=self.task,
            observations=self.observations,
            actions=self.actions,
            rewards=rewards,
            lengths=self.lengths,
            physics=self.physics,
            control=self.control,
            source=self.source,
            fingerprint=digest.hexdigest(),
        )
