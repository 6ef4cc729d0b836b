"""evaluation.jsonl of a run folder: one line per evaluated episode, and which contexts are there.

A condition is everything that two episodes of one context index share; within a condition, a seed
names a context. Lines are whole contexts, in the order of conditions, contexts and episodes, so
that the file depends on what was evaluated and not on how often it was interrupted.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from agentic.training.run import read_jsonl, write_jsonl

CONDITION = (
    "task", "method", "step", "memory", "target_return", "action_noise", "episodes", "cache_dtype",
)  # fmt: skip
# What contexts are kept in where nothing is said of it: by policies that keep none, and in lines
# from before there was a choice.
PLAIN_CACHE = "float32"
UNSAID = {"cache_dtype": PLAIN_CACHE}


def condition_of(record: dict) -> tuple:
    """Return the condition that a record was measured under, as a key."""
    return tuple(record.get(name, UNSAID.get(name)) for name in CONDITION)


class Ledger:
    """The evaluated episodes of a run folder; what is added is on disk when `add` returns."""

    def __init__(self, folder: str | Path):
        """Read the folder's evaluation.jsonl, if it has one."""
        self._path = Path(folder) / "evaluation.jsonl"
        self._contexts: dict[tuple, dict[int, list[dict]]] = {}
        for record in read_jsonl(self._path):
            self._place(record)

    def _place(self, record: dict) -> None:
        seeds = self._contexts.setdefault(condition_of(record), {})
        seeds.setdefault(record["seed"], []).append(record)

    def missing(self, condition: dict, seeds: Sequence[int]) -> list[int]:
        """Return those of `seeds` whose context has not all its episodes on record."""
        known = self._contexts.get(condition_of(condition), {})
        return [seed for seed in seeds if len(known.get(seed, ())) != condition["episodes"]]

    def records(self, condition: dict, seeds: Sequence[int]) -> list[dict]:
        """Return the records of these contexts, which must not be missing."""
        known = self._contexts[condition_of(condition)]
        return [record for seed in seeds for record in known[seed]]

    def returns(self, condition: dict, seeds: Sequence[int]) -> np.ndarray:
        """Return the returns [len(seeds), episodes] of these contexts."""
        values = [record["return"] for record in self.records(condition, seeds)]
        return np.asarray(values).reshape(len(seeds), condition["episodes"])

    def add(self, records: Iterable[dict]) -> None:
        """Write whole contexts down, whole or not at all; they replace those of their seeds."""
        records = list(records)
        for record in records:
            self._contexts.get(condition_of(record), {}).pop(record["seed"], None)
        for record in records:
            self._place(record)
        write_jsonl(self._path, self._ordered())

    def _ordered(self) -> Iterable[dict]:
        for seeds in self._contexts.values():
            lines = [record for records in seeds.values() for record in records]
            yield from sorted(lines, key=lambda r: (r["context"], r["seed"], r["episode"]))
