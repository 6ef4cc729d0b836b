"""Converting: episodes to a store, against only reading the same files with as many threads.

Reading is numpy's own: `np.load` of the three arrays that a store takes. Converting without tasks
does the same decompression, then checks, hashes and writes the arrays. With tasks it also computes
their rewards. Both work on files in the page cache, whatever the disk.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentic.bench import Row
from agentic.bench.problem import at_least_one, random_episodes
from agentic.bench.timing import Seconds, by_turns, timed
from agentic.dataset.conversion import convert
from agentic.dataset.episodes import DTYPES, list_episodes, write_episode
from agentic.simulation import make_simulation


@dataclass(frozen=True)
class Options:
    """Measure how fast episodes become a store.

    Attributes:
        task: task of the episodes, which are recorded with random actions.
        recorded: number of different episodes.
        episodes: number of files; most are links to those recorded.
        workers: numbers of threads.
        repeats: counts, of which the fastest is reported.
        seed: of the episodes.
        folder: where temporary files go. A folder in memory, such as /dev/shm, leaves out the time
            until a disk has the store safe, which reading does not wait for.
    """

    task: str = "walker_run"
    recorded: int = 32
    episodes: int = 512
    workers: tuple[int, ...] = (1, 2)
    repeats: int = 3
    seed: int = 0
    folder: Path | None = None

    def __post_init__(self):
        at_least_one(self, "recorded", "episodes", "workers", "repeats")


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per number of workers and set of tasks: milliseconds per episode, their ratio.

    The ratio is that of speeds by the clock. The time of all processors together says the same on
    a machine that is busy with other work.
    """
    rows = []
    with tempfile.TemporaryDirectory(dir=options.folder) as temporary:
        folder, out = Path(temporary) / "buffer", Path(temporary) / "store.h5"
        say(f"recording {options.recorded} episodes of {options.task}")
        record(options.task, options.recorded, options.seed, folder)
        recorded = list_episodes(folder)
        for index in range(len(recorded), options.episodes):
            original = recorded[index % len(recorded)]
            length = original.stem.rpartition("_")[2]
            (folder / f"episode_{index:06d}_{length}.npz").symlink_to(original)
        paths = list_episodes(folder)
        for workers in options.workers:
            for tasks in ((), (options.task,)):
                say(f"reading and converting with {workers} threads, {len(tasks)} tasks")
                # The first conversion loads the simulator.
                convert(folder, out, tasks, overwrite=True, episodes=1, workers=workers)
                rows.append(_race(paths, folder, out, tasks, workers, options.repeats))
    return rows


def _race(
    paths: list[Path], folder: Path, out: Path, tasks: tuple[str, ...], workers: int, repeats: int
) -> Row:
    def converting() -> None:
        convert(folder, out, tasks, overwrite=True, workers=workers)

    measures = [lambda _: timed(lambda: read(paths, workers)), lambda _: timed(converting)]
    found = by_turns(measures, repeats)
    reading, converted = (Seconds(*np.min(times, axis=0).tolist()) for times in found)
    milliseconds = 1e3 / len(paths)
    return {
        "workers": workers,
        "tasks": len(tasks),
        "reading ms/episode": reading.clock * milliseconds,
        "converting ms/episode": converted.clock * milliseconds,
        "reading / converting": reading.clock / converted.clock,
        "reading CPU ms": reading.busy * milliseconds,
        "converting CPU ms": converted.busy * milliseconds,
        "store MB/s": out.stat().st_size / converted.clock / 1e6,
    }


def read(paths: list[Path], workers: int) -> None:
    """Read three arrays of every episode with numpy, and drop them."""

    def load(path: Path) -> int:
        with np.load(path) as episode:
            return sum(episode[key].nbytes for key in DTYPES)

    with ThreadPoolExecutor(workers) as pool:
        sum(pool.map(load, paths))


def record(task: str, episodes: int, seed: int, folder: Path) -> None:
    """Write whole episodes with uniformly random actions in ExoRL's format."""
    simulation = make_simulation(task, num=episodes)
    length = simulation.task.episode_length
    rows = zip(*random_episodes(simulation, length, seed), strict=True)
    for index, episode in enumerate(rows):
        write_episode(folder / f"episode_{index:06d}_{length}.npz", *episode)
