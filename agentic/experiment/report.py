"""The report of an experiment that sets methods side by side, a section for each task.

Experiments that change one setting of one method at a time: their cells and their report.
"""

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from agentic.experiment.results import CELLS, DATA, EPISODES, Results, shown
from agentic.experiment.spec import Cell
from agentic.files import write_bytes
from agentic.methods.transformer import configure
from agentic.report import comparison, figures
from agentic.report import words as sentences
from agentic.report.figures import beside_data
from agentic.report.rows import VALUE_METHODS, Row, rows_of
from agentic.report.theme import LIGHT


def write_comparison(folder: Path, results: Results, title: str) -> None:
    """Write report.md and the figures of every task with finished cells into `folder`."""
    sections, rows_by_task, data_by_task, notes = [], {}, {}, []
    for task, names in _tasks(results).items():
        data = _newest_data(results, names)
        runs = results.runs([n for n in names if results.data_of(n) is data])
        rows, more = rows_of(runs)
        # They learn nothing, and so stand below all that do.
        rows.sort(key=lambda row: row.method == "random")
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
    texts += [
        "## Scores of all tasks",
        "Score of the mean return: 0 is what random actions earn, 100 the data's best episode. In "
        "brackets its 95 % interval.",
        comparison.scores_table(rows, data),
    ]
    learned = [row for task in rows.values() for row in task if row.method != "random"]
    texts += [*sentences.about_intervals(learned), "Of random actions it is over contexts."]
    return texts


def _section(results: Results, task: str, rows: list[Row], data: dict, pictures: list[str]) -> str:
    own = next((row for row in rows if (row.method, row.memory) == ("at", "kept")), None)
    said = [comparison.beaten(rows), comparison.no_better_than_random(rows)]
    said.append(comparison.risen(rows))
    if own is not None:
        controls = [row for row in rows if row.name == own.name and row.memory != "kept"]
        said += [sentences.achieved(own, data["returns"])]
        if controls:
            said += [_controls(own, controls), f"{own.name}: {sentences.improved(own, controls)}"]
    n = min(row.episodes for row in rows)
    parts = [
        f"## {task}",
        _about_data(data),
        _seeds(results, task),
        comparison.table(rows, data["returns"]),
        "\n".join(f"- {text}" for text in said if text),
        sentences.about_best(n),
        "### By episode of the context",
        comparison.curves_table(rows),
        *(f"![{_alternative(name)}]({name})" for name in pictures),
    ]
    return "\n\n".join(part for part in parts if part)


