"""What `agentic evaluate` prints: every protocol, always, with its interval."""

from collections.abc import Sequence
from pathlib import Path

from agentic.cli.terminal import print_table, say
from agentic.evaluation.evaluate import Evaluation
from agentic.report import tables
from agentic.report import words as sentences
from agentic.report.comparison import verdict
from agentic.report.rows import Row
from agentic.report.table import number
from agentic.training.run import read_config


def print_results(run: Path, results: Sequence[Evaluation], best_of: int | None) -> None:
    """Print returns by protocol and by episode, scores, and what they say."""
    data = read_config(run)["data"]["returns"]
    conditions = [result.condition for result in results]
    rows = [
        Row(
            condition,
            (result.returns,),
            setting=condition.setting(conditions),
            sources=((str(run), result.seeds),),
        )
        for condition, result in zip(conditions, results, strict=True)
    ]
    task, n = conditions[0].task, best_of or tables.shortest(rows)
    print_table(
        tables.protocol_table(rows, n),
        f"{rows[0].name} on {task}: return of {rows[0].episodes} episodes in "
        f"{rows[0].contexts} contexts",
        f"Mean over contexts, and its 95 % interval.{_targets(results)}",
    )
    if rows[0].episodes > 1:
        print_table(tables.curve_table(rows), "return by episode within the context")
    ends = tables.scale(task, data)
    for row in rows:
        mean = row.summaries["mean"]
        text = f"{row.label}: interquartile mean {tables.middle(mean)}"
        if ends is not None:
            text += f", score of the mean {tables.estimate(row.scored(*ends).summaries['mean'])}"
        say(text)
    say(tables.about_scores(task, data), style="yellow" if ends is None else None)
    say(sentences.about_best(n))
    for text in verdict(rows, data):
        say(text)
    others = sum(result.other_provenance for result in results)
    if others:
        say(
            f"note: {others} contexts were recorded with other versions, another commit or "
            "other devices; --again rolls them out anew.",
            style="yellow",
        )


def _targets(results: Sequence[Evaluation]) -> str:
    targets = {result.condition.target_return for result in results} - {None}
    return f" Target return {number(targets.pop())}." if len(targets) == 1 else ""
