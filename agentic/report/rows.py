"""From the lines of run folders to rows of the protocol table: one per method and condition.

Training runs that differ in nothing but their seed share a row. Runs that differ in their data
or settings never do: each gets a row that names the settings in which it differs.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from agentic.evaluation.condition import PLAIN_CACHE
from agentic.evaluation.protocol import (
    Curve,
    Summary,
    episode_curve,
    episode_curve_runs,
    scores,
    summarise,
    summarise_runs,
)
from agentic.report.runs import Run

METHODS = {
    "at": "Agentic Transformer",
    "dt": "Decision Transformer",
    "bc": "behaviour cloning",
    "bc10": "behaviour cloning, best 10 %",
    "td3": "TD3",
    "td3_bc": "TD3+BC",
    "iql": "IQL",
    "random": "random policy",
}
# Methods whose loss is that of values, not of imitated actions.
VALUE_METHODS = ("td3", "td3_bc", "iql")
MEMORIES = {
    "kept": "context kept",
    "cleared": "context emptied before each episode",
    "index": "only the episode index kept",
    "shuffled": "own episodes in random order",
    "random": "context of random data episodes",
}
# What makes two runs of one method the same experiment, whatever their seeds and folders.
SETTINGS = ("data", "policy", "training", "sampler")
# Among them, what changes no bit of the trained policy, the seed, and what follows from the data.
NO_SETTING = (
    "seed", "log_every", "checkpoint_every", "prefetch", "resident",
    "observation_mean", "observation_std", "return_scale",
)  # fmt: skip
# Letters of a fingerprint; as many as tell any data sets apart that one has on a page.
SHOWN = 12


@dataclass(frozen=True)
class Row:
    """Returns of one method under one condition: a [contexts, episodes] table a training run.

    `variant` names the settings in which its runs differ from other runs of the same method;
    `setting` names the target return where rows have several, the noise on actions, and a cache of
    other than float32.
    """

    task: str
    method: str
    variant: str
    memory: str
    tables: tuple[np.ndarray, ...]
    setting: str = ""

    @property
    def episodes(self) -> int:
        return self.tables[0].shape[1]

    @property
    def contexts(self) -> int:
        return sum(len(table) for table in self.tables)

    @property
    def over_runs(self) -> bool:
        """Whether intervals are over training runs; with one run they are over its contexts."""
        return len(self.tables) > 1

    @property
    def name(self) -> str:
        words = METHODS.get(self.method, self.method)
        return f"{words} ({self.variant})" if self.variant else words

    @property
    def memory_words(self) -> str:
        words = MEMORIES.get(self.memory, self.memory)
        return f"{words}, {self.setting}" if self.setting else words

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

    @cached_property
    def curve(self) -> Curve:
        return (episode_curve_runs if self.over_runs else lambda t: episode_curve(t[0]))(
            self.tables
        )


def rows_of(runs: Sequence[Run]) -> tuple[list[Row], list[str]]:
    """Return the rows of all runs in the order they appear, and notes on what was left out."""
    variants = variants_of(runs)
    groups: dict[tuple, list[np.ndarray]] = {}
    notes: list[str] = []
    for run, variant in zip(runs, variants, strict=True):
        for condition, lines in _by_condition(run).items():
            where = f"{run.path}, {MEMORIES.get(condition.memory, condition.memory)}"
            table = _table(lines, where, notes)
            # A random policy has no training: its episodes count once, not once a training run.
            random = condition.method == "random"
            key = (condition, "" if random else variant, table.shape[1])
            if not random or key not in groups:
                groups.setdefault(key, []).append(table)
    several = _several_targets([condition for condition, _, _ in groups])
    rows = [
        Row(
            condition.task, condition.method, variant, condition.memory, tuple(tables),
            condition.words((condition.task, condition.method) in several),
        )
        for (condition, variant, _), tables in groups.items()
    ]  # fmt: skip
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


class Condition(NamedTuple):
    """What the episodes of one row share, besides their method's settings."""

    task: str
    method: str
    memory: str
    target: float | None
    noise: float
    cache: str
    episodes: int | None

    def words(self, with_target: bool) -> str:
        """Return "target 843, noise 0.1", as far as there is something to say."""
        parts = [f"target {self.target:.0f}"] if with_target and self.target is not None else []
        parts += [f"noise {self.noise:g}"] if self.noise else []
        return ", ".join(parts + ([] if self.cache == PLAIN_CACHE else [f"{self.cache} cache"]))


def _several_targets(conditions: Sequence[Condition]) -> set[tuple[str, str]]:
    """Return the (task, method) pairs that were conditioned on more than one target return."""
    pairs = {(c.task, c.method, c.target) for c in conditions if c.target is not None}
    counts = Counter((task, method) for task, method, _ in pairs)
    return {pair for pair, count in counts.items() if count > 1}


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
    data["fingerprint"] = (data["fingerprint"] or "")[:SHOWN]
    parts = {part: run.config.get(part) for part in SETTINGS} | {"data": data}
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in flatten(parts).items()
        if key.split(".")[-1] not in NO_SETTING
    }


def _by_condition(run: Run) -> dict[Condition, list[dict[str, Any]]]:
    groups: dict[Condition, list[dict[str, Any]]] = {}
    for line in run.evaluation:
        key = Condition(
            line.get("task", run.task),
            line.get("method", run.method),
            line.get("memory") or "kept",
            line.get("target_return"),
            line.get("action_noise") or 0.0,
            line.get("cache_dtype") or PLAIN_CACHE,
            line.get("episodes"),
        )
        groups.setdefault(key, []).append(line)
    return groups


def _table(lines: list[dict[str, Any]], where: str, notes: list[str]) -> np.ndarray:
    """Return the [contexts, episodes] returns of the newest checkpoint's whole contexts."""
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
    whole = [c for c in contexts.values() if sorted(c) == list(range(length))]
    if not whole:
        # Episodes that cannot be placed in a context still are returns: each stands alone.
        whole = [{0: value} for c in contexts.values() for value in c.values()]
        length = 1
        notes.append(f"{where}: no context has all its episodes; each episode counts alone.")
    elif len(whole) < len(contexts):
        notes.append(
            f"{where}: {len(contexts) - len(whole)} of {len(contexts)} contexts do not have the "
            f"episodes 1 to {length} and were left out."
        )
    return np.array([[c[e] for e in range(length)] for c in whole])
