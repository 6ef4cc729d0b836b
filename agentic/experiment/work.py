"""The work of one process: training and evaluating one cell, or making one data set.

A launcher starts the process, on this machine or another, with the command `cell_command`.
"""

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from agentic.errors import AgenticError
from agentic.evaluation.run import EvaluationConfig, evaluate_run
from agentic.experiment.data import data_state, folder_of, path_of, prepare
from agentic.experiment.spec import Cell, Collected, Experiment
from agentic.experiment.state import State, Tracker, held, read_state
from agentic.methods.method import RunConfig
from agentic.methods.train import load_data, train
from agentic.progress import Progress
from agentic.training.run import read_config

# Evaluates the run in a folder.
Evaluate = Callable[[Path, EvaluationConfig, Progress], Any]


def cell_command(folder: Path, name: str, root: Path, core: int | None = None) -> list[str]:
    """Return the command that does one cell or data set: `agentic experiment cell ...`."""
    words = [sys.executable, "-P", "-m", "agentic", "experiment", "cell", str(folder), name]
    words += ["--root", str(root)]
    return words if core is None else [*words, "--core", str(core)]


def environment() -> dict[str, str]:
    """Return environment variables with which the command finds the package that runs here."""
    package = str(Path(__file__).resolve().parents[2])
    before = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([package, *([before] if before else [])])}


def place_of(part: Cell | Collected, root: Path) -> Path:
    """Return the folder of a cell or data set."""
    return folder_of(part, root) if isinstance(part, Collected) else root / part.name


def state_of(part: Cell | Collected, root: Path) -> State:
    """Return how far a cell or data set is."""
    if isinstance(part, Collected):
        return data_state(part, root)
    return read_state(place_of(part, root))


def work(
    experiment: Experiment,
    name: str,
    root: Path,
    evaluate: Evaluate = evaluate_run,
    track: Callable[[Path], Tracker] = Tracker,
) -> None:
    """Do one cell or data set from its present state on; do nothing if it is done.

    Args:
        experiment: has the cell or data set.
        name: of the cell or data set.
        root: holds run folders and collected data.
        evaluate: evaluates a run folder.
        track: returns what writes the state of a folder.

    Raises:
        Busy: another process works on it. Errors of training and evaluation pass through.
    """
    part = experiment.part(name)
    folder = place_of(part, root)
    folder.mkdir(parents=True, exist_ok=True)
    if state_of(part, root).state == "done":
        return
    with held(folder):
        tracker = track(folder)
        try:
            if isinstance(part, Collected):
                tracker.begin("collecting")
                prepare(part, root, tracker.advance)
            else:
                _run_cell(experiment, part, root, tracker, evaluate)
        except KeyboardInterrupt as stop:
            tracker.end("stopped", str(stop))
            raise
        except BaseException as error:
            tracker.end("failed", _sentence(error))
            raise
        tracker.end("done")


def config_of(experiment: Experiment, cell: Cell, root: Path) -> RunConfig:
    """Return a cell's configuration with the path of its data."""
    name = experiment.needs(cell)
    if name is None:
        return cell.config
    return replace(cell.config, data=str(path_of(experiment.part(name), root)))


def _run_cell(
    experiment: Experiment, cell: Cell, root: Path, tracker: Tracker, evaluate: Evaluate
) -> None:
    name = experiment.needs(cell)
    if name is not None and data_state(experiment.part(name), root).state != "done":
        raise AgenticError(
            f"{cell.name} learns from {name}, which is not there yet; agentic experiment run makes "
            "it first."
        )
    config, folder = config_of(experiment, cell, root), root / cell.name
    tracker.begin("training")
    data = load_data(config)
    train(
        config, folder, resume=(folder / "config.json").exists(), data=data,
        progress=tracker.advance,
    )  # fmt: skip
    tracker.begin("evaluation")
    best = read_config(folder)["target_return"]
    sweep = () if cell.target_factors == (1.0,) else tuple(f * best for f in cell.target_factors)
    how = EvaluationConfig(
        episodes=experiment.episodes,
        seeds=experiment.seeds[: cell.contexts],
        memory=cell.memories,
        target_sweep=sweep,
        random_policy=cell.random_policy,
        data=config.data,
    )
    evaluate(folder, how, tracker.advance)


def _sentence(error: BaseException) -> str:
    """Return an error's first line, with its type unless it is a mistake of the user's."""
    text = str(error).partition("\n")[0]
    return text if isinstance(error, AgenticError) else f"{type(error).__name__}: {text}"


def take_signals() -> None:
    """Let Ctrl-C, and a scheduler's request to end, interrupt this process.

    A shell starts background jobs with Ctrl-C ignored, and their children inherit that.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    # Slurm's warning that the time is up is for the job, which then interrupts this process.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)


def on_core(core: int) -> None:
    """Keep this process on one of its cores, counted from 0, if the system can do so."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})
