"""What a comparison of methods on one task says in words, from their numbers."""

import math
from collections.abc import Sequence

from agentic.evaluation.condition import RANDOM
from agentic.evaluation.protocol import Summary, difference_runs
from agentic.report import words as sentences
from agentic.report.rows import Row
from agentic.report.table import Estimate
from agentic.report.tables import estimate


def verdict(rows: Sequence[Row], data_returns: Sequence[float]) -> list[str]:
    """Return what the rows of one task say about the first method, the most important first.

    Is it better than the data, than random actions, than the other methods; do returns rise within
    a context, and is that the context's doing? Nothing where no method kept its context.
    """
    kept = [row for row in rows if row.memory == "kept" and row.method != RANDOM]
    if not kept:
        return []
    own = kept[0]
    controls = [row for row in rows if row.name == own.name and row.memory != "kept"]
    texts = [sentences.achieved(own, data_returns), above_random(rows)]
    if len(kept) > 1:
        texts += [beaten(rows, own), risen(rows)]
    if controls:
        texts += [controlled(own, controls)]
    if controls or len(kept) == 1:
        text = sentences.improved(own, controls)
        texts += [f"{own.name}: {text}" if len(kept) > 1 else text]
    return [text for text in texts if text]


def controlled(own: Row, controls: Sequence[Row]) -> str:
    """Return how much more a method earns with its context kept than with less."""
    gains = []
    for row in controls:
        gain = own.minus(row)
        if gain is None:
            change = own.summaries["mean"].mean - row.summaries["mean"].mean
            text = f"{_signed(Estimate(change, math.nan, math.nan))} (on other contexts)"
        else:
            text = _signed(estimate(gain.summaries["mean"]))
        gains.append(f"{text} over {row.setting}")
    return (
        f"What keeping its context adds to the mean return of {own.name}: "
        f"{sentences.listed(gains)}."
    )


def beaten(rows: Sequence[Row], own: Row) -> str:
    """Return which methods a row's method beats on the mean return, and which it does not."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.memory != "kept" or row is own or row.method == RANDOM:
            continue
        change = difference_runs(own.tables, row.tables)
        words = f"{row.name} ({_signed(estimate(change))})"
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


def above_random(rows: Sequence[Row]) -> str:
    """Return which methods clearly earn more than random actions; "" without random actions."""
    random = next((row for row in rows if row.method == RANDOM), None)
    if random is None or len(rows) == 1:
        return ""
    chance = random.summaries["mean"]
    level = chance.mean if math.isnan(chance.high) else chance.high
    above, rest = [], []
    for row in rows:
        own = row.summaries["mean"]
        low = own.mean if math.isnan(own.low) else own.low
        if row.memory == "kept" and row is not random:
            (above if low > level else rest).append(row.name)
    if not above:
        who = "No method earns"
    elif rest:
        who = f"All methods but {sentences.listed(rest)} earn"
    else:
        who = f"{sentences.capital(above[0])} earns" if len(above) == 1 else "All methods earn"
    return f"{who} clearly more than random actions ({estimate(chance)})."


def risen(rows: Sequence[Row]) -> str:
    """Return for which methods later episodes of a context are better than the first."""
    groups: dict[str, list[str]] = {}
    for row in rows:
        if row.memory == "kept" and row.episodes > 1 and row.method != RANDOM:
            change = row.summaries["improvement"]
            groups.setdefault(_verdict(change), []).append(
                f"{row.name} ({_signed(estimate(change))})"
            )
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


def _signed(change: Estimate) -> str:
    return f"+{change}" if round(change.value, 1) > 0 else str(change)


def _verdict(change: Summary) -> str:
    if math.isnan(change.low):
        return "unknown"
    return "above" if change.low > 0 else "below" if change.high < 0 else "unclear"
