"""How much of a task's state space do the exploration methods visit, and how fast do they run?

Question:  cells of a grid over the simulator's state (8 a dimension, ranges below) that 20 episodes
           visit, for every method of `agentic collect` with its default settings
Command:   python -m experiments.exploration.experiment --explorers random rnd --seeds 0 1
           (without options: every method, seed 0)
Hardware:  2 CPU cores, no GPU, shared with other work: seconds in results.jsonl are upper bounds
Time:      about a minute for a task, method and seed on free cores

The agent's width and learning rate were chosen on seeds from 100 (experiments/LOG.md). Finished
cells are kept and not run again.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import tyro

from agentic import provenance
from agentic.collect import EXPLORERS, CollectConfig, collect
from agentic.dataset.episodes import list_episodes, read_episode
from agentic.training.run import read_jsonl, write_jsonl

HERE = Path(__file__).resolve().parent
CELLS = 8
# Of positions, then velocities; what lies outside counts as the outermost cell.
RANGES = {
    "point_mass_easy": ([-0.3, -0.3, -0.3, -0.3], [0.3, 0.3, 0.3, 0.3]),
    "cartpole_swingup": ([-1.8, -np.pi, -5.0, -10.0], [1.8, np.pi, 5.0, 10.0]),
}


def cells(task: str, physics: np.ndarray) -> np.ndarray:
    """Return the number of the cell that each state [N, P] lies in: [N]."""
    low, high = map(np.asarray, RANGES[task])
    if task == "cartpole_swingup":
        physics = physics.copy()
        physics[:, 1] = (physics[:, 1] + np.pi) % (2 * np.pi) - np.pi
    place = np.clip(((physics - low) / (high - low) * CELLS).astype(int), 0, CELLS - 1)
    return np.ravel_multi_index(place.T, (CELLS,) * physics.shape[1])


def coverage(task: str, folder: Path) -> list[int]:
    """Return how many cells the first 1, 2, ... episodes visit."""
    visited: set[int] = set()
    counts = []
    for path in list_episodes(folder):
        visited |= set(cells(task, read_episode(path, task).physics).tolist())
        counts.append(len(visited))
    return counts


def measure(config: CollectConfig) -> dict:
    """Collect into a folder that is thrown away; return one line of results."""
    folder = Path(tempfile.mkdtemp(prefix="exploration-"))
    try:
        start = time.perf_counter()
        collect(config, folder / "data")
        seconds = time.perf_counter() - start
        counts = coverage(config.task, folder / "data")
        returns = [line["return"] for line in read_jsonl(folder / "data" / "metrics.jsonl")]
    finally:
        shutil.rmtree(folder)
    return {
        "task": config.task,
        "explorer": config.explorer,
        "seed": config.seed,
        "steps": config.total_steps,
        "width": config.width,
        "learning_rate": config.learning_rate,
        "cells": counts[-1],
        "of": CELLS ** len(RANGES[config.task][0]),
        "cells_by_episode": counts,
        "returns": returns,
        "seconds": round(seconds, 1),
        "steps_per_second": round(config.total_steps / seconds, 1),
        "machine": provenance.machine(),
        "commit": provenance.commit(),
    }


def main(
    tasks: tuple[str, ...] = tuple(RANGES),
    explorers: tuple[str, ...] = tuple(EXPLORERS),
    seeds: tuple[int, ...] = (0,),
    steps: int = 20_000,
    width: int = CollectConfig.width,
    learning_rate: float = CollectConfig.learning_rate,
    out: Path = HERE / "results.jsonl",
) -> None:
    """Run the cells that are missing in `out` and add a line for each."""
    key = ("task", "explorer", "seed", "steps", "width", "learning_rate")
    for task in tasks:
        for seed in seeds:
            for explorer in explorers:
                config = CollectConfig(
                    task=task, explorer=explorer, steps=steps, seed=seed,
                    width=width, learning_rate=learning_rate,
                )  # fmt: skip
                wanted = tuple({**vars(config), "steps": config.total_steps}[name] for name in key)
                done = read_jsonl(out)
                if wanted in [tuple(line[name] for name in key) for line in done]:
                    continue
                line = measure(config)
                write_jsonl(out, [*done, line])
                print(f"{task} {explorer} seed {seed}: {line['cells']} cells, "
                      f"{line['steps_per_second']} steps/s", flush=True)  # fmt: skip


if __name__ == "__main__":
    tyro.cli(main)
