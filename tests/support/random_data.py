"""Data sets of random numbers, of equal and of ragged lengths."""

import numpy as np

from agentic.dataset import Dataset
from agentic.trajectory import Trajectory


def random_dataset(lengths, seed=0) -> Dataset:
    """Return episodes whose rewards are of all magnitudes, so that the order of a sum shows."""
    rng = np.random.default_rng(seed)
    episodes = []
    for steps in lengths:
        rewards = rng.normal(size=steps) * 10.0 ** rng.integers(-9, 9, steps)
        arrays = rng.normal(size=(steps, 3)), rng.uniform(-1, 1, (steps, 2)), rewards
        episodes.append(Trajectory(*(array.astype(np.float32) for array in arrays)))
    return Dataset.from_trajectories("made_up", episodes)


def arrays_of(batch: tuple) -> list[np.ndarray]:
    """Return all arrays of a batch, those inside of a window's outcome too."""
    return [x for part in batch for x in (arrays_of(part) if isinstance(part, tuple) else [part])]


EQUAL = random_dataset([1037] * 9)
RAGGED = random_dataset([41, 300, 7, 300, 1, 299, 120, 300, 12, 77], seed=1)
