"""A point on a line, in plain NumPy: the world in which baselines show what they are known for.

The point starts within 0.2 of the middle of [-1, 1], an action moves it by a tenth of itself, and
being right of 0.5 is rewarded. At each step of a recorded episode one of two drivers acts, the one
towards the right and the other towards the left, both with noise; so imitation stands still on
average, and only values tell right from left.
"""

import numpy as np

from agentic.dataset.dataset import Dataset
from agentic.trajectory import Trajectory

TASK = "cartpole_swingup"  # only a name that configurations accept
STEPS = 40
STRIDE = 0.1


def start(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return places [N, 1] at which episodes begin."""
    return generator.uniform(-0.2, 0.2, (count, 1))


def move(places: np.ndarray, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places [N, 1] after actions [N, 1], and rewards [N]."""
    places = np.clip(places + STRIDE * np.clip(actions, -1, 1), -1, 1)
    return places, (places[:, 0] > 0.5).astype(np.float64)


def lived(drive, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return observations [N, T, 1], actions [N, T, 1] and rewards [N, T] of `drive`."""
    places = start(np.random.default_rng(seed), count)
    steps = []
    for _ in range(STEPS):
        actions = drive(places.astype(np.float32))
        after, rewards = move(places, actions)
        steps.append((places, actions, rewards))
        places = after
    return tuple(np.stack(part, axis=1).astype(np.float32) for part in zip(*steps, strict=True))


def mixed(count: int = 60, seed: int = 1) -> Dataset:
    """Return recorded episodes, in which every step's driver is drawn anew."""
    generator = np.random.default_rng(seed)

    def drive(places):
        way = generator.choice([-0.8, 0.8], size=places.shape)
        return np.clip(way + generator.normal(0, 0.2, places.shape), -1, 1)

    episodes = zip(*lived(drive, count, seed), strict=True)
    return Dataset.from_trajectories(TASK, [Trajectory(*episode) for episode in episodes])


def mean_return(policy, count: int = 16) -> float:
    """Return the mean return of a policy's episodes."""
    policy.reset(count)
    return float(lived(policy.act, count, seed=2)[2].sum(axis=1).mean())
