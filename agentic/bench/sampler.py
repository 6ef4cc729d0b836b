"""How fast chains are sampled from a store, beside numpy copying the same bytes.

A batch is observations, actions and rewards out of a memory map, and labels and a mask: the sampler
draws, sorts, gathers and labels; numpy indexes the map with other episodes and copies labels and a
mask that are there already. Both make new arrays in one thread, in turns. Speeds are those of
batches asked for back to back. What is drawn ahead is also asked for at the pace of training steps
that are twice as long as a draw: `ms waited` is how long such a step waits for its batch.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentic.bench.synthetic_store import write_synthetic_store
from agentic.dataset.dataset import Dataset
from agentic.dataset.load import load_dataset
from agentic.dataset.prefetch import Prefetch
from agentic.dataset.sampler import ChainSampler
from agentic.errors import AgenticError


@dataclass(frozen=True)
class Options:
    """Measure how fast chains are sampled.

    Attributes:
        task: whose observations and actions the made-up store imitates.
        episodes, steps: of the store; the default has 0.25 GB.
        trajectories: lengths of chains to measure.
        batch_size: chains a batch.
        repeats: batches measured; medians are reported.
        memory: megabytes for batches drawn ahead.
        folder: where the store is written for the time being; by default where the system keeps
            temporary files.
    """

    task: str = "walker_run"
    episodes: int = 2000
    steps: int = 1000
    trajectories: tuple[int, ...] = (4, 32, 128)
    batch_size: int = 1
    repeats: int = 50
    memory: int = 256
    folder: Path | None = None

    def __post_init__(self):
        for name in ("episodes", "steps", "batch_size", "repeats", "memory"):
            if getattr(self, name) < 1:
                raise AgenticError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not self.trajectories or min(self.trajectories) < 1:
            raise AgenticError(
                f"trajectories is {self.trajectories}; give lengths of chains of at least 1, such "
                "as 4 32 128."
            )
        if max(self.trajectories) > self.episodes:
            raise AgenticError(
                f"trajectories is {max(self.trajectories)} and episodes {self.episodes}; a chain "
                f"draws without replacement, so take at least {max(self.trajectories)} episodes."
            )


def run(options: Options, say: Callable[[str], None]) -> list[dict[str, str | float]]:
    """Write the store, measure, remove it, and return a row for every length of chain and way."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = Path(folder) / "made_up.h5"
        say(f"writing {options.episodes} episodes of {options.steps} steps to {folder}")
        write_synthetic_store(store, options.task, options.episodes, options.steps)
        data = load_dataset(store, options.task)
        rows = []
        for n in options.trajectories:
            say(f"sampling chains of {n} x {options.steps} steps")
            rows += _measure(data, n, options)
        return rows


def _measure(data: Dataset, n: int, options: Options) -> Iterator[dict[str, str | float]]:
    sampler = ChainSampler(data, trajectories=n, batch_size=options.batch_size)
    arrays = [np.asarray(array) for array in (data.observations, data.actions, data.rewards)]
    batch = sampler(0)
    ready = [batch.returns_to_go, batch.completions, batch.mask]
    size = sum(array.nbytes for array in batch)

    def copied(indices: np.ndarray) -> list[np.ndarray]:
        return [array[indices] for array in arrays] + [array.copy() for array in ready]

    sampling, copying, waiting = [], [], []
    for step in range(options.repeats):
        other, _ = sampler.draw(options.repeats + step)
        sampling.append(_seconds(sampler, step))
        copying.append(_seconds(copied, other))
    draw, copy = float(np.median(sampling)), float(np.median(copying))
    with Prefetch(sampler, options.memory * 10**6) as ahead:
        back_to_back = float(np.median([_seconds(ahead, step) for step in range(options.repeats)]))
        for step in range(options.repeats):
            waiting.append(_seconds(ahead, options.repeats + step))
            time.sleep(2 * draw)
    for drawn, seconds, wait in (
        ("in the loop", draw, draw),
        ("ahead", back_to_back, float(np.median(waiting))),
    ):
        yield {
            "trajectories": n,
            "chains": options.batch_size,
            "drawn": drawn,
            "MB": size / 1e6,
            "GB/s": size / seconds / 1e9,
            "GB/s of copying": size / copy / 1e9,
            "of copying": copy / seconds,
            "ms waited": wait * 1e3,
        }


def _seconds(work: Callable[[object], object], argument: object) -> float:
    start = time.perf_counter()
    result = work(argument)
    seconds = time.perf_counter() - start
    # Given back after the clock has stopped, for all alike.
    del result
    return seconds
