"""FOLDER/experiment.py to an Experiment."""

import importlib.util
import sys
from pathlib import Path

from agentic.cells.cell import Experiment
from agentic.errors import AgenticError

FILE = "experiment.py"
RUNS = Path("runs")


def load_experiment(folder: str | Path) -> Experiment:
    """Return the EXPERIMENT of FOLDER/experiment.py, or raise AgenticError, one sentence.

    The file is Python and is executed: run experiments that you trust.
    """
    folder = Path(folder)
    path = folder / FILE
    if not path.is_file():
        raise AgenticError(f"{folder} is no experiment: it has no {FILE}{_near(folder)}.")
    name = f"agentic_experiment_{folder.resolve().name}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise AgenticError(
            f"{path} defines no EXPERIMENT, an agentic.cells.Experiment; "
            f"see how it is run at the top of the file{_near(folder)}."
        )
    return experiment


def default_root(folder: str | Path) -> Path:
    """Return where an experiment's run folders go: runs/NAME."""
    return RUNS / Path(folder).resolve().name


def _near(folder: Path) -> str:
    """Return a clause that names the experiments beside a folder or in it."""
    for place in (folder, folder.parent, Path("experiments")):
        found = [
            str(path.parent)
            for path in sorted(place.glob(f"*/{FILE}"))
            if path.parent != folder and "EXPERIMENT = " in path.read_text(errors="replace")
        ]
        if found:
            return f"; experiments: {', '.join(found[:8])}"
    return ""
