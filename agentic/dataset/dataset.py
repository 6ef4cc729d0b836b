"""N labelled trajectories of one task, padded to one length: in memory or memory-mapped.

    observations [N, T, O]   episode 0  |s0 s1 s2 s3|      lengths [4, 2]
                             episode 1  |s0 s1  0  0|      mask    [[1 1 1 1] [1 1 0 0]]

Axis letters as in `agentic.trajectory`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from agentic.errors import AgenticError
from agentic.hindsight import total_rewards
from agentic.trajectory import Trajectory

# Memory stays bounded for data of any size.
SUMMED_AT_A_TIME = 512  # episodes


class Digest:
    """A running sha256 over episodes, so that a stream and a finished data set agree.

    Observations and actions go into one digest and each task's rewards into another, so that a new
    task's rewards can be added without reading the rest again.
    """

    def __init__(self, tasks: Iterable[str]) -> None:
        self._content = hashlib.sha256()
        self._rewards = {task: hashlib.sha256() for task in tasks}

    def add(
        self, observations: np.ndarray, actions: np.ndarray, rewards: dict[str, np.ndarray]
    ) -> None:
        """Take in one episode: [T, O], [T, A] and every task's rewards [T], without padding."""
        for array in (observations, actions):
            self._content.update(np.asarray(array.shape, "<i8").tobytes())
            self._content.update(np.ascontiguousarray(array, "<f4"))
        for task, digest in self._rewards.items():
            digest.update(np.ascontiguousarray(rewards[task], "<f4"))

    @property
    def content(self) -> str:
        """The sha256 of all observations and actions so far, in hex."""
        return self._content.hexdigest()

    def rewards(self, task: str) -> str:
        """Return the sha256 of all rewards of `task` so far, in hex."""
        return self._rewards[task].hexdigest()

    def fingerprint(self, task: str) -> str:
        """Return the fingerprint of a data set of these episodes labelled for `task`."""
        return fingerprint(task, self.content, self.rewards(task))


def fingerprint(task: str, content: str, rewards: str) -> str:
    """Return the sha256 over a task's name and the digests of its episodes and rewards, in hex."""
    return hashlib.sha256(f"{task} {content} {rewards}".encode()).hexdigest()


