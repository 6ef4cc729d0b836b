"""Does an Agentic Transformer act better than the data it learned from, and than its baselines?

Question:  AT, DT, BC and BC-10 % trained on data/sample with one budget, against random actions;
           is what AT gains over episodes learned in context? (controls: memory cleared, index only,
           replaced by random trajectories)
Command:   python experiments/sample/experiment.py
Hardware:  2 CPU cores, no GPU; every cell on one core, two cells side by side
Time:      see report.md, which this script writes with the results

Training seeds 0, 1, 2 and evaluation seeds 0 to 15 are reported and were used to choose nothing;
recipes were chosen on training seeds from 100 and evaluation seeds from 1000 (experiments/LOG.md).
Finished cells are kept in runs/sample and not run again.
"""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import tyro

HERE = Path(__file__).resolve().parent
TASK = "cartpole_swingup"
METHODS = ("at", "dt", "bc", "bc10")
TRAINING_SEEDS = (0, 1, 2)
EVALUATION_SEEDS = tuple(range(16))
EPISODES = 4
MEMORIES = {"at": ("kept", "cleared", "index", "random")}


def run_cell(method: str, seed: int, folder: Path) -> None:
    """Train one method with one seed, evaluate it and leave `done` with the seconds it took."""
    from agentic.acting import RandomPolicy
    from agentic.dataset import load_dataset, sample_directory
    from agentic.evaluation import evaluate
    from agentic.experiment import ExperimentConfig, load_policy, run
    from agentic.run_folder import record_evaluation
    from agentic.simulation.tasks import get_task

    start = time.perf_counter()
    config = ExperimentConfig(task=TASK, data=str(sample_directory()), method=method, seed=seed)
    data = load_dataset(config.data, TASK)
    run(config, folder, resume=(folder / "config.json").exists(), data=data)
    policy = load_policy(folder)
    results = [
        (method, evaluate(policy, TASK, EPISODES, EVALUATION_SEEDS, memory, data))
        for memory in MEMORIES.get(method, ("kept",))
    ]
    if method == "at":
        random = RandomPolicy(get_task(TASK).action_size, EVALUATION_SEEDS)
        results.append(("random", evaluate(random, TASK, EPISODES, EVALUATION_SEEDS)))
    for name, result in results:
        source = {"method": name, "step": config.steps, "target_return": policy.target_return}
        record_evaluation(folder, result.records(**source))
    (folder / "done").write_text(f"{time.perf_counter() - start:.0f}\n")


def run_missing(root: Path, jobs: int) -> None:
    """Run the cells that are not done, `jobs` at a time, each on a core of its own."""
    waiting: queue.Queue = queue.Queue()
    for seed in TRAINING_SEEDS:
        for method in METHODS:
            if not (root / f"{method}-{seed}" / "done").exists():
                waiting.put((method, seed))
    failed = []

    def work(core: int) -> None:
        while True:
            try:
                method, seed = waiting.get_nowait()
            except queue.Empty:
                return
            command = [sys.executable, str(HERE / "experiment.py"), "--root", str(root)]
            command += ["--cell", method, str(seed), "--core", str(core)]
            print(f"{method}-{seed} on core {core}, {waiting.qsize()} cells waiting", flush=True)
            if subprocess.run(command).returncode:
                failed.append(f"{method}-{seed}")

    threads = [threading.Thread(target=work, args=(core,)) for core in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"error: cells {', '.join(failed)} failed; run the command again to retry them.")


def collect(root: Path) -> list[dict]:
    """Gather every evaluated episode of every cell, and write results.jsonl."""
    from agentic.run_folder import read_jsonl, write_jsonl

    records = []
    for method in METHODS:
        for seed in TRAINING_SEEDS:
            folder = root / f"{method}-{seed}"
            document = json.loads((folder / "config.json").read_text())
            extra = {"training_seed": seed, "commit": document["commit"]}
            records += [line | extra for line in read_jsonl(folder / "evaluation.jsonl")]
    write_jsonl(HERE / "results.jsonl", records)
    return records


def tables(records: list[dict], method: str, memory: str) -> list[np.ndarray]:
    """Return one table of returns [contexts, episodes] per training seed."""
    found = []
    for seed in TRAINING_SEEDS:
        table = np.full((len(EVALUATION_SEEDS), EPISODES), np.nan)
        for record in records:
            if (record["method"], record["memory"], record["training_seed"]) == (
                method, memory, seed,
            ):  # fmt: skip
                table[record["context"], record["episode"]] = record["return"]
        found.append(table)
    return found


