"""From the lines of run folders to rows of the protocol table: one per method and condition.

Training runs that differ in nothing but their seed share a row. Runs that differ in their data
or settings never do: each gets a row that names the settings in which it differs.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from agentic.acting.memory import MEMORIES
from agentic.evaluation.condition import RANDOM, Condition
from agentic.evaluation.protocol import (
    Curve,
    Summary,
    episode_curve,
    episode_curve_runs,
    scores,
    summarise,
    summarise_runs,
)
from agentic.methods import METHODS
from agentic.methods.options import same_result_names
from agentic.report.runs import Run

# The parts of config.json that two runs of one row have in common, but for options that change how
# steps are computed and not what is learned.
SETTINGS = ("data", "options", "steps")
# Letters of a fingerprint that are shown: enough to tell the data sets of one page apart.
FINGERPRINT_LETTERS = 12


@dataclass(frozen=True)
class Row:
    """Returns of one method under one condition: a table [contexts, episodes] for each run.

    Attributes:
        condition: that all its episodes were measured under, but for the checkpoint's step.
        tables: one for each training run.
        variant: the settings in which its runs differ from other runs of the same method.
        setting: the words that set its condition apart from those beside it; see `Condition`.
        sources: for each table its run folder and what names its contexts; empty if unknown.
    """

    condition: Condition
    tables: tuple[np.ndarray, ...]
    variant: str = ""
    setting: str = ""
    sources: tuple[tuple[str, tuple], ...] = ()

    @property
    def task(self) -> str:
        return self.condition.task

    @property
    def method(self) -> str:
        return self.condition.method

    @property
    def memory(self) -> str:
        return self.condition.memory

    @property
    def episodes(self) -> int:
        return self.tables[0].shape[1]

    @property
    def contexts(self) -> int:
        return sum(len(table) for table in self.tables)

    @property
    def over_runs(self) -> bool:
        """Whether intervals are over training runs; those of a single run are over its contexts."""
        return len(self.tables) > 1

    @property
    def name(self) -> str:
        """The method, and its variant where there are several."""
        return f"{self.condition.title} ({self.variant})" if self.variant else self.condition.title

    @property
    def label(self) -> str:
        """The condition's label, with the variant."""
        return f"{self.name}, {self.setting}" if self.setting else self.name

    @property
    def returns(self) -> np.ndarray:
        return np.concatenate([table.ravel() for table in self.tables])

    @cached_property
    def summaries(self) -> dict[str, Summary]:
        return self.summarised()

    def summarised(self, best_of: int | None = None) -> dict[str, Summary]:
        """Return every protocol's summary, `best` over the first `best_of` episodes."""
        if self.over_runs:
            return summarise_runs(self.tables, best_of=best_of)
        return summarise(self.tables[0], best_of=best_of)

    def scored(self, random: float, best: float) -> "Row":
        """Return the row with scores in place of returns."""
        return replace(self, tables=tuple(scores(table, random, best) for table in self.tables))

    def minus(self, other: "Row") -> "Row | None":
        """Return the row of differences, context by context; None where contexts are not the same.

        Contexts of one seed share their initial states, so a difference has a narrower interval
        than either side.
        """
        if not self.sources or self.sources != other.sources or self.episodes != other.episodes:
            return None
        tables = tuple(a - b for a, b in zip(self.tables, other.tables, strict=True))
        return replace(self, tables=tables)

    @cached_property
    def curve(self) -> Curve:
        return (episode_curve_runs if self.over_runs else lambda t: episode_curve(t[0]))(
            self.tables
        )


