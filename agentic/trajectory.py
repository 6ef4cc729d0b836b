"""The records that everything else passes around: one episode, and several in hindsight order.

    Trajectory   one episode           [T, ...]
    Chain        n trajectories        [..., n, T, ...]   leading axes are the batch
    Window       the same w steps of a chain's trajectories, and where they lie

Step t is (observation the action was chosen in, action, the reward it brought). ExoRL's T + 1 rows
are aligned to that once, where files are read. Axis letters: N data set, B batch, n trajectories,
T steps, O observation, A action, P physics.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agentic.errors import AgenticError

# Actions lie in [-1, 1], up to the rounding of whoever wrote them.
LARGEST_ACTION = 1.0 + 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class Trajectory:
    """One episode that ended by its time limit.

    observations [T, O] float32, the state each action was chosen in; actions [T, A] float32 in
    [-1, 1]; rewards [T] float32; physics [T + 1, P] float64 simulator states (row t lies before
    step t, the last after the end) or None.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    physics: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rewards)

    def __repr__(self) -> str:
        return f"Trajectory({len(self)} steps, return {self.total_reward:.1f})"

    @property
    def total_reward(self) -> float:
        """The episode's return: the undiscounted sum of its rewards, in float64."""
        return float(np.sum(self.rewards, dtype=np.float64))

    def check(self, name: str = "trajectory") -> "Trajectory":
        """Return self if every array is legal; an AgenticError says what of `name` is not."""
        steps = len(self.rewards)
        if steps == 0:
            raise AgenticError(f"{name} has no steps; an episode needs at least one.")
        rules = {
            "observations": (self.observations, 2, steps),
            "actions": (self.actions, 2, steps),
            "rewards": (self.rewards, 1, steps),
        }
        if self.physics is not None:
            rules["physics"] = (self.physics, 2, steps + 1)
        for field, (array, rank, rows) in rules.items():
            if array.ndim != rank or len(array) != rows:
                raise AgenticError(
                    f"{name} has {field} of shape {array.shape}; "
                    f"with {steps} rewards it needs {rank} axes and {rows} rows."
                )
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise AgenticError(
                    f"{name} has a value in {field} at row {row} that is not finite; all must be."
                )
        largest = float(np.abs(self.actions).max(initial=0.0))
        if largest > LARGEST_ACTION:
            raise AgenticError(f"{name} has an action of size {largest:g}; actions lie in [-1, 1].")
        return self


class Chain(NamedTuple):
    """Trajectories in hindsight order, relabelled: what the model sees (arXiv 2305.16554).

    observations [..., n, T, O], actions [..., n, T, A], rewards, returns_to_go and completions
    [..., n, T] float32; mask [..., n, T] bool, True where a step exists. A chain of fewer than n
    trajectories fills the first places; padding is zero. A named tuple is a jax pytree as it is.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    returns_to_go: np.ndarray
    completions: np.ndarray
    mask: np.ndarray


class Outcome(NamedTuple):
    """What c consecutive steps of every trajectory did: actions [..., n, c, A], rewards and
    completions [..., n, c]; zeros where there is no step."""

    actions: np.ndarray
    rewards: np.ndarray
    completions: np.ndarray


class Window(NamedTuple):
    """Steps [start, start + w) of every trajectory of a chain, cut after it was labelled whole.

        episode   |0 . . . c . . . 2c . . . 3c . . T|      start = 2c, w = 2c
        window                     |2c . . . 3c . . T|     before  |c . . .|

    The fields of Chain, w steps long: returns-to-go and completions are the whole episodes', so
    that what stands in the window is what stands there in the chain. start [...] int32 is a
    multiple of c, the steps of one token; before is what the c steps before it did: those of the
    same trajectory, and at start 0 the last ones of the trajectory before. A policy that is given
    both makes of the window the very tokens that the whole chain has there.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    returns_to_go: np.ndarray
    completions: np.ndarray
    mask: np.ndarray
    start: np.ndarray
    before: Outcome
