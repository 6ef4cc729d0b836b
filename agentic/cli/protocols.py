"""The tables that `agentic evaluate` prints: every protocol, always, with its interval."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from agentic.cli.terminal import console, say
from agentic.evaluation.evaluate import Evaluation
from agentic.evaluation.protocol import Summary, episode_curve, scores, summarise
from agentic.evaluation.references import RandomReference, random_reference
from agentic.training.run import read_config

# As many episodes of a curve as fit into 80 columns beside their intervals.
EPISODES_A_LINE = 5
# label and returns [C, E], label and protocols of each row
Rows = Sequence[tuple[str, np.ndarray]]
Summaries = Sequence[tuple[str, dict[str, Summary]]]


def print_results(run: Path, results: Sequence[Evaluation], best_of: int | None) -> None:
    """Print returns and scores by protocol, the curve by episode, and where each comes from."""
    data = np.asarray(read_config(run)["data"]["returns"])
    conditions = [result.condition for result in results]
    task, episodes = conditions[0].task, conditions[0].episodes
    labels = [condition.label(conditions) for condition in conditions]
    rows = list(zip(labels, (result.returns for result in results), strict=True))
    summaries = _summaries(rows, best_of)
    title = f"{task}: return of {episodes} episodes in {len(results[0].seeds)} contexts"
    console.print(
        protocol_table(
            title, summaries, best_of or episodes,
            "mean over contexts and its 95 % stratified bootstrap interval (one task, one stratum)"
            f". Data: mean {data.mean():.0f}, best {data.max():.0f}.{_targets(results)}",
        )
    )  # fmt: skip
    _print_scores(task, rows, data, best_of, best_of or episodes)
    _print_curves(rows)
    for label, summary in summaries:
        mean = summary["mean"]
        say(f"{label}: interquartile mean {_plain(mean.iqm, mean.iqm_low, mean.iqm_high)}")
    say(
        f"best is the largest of {best_of or episodes} rollouts: it exceeds the mean even where "
        "nothing was learned, and compares with no best of another number."
    )
    others = sum(result.other_provenance for result in results)
    if others:
        say(
            f"note: {others} contexts were recorded with other versions, another commit or "
            "other devices; --again rolls them out anew.",
            style="yellow",
        )


def _summaries(rows: Rows, best_of: int | None) -> Summaries:
    """Return the protocols of every row."""
    return [(label, summarise(table, best_of=best_of)) for label, table in rows]


def protocol_table(title: str, rows: Summaries, best_of: int, caption: str) -> Table:
    """Return a table of named rows of protocol summaries."""
    table = Table(title=title, caption=caption, show_lines=True)
    table.add_column("")
    for name in rows[0][1]:
        shown = f"best of {best_of}" if name == "best" else name
        table.add_column(shown, justify="right", no_wrap=True)
    for label, summaries in rows:
        table.add_row(label, *(cell(s.mean, s.low, s.high) for s in summaries.values()))
    return table


def cell(mean: float, low: float, high: float) -> str:
    """Return the mean, and below it the interval where more than one value gives one."""
    return _plain(mean, low, high).replace(" (", "\n[dim]").replace(")", "[/dim]")


def _plain(mean: float, low: float, high: float) -> str:
    # round() makes 0 of a small negative number, where formatting would print -0.
    if math.isnan(low):
        return f"{round(mean)}"
    return f"{round(mean)} ({round(low)} to {round(high)})"


def _print_scores(task: str, rows: Rows, data: np.ndarray, best_of: int | None, count: int) -> None:
    reference = random_reference(task)
    if reference is None:
        say(f"no scores: random actions were never measured on {task}.", style="yellow")
        return
    if data.max() <= reference.mean:
        say(
            f"no scores: the data's best return {data.max():.0f} is no more than random actions "
            f"earn, {reference.mean:.0f}.",
            style="yellow",
        )
        return
    scored = [(label, scores(table, reference.mean, data.max())) for label, table in rows]
    title, summaries = f"{task}: normalised score", _summaries(scored, best_of)
    console.print(protocol_table(title, summaries, count, _scale(reference, data)))


def _scale(reference: RandomReference, data: np.ndarray) -> str:
    return (
        f"0: random actions, {reference.mean:.1f} (mean of {len(reference.returns)} episodes, "
        f"{reference.source}); 100: the data's best episode, {data.max():.1f}"
    )


def _print_curves(rows: Rows) -> None:
    episodes = rows[0][1].shape[1]
    for start in range(0, episodes, EPISODES_A_LINE):
        shown = range(start, min(start + EPISODES_A_LINE, episodes))
        table = Table(title="return by episode within the context", show_lines=True)
        table.add_column("")
        for episode in shown:
            table.add_column(f"episode {episode + 1}", justify="right", no_wrap=True)
        for label, returns in rows:
            curve = episode_curve(returns)
            table.add_row(label, *(cell(*(float(part[e]) for part in curve)) for e in shown))
        console.print(table)


def _targets(results: Sequence[Evaluation]) -> str:
    targets = {result.condition.target_return for result in results} - {None}
    return f" Target return {targets.pop():.0f}." if len(targets) == 1 else ""
