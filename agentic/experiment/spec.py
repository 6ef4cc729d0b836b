"""What an experiment consists of; FOLDER/experiment.py builds one under the name EXPERIMENT.

FOLDER/experiment.py to an Experiment.
"""

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

# Below the root: collected data, and what a cluster's jobs leave. No cell can be called so.
DATA, JOBS = "data", "jobs"


@dataclass(frozen=True)
class Cell:
    """One training run and the evaluations of its policy.

    Attributes:
        name: of the run folder.
        config: what is trained; its `data` is a path, or the name of one of the experiment's data
            sets.
        memories: what the policy keeps between episodes; one evaluation each.
        target_factors: multiples of the data's best return to condition on; one evaluation each.
        random_policy: whether random actions are evaluated as well.
        contexts: how many of the experiment's evaluation seeds are used, the first ones.
    """

    name: str
    config: RunConfig
    memories: tuple[str, ...] = ("kept",)
    target_factors: tuple[float, ...] = (1.0,)
    random_policy: bool = False
    contexts: int | None = None


@dataclass(frozen=True)
class Collected:
    """A data set: ExoRL's own files where they were downloaded, else collected once for all cells.

    Attributes:
        name: of its folder; what the configurations of cells name as their data.
        collection: what is collected; its task's domain and its explorer name ExoRL's data set.
        tasks: what cells learn from it, all of one domain.
    """

    name: str
    collection: CollectConfig
    tasks: tuple[str, ...]

    @property
    def published(self) -> DataSet | None:
        """ExoRL's data set of this domain and algorithm, if there is one."""
        domain = get_task(self.collection.task).domain
        if domain in DOMAINS and self.collection.explorer in ALGORITHMS:
            return find_data_set(domain, self.collection.explorer)
        return None


@dataclass(frozen=True)
class Experiment:
    """All cells of one question, how they are evaluated, and how the answer is written.

    Attributes:
        cells: what is trained.
        episodes: in one context of every evaluation.
        seeds: evaluation seeds, one context each.
        report: called with the experiment's folder and its `agentic.experiment.results.Results`;
            writes report.md and figures.
        data: data sets that cells name.
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
        """Every cell and data set by its name, data sets first."""
        return {part.name: part for part in (*self.data, *self.cells)}

    def part(self, name: str) -> Cell | Collected:
        """Return the cell or data set of this name, or raise AgenticError with the closest."""
        if name not in self.by_name:
            raise AgenticError(f"{name!r} is no cell of this experiment; {self._closest(name)}.")
        return self.by_name[name]

    def needs(self, cell: Cell) -> str | None:
        """Return the name of the data set that a cell learns from; None for one at a path."""
        return cell.config.data if cell.config.data in {d.name for d in self.data} else None

    def select(self, patterns: Sequence[str] = ()) -> list[Cell]:
        """Return the cells whose names match one of the patterns, by default all.

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
        # Of a hundred names the first few show how they are made.
        hint = closest(name, names).partition("valid:")[0]
        return f"{hint}there are {len(names)}, such as {', '.join(names[:4])}"


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
            f"{path} defines no EXPERIMENT, an agentic.experiment.Experiment; "
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
