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
    from agentic.experiment.report import write_comparison

    write_comparison(folder, results, "Sample: methods side by side")


EXPERIMENT = Experiment(cells(), EPISODES, EVALUATION_SEEDS, report)
