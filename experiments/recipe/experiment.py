"""Which settings matter on data/sample? One change at a time, on seeds that nothing reports.

Question:  loss, how the last trajectory is drawn, chain length, tokens a step, steps a token,
           embeddings, dropout, completion mode and target return: what does each do to the return?
Command:   agentic experiment run experiments/recipe
           (or, the same, python -m experiments.recipe.experiment)
Hardware:  2 CPU cores, no GPU; every cell on one core, two cells side by side
Time:      see report.md, which this script writes with the results

Training seeds 100 and 101, evaluation seeds 1000 to 1015: for choosing, never for reporting.
Whole episodes of separate tokens cost a hundred times what joint tokens of twenty steps do. Layouts
are therefore compared on windows of 100 steps, with chains of two, few updates and four contexts.
"""

from pathlib import Path

import numpy as np

from agentic.cells import Cell, Experiment
from agentic.cells.results import Results
from agentic.dataset import sample_directory
from agentic.experiment import ExperimentConfig

HERE = Path(__file__).resolve().parent
TASK = "cartpole_swingup"
TRAINING_SEEDS = (100, 101)
EVALUATION_SEEDS = tuple(range(1000, 1016))
EPISODES = 4
TARGET_FACTORS = (0.5, 0.75, 1.0, 1.25)
WINDOW = {"window": 100, "trajectories": 2, "steps": 600}
VARIANTS: dict[str, dict] = {
    "default": {},
    "loss-all": {"loss": "all"},
    "best-1.0": {"best_fraction": 1.0},
    "best-0.1": {"best_fraction": 0.1},
    "loss-all-best-1.0": {"loss": "all", "best_fraction": 1.0},
    "uniform": {"count": "uniform"},
    "chain-1": {"trajectories": 1},
    "chain-2": {"trajectories": 2},
    "chain-8": {"trajectories": 8},
    "chunk-5": {"action_chunk": 5},
    "chunk-10": {"action_chunk": 10},
    "chunk-40": {"action_chunk": 40},
    "no-embedding": {"trajectory_embedding": False},
    "completion-done": {"completion": "done"},
    "dropout-0.1": {"dropout": 0.1},
    "window-layout-1": WINDOW,
    "window-layout-1-chunk-1": {**WINDOW, "action_chunk": 1},
    "window-layout-4": {**WINDOW, "layout": "4"},
    "window-layout-5": {**WINDOW, "layout": "5"},
}
# A second seed of the rows that cost most would take as long as all the others together.
ONE_SEED = (
    "loss-all",
    "loss-all-best-1.0",
    "chunk-5",
    *(name for name in VARIANTS if name.startswith("window")),
)


def cells() -> list[Cell]:
    """Return every cell."""
    return [
        Cell(
            name=f"{variant}-{seed}",
            config=ExperimentConfig(TASK, str(sample_directory()), seed=seed, **fields),
            target_factors=TARGET_FACTORS if variant == "default" else (1.0,),
            contexts=4 if variant.startswith("window") else None,
        )
        for seed in TRAINING_SEEDS
        for variant, fields in VARIANTS.items()
        if seed == TRAINING_SEEDS[0] or variant not in ONE_SEED
    ]


def report(folder: Path, results: Results) -> None:
    """Write report.md from the raw results."""
    from agentic.files import write_bytes

    document = results.cells["default-100"]
    returns = np.asarray(results.data_of("default-100")["returns"])
    best = document["target_return"]
    rows, targets = [], []
    for variant, fields in VARIANTS.items():
        names = [f"{variant}-{seed}" for seed in TRAINING_SEEDS]
        names = [name for name in names if name in results.cells]
        runs = [results.table(cell=name, target_return=best) for name in names]
        seconds = np.mean([results.cells[name]["seconds"]["training"] for name in names])
        change = ", ".join(f"{key} {value}" for key, value in fields.items()) or "none"
        means = ", ".join(f"{run.mean():.0f}" for run in runs)
        episodes = ", ".join(f"{value:.0f}" for value in np.mean([r.mean(0) for r in runs], 0))
        average = np.mean([run.mean() for run in runs])
        rows.append(
            f"| {variant} | {change} | {average:.0f} | {means} | {episodes} | {seconds:.0f} |"
        )
    for factor in TARGET_FACTORS:
        runs = [
            results.table(cell=f"default-{seed}", target_return=factor * best)
            for seed in TRAINING_SEEDS
        ]
        means = ", ".join(f"{run.mean():.0f}" for run in runs)
        targets.append(f"| {factor:g} x best = {factor * best:.0f} | {means} |")
    text = f"""# Recipe: one change at a time

Written by `agentic experiment report experiments/recipe` from results.jsonl, cells.jsonl and \
data.jsonl; do not edit.

Data: data/sample, mean return {returns.mean():.1f}, best {returns.max():.1f}. Training seeds \
{TRAINING_SEEDS}, {len(EVALUATION_SEEDS)} contexts (evaluation seeds {EVALUATION_SEEDS[0]} to \
{EVALUATION_SEEDS[-1]}) of {EPISODES} episodes, target return the data's best, context kept. \
Commit `{document["commit"]}`; {document["machine"]}. Training seconds are of one core beside \
other work, so they are upper bounds.

With one or two training seeds a variant, only large differences mean anything.

| variant | change | mean return | each training seed | by episode | training seconds |
|---|---|---|---|---|---|
{chr(10).join(rows)}

## Target return

The default recipe, conditioned on other returns than the data's best:

| target return | mean return of each training seed |
|---|---|
{chr(10).join(targets)}
"""
    write_bytes(folder / "report.md", text.encode())


EXPERIMENT = Experiment(cells(), EPISODES, EVALUATION_SEEDS, report)

if __name__ == "__main__":
    import sys

    from agentic.cli import main

    main(["experiment", "run", str(HERE), *sys.argv[1:]])
