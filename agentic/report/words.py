"""What a report says in words, each sentence computed from the numbers that stand beside it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from agentic.evaluation.condition import Condition, title_of
from agentic.evaluation.protocol import Summary
from agentic.report.rows import Row, conditions_of, learns_values
from agentic.report.runs import Run, anywhere
from agentic.report.table import interval, number

# Below this a percentile bootstrap returns little more than the range of its values.
FEW_RUNS = 10


def counted(number: int, noun: str) -> str:
    """Return "1 episode" or "1,200 episodes"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _interval(summary: Summary) -> str:
    return interval(summary.low, summary.high)


def title(runs: Sequence[Run]) -> str:
    """Return the page's heading: which methods on which tasks."""
    methods = [title_of(name) for name in dict.fromkeys(run.method for run in runs)]
    tasks = dict.fromkeys(run.task for run in runs)
    text = f"{listed(methods)} on {listed(list(tasks))}"
    return capital(text)


def what_was_run(runs: Sequence[Run]) -> str:
    """Return what was trained, on which data, in one or two sentences."""
    parts = []
    for method in dict.fromkeys(run.method for run in runs):
        members = [run for run in runs if run.method == method]
        steps = sorted({int(run.metrics[-1]["step"]) for run in members if run.metrics})
        length = f" for {listed([f'{s:,}' for s in steps])} steps" if steps else ""
        parts.append(f"{counted(len(members), 'training run')} of {title_of(method)}{length}")
    known = {run.config["data"].get("fingerprint"): run for run in runs if run.data_returns}
    text = f"This page reports {listed(parts)}."
    if len(known) > 1:
        text += f" They learned from {len(known)} data sets, without touching the simulator."
    elif known:
        (data,) = known.values()
        source = data.config["data"].get("source")
        text += (
            f" The policies learned from {counted(len(data.data_returns), 'recorded episode')}"
            f"{f' ({anywhere(source)})' if source else ''}, without touching the simulator."
        )
    return text


def achieved(row: Row, data_returns: Sequence[float]) -> str:
    """Return the row's mean return with its interval, set against the data."""
    summary = row.summaries["mean"]
    spread = "" if math.isnan(summary.low) else f"95 % interval {_interval(summary)}, "
    text = (
        f"{capital(row.label)}: mean return {number(summary.mean)} "
        f"({spread}{sample_words(row)} of {counted(row.episodes, 'episode')})"
    )
    if len(data_returns):
        mean = sum(data_returns) / len(data_returns)
        times = f", {summary.mean / mean:.2f} times" if mean > 0 else ", beside"
        text += f"{times} the data's mean of {number(mean)}"
        text += f"; the data's best episode has {number(max(data_returns))}"
    return text + "."


def improved(row: Row, controls: Sequence[Row]) -> str:
    """Return whether returns rise from the first to the last episode, and what the controls say."""
    if row.episodes == 1:
        return "Contexts of one episode cannot show improvement within a context."
    change = row.summaries["improvement"]
    size = f"{number(change.mean)} ({_interval(change)})"
    if math.isnan(change.low):
        return f"Last minus first episode: {size}."
    if change.high < 0:
        return f"The return falls from the first to the last episode, by {size}."
    if change.low <= 0:
        return (
            f"There is no clear change from the first to the last episode, {size}: "
            "the interval holds zero."
        )
    text = f"The return rises from the first to the last episode, by {size}."
    if not controls:
        return (
            text + " Without the controls (context emptied, only the index kept) this is not "
            "evidence of learning in context."
        )
    others = [
        f"{number(control.summaries['improvement'].mean)} with {control.setting}"
        for control in controls
    ]
    return text + f" The controls change by {listed(others)}; only the excess is memory at work."


def sample_words(row: Row) -> str:
    """Return what the interval is over: "3 training runs, 8 contexts each" or "8 contexts"."""
    if not row.over_runs:
        return counted(row.contexts, "context")
    sizes = sorted({len(table) for table in row.tables})
    each = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return f"{len(row.tables)} training runs, {each} contexts each"


def about_intervals(rows: Sequence[Row]) -> list[str]:
    """Return how the intervals were made and how far they can be trusted."""
    texts = []
    if any(row.over_runs for row in rows):
        texts.append(
            "Where a method was trained several times, each training run counts once, with its "
            "mean over contexts, and the 95 % interval is a bootstrap over training runs."
        )
        fewest = min(len(row.tables) for row in rows if row.over_runs)
        if fewest < FEW_RUNS:
            texts.append(
                f"A bootstrap of {fewest} runs gives little more than the range of the runs: "
                "such intervals are too narrow, and overlap or its absence proves little."
            )
    if any(not row.over_runs for row in rows):
        texts.append(
            "Where a method was trained once, the 95 % interval is a bootstrap over contexts. It "
            "holds for these weights only: another training seed can differ by far more."
        )
    return texts


def about_loss(runs: Sequence[Run]) -> str:
    """Return what the training loss means for these methods, and what it does not."""
    methods = dict.fromkeys(run.method for run in runs)
    valued = [title_of(name) for name in methods if learns_values(name)]
    text = "It says how well recorded actions are predicted, not how well the policy acts."
    if not valued:
        return text
    of_values = (
        f"For {listed(valued)} it is the squared error of the critics against targets that move "
        "with them: it has another scale, and says even less about how well the policy acts."
    )
    return of_values if len(valued) == len(methods) else f"{text} {of_values}"


def about_best(n: int) -> str:
    """Return the warning that belongs beside every best-of-n number."""
    return (
        f"Best is the largest of n = {n} rollouts, the first {n} of each context, for every "
        "method alike. It exceeds the mean even where nothing was learned, and it grows with n: "
        "compare it with no mean, and with no best of another n."
    )


def about_video(run: Run, line: Mapping[str, Any]) -> str:
    """Return which episode a video shows and what it returned."""
    condition = Condition.from_record(line, task=run.task, method=run.method)
    label = condition.label(conditions_of(run))
    return (
        f"{capital(label)}: episode {line['episode'] + 1} of the context of seed "
        f"{line.get('seed', 'unknown')}, return {number(line['return'])} ({run.name})."
    )


def listed(parts: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def capital(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]
