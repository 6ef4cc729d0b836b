"""Evaluation: contexts of several episodes in simulation, as a table of raw returns.

Nothing is reduced here; `agentic.evaluation.protocol` has the reductions of a table and their
intervals. A context's returns depend on its seed alone: neither on the other seeds nor on their
number.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agentic.acting.policy import Policy, as_policy
from agentic.acting.rollout import rollout
from agentic.evaluation.condition import Condition
from agentic.evaluation.protocol import Summary, summarise
from agentic.progress import Progress
from agentic.simulation import make_simulation
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import get_task

# task, number of contexts -> what steps them
MakeSimulation = Callable[[str, int], Simulation]


@dataclass(frozen=True)
class ProtocolSummary:
    """The protocols of one evaluation: a mapping that prints as a table.

    Attributes:
        title: what was measured.
        summaries: first, last, mean, best and improvement.
    """

    title: str
    summaries: Mapping[str, Summary]

    def __getitem__(self, protocol: str) -> Summary:
        return self.summaries[protocol]

    def __str__(self) -> str:
        lines = [f"{self.title}: mean over contexts and its 95 % interval"]
        for name, one in self.summaries.items():
            interval = "" if math.isnan(one.low) else f"  ({one.low:.1f} to {one.high:.1f})"
            lines.append(f"  {name:<12}{one.mean:>8.1f}{interval}")
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Raw returns of C contexts with E episodes each, and what they were measured under.

    returns [C, E] float64 and lengths [C, E] steps; seeds [C] name the contexts. `other_provenance`
    counts the contexts that were read from a record of other versions, another commit or other
    devices than today's.
    """

    condition: Condition
    seeds: tuple[int, ...]
    returns: np.ndarray
    lengths: np.ndarray
    other_provenance: int = 0

    def records(self) -> list[dict]:
        """Return one record per episode, as evaluation.jsonl stores them."""
        shared = self.condition.record()
        return [
            shared
            | {
                "seed": seed,
                "context": context,
                "episode": episode,
                "return": float(self.returns[context, episode]),
                "length": int(self.lengths[context, episode]),
            }
            for context, seed in enumerate(self.seeds)
            for episode in range(self.returns.shape[1])
        ]

    def summary(self, best_of: int | None = None) -> ProtocolSummary:
        """Return every protocol with its interval over contexts.

        `best` is over the first `best_of` episodes of each context, by default over all.
        """
        contexts, episodes = self.returns.shape
        return ProtocolSummary(
            f"{self.condition.label()} on {self.condition.task}, {contexts} contexts of "
            f"{episodes} episodes",
            summarise(self.returns, best_of=best_of),
        )


def evaluate(
    policy: Any,
    task: str,
    episodes: int | None = None,
    seeds: Sequence[int] = range(8),
    memory: str = "kept",
    data: Any = None,
    progress: Progress | None = None,
    action_noise: float = 0.0,
    make_simulation: MakeSimulation = make_simulation,
    **others: Any,
) -> Evaluation:
    """Let a policy live `episodes` episodes in each of len(seeds) contexts, all side by side.

    Args:
        policy: what acts; see `agentic.acting.policy.as_policy` for policies of your own.
        task: task name, such as "walker_run".
        episodes: episodes in one context; by default as many as the policy was trained on.
        seeds: one context each; a seed and an episode index determine an initial state.
        memory: what the policy keeps between episodes: see `agentic.acting.memory.MEMORIES`.
        data: the Dataset that memory "random" draws from.
        progress: called with steps done and steps in all of each context.
        action_noise: standard deviation of Gaussian noise on actions, whose range is [-1, 1].
        make_simulation: called with the task and the number of contexts.
        others: further fields of `agentic.evaluation.Condition`, such as method="mine".

    Raises:
        AgenticError: a policy of other sizes than the task's, or a condition that it cannot be put
            to.
    """
    policy = as_policy(policy)
    treated = {"memory": memory, "action_noise": float(action_noise)} | others
    condition = Condition.of(policy, task, episodes, **treated)
    return measure(condition, policy, seeds, data, progress, make_simulation)


def measure(
    condition: Condition,
    policy: Policy,
    seeds: Sequence[int],
    data: Any = None,
    progress: Progress | None = None,
    make_simulation: MakeSimulation = make_simulation,
) -> Evaluation:
    """Return the returns of a policy under a condition; arguments as `evaluate` has them."""
    seeds, episodes = tuple(int(seed) for seed in seeds), condition.episodes
    acting = condition.imposed_on(policy, seeds, data)
    simulation = make_simulation(condition.task, len(seeds))
    table = np.zeros((len(seeds), episodes))
    lengths = np.zeros((len(seeds), episodes), np.int64)
    rows, steps = np.arange(len(seeds)), episodes * get_task(condition.task).episode_length
    for count, step in enumerate(rollout(acting, simulation, episodes, seeds), start=1):
        active = rows[step.active]
        table[active, step.episode[active]] += step.rewards[active]
        lengths[active, step.episode[active]] += 1
        if progress is not None:
            progress(count, steps)
    simulation.close()
    return Evaluation(condition, seeds, table, lengths)
