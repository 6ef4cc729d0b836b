"""`agentic demo`: the main job on the sample."""

from collections.abc import Sequence
from pathlib import Path

import tyro

from agentic.acting.memory import MEMORIES
from agentic.cli.evaluate import evaluate_and_print
from agentic.cli.terminal import say
from agentic.cli.train import load, train_with_progress
from agentic.dataset import sample_directory
from agentic.evaluation.run import SEEDS, EvaluationConfig
from agentic.methods import METHODS
from agentic.methods.method import RunConfig, configure
from agentic.report.page import write_report
from agentic.training import checkpoint

TASK = "cartpole_swingup"


def demo(arguments: Sequence[str]) -> None:
    """Parse and run."""

    def command(
        out: Path = Path("runs/demo"),
        seed: int = RunConfig.seed,
        steps: int = METHODS["at"].course.steps,
        contexts: int = len(SEEDS),
    ) -> None:
        """Train an Agentic Transformer on the sample data, evaluate it, and write a report.

        About two minutes on two CPU cores. Interrupted, the same command goes on from the last
        checkpoint; on a finished run it evaluates and reports again.

        Args:
            out: run folder.
            seed: of the training run.
            steps: of training; fewer for a first look.
            contexts: evaluated side by side, on seeds 0, 1, 2, ...
        """
        _demo(configure(TASK, str(sample_directory()), seed=seed, steps=steps), out, contexts)

    tyro.cli(command, prog="agentic demo", args=arguments)


def _demo(config: RunConfig, out: Path, contexts: int) -> None:
    done = checkpoint.steps(out)
    if done and done[-1] == config.steps:
        say(f"{out} is trained already; delete it to train anew.")
    data = load(config)
    train_with_progress(config, out, (out / "config.json").exists(), data)
    evaluate_and_print(
        out,
        EvaluationConfig(seeds=tuple(range(contexts)), memory=tuple(MEMORIES), random_policy=True),
    )
    page = out / "report.html"
    write_report([out], page)
    say(f"run folder: {out}\nreport:     {page} (open it in a browser)")
