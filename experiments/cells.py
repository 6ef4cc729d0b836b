"""Cells of an experiment: each trains once, is evaluated, and keeps a run folder of its own.

An experiment lists its cells and calls `main`; cells run side by side, each in a process and
on a core of its own, because two cells on a core each finish before one on two cores twice. A
finished cell is kept and not run again; an interrupted one goes on from its last checkpoint.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from agentic.experiment import ExperimentConfig


@dataclass(frozen=True)
class Cell:
    """One training run and the evaluations of its policy.

    Attributes:
        name: of the run folder.
        config: what is trained.
        memories: what the policy keeps between episodes; one evaluation each.
        target_factors: multiples of the data's best return to condition on; one evaluation each.
        random_policy: whether random actions are evaluated as well.
        contexts: how many of the experiment's evaluation seeds are used, the first ones.
    """

    name: str
    config: ExperimentConfig
    memories: tuple[str, ...] = ("kept",)
    target_factors: tuple[float, ...] = (1.0,)
    random_policy: bool = False
    contexts: int | None = None


def main(
    module: str,
    cells: dict[str, Cell],
    episodes: int,
    seeds: Sequence[int],
    report: Callable[[Path, list[dict]], None],
) -> None:
    """Be the command line of an experiment, the script experiments/NAME/experiment.py.

    Args:
        module: the script's dotted name.
        cells: what to run, by name.
        episodes: in one context of every evaluation.
        seeds: one context each.
        report: given where the run folders are and every evaluated episode.
    """
    here = Path(*module.split(".")[:-1])

    def command(
        root: Path = Path("runs") / here.name,
        jobs: int = os.cpu_count() or 1,
        cell: str | None = None,
        core: int = 0,
    ) -> None:
        """Run the missing cells, then write results.jsonl, report.md and figures.

        Args:
            root: where the run folders go.
            jobs: cells at the same time.
            cell: run this one cell only.
            core: the core that a single cell runs on.
        """
        if cell is not None:
            on_core(core)
            run_cell(cells[cell], root / cell, episodes, seeds)
            return
        run_missing(module, list(cells), root, jobs)
        report(root, collect(root, list(cells), here / "results.jsonl"))

    tyro.cli(command, prog=f"python -m {module}")


def run_cell(cell: Cell, folder: Path, episodes: int, seeds: Sequence[int]) -> None:
    """Train and evaluate, then leave `done` with the seconds of both."""
    from agentic.acting import RandomPolicy
    from agentic.dataset import load_dataset
    from agentic.evaluation import evaluate
    from agentic.experiment import load_policy, run
    from agentic.ledger import Ledger
    from agentic.run_folder import write_json
    from agentic.simulation.tasks import get_task

    config, start = cell.config, time.perf_counter()
    seeds = seeds[: cell.contexts]
    data = load_dataset(config.data, config.task)
    run(config, folder, resume=(folder / "config.json").exists(), data=data)
    trained = time.perf_counter()
    policy, ledger = load_policy(folder), Ledger(folder)
    best = policy.target_return
    for factor in cell.target_factors:
        policy.target_return = factor * best
        for memory in cell.memories:
            result = evaluate(policy, config.task, episodes, seeds, memory, data)
            ledger.add(result.records(method=config.method, step=config.steps))
    if cell.random_policy:
        random = RandomPolicy(get_task(config.task).action_size, tuple(seeds))
        result = evaluate(random, config.task, episodes, seeds)
        ledger.add(result.records(method="random", step=config.steps))
    end = time.perf_counter()
    write_json(folder / "done", {"training": trained - start, "evaluation": end - trained})


def run_missing(module: str, names: Sequence[str], root: Path, jobs: int) -> None:
    """Run `python -m module --cell NAME` for the cells that are not done, `jobs` at a time.

    Exits with one sentence if some fail; the same command then runs those again.
    """
    waiting: queue.Queue[str] = queue.Queue()
    for name in names:
        if not (root / name / "done").exists():
            waiting.put(name)
    failed = []

    def work(core: int) -> None:
        while True:
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            command = [sys.executable, "-m", module, "--root", str(root)]
            print(f"{name} on core {core}, {waiting.qsize()} cells waiting", flush=True)
            if subprocess.run([*command, "--cell", name, "--core", str(core)]).returncode:
                failed.append(name)

    threads = [threading.Thread(target=work, args=(core,)) for core in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"error: cells {', '.join(failed)} failed; run the command again to retry them.")


def on_core(core: int) -> None:
    """Keep this process on one core, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


def collect(root: Path, names: Sequence[str], out: Path) -> list[dict]:
    """Gather every evaluated episode of every cell into the file `out`, one line each."""
    from agentic.run_folder import read_jsonl, write_jsonl

    records = []
    for name in names:
        document = document_of(root, name)
        extra = {"cell": name, "training_seed": document["seed"], "commit": document["commit"]}
        records += [line | extra for line in read_jsonl(root / name / "evaluation.jsonl")]
    write_jsonl(out, records)
    return records


def document_of(root: Path, name: str) -> dict:
    """Return a cell's config.json."""
    return json.loads((root / name / "config.json").read_text())


def seconds_of(root: Path, name: str) -> dict[str, float]:
    """Return the seconds that a finished cell's training and evaluation took."""
    return json.loads((root / name / "done").read_text())


def table(records: Sequence[dict], **fields) -> np.ndarray:
    """Return the returns [contexts, episodes] of the records with these fields, one per place."""
    found = [r for r in records if all(r[name] == value for name, value in fields.items())]
    shape = tuple(1 + max(r[axis] for r in found) for axis in ("context", "episode"))
    result = np.full(shape, np.nan)
    for record in found:
        place = record["context"], record["episode"]
        if not np.isnan(result[place]):
            raise ValueError(f"{fields} name two episodes at context, episode {place}")
        result[place] = record["return"]
    return result
