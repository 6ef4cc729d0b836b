"""Evaluation: contexts of several episodes in simulation, as a table of raw returns.

Reductions of the table, with their intervals, are in `agentic.evaluation.protocol`; nothing is
reduced here. A context's returns depend on its seed alone: neither on the
other seeds nor on how many there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agentic.acting.context import ContextPolicy, Policy, RandomPolicy
from agentic.acting.grouped import Grouped
from agentic.acting.memory import Control, Memory, check_memory
from agentic.acting.rollout import Transition, rollout
from agentic.errors import AgenticError
from agentic.evaluation.condition import PLAIN_CACHE
from agentic.progress import Progress
from agentic.simulation import make_simulation
from agentic.simulation.interface import Simulation
from agentic.simulation.tasks import Task, get_task


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Raw returns of C contexts with E episodes each, and what they were measured under.

    returns [C, E] float64 and lengths [C, E] steps; seeds [C] name the contexts. target_return is
    None for a policy that aims at none; cache_dtype is what its context was kept in.
    """

    task: str
    memory: Memory
    seeds: tuple[int, ...]
    returns: np.ndarray
    lengths: np.ndarray
    target_return: float | None = None
    action_noise: float = 0.0
    cache_dtype: str = PLAIN_CACHE

    def records(self, **source) -> list[dict]:
        """Return one record per episode, as evaluation.jsonl stores them, after `source`."""
        episodes = self.returns.shape[1]
        return [
            source
            | {
                "task": self.task,
                "memory": self.memory,
                "target_return": self.target_return,
                "action_noise": self.action_noise,
                "cache_dtype": self.cache_dtype,
                "episodes": episodes,
                "seed": seed,
                "context": context,
                "episode": episode,
                "return": float(self.returns[context, episode]),
                "length": int(self.lengths[context, episode]),
            }
            for context, seed in enumerate(self.seeds)
            for episode in range(episodes)
        ]


def evaluate(
    policy: Policy,
    task: str,
    episodes: int | None = None,
    seeds: Sequence[int] = range(8),
    memory: Memory = "kept",
    data=None,
    progress: Progress | None = None,
    action_noise: float = 0.0,
) -> Evaluation:
    """Let a policy live `episodes` episodes in each of len(seeds) contexts, all side by side.

    Args:
        policy: what acts; a ContextPolicy for every memory but "kept". Copies of it act.
        task: task name, such as "walker_run".
        episodes: episodes in one context; by default as many as the policy was trained on.
        seeds: one context each; a seed and an episode index determine an initial state.
        memory: "kept", or a control: see `agentic.acting.memory.MEMORIES`.
        data: the Dataset that the "random" control draws from.
        progress: called with (steps done, steps in all) of each context.
        action_noise: standard deviation of Gaussian noise on actions, whose range is [-1, 1].

    Raises:
        AgenticError: a policy of other sizes than the task's, or a control it cannot be put to.
    """
    spec = get_task(task)
    seeds = tuple(int(seed) for seed in seeds)
    if episodes is None:
        episodes = episodes_of(policy)
    check_numbers(episodes, seeds, action_noise)
    check_memory(policy, memory, data)
    check_fit(policy, spec)
    simulation = make_simulation(task, len(seeds))
    table = np.zeros((len(seeds), episodes))
    lengths = np.zeros((len(seeds), episodes), np.int64)
    rows = np.arange(len(seeds))
    stream = live(policy, simulation, episodes, seeds, memory, data, action_noise)
    for count, step in enumerate(stream, start=1):
        active = rows[step.active]
        table[active, step.episode[active]] += step.rewards[active]
        lengths[active, step.episode[active]] += 1
        if progress is not None:
            progress(count, episodes * spec.episode_length)
    simulation.close()
    return Evaluation(
        task, memory, seeds, table, lengths, target_of(policy), float(action_noise),
        cache_dtype_of(policy),
    )  # fmt: skip


def live(
    policy: Policy,
    simulation: Simulation,
    episodes: int,
    seeds: Sequence[int],
    memory: Memory = "kept",
    data=None,
    action_noise: float = 0.0,
) -> Iterator[Transition]:
    """Yield every step of contexts that live side by side; arguments as `evaluate` checks them.

    While a step is in the caller's hands, the simulation shows where it led.
    """
    acting, control = Grouped(policy, len(seeds)), None
    if isinstance(policy, RandomPolicy):
        acting = RandomPolicy(policy.action_size, tuple(seeds))
    if isinstance(policy, ContextPolicy):
        control = Control(policy, acting, memory, seeds, data)
    for step in rollout(acting, simulation, episodes, seeds, action_noise):
        if control is not None:
            control.observe(step)
        yield step


def episodes_of(policy: Policy) -> int:
    """Return how many episodes a context of the policy's own has: as many as it was trained on."""
    return policy.config.trajectories if isinstance(policy, ContextPolicy) else 1


def target_of(policy: Policy) -> float | None:
    """Return the return that a policy aims at; None for one that is never told of any."""
    if isinstance(policy, ContextPolicy) and set("Rd") & set(policy.config.inputs):
        return policy.target_return
    return None


def cache_dtype_of(policy: Policy) -> str:
    """Return what a policy keeps its context in, "float32" for one that has none."""
    return policy.cache_dtype if isinstance(policy, ContextPolicy) else PLAIN_CACHE


def check_fit(policy: Policy, spec: Task) -> None:
    """Raise AgenticError for a context policy of other sizes than the task's."""
    if not isinstance(policy, ContextPolicy):
        return
    for name in ("observation_size", "action_size"):
        own, needed = getattr(policy.config, name), getattr(spec, name)
        if own != needed:
            raise AgenticError(
                f"the policy has {name} {own} and {spec.name} has {needed}; evaluate it on a task "
                "of the domain it was trained on."
            )
    longest = policy.config.episode_length * policy.stride
    if longest < spec.episode_length:
        raise AgenticError(
            f"the policy was trained on episodes of {longest} steps and "
            f"{spec.name} has {spec.episode_length}; train it on whole episodes."
        )


def check_numbers(episodes: int, seeds: Sequence[int], action_noise: float) -> None:
    """Raise AgenticError for numbers that no evaluation can have."""
    if episodes < 1 or not seeds:
        raise AgenticError(
            f"{episodes} episodes in {len(seeds)} contexts: evaluation needs at least one of each."
        )
    twice = [seed for seed in sorted(set(seeds)) if seeds.count(seed) > 1]
    if twice or min(seeds) < 0:
        raise AgenticError(
            f"seed {twice[0] if twice else min(seeds)} is {'given twice' if twice else 'negative'};"
            " seeds are different whole numbers from 0 on, one context each."
        )
    if not 0 <= action_noise < float("inf"):
        raise AgenticError(
            f"action_noise is {action_noise}; it is a standard deviation, 0 or more, of actions "
            "in [-1, 1]."
        )
