"""The results of an experiment: committed files, from which reports are written.

    results.jsonl    one line per evaluated episode, with its cell
    cells.jsonl      one line per finished cell: config.json without the data's returns and the
                     normalisation, seconds, the versions that evaluated it, its learning curve
    data.jsonl       one line per data set and task: its origin and every return

Cells without a run folder on this machine keep their committed lines, so a clone writes the same
report.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from agentic.errors import AgenticError
from agentic.evaluation.condition import Condition
from agentic.experiment.data import origin
from agentic.experiment.spec import Cell, Experiment
from agentic.experiment.work import config_of as config_with_path
from agentic.experiment.work import state_of
from agentic.methods.method import config_of
from agentic.report.runs import Run
from agentic.training.earlier import in_todays_words
from agentic.training.run import read_config, read_jsonl, write_jsonl

EPISODES, CELLS, DATA = "results.jsonl", "cells.jsonl", "data.jsonl"
# A learning curve is thinned to so many points.
POINTS = 50


@dataclass(frozen=True)
class Results:
    """The finished cells of an experiment, in its order.

    `cells` are the lines of cells.jsonl by name, `records` those of results.jsonl, `data` those of
    data.jsonl. `other` names cells whose settings were not those of today's experiment.py.
    """

    experiment: Experiment
    cells: dict[str, dict]
    records: list[dict]
    data: list[dict]
    other: tuple[str, ...] = ()

    def data_of(self, name: str) -> dict:
        """Return the line of data.jsonl that a cell learned from."""
        cell = self.cells[name]
        wanted = cell["task"], cell["data"]["fingerprint"]
        return next(line for line in self.data if (line["task"], line["fingerprint"]) == wanted)

    def seconds_of(self, name: str) -> float:
        """Return how many seconds a cell took."""
        return sum(self.cells[name]["seconds"].values())

    def records_of(self, **fields) -> list[dict]:
        """Return the episodes with these fields; older records have their condition's as well."""
        return [
            record
            for record, whole in zip(self.records, self._whole, strict=True)
            if all(whole[name] == value for name, value in fields.items())
        ]

    @cached_property
    def _whole(self) -> list[dict]:
        """The records, with every field of their conditions."""
        found = []
        for record in self.records:
            cell = self.cells[record["cell"]]
            known = {name: cell[name] for name in ("task", "method") if name in cell}
            found.append(record | Condition.from_record(record, **known).record())
        return found

    def table(self, **fields) -> np.ndarray:
        """Return the returns [contexts, episodes] of the episodes with these fields.

        Raises AgenticError if two episodes share a place, or if there is none.
        """
        found = self.records_of(**fields)
        if not found:
            raise AgenticError(f"{fields} name no episode of the results; run the missing cells.")
        shape = tuple(1 + max(r[axis] for r in found) for axis in ("context", "episode"))
        returns = np.full(shape, np.nan)
        for record in found:
            place = record["context"], record["episode"]
            if not np.isnan(returns[place]):
                raise AgenticError(f"{fields} name two episodes at context, episode {place}.")
            returns[place] = record["return"]
        return returns

    def runs(self, names: Sequence[str] | None = None) -> list[Run]:
        """Return cells, by default all, in the form in which reports read run folders."""
        found = []
        for name in self.cells if names is None else names:
            line = in_todays_words(self.cells[name])
            config = {**line, "data": {**line["data"], "returns": self.data_of(name)["returns"]}}
            metrics = tuple({"step": step, "loss": loss} for step, loss in line["loss"])
            episodes = tuple(self.records_of(cell=name))
            found.append(Run(Path(name), config, metrics, episodes, ()))
        return found


def update_results(experiment: Experiment, folder: Path, root: Path) -> Results:
    """Return the results of all finished cells and write them to the experiment's folder."""
    before = read_results(experiment, folder)
    cells, records, data = {}, [], []
    for cell in experiment.cells:
        if state_of(cell, root).state == "done":
            line, episodes, source = _finished(experiment, cell, root)
        elif cell.name in before.cells:
            line, source = before.cells[cell.name], before.data_of(cell.name)
            episodes = before.records_of(cell=cell.name)
        else:
            continue
        cells[cell.name] = line
        records += episodes
        if not any(_same_data(source, other) for other in data):
            data.append(source)
    if cells:
        write_jsonl(folder / EPISODES, records)
        write_jsonl(folder / CELLS, cells.values())
        write_jsonl(folder / DATA, data)
    return Results(experiment, cells, records, data, _others(experiment, cells))


def read_results(experiment: Experiment, folder: Path) -> Results:
    """Return the committed results of an experiment's folder."""
    lines = {line["cell"]: line for line in read_jsonl(folder / CELLS)}
    cells = {cell.name: lines[cell.name] for cell in experiment.cells if cell.name in lines}
    records = [r for r in read_jsonl(folder / EPISODES) if r["cell"] in cells] if cells else []
    data = read_jsonl(folder / DATA)
    return Results(experiment, cells, records, data, _others(experiment, cells))


def _others(experiment: Experiment, cells: dict[str, dict]) -> tuple[str, ...]:
    """Return the cells whose settings were not those that they have now."""
    found = []
    for name, line in cells.items():
        # The place of the data does not matter.
        before, now = config_of(in_todays_words(line)), experiment.part(name).config
        if replace(before, data=now.data) != now:
            found.append(name)
    return tuple(found)


def _same_data(one: dict, other: dict) -> bool:
    return all(one[key] == other[key] for key in ("task", "fingerprint"))


def _finished(experiment: Experiment, cell: Cell, root: Path) -> tuple[dict, list[dict], dict]:
    """Return a finished cell's line, its episodes and the line of its data."""
    place = root / cell.name
    document, state = read_config(place), state_of(cell, root)
    episodes, evaluated_by = [], []
    for record in read_jsonl(place / "evaluation.jsonl"):
        by = record.pop("provenance", None)
        if by is not None and by not in evaluated_by:
            evaluated_by.append(by)
        episodes.append({"cell": cell.name, "training_seed": document["seed"], **record})
    name = experiment.needs(cell)
    path = shown(config_with_path(experiment, cell, root).data)
    made = {"kind": "path", "name": path} if name is None else origin(experiment.part(name), root)
    source = {
        "task": document["task"],
        "fingerprint": document["data"]["fingerprint"],
        "origin": made,
        "returns": document["data"]["returns"],
    }
    line = {
        "cell": cell.name,
        **document,
        "from_data": {k: v for k, v in document["from_data"].items() if k != "normalization"},
        "data": {k: v for k, v in document["data"].items() if k != "returns"}
        | {"source": name or path},
        "seconds": state.seconds,
        "evaluated_by": evaluated_by,
        "loss": _curve(read_jsonl(place / "metrics.jsonl")),
    }
    return line, episodes, source


def _curve(metrics: Sequence[dict]) -> list[list[float]]:
    """Return [step, loss] of at most POINTS lines, evenly spaced and including the last."""
    every = -(-len(metrics) // POINTS)
    kept = list(metrics[::-1][::every])[::-1] if metrics else []
    return [[line["step"], float(f"{line['loss']:.5g}")] for line in kept]


def shown(path: str | Path) -> str:
    """Return a path that may be committed: relative to the working directory, or its last part."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd().resolve()))
    except ValueError:
        return Path(path).name
