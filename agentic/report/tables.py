"""The tables of results, for page, reports and command line alike: rows are conditions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agentic.evaluation.condition import RANDOM, Condition, title_of
from agentic.evaluation.protocol import Summary, summarise_tasks
from agentic.evaluation.references import random_reference
from agentic.report import words as sentences
from agentic.report.rows import Row
from agentic.report.runs import Run
from agentic.report.table import Column, Estimate, Noted, Table, Value, number

LABEL = Column("condition")
HEADINGS = {
    "first": "first", "last": "last", "mean": "mean", "best": "best of {n}",
    "improvement": "last minus first",
}  # fmt: skip


def shortest(rows: Sequence[Row]) -> int:
    """Return the n of every best-of-n: the most episodes that all contexts have."""
    return min(row.episodes for row in rows)


def estimate(summary: Summary) -> Estimate:
    """Return a summary's mean with its interval."""
    return Estimate(summary.mean, summary.low, summary.high)


def middle(summary: Summary) -> Estimate:
    """Return a summary's interquartile mean with its interval."""
    return Estimate(summary.iqm, summary.iqm_low, summary.iqm_high)


def protocol_table(rows: Sequence[Row], n: int) -> Table:
    """Return the mean of each protocol with its interval; `best` is over the first n episodes."""
    return _by_protocol(labels(rows), [row.summarised(n) for row in rows], n)


def returns_table(rows: Sequence[Row], n: int) -> Table:
    """Return the protocols and the interquartile mean, and what they were measured on."""
    robust = [middle(row.summaries["mean"]) for row in rows]
    measured = [
        Noted(sentences.counted(row.episodes, "episode"), sentences.sample_words(row))
        for row in rows
    ]
    return (
        protocol_table(rows, n)
        .beside(Column("interquartile mean", "right"), robust)
        .beside(Column("measured on"), measured)
    )


def comparison_table(rows: Sequence[Row], data_returns: Sequence[float]) -> Table:
    """Return the protocols, the score of the mean where there is one, and each training run."""
    table = protocol_table(rows, shortest(rows))
    ends = scale(rows[0].task, data_returns)
    if ends is not None:
        scored = [estimate(row.scored(*ends).summaries["mean"]) for row in rows]
        table = table.beside(Column("score of the mean", "right"), scored)
    runs = [map(np.mean, row.tables if row.over_runs else ()) for row in rows]
    return table.beside(
        Column("mean of each training run"), [", ".join(map(number, means)) for means in runs]
    )


def score_table(rows: Sequence[Row], n: int, data_returns: Sequence[float]) -> Table | None:
    """Return the protocols as normalised scores, or None where there is no scale for them."""
    ends = scale(rows[0].task, data_returns)
    if ends is None:
        return None
    return _by_protocol(labels(rows), [row.scored(*ends).summarised(n) for row in rows], n)


def scale(task: str, data_returns: Sequence[float]) -> tuple[float, float] | None:
    """Return (mean of random actions, best of the data), or None where that is no scale."""
    reference = random_reference(task)
    if reference is None or not len(data_returns) or max(data_returns) <= reference.mean:
        return None
    return reference.mean, float(max(data_returns))


def about_scores(task: str, data_returns: Sequence[float]) -> str:
    """Return what 0 and 100 mean, or why there are no scores."""
    reference = random_reference(task)
    if reference is None:
        return f"There are no scores: random actions were never measured on {task}."
    if not len(data_returns):
        return "There are no scores: they need the returns of one data set."
    best = max(data_returns)
    if best <= reference.mean:
        return (
            f"There are no scores: the data's best return {number(best)} is no more than random "
            f"actions earn, {number(reference.mean)}."
        )
    return (
        f"A score of 0 is what random actions earn, {reference.mean:.1f} (mean of "
        f"{len(reference.returns)} episodes; {reference.source}), and 100 the data's best episode, "
        f"{best:.1f}."
    )


def curve_table(rows: Sequence[Row]) -> Table:
    """Return the mean return at each episode of the context, with its interval."""
    episodes = max(row.episodes for row in rows)
    lines = []
    for label, row in zip(labels(rows), rows, strict=True):
        values = [Estimate(*map(float, values)) for values in zip(*row.curve, strict=True)]
        lines.append((label, *values, *[""] * (episodes - len(values))))
    columns = [Column(f"episode {index + 1}", "right") for index in range(episodes)]
    return Table((LABEL, *columns), tuple(lines))