def kept_of(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return the row that a control belongs to: the same method with its context kept."""
    wanted = replace(row.condition, memory="kept"), row.variant
    if row.memory == "kept":
        return None
    return next((other for other in rows if (other.condition, other.variant) == wanted), None)


def rows_of(runs: Sequence[Run]) -> tuple[list[Row], list[str]]:
    """Return the rows of all runs in the order they appear, and notes on what was left out."""
    variants = variants_of(runs)
    groups: dict[tuple, list[tuple[np.ndarray, tuple]]] = {}
    notes: list[str] = []
    for run, variant in zip(runs, variants, strict=True):
        for condition, lines in _by_condition(run).items():
            table, contexts = _table(lines, f"{run.name}, {condition.label()}", notes)
            # A random policy has no training: its episodes count once, not once a training run.
            key = (condition, "" if condition.method == RANDOM else variant, table.shape[1])
            if condition.method != RANDOM or key not in groups:
                groups.setdefault(key, []).append((table, (str(run.path), contexts)))
    # Of contexts that are not whole, the record says another number than the table has.
    conditions = [replace(condition, episodes=number) for condition, _, number in groups]
    rows = [
        Row(condition, tables, variant, condition.setting(conditions), sources)
        for condition, ((_, variant, _), members) in zip(conditions, groups.items(), strict=True)
        for tables, sources in [tuple(zip(*members, strict=True))]
    ]
    order = {method: place for place, method in reversed(list(enumerate(r.method for r in rows)))}
    memories = list(MEMORIES)
    rows.sort(
        key=lambda row: (
            order[row.method],
            row.variant,
            memories.index(row.memory) if row.memory in memories else len(memories),
        )
    )
    for task in dict.fromkeys(row.task for row in rows):
        numbers = sorted({row.episodes for row in rows if row.task == task})
        if len(numbers) > 1:
            notes.append(
                f"{task}: contexts of {', '.join(map(str, numbers))} episodes stand side by side; "
                f"their last is not comparable, and their best is that of the first {numbers[0]}."
            )
    return rows, notes


def variants_of(runs: Sequence[Run]) -> list[str]:
    """Return for each run the settings in which it differs from other runs of task and method."""
    flat = [_settings(run) for run in runs]
    variants = []
    for run, own in zip(runs, flat, strict=True):
        peers = [
            other
            for peer, other in zip(runs, flat, strict=True)
            if (peer.task, peer.method) == (run.task, run.method)
        ]
        keys = sorted(
            {
                key
                for peer in peers
                for key in own.keys() | peer.keys()
                if own.get(key) != peer.get(key)
            }
        )
        variants.append(", ".join(f"{key.split('.')[-1]} {own.get(key, 'unset')}" for key in keys))
    return variants


def learns_values(method: str) -> bool:
    """Say whether a method's loss is that of values, and not of imitated actions."""
    return method in METHODS and not METHODS[method].imitates


def flatten(value: Any, name: str = "") -> dict[str, Any]:
    """Return nested objects as one level with dotted names: {"a": {"b": 1}} -> {"a.b": 1}."""
    if not isinstance(value, dict):
        return {name: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(flatten(inner, f"{name}.{key}" if name else str(key)))
    return flat


def _settings(run: Run) -> dict[str, str]:
    data = {key: run.config["data"].get(key) for key in ("fingerprint", "control")}
    data["fingerprint"] = (data["fingerprint"] or "")[:FINGERPRINT_LETTERS]
    parts = {part: run.config.get(part) for part in SETTINGS} | {"data": data}
    computing = same_result_names(METHODS[run.method].Options) if run.method in METHODS else ()
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in flatten(parts).items()
        if key.split(".")[-1] not in computing
    }


def conditions_of(run: Run) -> list[Condition]:
    """Return the condition of each line of a run's evaluation."""
    known = {"task": run.task, "method": run.method}
    return [Condition.from_record(line, **known) for line in run.evaluation]


def _by_condition(run: Run) -> dict[Condition, list[dict[str, Any]]]:
    """Return a run's lines by condition; those of all its checkpoints together."""
    groups: dict[Condition, list[dict[str, Any]]] = {}
    for condition, line in zip(conditions_of(run), run.evaluation, strict=True):
        groups.setdefault(replace(condition, step=None), []).append(line)
    return groups


def _table(lines: list[dict[str, Any]], where: str, notes: list[str]) -> tuple[np.ndarray, tuple]:
    """Return [contexts, episodes] returns of the newest checkpoint's whole contexts, and names.

    A context is named by its seed and its place; the order of contexts is that of their names.
    """
    steps = sorted({line.get("step") or 0 for line in lines})
    if len(steps) > 1:
        notes.append(f"{where}: checkpoints of steps {steps} were evaluated; the last one counts.")
    contexts: dict[tuple, dict[int, float]] = {}
    again = 0
    for line in lines:
        if (line.get("step") or 0) != steps[-1]:
            continue
        key = (line.get("seed"), line.get("context"))
        if line["episode"] == 0 and key in contexts:
            again += 1
            del contexts[key]
        contexts.setdefault(key, {})[line["episode"]] = line["return"]
    if again:
        notes.append(f"{where}: {again} contexts were evaluated again; the later episodes count.")
    # An interrupted evaluation leaves short contexts, whose last and best mean something else.
    lengths = Counter(len(c) for c in contexts.values())
    length = max(lengths, key=lambda n: (lengths[n], n))
    whole = {
        key: context
        for key, context in sorted(contexts.items(), key=lambda item: str(item[0]))
        if sorted(context) == list(range(length))
    }
    if not whole:
        # Episodes that cannot be placed in a context still are returns: each stands alone.
        length, alone = 1, [value for context in contexts.values() for value in context.values()]
        whole = {place: {0: value} for place, value in enumerate(alone)}
        notes.append(f"{where}: no context has all its episodes; each episode counts alone.")
    elif len(whole) < len(contexts):
        notes.append(
            f"{where}: {len(contexts) - len(whole)} of {len(contexts)} contexts do not have the "
            f"episodes 1 to {length} and were left out."
        )
    table = np.array([[context[e] for e in range(length)] for context in whole.values()])
    return table, tuple(whole)
