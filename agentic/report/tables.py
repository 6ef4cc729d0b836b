"""The tables of a report: returns by protocol, normalised scores, all tasks together, runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from agentic.evaluation.condition import Condition
from agentic.evaluation.protocol import Summary, summarise_tasks
from agentic.evaluation.references import random_reference
from agentic.report import html
from agentic.report import words as sentences
from agentic.report.rows import METHODS, Row
from agentic.report.runs import Run

PROTOCOL_COLUMNS = ("first", "last", "mean", "best of n", "last minus first", "mean, interquartile")


def best_of(rows: Sequence[Row]) -> int:
    """Return the n of every best-of-n on a page: the most that all of its rows can give."""
    return min(row.episodes for row in rows)


def protocol_table(rows: Sequence[Row], n: int) -> str:
    """Return the table of returns, one line a row; `best` is over the first n episodes."""
    caption = (
        "Returns: mean over contexts of each protocol, below it the 95 % interval. "
        "Measured on: episodes in one context, and what the interval is over."
    )
    header = ["method and memory", "measured on", *_columns(n)]
    return html.wide_table(caption, header, [_line(row, row, n) for row in rows])


def score_table(rows: Sequence[Row], data_returns: Sequence[float], n: int) -> str:
    """Return the same as normalised scores, or a sentence where there is no scale for them."""
    ends = scale(rows[0].task, data_returns)
    if ends is None:
        return html.paragraph(
            "There are no normalised scores: they need the data's returns, random actions measured "
            "on this task, and data with something better than those.",
            "note",
        )
    random, best = ends
    reference = random_reference(rows[0].task)
    caption = (
        f"Normalised scores: 0 is what random actions earn, {random:.1f} (mean of "
        f"{len(reference.returns)} episodes; {reference.source}), and 100 the data's best episode, "
        f"{best:.1f}."
    )
    header = ["method and memory", "measured on", *_columns(n)]
    lines = [_line(row, row.scored(random, best), n) for row in rows]
    return html.wide_table(caption, header, lines)


def scale(task: str, data_returns: Sequence[float]) -> tuple[float, float] | None:
    """Return (mean of random actions, best of the data), or None where that is no scale."""
    reference = random_reference(task)
    if reference is None or not len(data_returns) or max(data_returns) <= reference.mean:
        return None
    return reference.mean, float(max(data_returns))


def all_tasks_table(rows: Sequence[Row], data_returns: Mapping[str, Sequence[float]]) -> str:
    """Return mean scores over all tasks, of the conditions that every task has; "" without any."""
    groups: dict[tuple[Condition, str], dict[str, list[Row]]] = {}
    for row in rows:
        ends = scale(row.task, data_returns.get(row.task, ()))
        if ends is not None:
            # Targets are the best of each task's own data, and contexts are cut to one length.
            shared = replace(row.condition, task="", target_return=None, episodes=None)
            tasks = groups.setdefault((shared, row.variant), {})
            tasks.setdefault(row.task, []).append(row.scored(*ends))
    # Where a task has several rows, of several targets, say, no one of them stands for it.
    single = [{t: r[0] for t, r in tasks.items() if len(r) == 1} for tasks in groups.values()]
    whole = [scored for scored in single if scored.keys() == data_returns.keys()]
    whole = [scored for scored in whole if len({len(r.tables) for r in scored.values()}) == 1]
    if len(data_returns) < 2 or not whole:
        return ""
    n = best_of([row for scored in whole for row in scored.values()])
    lines = []
    for scored in whole:
        first = next(iter(scored.values()))
        runs = len(first.tables)
        summaries = summarise_tasks({t: r.tables for t, r in scored.items()}, best_of=n)
        sizes = (f"{len(scored)} tasks", sentences.counted(runs, "training run") + " each")
        lines.append([(first.name, first.setting), sizes, *_cells(summaries)])
    caption = (
        "Normalised scores over all tasks, each counting the same; 95 % intervals are of a "
        "bootstrap over training runs, stratified by task."
    )
    return html.wide_table(caption, ["method and memory", "measured on", *_columns(n)], lines)


def runs_table(runs: Sequence[Run]) -> str:
    """Return one line for each training run."""
    header = ["folder", "method", "task", "seed", "last step", "last loss", "commit"]
    lines = []
    for run in runs:
        last = run.metrics[-1] if run.metrics else {}
        texts = [
            str(run.path),
            METHODS.get(run.method, run.method),
            run.task,
            str(run.config.get("seed", "unknown")),
            f"{last['step']:,}" if last else "none",
            f"{last['loss']:.4g}" if last else "none",
            str(run.config.get("commit") or "unknown")[:12],
        ]
        lines.append([(text, "") for text in texts])
    return html.wide_table("One line for each training run.", header, lines)


def _columns(n: int) -> list[str]:
    return [f"best of {n}" if name == "best of n" else name for name in PROTOCOL_COLUMNS]


def _line(row: Row, shown: Row, n: int) -> list[tuple[str, str]]:
    measured = (sentences.counted(row.episodes, "episode"), sentences.sample_words(row))
    return [(row.name, row.setting), measured, *_cells(shown.summarised(n))]


def _cells(summaries: Mapping[str, Summary]) -> list[tuple[str, str]]:
    cells = [
        (sentences.number(summary.mean), sentences.interval(summary.low, summary.high))
        for summary in summaries.values()
    ]
    mean = summaries["mean"]
    return [*cells, (sentences.number(mean.iqm), sentences.interval(mean.iqm_low, mean.iqm_high))]


def data_returns_of(runs: Sequence[Run]) -> np.ndarray:
    """Return the returns of the data that all runs learned from: [N], or none where it differs."""
    if len({run.config["data"].get("fingerprint") for run in runs}) > 1:
        return np.asarray([])
    return np.asarray(next((run.data_returns for run in runs if run.data_returns), []))