def score_by_task_table(
    rows: Mapping[str, Sequence[Row]], data_returns: Mapping[str, Sequence[float]]
) -> Table:
    """Return the mean score of every method with its context kept on every task, a column a task.

    A task without a scale has returns instead, and its heading says so.
    """
    columns: dict[str, dict[str, Value]] = {}
    for task, members in rows.items():
        ends = scale(task, data_returns[task])
        columns[task if ends else f"{task} (returns)"] = {
            row.name: estimate((row.scored(*ends) if ends else row).summaries["mean"])
            for row in members
            if row.memory == "kept"
        }
    names = dict.fromkeys(name for column in columns.values() for name in column)
    lines = [(name, *(column.get(name, "") for column in columns.values())) for name in names]
    return Table((Column("method"), *(Column(head, "right") for head in columns)), tuple(lines))


def all_tasks_table(
    rows: Sequence[Row], data_returns: Mapping[str, Sequence[float]]
) -> Table | None:
    """Return mean scores over all tasks of the conditions that all tasks have; None without any."""
    groups: dict[Condition, dict[str, list[Row]]] = {}
    for row in rows:
        ends = scale(row.task, data_returns.get(row.task, ()))
        if ends is not None and not row.variant:
            # By default a policy aims at the best of its task's own data.
            shared = replace(row.condition, task="", target_return=None, episodes=None)
            groups.setdefault(shared, {}).setdefault(row.task, []).append(row.scored(*ends))
    # A task with several rows of a condition, of several targets, has none that stands for it.
    single = [
        {task: found[0] for task, found in tasks.items() if len(found) == 1}
        for tasks in groups.values()
    ]
    whole = [
        scored
        for scored in single
        if scored.keys() == data_returns.keys()
        and len({len(row.tables) for row in scored.values()}) == 1
    ]
    if len(data_returns) < 2 or not whole:
        return None
    n = shortest([row for scored in whole for row in scored.values()])
    summaries = [
        summarise_tasks({task: row.tables for task, row in scored.items()}, best_of=n)
        for scored in whole
    ]
    first = [next(iter(scored.values())) for scored in whole]
    sizes = [len(row.tables) for row in first]
    conditions = [row.condition for row in first]
    names = [Noted(row.name, row.condition.setting(conditions)) for row in first]
    return _by_protocol(names, summaries, n).beside(
        Column("measured on"),
        [
            Noted(f"{len(data_returns)} tasks", f"{sentences.counted(size, 'training run')} each")
            for size in sizes
        ],
    )


def run_table(runs: Sequence[Run]) -> Table:
    """Return one line for each training run."""
    headings = ["folder", "method", "task", "seed", "last step", "last loss", "commit"]
    lines = []
    for run in runs:
        last = run.metrics[-1] if run.metrics else {}
        lines.append(
            (
                run.name,
                title_of(run.method),
                run.task,
                str(run.config.get("seed", "unknown")),
                f"{last['step']:,}" if last else "none",
                f"{last['loss']:.4g}" if last else "none",
                str(run.config.get("commit") or "unknown")[:12],
            )
        )
    return Table(tuple(map(Column, headings)), tuple(lines))


def data_returns_of(runs: Sequence[Run]) -> np.ndarray:
    """Return the returns of the data that all runs learned from: [N], or none where it differs."""
    if len({run.config["data"].get("fingerprint") for run in runs}) > 1:
        return np.asarray([])
    return np.asarray(next((run.data_returns for run in runs if run.data_returns), []))


def labels(rows: Sequence[Row]) -> list[Noted]:
    """Return what tells rows apart: the condition alone where all are of one method."""
    names = {row.name for row in rows if row.method != RANDOM}
    if len(names) == 1 < len(rows):
        return [Noted(row.setting or row.name) for row in rows]
    return [Noted(row.name, row.setting) for row in rows]


def _by_protocol(
    labels: Sequence[Noted], summaries: Sequence[Mapping[str, Summary]], n: int
) -> Table:
    columns = [Column(heading.format(n=n), "right") for heading in HEADINGS.values()]
    rows = [
        (label, *(estimate(summary[name]) for name in HEADINGS))
        for label, summary in zip(labels, summaries, strict=True)
    ]
    return Table((LABEL, *columns), tuple(rows))
