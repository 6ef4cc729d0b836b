"""Which settings matter on data/sample? One change at a time, on seeds that nothing reports.

Question:  loss, how the last trajectory is drawn, chain length, tokens a step, steps a token,
           embeddings, dropout, completion mode and target return: what does each do to the return?
Command:   agentic experiment run experiments/recipe
Hardware:  2 CPU cores, no GPU; every cell on one core, two cells side by side
Time:      see report.md, which the command writes with the results

Training seeds 100 and 101, evaluation seeds 1000 to 1015: for choosing, never for reporting.
Whole episodes of separate tokens cost a hundred times what joint tokens of twenty steps do. Layouts
are therefore compared on windows of 100 steps, with chains of two, few updates and four contexts.
"""

from pathlib import Path

from agentic.dataset import sample_directory
from agentic.experiment import Experiment
from agentic.experiment.results import Results
from agentic.experiment.variants import variant_cells, write_variants

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


def report(folder: Path, results: Results) -> None:
    """Write report.md from the raw results."""
    write_variants(folder, results, "Recipe: one change at a time", VARIANTS)


CELLS = variant_cells(
    TASK, str(sample_directory()), VARIANTS, TRAINING_SEEDS, TARGET_FACTORS, ONE_SEED,
    {name: 4 for name in VARIANTS if name.startswith("window")},
)  # fmt: skip
EXPERIMENT = Experiment(CELLS, EPISODES, EVALUATION_SEEDS, report)
