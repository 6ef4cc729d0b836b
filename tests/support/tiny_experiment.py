"""Experiments whose cells take seconds, or are replaced by stubs."""

import sys
from pathlib import Path

from agentic.collect import CollectConfig
from agentic.experiment import Cell, Collected, Experiment
from agentic.methods.method import configure

TASK = "cartpole_swingup"
SMALL = {"steps": 4, "width": 16, "log_every": 2}
STUB = Path(__file__).with_name("stub_cell.py")


def cell(name: str, data: str = "nowhere", method: str = "td3", **options) -> Cell:
    """Return a cell of a small run, whose data are at a path or a data set of the experiment."""
    evaluated = {k: options.pop(k) for k in ("memories", "random_policy") if k in options}
    return Cell(name, configure(TASK, data, method, **SMALL | options), **evaluated)


def collected(name: str = "data-a") -> Collected:
    """Return a data set of two episodes."""
    return Collected(name, CollectConfig(TASK, "random", 2000), (TASK,))


def experiment(*cells: Cell, data: tuple[Collected, ...] = (), report=None) -> Experiment:
    """Return an experiment with two episodes in two contexts."""
    return Experiment(cells, 2, (0, 1), report or say_how_many, data)


def say_how_many(folder: Path, results) -> None:
    """Write a report that only counts cells and lines."""
    (folder / "report.md").write_text(f"{len(results.cells)} cells, {len(results.records)} lines\n")


def stub(root: Path):
    """Return a replacement of `cell_command` whose processes are stubs."""

    def command(folder, name, place, core=None):
        where = root / "data" / name if name.startswith("data") else root / name
        return [sys.executable, "-I", "-S", str(STUB), name, str(where), str(core)]

    return command