def report(root: Path, records: list[dict]) -> None:
    """Write report.md and its figures from the raw results."""
    from agentic.files import write_bytes
    from agentic.protocol import episode_curve_runs, summarise, summarise_runs
    from agentic.report import write_report

    document = json.loads((root / "at-0" / "config.json").read_text())
    returns = np.asarray(document["data"]["returns"])
    rows, curves = [], []
    for method, memory in [
        *((method, "kept") for method in METHODS),
        *(("at", memory) for memory in MEMORIES["at"][1:]),
        ("random", "kept"),
    ]:
        runs = tables(records, method, memory)
        # Random actions have no training run; their spread is over contexts.
        summary = summarise(runs[0]) if method == "random" else summarise_runs(runs)
        seeds = [] if method == "random" else [f"{table.mean():.0f}" for table in runs]
        cells = [f"{s.mean:.0f} [{s.low:.0f}, {s.high:.0f}]" for s in summary.values()]
        name = method if memory == "kept" else f"{method}, memory {memory}"
        rows.append(f"| {name} | {' | '.join(cells)} | {', '.join(seeds)} |")
        curve = episode_curve_runs(runs).mean
        curves.append(f"| {name} | {' | '.join(f'{value:.0f}' for value in curve)} |")
    seconds = [
        int((root / f"{method}-{seed}" / "done").read_text())
        for method in METHODS for seed in TRAINING_SEEDS
    ]  # fmt: skip
    names = [*summary]
    text = f"""# Sample: methods side by side

Written by `python experiments/sample/experiment.py` from results.jsonl; do not edit.

Data: {len(returns)} episodes, mean return {returns.mean():.1f}, best {returns.max():.1f} \
(fingerprint `{document["data"]["fingerprint"][:16]}`). Target return: the best. Training seeds \
{TRAINING_SEEDS}, {len(EVALUATION_SEEDS)} contexts (evaluation seeds {EVALUATION_SEEDS[0]} to \
{EVALUATION_SEEDS[-1]}), {EPISODES} episodes a context. Commit `{document["commit"]}`; \
{document["machine"]}; {", ".join(f"{k} {v}" for k, v in document["versions"].items())}. \
{len(seconds)} cells took {sum(seconds) / 60:.0f} core-minutes, {min(seconds)} to {max(seconds)} s \
each.

## Returns by protocol

Mean over training seeds [95 % bootstrap interval over training seeds; over contexts for random]. \
`best` is the largest of {EPISODES} rollouts and no measure to set beside a mean; improvement is \
last minus first.

| method | {" | ".join(names)} | mean of each training seed |
|{"---|" * (len(names) + 2)}
{chr(10).join(rows)}

## Return by episode of the context

| method | {" | ".join(f"episode {index + 1}" for index in range(EPISODES))} |
|{"---|" * (EPISODES + 1)}
{chr(10).join(curves)}

![return by episode](report-{TASK}-episodes.png)

With {len(TRAINING_SEEDS)} training seeds an interval is little more than their range. \
`memory cleared` empties the context before each episode, `index` empties it but tells the model \
which episode it is in, `random` replaces it by random trajectories of the data.
"""
    write_bytes(HERE / "report.md", text.encode())
    folders = [root / f"{method}-{seed}" for method in METHODS for seed in TRAINING_SEEDS]
    write_report(folders, root / "report.html")
    for picture in root.glob(f"report-{TASK}-*.png"):
        (HERE / picture.name).write_bytes(picture.read_bytes())
    print(text)


def main(
    root: Path = Path("runs/sample"),
    jobs: int = os.cpu_count() or 1,
    cell: tuple[str, int] | None = None,
    core: int = 0,
) -> None:
    """Run the missing cells, then write results.jsonl, report.md and figures.

    Args:
        root: where the run folders go.
        jobs: cells at the same time.
        cell: run this one cell only, METHOD SEED.
        core: the core that a single cell runs on.
    """
    if cell is not None:
        # One core a cell: cells side by side beat one cell on all cores, and timings stay fair.
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[core]})
        run_cell(*cell, root / f"{cell[0]}-{cell[1]}")
        return
    run_missing(root, jobs)
    report(root, collect(root))


if __name__ == "__main__":
    tyro.cli(main)
