"""What random actions earn on every task: the zero of normalised scores, with its provenance.

random_returns.json holds every return it was computed from, the command that measures them again,
seeds, versions and commit. The other end of the scale is the best episode of a run's own data.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np

FILE = "random_returns.json"


@dataclass(frozen=True)
class RandomReference:
    """Returns of uniformly random actions on one task, [N] one an episode, and where from."""

    task: str
    returns: tuple[float, ...]
    source: str

    @property
    def mean(self) -> float:
        """The mean return: a score of zero."""
        return float(np.mean(self.returns))


def random_reference(task: str) -> RandomReference | None:
    """Return the reference of a task, or None for a task that was not measured."""
    document = _document()
    if task not in document["returns"]:
        return None
    return RandomReference(
        task, tuple(document["returns"][task]), f"agentic/evaluation/{FILE}: {document['command']}"
    )


@lru_cache
def _document() -> dict:
    return json.loads(files("agentic.evaluation").joinpath(FILE).read_text(encoding="utf-8"))
