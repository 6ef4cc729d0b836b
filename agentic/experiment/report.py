"""The report of an experiment that compares methods: report.md with a section for each task."""

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from agentic.evaluation.condition import RANDOM
from agentic.experiment.results import CELLS, DATA, EPISODES, Results, shown
from agentic.files import write_bytes
from agentic.report import tables
from agentic.report import words as sentences
from agentic.report.comparison import verdict
from agentic.report.episodes import episodes
from agentic.report.forest import forest
from agentic.report.learning import learning_curve
from agentic.report.rows import Row, learns_values, rows_of
from agentic.report.table import Column, Table, number
from agentic.report.theme import LIGHT, png

# Parts of a cell, and what a column of their seconds is called.
SECONDS = {"training": "seconds of training", "evaluation": "of evaluation"}


def write_comparison(folder: Path, results: Results, title: str) -> None:
    """Write report.md and the figures of every task with finished cells into `folder`."""
    sections, rows_by_task, data_by_task, notes = [], {}, {}, []
    for task, names in _tasks(results).items():
        data = _newest_data(results, names)
        runs = results.runs([n for n in names if results.data_of(n) is data])
        rows, more = rows_of(runs)
        # They learn nothing, and so stand below all that do.
        rows.sort(key=lambda row: row.method == RANDOM)
        rows_by_task[task], data_by_task[task] = rows, data["returns"]
        left = len(names) - len(runs)
        notes += [f"{task}: {note}" for note in more]
        notes += [f"{task}: {left} cells of other data were left out."] if left else []
        pictures = _pictures(task, rows, runs, data["returns"])
        for name, content in pictures.items():
            write_bytes(folder / name, content)
        sections.append(_section(results, task, rows, data, list(pictures)))
    text = "\n\n".join(
        [
            f"# {title}",
            f"Written by `agentic experiment report {shown(folder)}` from {EPISODES}, {CELLS} and "
            f"{DATA}; do not edit. What was asked is at the top of experiment.py.",
            *_in_short(results, rows_by_task, data_by_task),
            *sections,
            *_not_run(results, folder),
            *_provenance(results, notes),
        ]
    )
    write_bytes(folder / "report.md", f"{text}\n".encode())


def _tasks(results: Results) -> dict[str, list[str]]:
    """Return the names of finished cells by task, a method's cells together."""
    methods = list(dict.fromkeys(cell.config.method for cell in results.experiment.cells))
    tasks: dict[str, list[str]] = {}
    for name in sorted(results.cells, key=lambda n: methods.index(results.cells[n]["method"])):
        tasks.setdefault(results.cells[name]["task"], []).append(name)
    order = dict.fromkeys(cell.config.task for cell in results.experiment.cells)
    return {task: tasks[task] for task in order if task in tasks}


def _newest_data(results: Results, names: Sequence[str]) -> dict:
    """Return the data that most of the cells learned from: others' returns mean something else."""
    prints = Counter(results.cells[name]["data"]["fingerprint"] for name in names)
    most = prints.most_common(1)[0][0]
    return results.data_of(next(n for n in names if results.data_of(n)["fingerprint"] == most))


def _in_short(results: Results, rows: dict[str, list[Row]], data: dict[str, list]) -> list[str]:
    done, planned = len(results.cells), len(results.experiment.cells)
    episodes, seeds = results.experiment.episodes, results.experiment.seeds
    texts = [
        f"{done} of {planned} cells are done. A cell is one method trained with one seed on one "
        f"task and evaluated in {len(seeds)} contexts (evaluation seeds {seeds[0]} to {seeds[-1]}) "
        f"of {episodes} episodes each, every method alike."
    ]
    if not rows:
        return texts
    if len(rows) > 1:
        texts += [
            "## Scores of all tasks",
            "Score of the mean return: 0 is what random actions earn, 100 the data's best episode. "
            "In brackets its 95 % interval.",
            tables.score_by_task_table(rows, data).markdown(),
        ]
    learned = [row for task in rows.values() for row in task if row.method != RANDOM]
    texts += [*sentences.about_intervals(learned), "Of random actions it is over contexts."]
    return texts


def _section(results: Results, task: str, rows: list[Row], data: dict, pictures: list[str]) -> str:
    parts = [
        f"## {task}",
        _about_data(data),
        _seeds(results, task),
        tables.comparison_table(rows, data["returns"]).markdown(),
        "\n".join(f"- {text}" for text in verdict(rows, data["returns"])),
        sentences.about_best(tables.shortest(rows)),
        "### By episode of the context",
        tables.curve_table(rows).markdown(),
        *(f"![{_alternative(name)}]({name})" for name in pictures),
    ]
    return "\n\n".join(part for part in parts if part)