class PaddedEpisodes:
    """What can be said of episodes from observations [N, T, O] and lengths [N] alone."""

    observations: np.ndarray
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    def mask(self, indices: np.ndarray) -> np.ndarray:
        """Return where a step exists in the trajectories `indices` [...]: [..., T] bool."""
        steps = np.arange(self.observations.shape[1])
        return steps < self.lengths[np.asarray(indices)][..., None]

    def observation_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean [O] and standard deviation [O] over all existing steps, float32.

        One episode at a time (Chan, Golub & LeVeque 1983, pairwise update), so that a store far
        larger than memory can be asked. A feature that never changes has deviation 0.
        """
        count, mean, squares = 0, 0.0, 0.0
        for steps, padded_episode in zip(self.lengths.tolist(), self.observations, strict=True):
            episode = np.asarray(padded_episode[:steps], np.float64)
            shift = episode.mean(0) - mean
            squares += ((episode - episode.mean(0)) ** 2).sum(0)
            squares += shift**2 * (count * steps / (count + steps))
            mean = mean + shift * (steps / (count + steps))
            count += steps
        return mean.astype(np.float32), np.sqrt(squares / count).astype(np.float32)


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(PaddedEpisodes):
    """N trajectories of one task; unequal lengths are padded with zeros.

    observations [N, T, O], actions [N, T, A], rewards [N, T] float32; lengths [N] int32, the steps
    that exist; physics [N, T + 1, P] float64 or None; control, what the labels read as control
    ("action" or "zero"); source, where the data came from; fingerprint, a sha256 over everything
    that training reads; known_returns, the returns [N] float64 where the source has them. The
    arrays may be read-only memory maps, and nothing here ever copies one of them whole.
    """

    task: str
    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    lengths: np.ndarray
    physics: np.ndarray | None
    control: str
    source: str
    fingerprint: str
    known_returns: np.ndarray | None = None

    @classmethod
    def from_trajectories(
        cls, task: str, trajectories: Iterable[Trajectory], control: str = "action",
        source: str = "memory",
    ) -> "Dataset":  # fmt: skip
        """Pad and stack labelled trajectories; physics are kept where all of them have some."""
        trajectories = list(trajectories)
        if not trajectories:
            raise AgenticError(f"no trajectories were given for {task}; a data set needs one.")
        digest = Digest([task])
        for index, episode in enumerate(trajectories):
            episode.check(f"trajectory {index}")
            digest.add(episode.observations, episode.actions, {task: episode.rewards})
        steps = max(map(len, trajectories))
        physics = None
        if all(episode.physics is not None for episode in trajectories):
            physics = np.stack([padded(e.physics, steps + 1, np.float64) for e in trajectories])
        return cls(
            task=task,
            observations=np.stack([padded(e.observations, steps) for e in trajectories]),
            actions=np.stack([padded(e.actions, steps) for e in trajectories]),
            rewards=np.stack([padded(e.rewards, steps) for e in trajectories]),
            lengths=np.asarray([len(e) for e in trajectories], np.int32),
            physics=physics,
            control=control,
            source=source,
            fingerprint=digest.fingerprint(task),
        )

    def __repr__(self) -> str:
        """Return one line: arrays of any size would drown a notebook."""
        return (
            f"Dataset({len(self)} trajectories of {self.task}, {self.lengths.sum():,} steps, "
            f"from {self.source})"
        )

    def __getitem__(self, index: int) -> Trajectory:
        steps = self.lengths[index]
        return Trajectory(
            observations=np.asarray(self.observations[index, :steps]),
            actions=np.asarray(self.actions[index, :steps]),
            rewards=np.asarray(self.rewards[index, :steps]),
            physics=None if self.physics is None else np.asarray(self.physics[index, : steps + 1]),
        )

    @cached_property
    def returns(self) -> np.ndarray:
        """The return of every trajectory: [N] float64."""
        if self.known_returns is not None:
            return self.known_returns
        blocks = np.array_split(np.arange(len(self)), -(-len(self) // SUMMED_AT_A_TIME))
        sums = [total_rewards(self.rewards[b[0] : b[-1] + 1], self.mask(b)) for b in blocks]
        return np.concatenate(sums)

    def every(self, stride: int) -> "Dataset":
        """Return the data set of every `stride`-th step, without physics.

            steps    0   1   2   3   4   5   6        stride 3
            kept     s_0         s_3         s_6      observation and action of the kept step
            reward   r0+r1+r2    r3+r4+r5    r6       all that came until the next one

        A kept step has the rewards of the steps it stands for, so returns stay what they were (up
        to the rounding of a sum to float32) and returns-to-go keep their law. Observations and
        actions are views, rewards are new.
        """
        if stride == 1:
            return self
        rewards = np.zeros((len(self), -(-self.rewards.shape[1] // stride)), np.float32)
        for first in range(0, len(self), SUMMED_AT_A_TIME):
            block = slice(first, first + SUMMED_AT_A_TIME)
            total = np.zeros(rewards[block].shape)
            # In the order of time, as they are added up while acting.
            for offset in range(min(stride, self.rewards.shape[1])):
                part = self.rewards[block, offset::stride]
                total[:, : part.shape[1]] += part
            rewards[block] = total
        return replace(
            self,
            observations=self.observations[:, ::stride],
            actions=self.actions[:, ::stride],
            rewards=rewards,
            lengths=-(-self.lengths // stride),
            physics=None,
            known_returns=None,
        )


def padded(array: np.ndarray, rows: int, dtype: type = np.float32) -> np.ndarray:
    """Return a copy of `array` [k, ...] with zeros after its rows up to `rows`."""
    result = np.zeros((rows, *array.shape[1:]), dtype)
    result[: len(array)] = array
    return result
