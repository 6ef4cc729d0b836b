"""The parts of an experiment, and how FOLDER/experiment.py is read, which defines EXPERIMENT."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from agentic.collect.config import CollectConfig
from agentic.download.catalogue import ALGORITHMS, DOMAINS, DataSet, find_data_set
from agentic.errors import AgenticError, closest
from agentic.methods.method import RunConfig
from agentic.simulation.tasks import get_task

# Folders below the root, for collected data and for files of cluster jobs; not names of cells.
DATA, JOBS = "data", "jobs"


@dataclass(frozen=True)
class Cell:
    """One training run and the evaluations of its policy.

    Attributes:
        name: of the run folder.
        config: of the training; its `data` is a path or the name of one of the experiment's data
            sets.
        memories: memories to evaluate the policy with, one evaluation each.
        target_factors: multiples of the data's best return that serve as target return, one
            evaluation each.
        random_policy: whether random actions are evaluated too.
        contexts: how many of the experiment's evaluation seeds are used, from the first on.
    """

    name: str
    config: RunConfig
    memories: tuple[str, ...] = ("kept",)
    target_factors: tuple[float, ...] = (1.0,)
    random_policy: bool = False
    contexts: int | None = None


@dataclass(frozen=True)
class Collected:
    """A data set for all cells: ExoRL's own files if they were downloaded, else collected once.

    Attributes:
        name: of its folder; the configurations of cells give it as their data.
        collection: how it is collected; domain and explorer also name ExoRL's own data set.
        tasks: the tasks that cells learn from it, all of one domain.
    """

    name: str
    collection: CollectConfig
    tasks: tuple[str, ...]

    @property
    def published(self) -> DataSet | None:
        """ExoRL's own data set of this domain and algorithm, if there is one."""
        domain = get_task(self.collection.task).domain
        if domain in DOMAINS and self.collection.explorer in ALGORITHMS:
            return find_data_set(domain, self.collection.explorer)
        return None


@dataclass(frozen=True)
class Experiment:
    """The cells that answer one question, how they are evaluated, and how the answer is written.

    Attributes:
        cells: the training runs.
        episodes: number of episodes in each context of an evaluation.
        seeds: evaluation seeds, one context each.
        report: called with the experiment's folder and its `agentic.experiment.results.Results`;
            writes report.md and figures.
        data: the data sets that cells name.
    """

    cells: Sequence[Cell]
    episodes: int
    seeds: tuple[int, ...]
    report: Callable[[Path, Any], None]
    data: tuple[Collected, ...] = field(default=())

    def __post_init__(self):
        names = [part.name for part in (*self.cells, *self.data)]
        for name in names:
            plain = Path(name).name == name and not name.startswith(".")
            if names.count(name) > 1 or name in (DATA, JOBS) or not plain:
                raise AgenticError(
                    f"a cell or data set is called {name!r}; names are plain, appear once, and are "
                    f"neither {DATA!r} nor {JOBS!r}."
                )

    @cached_property
    def by_name(self) -> dict[str, Cell | Collected]:
        """All data sets and cells by name, data sets first."""
        return {part.name: part for part in (*self.data, *self.cells)}

    def part(self, name: str) -> Cell | Collected:
        """Return the cell or data set of this name, or raise AgenticError with the closest name."""
        if name not in self.by_name:
            raise AgenticError(f"this experiment has no cell {name!r}; {self._closest(name)}.")
        return self.by_name[name]

    def needs(self, cell: Cell) -> str | None:
        """Return the name of the data set that a cell learns from; None if it names a path."""
        return cell.config.data if cell.config.data in {d.name for d in self.data} else None

    def select(self, patterns: Sequence[str] = ()) -> list[Cell]:
        """Return the cells whose names match one of the patterns; without patterns, all cells.

        Raises AgenticError for a pattern that matches none.
        """
        if not patterns:
            return list(self.cells)
        for pattern in patterns:
            if not any(fnmatchcase(cell.name, pattern) for cell in self.cells):
                raise AgenticError(f"no cell matches {pattern!r}; {self._closest(pattern)}.")
        return [c for c in self.cells if any(fnmatchcase(c.name, p) for p in patterns)]

    def _closest(self, name: str) -> str:
        names = [cell.name for cell in self.cells]
        if len(names) <= 12:
            return closest(name, names)
        # A hundred names are too many; the first few show their form.
        hint = closest(name, names).partition("valid:")[0]
        return f"{hint}there are {len(names)}, such as {', '.join(names[:4])}"


FILE = "experiment.py"
RUNS = Path("runs")


def load_experiment(folder: str | Path) -> Experiment:
    """Return the EXPERIMENT of FOLDER/experiment.py, or raise AgenticError, one sentence.

    The file is Python code and is executed, so load only experiments that you trust.
    """
    folder = Path(folder)
    path = folder / FILE
    if not path.is_file():
        raise AgenticError(f"{folder} is not an experiment: it has no {FILE}{_near(folder)}.")
    name = f"agentic_experiment_{folder.resolve().name}"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses find their module by its name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment):
        raise AgenticError(
            f"{path} defines no EXPERIMENT, an agentic.experiment.Experiment; "
            f"see how it is run at the top of the file{_near(folder)}."
        )
    return experiment


def default_root(folder: str | Path) -> Path:
    """Return the folder of an experiment's run folders: runs/NAME."""
    return RUNS / Path(folder).resolve().name


def _near(folder: Path) -> str:
    """Return a clause that names the experiments in a folder or beside it."""
    for place in (folder, folder.parent, Path("experiments")):
        found = [
            str(path.parent)
            for path in sorted(place.glob(f"*/{FILE}"))
            if path.parent != folder and "EXPERIMENT = " in path.read_text(errors="replace")
        ]
        if found:
            return f"; experiments: {', '.join(found[:8])}"
    return ""