def _about_data(data: dict) -> str:
    origin, returns = data["origin"], np.asarray(data["returns"])
    if origin["kind"] == "ExoRL":
        source = f"ExoRL's own {origin['name']}"
    elif origin["kind"] == "collected":
        source = f"collected here, not ExoRL's: `{origin['command']}`"
        source += f" (commit `{origin['commit']}`)" if origin.get("commit") else ""
    else:
        source = origin["name"]
    return (
        f"Data: {source}. {len(returns):,} episodes, mean return "
        f"{number(returns.mean())}, best {number(returns.max())}; fingerprint "
        f"`{data['fingerprint'][:16]}`. Target return: the best."
    )


def _seeds(results: Results, task: str) -> str:
    """Return a sentence on what is still missing of a task; "" where nothing is."""
    planned = [cell.name for cell in results.experiment.cells if cell.config.task == task]
    missing = [name for name in planned if name not in results.cells]
    if not missing:
        return ""
    return f"Unfinished: {len(missing)} of {len(planned)} cells are missing ({missing[0]} first)."


def _pictures(task: str, rows: list[Row], runs: list, returns: list[float]) -> dict[str, bytes]:
    # The losses of values are on scales of their own, and say little of how well a policy acts.
    imitating = [run for run in runs if not learns_values(run.method)]
    drawings = {
        f"{task}-methods.png": forest(rows, returns, LIGHT),
        f"{task}-episodes.png": episodes(rows, returns, LIGHT),
        f"{task}-training.png": learning_curve(imitating, LIGHT),
    }
    return {name: png(figure) for name, figure in drawings.items() if figure is not None}


def _alternative(name: str) -> str:
    kind = name.rsplit("-", 1)[1].removesuffix(".png")
    return {
        "methods": "mean return of every method and training seed beside the data's returns",
        "episodes": "mean return at each episode of a context, with intervals",
        "training": "training loss of the methods that imitate, by step",
    }[kind]


def _not_run(results: Results, folder: Path) -> list[str]:
    tasks = dict.fromkeys(cell.config.task for cell in results.experiment.cells)
    done = {line["task"] for line in results.cells.values()}
    lines = [
        f"- {task}: `agentic experiment run {shown(folder)} --only {shlex.quote(f'{task}-*')}`"
        for task in tasks
        if task not in done
    ]
    return ["## Not run", "\n".join(lines)] if lines else []


def _provenance(results: Results, notes: list[str]) -> list[str]:
    if not results.cells:
        return []
    cells = results.cells
    lines = []
    for method in dict.fromkeys(line["method"] for line in cells.values()):
        names = [name for name in cells if cells[name]["method"] == method]
        seconds = [cells[name]["seconds"] for name in names]
        parts = [np.mean([s.get(part, 0.0) for s in seconds]) for part in SECONDS]
        lines.append((method, len(names), *map(float, parts)))
    columns = [
        Column(heading, "right", "{:.0f}".format) for heading in ("cells", *SECONDS.values())
    ]
    table = Table((Column("method"), *columns), tuple(lines))
    total = sum(map(results.seconds_of, cells)) / 3600
    texts = [
        "## How it was made",
        table.markdown(),
        f"Means of one core each, {total:.1f} core-hours in all, beside whatever else the machine "
        "did, so they are upper bounds.",
        "\n".join(f"- {text}" for text in _sources(results)),
    ]
    notes = [*notes, *_settings(results)]
    if notes:
        texts += ["## Notes", "\n".join(f"- {note}" for note in notes)]
    return texts


def _sources(results: Results) -> list[str]:
    """Return under which commits, versions and machines how many cells were run."""
    found: Counter[str] = Counter()
    for line in results.cells.values():
        versions = ", ".join(f"{name} {version}" for name, version in line["versions"].items())
        found[
            f"commit `{line['commit']}`; {line['machine']}; Python {line['python']}, {versions}"
        ] += 1
    return [f"{sentences.counted(count, 'cell')}: {text}" for text, count in found.items()]


def _settings(results: Results) -> list[str]:
    if not results.other:
        return []
    return [
        f"{len(results.other)} cells were run with other settings than experiment.py has now: "
        f"{', '.join(results.other)}."
    ]
