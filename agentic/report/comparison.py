"""Methods side by side on one task, as Markdown: tables, and what they say, from their numbers."""

import math
from collections.abc import Mapping, Sequence

from agentic.evaluation.protocol import Summary, difference_runs
from agentic.report import words as sentences
from agentic.report.rows import Row
from agentic.report.tables import scale

HEADS = {
    "first": "first", "last": "last", "mean": "mean", "best": "best of {n}",
    "improvement": "last minus first",
}  # fmt: skip


def table(rows: Sequence[Row], data_returns: Sequence[float]) -> str:
    """Return the protocols of every row, with intervals, the score, and each training run's mean.

    `best` is over as many episodes for every row as the shortest contexts have.
    """
    n = min(row.episodes for row in rows)
    heads = [head.format(n=n) for head in HEADS.values()]
    ends = scale(rows[0].task, data_returns)
    heads = ["method", *heads, *(["score of the mean"] if ends else []), "each training seed"]
    lines = []
    for row in rows:
        cells = [cell(row.summarised(n)[name]) for name in HEADS]
        if ends:
            cells.append(cell(row.scored(*ends).summaries["mean"]))
        runs = [sentences.number(table.mean()) for table in row.tables] if row.over_runs else []
        lines.append([row.label, *cells, ", ".join(runs)])
    return markdown(heads, lines)


def scores_table(rows: Mapping[str, Sequence[Row]], data: Mapping[str, Sequence[float]]) -> str:
    """Return the mean score of every method with its context kept (lines) on every task (columns).

    A task without a scale has returns instead, and says so.
    """
    columns: dict[str, dict[str, str]] = {}
    for task, members in rows.items():
        ends = scale(task, data[task])
        head = task if ends else f"{task} (returns)"
        columns[head] = {
            row.name: cell((row.scored(*ends) if ends else row).summaries["mean"])
            for row in members
            if row.memory == "kept"
        }
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    lines = [[name, *(column.get(name, "") for column in columns.values())] for name in names]
    return markdown(["method", *columns], lines)


def curves_table(rows: Sequence[Row]) -> str:
    """Return the mean return at each episode of the context, with intervals."""
    count = max(row.episodes for row in rows)
    lines = []
    for row in rows:
        curve = row.curve
        values = zip(curve.mean, curve.low, curve.high, strict=True)
        cells = [_interval(*map(float, value)) for value in values]
        lines.append([row.label, *cells, *[""] * (count - len(cells))])
    return markdown(["method", *(f"episode {e + 1}" for e in range(count))], lines)


def beaten(rows: Sequence[Row], method: str = "at") -> str:
    """Return which methods one method beats on the mean return, and which it does not."""
    own = next((row for row in rows if (row.method, row.memory) == (method, "kept")), None)
    if own is None:
        return ""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.memory != "kept" or row.method in (method, "random"):
            continue
        change = difference_runs(own.tables, row.tables)
        words = f"{row.name} ({_signed(change)})"
        groups.setdefault(_verdict(change), []).append(words)
    name = sentences.capital(own.name)
    texts = {
        "above": f"{name} earns more than",
        "below": f"{name} does not beat, and earns less than,",
        "unclear": f"{name} does not clearly beat",
        "unknown": "With a single training seed a side, nothing is known of the spread between "
        f"{own.name} and",
    }
    found = [f"{texts[kind]} {sentences.listed(groups[kind])}." for kind in texts if kind in groups]
    if not found:
        return ""
    return " ".join([*found, "In brackets: difference of the mean returns, 95 % interval."])


def no_better_than_random(rows: Sequence[Row]) -> str:
    """Return which methods do not clearly earn more than random actions; "" where all do."""
    random = next((row for row in rows if row.method == "random"), None)
    if random is None:
        return ""
    chance = random.summaries["mean"]
    level = chance.mean if math.isnan(chance.high) else chance.high
    names = []
    for row in rows:
        own = row.summaries["mean"]
        low = own.mean if math.isnan(own.low) else own.low
        if row.memory == "kept" and row is not random and low <= level:
            names.append(row.name)
    earned = f"random actions ({cell(chance)})"
    return f"No clearly more than {earned} earn {sentences.listed(names)}." if names else ""


def risen(rows: Sequence[Row]) -> str:
    """Return for which methods later episodes of a context are better than the first."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.memory == "kept" and row.episodes > 1 and row.method != "random":
            change = row.summaries["improvement"]
            groups.setdefault(_verdict(change), []).append(f"{row.name} ({_signed(change)})")
    texts = {
        "above": "The last episode of a context is better than the first for",
        "below": "The last episode is worse than the first for",
        "unclear": "The last episode is no better than the first (the interval of the difference "
        "holds zero) for",
        "unknown": "One value, and so no interval, is known of",
    }
    found = [f"{texts[k]} {sentences.listed(groups[k])}." for k in texts if k in groups]
    remembering = list(dict.fromkeys(row.name for row in rows if row.memory != "kept"))
    if found and remembering:
        found.append(
            f"Only {sentences.listed(remembering)} remembers earlier episodes: what the others "
            "gain or lose comes of chance and of the initial states, which all methods share."
        )
    return " ".join(found)


def markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(summary: Summary) -> str:
    """Return "789 [741, 815]", or the mean alone where there is no interval."""
    return _interval(summary.mean, summary.low, summary.high)


def _interval(mean: float, low: float, high: float) -> str:
    number = sentences.number
    return number(mean) + ("" if math.isnan(low) else f" [{number(low)}, {number(high)}]")


def _signed(change: Summary) -> str:
    text = cell(change)
    return f"+{text}" if round(change.mean, 1) > 0 else text


def _verdict(change: Summary) -> str:
    if math.isnan(change.low):
        return "unknown"
    return "above" if change.low > 0 else "below" if change.high < 0 else "unclear"
