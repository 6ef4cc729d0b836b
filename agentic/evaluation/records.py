"""evaluation.jsonl of a run folder: one line per evaluated episode.

Within a condition, a seed names a context. The lines are whole contexts, in the order of
conditions, contexts and episodes, so that the file depends on what was evaluated and not on how
often evaluation was interrupted.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from agentic.evaluation.condition import Condition
from agentic.training.run import read_config, read_jsonl, write_jsonl


class Records:
    """The evaluated episodes of a run folder; what is added is on disk when `add` returns."""

    def __init__(self, folder: str | Path):
        """Read the folder's evaluation.jsonl, if it has one."""
        document = read_config(folder)
        self._known = {name: document[name] for name in ("task", "method")}
        self._path = Path(folder) / "evaluation.jsonl"
        self._contexts: dict[tuple, dict[int, list[dict]]] = {}
        for record in read_jsonl(self._path):
            self._place(record)

    def _key(self, record: dict) -> tuple:
        return Condition.from_record(record, **self._known).key

    def _place(self, record: dict) -> None:
        seeds = self._contexts.setdefault(self._key(record), {})
        seeds.setdefault(record["seed"], []).append(record)

    def missing(self, condition: Condition, seeds: Sequence[int]) -> list[int]:
        """Return those of `seeds` whose context has not all its episodes on record."""
        known = self._contexts.get(condition.key, {})
        return [seed for seed in seeds if len(known.get(seed, ())) != condition.episodes]

    def of(self, condition: Condition, seeds: Sequence[int]) -> list[dict]:
        """Return the records of these contexts, which must not be missing."""
        known = self._contexts[condition.key]
        return [record for seed in seeds for record in known[seed]]

    def add(self, records: Iterable[dict]) -> None:
        """Write whole contexts down, whole or not at all; they replace those of their seeds."""
        records = list(records)
        for record in records:
            self._contexts.get(self._key(record), {}).pop(record["seed"], None)
        for record in records:
            self._place(record)
        write_jsonl(self._path, self._ordered())

    def _ordered(self) -> Iterable[dict]:
        for seeds in self._contexts.values():
            lines = [record for records in seeds.values() for record in records]
            yield from sorted(lines, key=lambda r: (r["context"], r["seed"], r["episode"]))
