"""Does an Agentic Transformer act better than the data it learned from, and than its baselines?

Question:  AT, DT, BC and BC-10 % trained on data/sample with one budget, against random actions;
           is what AT gains over episodes learned in context? (controls: memory cleared, index only,
           replaced by random trajectories)
Command:   agentic experiment run experiments/sample
Hardware:  2 CPU cores, no GPU; every cell on one core, two cells side by side
Time:      see report.md, which the command writes with the results

Training seeds 0, 1, 2 and evaluation seeds 0 to 15 are reported and were used to choose nothing;
recipes were chosen on training seeds from 100 and evaluation seeds from 1000 (experiments/recipe).
Finished cells are kept in runs/sample and not run again.
"""

from pathlib import Path

import numpy as np

from agentic.dataset import sample_directory
from agentic.experiment import Cell, Experiment
from agentic.experiment.results import Results
from agentic.methods.method import configure

TASK = "cartpole_swingup"
LEARNERS = ("at", "dt", "bc", "bc10")
TRAINING_SEEDS = (0, 1, 2)
EVALUATION_SEEDS = tuple(range(16))
EPISODES = 4
CONTROLS = ("cleared", "index", "random")


def cells() -> list[Cell]:
    """Return every cell."""
    return [
        Cell(
            name=f"{method}-{seed}",
            config=configure(TASK, str(sample_directory()), method, seed=seed),
            memories=("kept", *CONTROLS) if method == "at" else ("kept",),
            random_policy=method == "at",
        )
        for seed in TRAINING_SEEDS
        for method in LEARNERS
    ]


def report(folder: Path, results: Results) -> None:
    """Write report.md and its figures from the raw results."""
    from agentic.evaluation import Condition
    from agentic.evaluation.protocol import episode_curve_runs, summarise, summarise_runs
    from agentic.files import write_bytes
    from agentic.report import figures
    from agentic.report.rows import rows_of
    from agentic.report.theme import LIGHT

    document = results.cells["at-0"]
    returns = np.asarray(results.data_of("at-0")["returns"])
    rows, curves = [], []
    pairs = [
        *((method, "kept") for method in LEARNERS),
        *(("at", memory) for memory in CONTROLS),
        ("random", "kept"),
    ]
    conditions = [Condition(task=TASK, method=method, memory=memory) for method, memory in pairs]
    for condition in conditions:
        method, memory = condition.method, condition.memory
        runs = [
            results.table(method=method, memory=memory, training_seed=seed)
            for seed in TRAINING_SEEDS
        ]
        # Random actions have no training run; their spread is over contexts.
        summary = summarise(runs[0]) if method == "random" else summarise_runs(runs)
        seeds = [] if method == "random" else [f"{run.mean():.0f}" for run in runs]
        values = [f"{s.mean:.0f} [{s.low:.0f}, {s.high:.0f}]" for s in summary.values()]
        name = condition.label(conditions)
        rows.append(f"| {name} | {' | '.join(values)} | {', '.join(seeds)} |")
        curve = episode_curve_runs(runs).mean
        curves.append(f"| {name} | {' | '.join(f'{value:.0f}' for value in curve)} |")
    seconds = [results.seconds_of(name) for name in results.cells]
    names = [*summary]
    text = f"""# Sample: methods side by side

Written by `agentic experiment report experiments/sample` from results.jsonl, cells.jsonl and \
data.jsonl; do not edit.

Data: {len(returns)} episodes, mean return {returns.mean():.1f}, best {returns.max():.1f} \
(fingerprint `{document["data"]["fingerprint"][:16]}`). Target return: the best. Training seeds \
{TRAINING_SEEDS}, {len(EVALUATION_SEEDS)} contexts (evaluation seeds {EVALUATION_SEEDS[0]} to \
{EVALUATION_SEEDS[-1]}), {EPISODES} episodes a context. Commit `{document["commit"]}`; \
{document["machine"]}; {", ".join(f"{k} {v}" for k, v in document["versions"].items())}. \
{len(seconds)} cells took {sum(seconds) / 60:.0f} core-minutes, {min(seconds):.0f} to \
{max(seconds):.0f} s each.

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

## Returns of the data and returns achieved

![returns of single episodes](report-{TASK}-returns.png)

With {len(TRAINING_SEEDS)} training seeds an interval is little more than their range.
"""
    write_bytes(folder / "report.md", text.encode())
    lines, _ = rows_of(results.runs())
    for name in ("episodes", "returns"):
        picture = getattr(figures, name)(lines, returns.tolist(), LIGHT)
        write_bytes(folder / f"report-{TASK}-{name}.png", figures.png(picture))


EXPERIMENT = Experiment(cells(), EPISODES, EVALUATION_SEEDS, report)
