"""Which offline method makes the most of exploratory data? The papers' six tasks, and a maze.

Question:  AT, DT, BC, BC-10 %, TD3, TD3+BC and IQL with their default recipes on one data set a
           domain, explored by RND without any reward, beside random actions: what does each earn,
           and does AT learn within its context? (controls: memory cleared, index only, random)
Command:   agentic experiment run experiments/exorl
           (--only 'cartpole_swingup-*' for one task, 'cartpole_swingup-td3-0' for one row's seed)
Hardware:  2 CPU cores, no GPU; every cell on one core, two cells side by side
Time:      1.5 to 11 minutes a cell, 161 cells: some ten core-hours by the 77 in report.md

ExoRL's own files are used where `agentic data download DOMAIN rnd` has put them; where not,
`agentic collect` makes 200,000 steps of each domain first, and the report says so.

Training seeds from 0 and evaluation seeds 0 to 15 are reported and were used to choose nothing.
Finished cells are kept in runs/exorl and not run again.
"""

from pathlib import Path

from agentic.collect import CollectConfig
from agentic.experiment import Cell, Collected, Experiment
from agentic.experiment.results import Results
from agentic.methods.method import configure

HERE = Path(__file__).resolve().parent
EXPLORER, STEPS = "rnd", 200_000
# Data sets by the task that was collected; its reward is not learned from, so that a domain's tasks
# share one.
TASKS = {
    "cartpole_swingup": ("cartpole_swingup",),
    "point_mass_maze_reach_top_left": ("point_mass_maze_reach_top_left",),
    "walker_walk": ("walker_walk", "walker_run", "walker_stand"),
    "cheetah_run": ("cheetah_run",),
    "jaco_reach_top_left": ("jaco_reach_top_left",),
}
TRAINING_SEEDS = {"cartpole_swingup": tuple(range(5))}
OTHER_TRAINING_SEEDS = (0, 1, 2)
LEARNERS = ("at", "dt", "bc", "bc10", "td3", "td3_bc", "iql")
EVALUATION_SEEDS = tuple(range(16))
EPISODES = 4
CONTROLS = ("cleared", "index", "random")


def data() -> list[Collected]:
    """Return the data sets, one a domain."""
    return [
        Collected(f"{task}-{EXPLORER}", CollectConfig(task, EXPLORER, STEPS), tasks)
        for task, tasks in TASKS.items()
    ]


def cells() -> list[Cell]:
    """Return every cell, a task after the other and its seeds in turn."""
    return [
        Cell(
            name=f"{task}-{method}-{seed}",
            config=configure(task, source.name, method, seed=seed),
            memories=("kept", *CONTROLS) if method == "at" else ("kept",),
            # Random actions learn nothing: once a task is enough.
            random_policy=method == "at" and seed == 0,
        )
        for source in data()
        for task in source.tasks
        for seed in TRAINING_SEEDS.get(task, OTHER_TRAINING_SEEDS)
        for method in LEARNERS
    ]


def report(folder: Path, results: Results) -> None:
    """Write report.md and its figures."""
    from agentic.experiment.report import write_comparison

    write_comparison(folder, results, "ExoRL: offline methods side by side")


EXPERIMENT = Experiment(cells(), EPISODES, EVALUATION_SEEDS, report, tuple(data()))
