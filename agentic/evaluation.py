"""Evaluation: contexts of several episodes in simulation, as a table of raw returns.

Reductions of the table, with their intervals, are in `agentic.protocol`; nothing is reduced here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentic.acting import ContextPolicy, Policy
from agentic.errors import AgenticError, closest
from agentic.hindsight import hindsight_order, relabel
from agentic.rollout import rollout
from agentic.simulation import make_simulation
from agentic.simulation.tasks import get_task
from agentic.trajectory import Chain

Memory = Literal["kept", "cleared", "index", "random"]
MEMORIES: dict[Memory, str] = {
    "kept": "the context stays across episodes",
    "cleared": "control: the context is emptied before each episode",
    "index": "control: emptied, but the model is told which episode of the context it is in",
    "random": "control: replaced by as many random trajectories of the data before each episode",
}


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Raw returns of C contexts with E episodes each.

    returns [C, E] float64 and lengths [C, E] steps; seeds [C] name the contexts.
    """

    task: str
    memory: Memory
    seeds: tuple[int, ...]
    returns: np.ndarray
    lengths: np.ndarray

    def records(self, **source) -> list[dict]:
        """Return one record per episode, as evaluation.jsonl stores them, after `source`."""
        return [
            source
            | {
                "task": self.task,
                "memory": self.memory,
                "seed": seed,
                "context": context,
                "episode": episode,
                "return": float(self.returns[context, episode]),
                "length": int(self.lengths[context, episode]),
            }
            for context, seed in enumerate(self.seeds)
            for episode in range(self.returns.shape[1])
        ]


def evaluate(
    policy: Policy,
    task: str,
    episodes: int | None = None,
    seeds: Sequence[int] = range(8),
    memory: Memory = "kept",
    data=None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Let a policy live `episodes` episodes in each of len(seeds) contexts, all side by side.

    Args:
        policy: what acts; a ContextPolicy for every memory but "kept".
        task: task name, such as "walker_run".
        episodes: episodes in one context; by default as many as the policy was trained on.
        seeds: one context each; a seed and an episode index determine an initial state.
        memory: "kept", or a control: see MEMORIES.
        data: the Dataset that the "random" control draws from.
        progress: called with (steps done, steps in all) of each context.

    Raises:
        AgenticError: a policy of other sizes than the task's, or a control it cannot be put to.
    """
    spec = get_task(task)
    seeds = tuple(int(seed) for seed in seeds)
    if episodes is None:
        episodes = policy.config.trajectories if isinstance(policy, ContextPolicy) else 1
    if episodes < 1 or not seeds:
        raise AgenticError(
            f"{episodes} episodes in {len(seeds)} contexts: evaluation needs at least one of each."
        )
    _check(policy, spec, memory, data)
    simulation = make_simulation(task, len(seeds))
    table = np.zeros((len(seeds), episodes))
    lengths = np.zeros((len(seeds), episodes), np.int64)
    rows = np.arange(len(seeds))
    for count, step in enumerate(rollout(policy, simulation, episodes, seeds), start=1):
        live = rows[step.active]
        table[live, step.episode[live]] += step.rewards[live]
        lengths[live, step.episode[live]] += 1
        if step.done.any() and memory != "kept":
            _control(policy, memory, step, seeds, data)
        if progress is not None:
            progress(count, episodes * spec.episode_length)
    simulation.close()
    return Evaluation(task, memory, seeds, table, lengths)


def _check(policy: Policy, spec, memory: str, data) -> None:
    if memory not in MEMORIES:
        raise AgenticError(f"memory is {memory!r}; {closest(str(memory), MEMORIES)}.")
    if not isinstance(policy, ContextPolicy):
        if memory != "kept":
            raise AgenticError(f"memory {memory!r} is a control of policies that keep a context.")
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
    if memory == "random" and data is None:
        raise AgenticError("memory 'random' draws trajectories from the data; pass data=.")


def _control(policy: ContextPolicy, memory: Memory, step, seeds: tuple[int, ...], data) -> None:
    """Put the contexts whose episode just ended under a control."""
    if memory == "random":
        if not step.done.all():
            raise AgenticError(
                "memory 'random' needs episodes of one length; use 'cleared' or 'index' here."
            )
        lived = int(step.episode[0]) + 1
        policy.prefill(random_context(policy, data, lived, seeds))
    else:
        policy.clear(step.done, keep_index=memory == "index")


def random_context(policy: ContextPolicy, data, lived: int, seeds: Sequence[int]) -> Chain:
    """Return chains [C, n, T, ...] of random trajectories, as if `lived` episodes lay behind.

    They stand in hindsight order with the policy's target return; the last places stay empty so
    that every call has one shape. A full context keeps one place for the episode to come.
    """
    data = data.every(policy.stride)
    n = policy.config.trajectories
    count = min(lived, n - 1, len(data))
    draws = np.stack(
        [np.random.default_rng([seed, lived]).permutation(len(data))[:n] for seed in seeds]
    )
    draws = np.pad(draws, ((0, 0), (0, n - draws.shape[1])))
    present = np.broadcast_to(np.arange(n) < count, draws.shape)
    order = hindsight_order(data.returns[draws], present)
    draws = np.take_along_axis(draws, order, axis=1)
    return relabel(
        data.observations[draws], data.actions[draws], data.rewards[draws],
        data.mask(draws) & present[..., None], policy.completion,
        np.full(len(draws), policy.target_return),
    )  # fmt: skip
