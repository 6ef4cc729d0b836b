"""Converting: episodes to a store, against merely reading the same files with as many threads.

Reading is numpy's own: `np.load` of the three arrays that a store takes. Without tasks, converting
does the same decompression, checks and hashes what it read, and writes it; with tasks it also
computes their rewards. Both work from the page cache, whatever the disk.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agentic.bench import Row, timed
from agentic.dataset.conversion import convert
from agentic.dataset.episodes import DTYPES, list_episodes, write_episode
from agentic.simulation import make_simulation


@dataclass(frozen=True)
class Options:
    """What is converted, and how often.

    Attributes:
        task: whose episodes are recorded, with random actions.
        recorded: how many different ones.
        episodes: how many files, links to those recorded.
        workers: numbers of threads.
        repeats: the fastest of this many counts.
        seed: of the episodes.
        folder: where files are made for the time being; one in memory, such as /dev/shm, leaves out
            how long the disk takes to have a store safe, which reading does not wait for.
    """

    task: str = "walker_run"
    recorded: int = 32
    episodes: int = 512
    workers: tuple[int, ...] = (1, 2)
    repeats: int = 3
    seed: int = 0
    folder: Path | None = None


def run(options: Options, say: Callable[[str], None]) -> list[Row]:
    """Return a row per number of workers and set of tasks: milliseconds an episode, their ratio.

    The ratio is that of speeds, by the clock; the time of all processors together says the same
    on a machine that is busy with other things.
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
    """Read and convert by turns, so that whoever else uses the machine disturbs both alike."""
    readings, conversions = [], []
    for _ in range(repeats):
        readings.append(timed(lambda: read(paths, workers)))
        conversions.append(
            timed(lambda: convert(folder, out, tasks, overwrite=True, workers=workers))
        )
    milliseconds = 1e3 / len(paths)
    (reading, reading_busy), (converting, converting_busy) = map(_least, (readings, conversions))
    return {
        "workers": workers,
        "tasks": len(tasks),
        "reading ms/episode": reading * milliseconds,
        "converting ms/episode": converting * milliseconds,
        "reading / converting": reading / converting,
        "reading CPU ms": reading_busy * milliseconds,
        "converting CPU ms": converting_busy * milliseconds,
        "store MB/s": out.stat().st_size / converting / 1e6,
    }


def _least(times: list[tuple[float, float]]) -> tuple[float, float]:
    return min(clock for clock, _ in times), min(busy for _, busy in times)


def read(paths: list[Path], workers: int) -> None:
    """Read the three arrays of every episode with numpy, and drop them."""

    def load(path: Path) -> int:
        with np.load(path) as episode:
            return sum(episode[key].nbytes for key in DTYPES)

    with ThreadPoolExecutor(workers) as pool:
        sum(pool.map(load, paths))


def record(task: str, episodes: int, seed: int, folder: Path) -> None:
    """Write whole episodes of uniformly random actions in ExoRL's format."""
    rng = np.random.default_rng(seed)
    simulation = make_simulation(task, num=episodes)
    length, size = simulation.task.episode_length, simulation.task.action_size
    observations = [simulation.reset(np.arange(episodes), [(seed, i) for i in range(episodes)])]
    actions, rewards = [np.zeros((episodes, size))], [np.zeros(episodes)]
    physics = [simulation.physics]
    for _ in range(length):
        actions.append(rng.uniform(-1, 1, (episodes, size)))
        now, reward, _ = simulation.step(actions[-1])
        observations.append(now)
        rewards.append(reward)
        physics.append(simulation.physics)
    arrays = [np.stack(rows, axis=1) for rows in (observations, actions, rewards, physics)]
    for index, episode in enumerate(zip(*arrays, strict=True)):
        write_episode(folder / f"episode_{index:06d}_{length}.npz", *episode)
