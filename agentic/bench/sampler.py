"""How fast chains are sampled from a store, against numpy copying the same bytes.

A batch holds observations, actions and rewards from a memory map, labels and a mask. The sampler
draws, sorts, copies and labels. Numpy indexes the map with other episodes and copies labels and a
mask that exist already. Both make new arrays in one thread, by turns. Speeds are those of batches
that are asked for back to back. Batches that are drawn ahead are also asked for at the pace of
training steps that take twice as long as a draw; `ms waited` is the time that such a step waits.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentic.bench import Row
from agentic.bench.problem import at_least_one
from agentic.bench.synthetic_store import write_synthetic_store
from agentic.bench.timing import by_turns, timed
from agentic.dataset.dataset import Dataset
from agentic.dataset.load import load_dataset
from agentic.dataset.prefetch import Prefetch
from agentic.dataset.sampler import ChainSampler
from agentic.errors import AgenticError


@dataclass(frozen=True)
class Options:
    """Measure how fast chains are sampled.

    Attributes:
        task: the store imitates its observations and actions.
        episodes, steps: number and length of the store's episodes; the default has 0.25 GB.
        trajectories: lengths of chains to measure.
        batch_size: chains per batch.
        repeats: batches measured; medians are reported.
        memory: megabytes for batches that are drawn ahead.
        folder: where the temporary store goes; by default the system's folder for such files.
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
        at_least_one(self, "episodes", "steps", "batch_size", "repeats", "memory", "trajectories")
        if max(self.trajectories) > self.episodes:
            raise AgenticError(
                f"trajectories is {max(self.trajectories)} and episodes {self.episodes}; a chain "
                f"draws without replacement, so take at least {max(self.trajectories)} episodes."
            )


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per length of chain, drawn in the loop and drawn ahead."""
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


def _measure(data: Dataset, n: int, options: Options) -> Iterator[Row]:
    sampler = ChainSampler(data, trajectories=n, batch_size=options.batch_size)
    arrays = [np.asarray(array) for array in (data.observations, data.actions, data.rewards)]
    batch = sampler(0)
    ready = [batch.returns_to_go, batch.completions, batch.mask]
    size = sum(array.nbytes for array in batch)

    def copied(indices: np.ndarray) -> list[np.ndarray]:
        return [array[indices] for array in arrays] + [array.copy() for array in ready]

    def copying(turn: int) -> float:
        other, _ = sampler.draw(options.repeats + turn)
        return timed(lambda: copied(other)).clock

    measures = [lambda turn: timed(lambda: sampler(turn)).clock, copying]
    draw, copy = (float(np.median(x)) for x in by_turns(measures, options.repeats))
    back_to_back, waited = [], []
    with Prefetch(sampler, options.memory * 10**6) as ahead:
        for step in range(options.repeats):
            back_to_back.append(timed(lambda: ahead(step)).clock)  # noqa: B023
        for step in range(options.repeats, 2 * options.repeats):
            waited.append(timed(lambda: ahead(step)).clock)  # noqa: B023
            time.sleep(2 * draw)
    for drawn, seconds, wait in (
        ("in the loop", draw, draw),
        ("ahead", float(np.median(back_to_back)), float(np.median(waited))),
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
