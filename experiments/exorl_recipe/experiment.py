"""Which settings matter on exploratory data? One change at a time, on seeds that nothing reports.

Question:  what the default recipe of the Agentic Transformer leaves unearned on the data of
           experiments/exorl: loss, how the last trajectory is drawn, chain length, steps a token,
           learning rate, updates, embeddings, dropout and target return
Command:   agentic experiment run experiments/exorl_recipe
Hardware:  2 CPU cores, no GPU; every cell on one core, two cells side by side
Time:      see report.md, which the command writes with the results

The data are those of experiments/exorl and are collected again by the same command, unless that
folder is copied: runs/exorl/data to runs/exorl_recipe/data.

Training seeds 100 and 101, evaluation seeds 1000 to 1015: for choosing, never for reporting.
"""

from pathlib import Path

from agentic.collect import CollectConfig
from agentic.experiment import Collected, Experiment
from agentic.experiment.results import Results
from agentic.experiment.variants import variant_cells, write_variants

TASK = "cartpole_swingup"
SOURCE = Collected(f"{TASK}-rnd", CollectConfig(TASK, "rnd", 200_000), (TASK,))
TRAINING_SEEDS = (100, 101)
EVALUATION_SEEDS = tuple(range(1000, 1016))
EPISODES = 4
TARGET_FACTORS = (0.75, 1.0, 1.5, 3.0)
VARIANTS: dict[str, dict] = {
    "default": {},
    "best-0.1": {"best_fraction": 0.1},
    "best-1.0": {"best_fraction": 1.0},
    "top-0.1": {"top_fraction": 0.1},
    "chain-1": {"trajectories": 1},
    "chain-8": {"trajectories": 8, "batch_size": 2},
    "uniform": {"count": "uniform"},
    "loss-all": {"loss": "all"},
    "chunk-5": {"action_chunk": 5},
    "rate-0.0005": {"learning_rate": 5e-4},
    "steps-7500": {"steps": 7500},
    "no-embedding": {"trajectory_embedding": False},
    "dropout-0.1": {"dropout": 0.1},
}
# They cost several times as much as the others.
ONE_SEED = ("loss-all", "chunk-5", "steps-7500")


def report(folder: Path, results: Results) -> None:
    """Write report.md from the raw results."""
    write_variants(folder, results, "Recipe on exploratory data: one change at a time", VARIANTS)


EXPERIMENT = Experiment(
    variant_cells(TASK, SOURCE.name, VARIANTS, TRAINING_SEEDS, TARGET_FACTORS, ONE_SEED),
    EPISODES,
    EVALUATION_SEEDS,
    report,
    (SOURCE,),
)
