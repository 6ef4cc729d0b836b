"""What do uniformly random actions earn on every task? The zero of normalised scores.

Question:  the return of random actions, every task, one episode from each of 64 initial states,
           or of 16 where the simulator has to loop (quadruped_escape, point_mass_hard)
Command:   python -m experiments.references.experiment
           (--tasks walker_run ... measures these again and keeps the others)
Hardware:  2 CPU cores, no GPU
Time:      about ten minutes; quadruped_escape, whose terrain changes, is half of it

Writes agentic/evaluation/random_returns.json, which the package ships: every single return with
command, seeds, versions and commit. Seeds from 20000 are used for nothing else.
"""

import json
import platform
from pathlib import Path

import tyro

from agentic import provenance
from agentic.acting.random_policy import RandomPolicy
from agentic.evaluation import references
from agentic.evaluation.evaluate import evaluate
from agentic.simulation.tasks import get_task, task_names
from agentic.training.run import write_json

OUT = Path(__file__).resolve().parents[2] / "agentic" / "evaluation" / references.FILE
SEEDS = tuple(range(20000, 20064))
PACKAGES = ("agentic", "numpy", "mujoco", "dm-control")


def measure(task: str) -> list[float]:
    """Return the return of one episode of random actions for each of the task's seeds."""
    seeds = SEEDS if get_task(task).fixed_model else SEEDS[:16]
    policy = RandomPolicy(get_task(task).action_size)
    return evaluate(policy, task, episodes=1, seeds=seeds).returns[:, 0].tolist()


def main(tasks: tuple[str, ...] = tuple(task_names())) -> None:
    """Measure random actions and write agentic/evaluation/random_returns.json.

    Args:
        tasks: what is measured; the others keep the returns they have.
    """
    # Taken now: this script writes a file of the checkout that the commit names.
    commit = provenance.commit()
    before = json.loads(OUT.read_text())["returns"] if OUT.exists() else {}
    for task in tasks:
        before[task] = measure(task)
        mean = sum(before[task]) / len(before[task])
        print(f"{task:<36} mean {mean:8.2f} of {len(before[task])} episodes", flush=True)
    write_json(
        OUT,
        {
            "command": "python -m experiments.references.experiment",
            "policy": "uniform on [-1, 1], a generator for each seed",
            "episodes": "one a seed, in the order of seeds; the first seeds where there are fewer",
            "seeds": {"first": SEEDS[0], "count": len(SEEDS)},
            "date": provenance.day(),
            "commit": commit,
            "machine": provenance.machine(),
            "python": platform.python_version(),
            "versions": provenance.versions(PACKAGES),
            "returns": {task: before[task] for task in task_names() if task in before},
        },
    )
    print(f"written: {OUT}")


if __name__ == "__main__":
    tyro.cli(main)