def _controls(own: Row, controls: Sequence[Row]) -> str:
    values = [f"{comparison.cell(row.summaries['mean'])} with {row.setting}" for row in controls]
    return (
        f"What the context is worth to it: mean return "
        f"{comparison.cell(own.summaries['mean'])} with its context kept, "
        f"{sentences.listed(values)}."
    )


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
        f"{sentences.number(returns.mean())}, best {sentences.number(returns.max())}; fingerprint "
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
    imitating = [run for run in runs if run.method not in VALUE_METHODS]
    drawings = {
        f"{task}-methods.png": beside_data(rows, returns, LIGHT),
        f"{task}-episodes.png": figures.episodes(rows, returns, LIGHT),
        f"{task}-training.png": figures.learning_curve(imitating, LIGHT),
    }
    return {name: figures.png(figure) for name, figure in drawings.items() if figure is not None}


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
        parts = [
            f"{np.mean([cells[name]['seconds'].get(part, 0.0) for name in names]):.0f}"
            for part in ("training", "evaluation")
        ]
        lines.append([method, str(len(names)), *parts])
    total = sum(map(results.seconds_of, cells)) / 3600
    texts = [
        "## How it was made",
        comparison.markdown(["method", "cells", "seconds of training", "of evaluation"], lines),
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


DEFAULT = "default"


def variant_cells(
    task: str, data: str, variants: Mapping[str, dict], seeds: Sequence[int],
    target_factors: tuple[float, ...] = (1.0,), one_seed: Sequence[str] = (),
    contexts: Mapping[str, int] | None = None,
) -> list[Cell]:  # fmt: skip
    """Return a cell for every variant and training seed, called VARIANT-SEED.

    Args:
        task: that all learn.
        data: what all learn from.
        variants: options that differ from the defaults, by name; "default" has none.
        seeds: training seeds.
        target_factors: on which the default is conditioned as well, times the data's best return.
        one_seed: variants that are trained with the first seed only.
        contexts: of variants that are evaluated in fewer than all of them.
    """
    return [
        Cell(
            name=f"{variant}-{seed}",
            config=configure(task, data, **{"seed": seed, **fields}),
            target_factors=target_factors if variant == DEFAULT else (1.0,),
            contexts=(contexts or {}).get(variant),
        )
        for seed in seeds
        for variant, fields in variants.items()
        if seed == seeds[0] or variant not in one_seed
    ]


def write_variants(
    folder: Path, results: Results, title: str, variants: Mapping[str, dict]
) -> None:
    """Write report.md: a row for every variant that was run, and the default's target returns."""
    lines = {name: line for name, line in results.cells.items() if name.startswith(f"{DEFAULT}-")}
    if not lines:
        return
    first = next(iter(lines))
    document, returns = lines[first], np.asarray(results.data_of(first)["returns"])
    best, seeds = document["target_return"], results.experiment.seeds
    rows = []
    for variant, fields in variants.items():
        names = [name for name in results.cells if name.rpartition("-")[0] == variant]
        if not names:
            rows.append(f"| {variant} | {_change(fields)} | not run | | | |")
            continue
        runs = [results.table(cell=name, target_return=best) for name in names]
        seconds = np.mean([results.cells[name]["seconds"]["training"] for name in names])
        episodes = np.mean([run.mean(0) for run in runs], 0)
        rows.append(
            f"| {variant} | {_change(fields)} | {np.mean([run.mean() for run in runs]):.0f} | "
            f"{_means(runs)} | {', '.join(f'{value:.0f}' for value in episodes)} | {seconds:.0f} |"
        )
    source = document["data"].get("source") or "the data"
    text = f"""# {title}

Written by `agentic experiment report {shown(folder)}` from {EPISODES}, {CELLS} and {DATA}; do not \
edit.

Data: {source}, mean return {returns.mean():.1f}, best {returns.max():.1f}. Training seeds \
{sorted({line["seed"] for line in results.cells.values()})}, {len(seeds)} contexts (evaluation \
seeds {seeds[0]} to {seeds[-1]}) of {results.experiment.episodes} episodes, target return the \
data's best, context kept. Commits {", ".join(_commits(results))}; {document["machine"]}. Training \
seconds are of one core beside other work, so they are upper bounds.

With one or two training seeds a variant, only large differences mean anything.

| variant | change | mean return | each training seed | by episode | training seconds |
|---|---|---|---|---|---|
{chr(10).join(rows)}
{_targets(results, list(lines), best)}"""
    write_bytes(folder / "report.md", text.encode())


def _targets(results: Results, names: Sequence[str], best: float) -> str:
    """Return the section on target returns; "" where the default had no other than the best."""
    targets = sorted({r["target_return"] for r in results.records if r["cell"] in names})
    if len(targets) < 2:
        return ""
    rows = []
    for target in targets:
        runs = [results.table(cell=name, target_return=target) for name in names]
        rows.append(f"| {target / best:.3g} x best = {target:.0f} | {_means(runs)} |")
    return f"""
## Target return

The default recipe, conditioned on other returns than the data's best:

| target return | mean return of each training seed |
|---|---|
{chr(10).join(rows)}
"""


def _change(fields: Mapping) -> str:
    return ", ".join(f"{key} {value}" for key, value in fields.items()) or "none"


def _means(runs: Sequence[np.ndarray]) -> str:
    return ", ".join(f"{run.mean():.0f}" for run in runs)


def _commits(results: Results) -> list[str]:
    return sorted({f"`{line['commit']}`" for line in results.cells.values()})
