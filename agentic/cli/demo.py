"""`agentic demo`: the main job on the sample."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from agentic import checkpoint
from agentic.cli.evaluate import evaluate_run
from agentic.cli.terminal import console
from agentic.cli.train import load, train_with_progress
from agentic.dataset import sample_directory
from agentic.experiment import ExperimentConfig
from agentic.report import write_report

TASK = "cartpole_swingup"


def demo(arguments: Sequence[str]) -> None:
    """Parse and run."""

    def command(out: Path = Path("runs/demo"), seed: int = 0) -> None:
        """Train an Agentic Transformer on the sample data, evaluate it, and write a report.

        About five minutes on two CPU cores. Interrupted, the same command goes on from the last
        checkpoint; on a finished run it evaluates and reports again.

        Args:
            out: run folder.
            seed: of the training run.
        """
        _demo(out, seed)

    tyro.cli(command, prog="agentic demo", args=arguments)


def _demo(out: Path, seed: int) -> None:
    config = ExperimentConfig(task=TASK, data=str(sample_directory()), seed=seed)
    done = checkpoint.steps(out)
    if done and done[-1] == config.steps:
        console.print(f"{out} is trained already; delete it to train anew.")
    data = load(config)
    train_with_progress(config, out, (out / "config.json").exists(), data)
    evaluate_run(out, memories=("kept", "cleared", "index", "random"), random_policy=True)
    page = out / "report.html"
    write_report([out], page)
    console.print(f"run folder: {out}\nreport:     {page} (open it in a browser)")
